"""What is lost, doubled or wrong is seen, and what no id depends on is not asked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from benchmarks.chaos.contents import contents, differences
from pipelines.storage.store import Store


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal roots: a collection, a video and a cached part, a training's weights."""
    one = tmp_path / "one"
    store = Store(str(one))
    rows = pa.table({"pair_id": ["a"], "reason": pa.array([None], pa.string())})
    store.commit("predictions", content={}, tables={"predictions": rows}, build={"seconds": 1})
    store.write_bytes("predictions/videos/key/a.mp4", b"video")
    store.write_part("shots", "key", "video", pa.table({"shot_id": ["a"]}))
    store.write_part("timings", "key", "row", pa.table({"seconds": [1.0]}))
    store.write_bytes("models/0123456789ab/step_2/unet.safetensors", b"weights")
    shutil.copytree(one, tmp_path / "other")
    return tmp_path / "other", one


def test_equal_roots_differ_in_nothing(roots: tuple[Path, Path]) -> None:
    root, undisturbed = roots
    next(root.glob("predictions/*/build.json")).write_text("{}")
    Store(str(root)).write_part("timings", "key", "row", pa.table({"seconds": [2.0]}))
    (root / "models/0123456789ab/step_1").mkdir()
    (root / "models/0123456789ab/step_1/unet.safetensors").write_bytes(b"a checkpoint")
    assert len(contents(undisturbed)) == 5
    assert len(differences(root, undisturbed)) == 0


_CONTENT = (
    "predictions/*/manifest.json",
    "predictions/*/predictions.parquet",
    "predictions/videos/*/*.mp4",
    "parts/shots/*/*/*.parquet",
    "models/*/*/*.safetensors",
)


@pytest.mark.parametrize("pattern", _CONTENT)
def test_what_is_lost_or_wrong_is_seen(roots: tuple[Path, Path], pattern: str) -> None:
    root, undisturbed = roots
    (path,) = root.glob(pattern)
    name = str(path.relative_to(root))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert differences(root, undisturbed).wrong == [name]
    path.unlink()
    assert name in differences(root, undisturbed).lost


def test_what_is_there_twice_is_seen_unless_its_rows_say_why(roots: tuple[Path, Path]) -> None:
    root, undisturbed = roots
    store = Store(str(root))
    store.write_part("shots", "key", "video", pa.table({"shot_id": ["b"]}))
    assert len(differences(root, undisturbed).doubled) == 1
    rows = pa.table({"pair_id": ["a"], "reason": ["decode_error"]})
    store.commit("predictions", content={"another": 1}, tables={"predictions": rows}, build={})
    assert len(differences(root, undisturbed).doubled) == 1
    silent = pa.table({"pair_id": ["a"], "reason": pa.array([None], pa.string())})
    store.commit("predictions", content={"another": 2}, tables={"predictions": silent}, build={})
    assert len(differences(root, undisturbed).doubled) == 3
