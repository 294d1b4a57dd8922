"""Exports: both formats and back, what the released one leaves out, and mistakes in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from jobs.export import main
from jobs.training.run_folder import claim, commit
from pipelines.storage.store import Store
from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.settings import AlignerSettings
from stableanimator.models.animator import Animator
from stableanimator.models.checkpoints import load_model_folder, save_model_folder
from stableanimator.models.settings import FrameRates, ModelSettings

PARTS = ("unet", "pose_net", "face_encoder")


@pytest.fixture
def model(tmp_path: Path, tiny_settings: ModelSettings) -> Path:
    animator = Animator(replace(tiny_settings, id_fusion="addition"))
    rates = FrameRates(fps=(8.0, 4.0), fps_id=None)
    save_model_folder(tmp_path / "model", animator, Aligner(AlignerSettings(width=8, heads=2)), rates, {"seed": 3})
    return tmp_path / "model"


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": value for part in PARTS for name, value in load_file(folder / f"{part}.safetensors").items()
    }


def test_released_files_come_back_as_they_were(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    released, back = tmp_path / "released", tmp_path / "back"
    assert main(["--model", str(model), "--out", str(released), "--to", "released"]) == 0
    printed = capsys.readouterr().out
    assert "without the aligner" in printed
    assert "trained at 8, 4 frames a second, and the released scripts say fps_id 6" in printed
    assert "id_fusion=addition" in printed
    assert "unet.block_out_channels=(32, 64)" in printed
    assert "reference_gain" not in printed
    assert {path.name for path in released.iterdir()} == {f"{part}.pth" for part in PARTS}
    expected = _weights(model)
    for part in PARTS:
        for name, value in torch.load(released / f"{part}.pth", weights_only=True).items():
            assert torch.equal(value, expected[f"{part}.{name}"])
    # Released files carry no sizes: without this they are taken for the released ones.
    described = json.loads((model / "config.json").read_text()) | {"aligner": None}
    (released / "config.json").write_text(json.dumps(described))
    assert main(["--model", str(released), "--out", str(back), "--to", "safetensors"]) == 0
    assert _weights(back).keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in _weights(back).items())
    assert load_model_folder(back).config == {"seed": 3}


def test_our_folder_keeps_aligner_and_settings(tmp_path: Path, model: Path) -> None:
    assert main(["--model", str(model), "--out", str(tmp_path / "copy"), "--to", "safetensors"]) == 0
    for path in model.iterdir():
        assert (tmp_path / "copy" / path.name).read_bytes() == path.read_bytes()


def test_a_trained_model_is_named_by_its_collection(
    tmp_path: Path, tiny_settings: ModelSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    with claim(str(root), "models", "mine", {}) as run:
        save_model_folder(run.begin(5), Animator(replace(tiny_settings, id_fusion="off")), None, FrameRates(), {})
        run.complete({"step": 5, "total_steps": 5}, keep_last=1)
        collection = commit(Store(str(root)), "models", run, {}, {})
    config = tmp_path / "config.yaml"
    config.write_text(f"experiment: export\nroot: {root}\n")
    for number, name in enumerate(("latest", collection.id[:8])):
        out = tmp_path / f"out{number}"
        assert main(["--config", str(config), "--model", name, "--out", str(out), "--to", "released"]) == 0
        assert len(list(out.iterdir())) == 3
    printed = capsys.readouterr().out
    assert "aligner" not in printed
    assert "frames a second" not in printed


@pytest.mark.parametrize("to", ["released", "safetensors"])
def test_a_folder_with_something_in_it_is_left_alone(
    tmp_path: Path, model: Path, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in model.iterdir()}
    assert main(["--model", str(model), "--out", str(model), "--to", to]) == 2
    assert {path: path.stat().st_mtime_ns for path in model.iterdir()} == before
    error = capsys.readouterr().err
    assert error == f"error: --out: {model} is there and not an empty folder; name a new one\n"
    (tmp_path / "file").touch()
    assert main(["--model", str(model), "--out", str(tmp_path / "file"), "--to", to]) == 2
    assert main(["--model", str(model), "--out", str(tmp_path / "file" / "below"), "--to", to]) == 2
    assert "cannot be written (Not a directory)" in capsys.readouterr().err


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", "latest", "--out", str(tmp_path / "out"), "--to", "released"]) == 2
    assert main(["--model", str(tmp_path), "--out", str(tmp_path / "out"), "--to", "released"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("there is no folder latest; a trained model's id, or latest, needs --config too")
    assert "is no model folder" in second
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", ["released", "safetensors"])
def test_a_full_disk_is_one_line(tmp_path: Path, model: Path, to: str) -> None:
    """Files may not grow beyond a size here, which is how a disk ends."""
    command = f"ulimit -f 64; exec {sys.executable} -m jobs.export --model {model} --out {tmp_path / 'out'} --to {to}"
    outcome = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert outcome.returncode == 2, outcome.stderr
    (line,) = outcome.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path / 'out' / 'unet.'}")
    assert "cannot be written" in line
    assert not list((tmp_path / "out").iterdir())
