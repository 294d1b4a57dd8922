"""What tells a damaged checkpoint from a whole one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.training.keeping.checksums import checksums, damage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deepspeed" / "state").mkdir(parents=True)
    (tmp_path / "deepspeed" / "state" / "optim.pt").write_bytes(b"moments")
    (tmp_path / "unet.safetensors").write_bytes(b"weights")
    (tmp_path / "state.json").write_text("{}")
    return tmp_path


def test_every_file_is_listed_but_the_list(folder: Path) -> None:
    wanted = {"deepspeed/state/optim.pt": b"moments", "unet.safetensors": b"weights"}
    found = checksums(folder, left_out="state.json")
    assert found == {name: hashlib.sha256(data).hexdigest() for name, data in wanted.items()}
    assert damage(folder, found, resume=True) is None


@pytest.mark.parametrize(
    ("change", "resumed", "used"),
    [
        (
            lambda at: (at / "unet.safetensors").write_bytes(b"weightS"),
            "unet.safetensors is not what was written",
            True,
        ),
        (lambda at: (at / "unet.safetensors").unlink(), "unet.safetensors is missing", True),
        (lambda at: (at / "deepspeed/state/optim.pt").write_bytes(b""), "deepspeed/state/optim.pt is not what", False),
        (lambda at: (at / "deepspeed/state/more.pt").touch(), "deepspeed/state/more.pt was not written", False),
        (lambda at: (at / "deepspeed/a.pt").symlink_to("/dev/null"), "deepspeed/a.pt was not written", False),
    ],
)
def test_what_is_not_as_it_was_written_is_named(
    folder: Path, change: Callable[[Path], object], resumed: str, used: bool
) -> None:
    written = checksums(folder, left_out="state.json")
    change(folder)
    found = damage(folder, written, resume=True)
    assert found is not None
    assert found.startswith(resumed)
    assert (damage(folder, written, resume=False) is not None) == used  # nobody resumes a finished training
