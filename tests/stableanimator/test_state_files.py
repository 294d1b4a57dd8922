from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from stableanimator.errors import CheckpointError, WeightsError
from stableanimator.models.pose_net import PoseNet
from stableanimator.models.settings import PoseNetSettings
from stableanimator.state_files import load_weights, read_state_dict, save_weights


def test_a_mismatch_lists_names_and_shapes_in_one_bounded_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    save_weights(PoseNet(PoseNetSettings(widths=(4, 8, 8)), out_channels=5), tmp_path / "pose_net.safetensors")
    with pytest.raises(CheckpointError) as error:
        load_weights(PoseNet(PoseNetSettings(widths=(4, 6)), out_channels=5), tmp_path / "pose_net.safetensors")
    message = str(error.value)
    assert "\n" not in message
    assert "4 unexpected (conv_layers.12.bias, conv_layers.12.weight, conv_layers.14.bias, …)" in message
    assert "conv_layers.10.bias [8] instead of [128]" in message
    assert "missing" not in message
    assert len(message) < 600
    (listing,) = tmp_path.glob("mismatch-*.txt")
    assert f"; {listing} lists all" in message
    lines = listing.read_text().splitlines()
    assert lines[0] == str(tmp_path / "pose_net.safetensors")
    unexpected = [line.removeprefix("unexpected\t") for line in lines if line.startswith("unexpected")]
    assert unexpected == [f"conv_layers.{layer}.{kind}" for layer in (12, 14) for kind in ("bias", "weight")]


def test_a_mismatch_of_few_names_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    save_weights(torch.nn.Linear(2, 3), tmp_path / "linear.safetensors")
    with pytest.raises(CheckpointError, match=r"2 mis-shaped \(bias \[3\] instead of \[4\], weight"):
        load_weights(torch.nn.Linear(2, 4), tmp_path / "linear.safetensors")
    assert list(tmp_path.glob("mismatch-*")) == []


def test_a_mismatch_leaves_the_model_untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    network = PoseNet(PoseNetSettings(widths=(4,)), out_channels=5)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.save({"scale": torch.zeros(1)}, tmp_path / "pose_net.pth")
    with pytest.raises(CheckpointError, match="10 missing"):
        load_weights(network, tmp_path / "pose_net.pth")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def _own_megabytes() -> float:
    """Memory of this process that is no mapped file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) / 1024


def test_loading_maps_the_file(tmp_path: Path) -> None:
    """A float32 file of 256 MiB is loaded without its bytes becoming memory of the process."""
    network = torch.nn.Linear(8192, 8192, bias=False)
    torch.save(network.state_dict(), tmp_path / "linear.pth")
    save_weights(network, tmp_path / "linear.safetensors")
    for name in ("linear.pth", "linear.safetensors"):
        with torch.device("meta"):
            empty = torch.nn.Linear(8192, 8192, bias=False)
        before = _own_megabytes()
        load_weights(empty, tmp_path / name)
        assert _own_megabytes() - before < 64
        assert torch.equal(empty.weight[-1], network.weight[-1])


def test_a_file_from_before_archives_loads(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 3)
    torch.save(network.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_state_dict(tmp_path / "old.pth")["weight"], network.weight)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return (Path.touch, (tmp_path / "touched",))

    torch.save({"weight": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match=r"evil\.pth is unreadable"):
        read_state_dict(tmp_path / "evil.pth")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pth"])
def test_a_truncated_file_is_a_users_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    network = PoseNet(PoseNetSettings(widths=(4,)), out_channels=5)
    if path.suffix == ".pth":
        torch.save(network.state_dict(), path)
    else:
        save_weights(network, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="unreadable"):
        read_state_dict(path)
    path.write_bytes(pickle.dumps([1, 2], protocol=2))
    with pytest.raises(WeightsError, match=r"unreadable|not a state dict"):
        read_state_dict(path)


class _Bytes:
    def __reduce__(self) -> tuple[type[bytearray], tuple[int]]:
        return bytearray, (1 << 30,)


@pytest.mark.parametrize("archive", [True, False])
def test_a_pickle_takes_no_more_memory_than_its_file(tmp_path: Path, archive: bool) -> None:
    torch.save({"a": _Bytes()}, tmp_path / "w.pth", _use_new_zipfile_serialization=archive)
    with pytest.raises(WeightsError, match="it holds bytes"):
        read_state_dict(tmp_path / "w.pth")


def test_an_archive_is_as_pytorch_writes_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("w/data.pkl", bytes(100_000))
    with pytest.raises(WeightsError, match="packed parts"):
        read_state_dict(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": torch.zeros(1).expand(1 << 40)}, "does not hold the numbers of a"),
        ({"a": torch.zeros(2, device="meta")}, "does not hold the numbers of a"),
        ({"a": torch.eye(2).to_sparse()}, "does not hold the numbers of a"),
        ({1: torch.zeros(2)}, "is not a state dict"),
    ],
)
def test_every_number_is_in_the_file(tmp_path: Path, state: dict, message: str) -> None:
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=message):
        read_state_dict(tmp_path / "w.pth")


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2, 2, dtype=torch.int64), "bias": torch.zeros(2)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"weight of torch\.int64 instead of torch\.float32"):
        load_weights(torch.nn.Linear(2, 2), tmp_path / "w.pth")
