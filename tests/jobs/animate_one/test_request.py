"""What can be said of a request before anything is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs.animate_one.request import Request, request
from stableanimator.errors import ConfigError, InputError, UserError


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SA_ROOT", str(tmp_path / "root"))
    for name in ("a.png", "b.mp4"):
        (tmp_path / name).write_bytes(b"something")
    (tmp_path / "folder.mp4").mkdir()
    return tmp_path


def _asked(
    folder: Path, reference: str = "a.png", driving: str = "b.mp4", out: str = "out.mp4", **more: Any
) -> Request:
    given: dict[str, Any] = {"model": "small", "config": None, "overrides": [], "seed": 0} | more
    return request(str(folder / reference), str(folder / driving), str(folder / out), **given)


def test_the_small_model_comes_with_its_settings(files: Path) -> None:
    asked = _asked(files, overrides=["animate.settings.alignment=svd"])
    assert (asked.model / "unet.safetensors").is_file()
    assert asked.config.animate.settings.sizes == ((96, 96),)
    assert asked.config.animate.settings.alignment == "svd"
    assert asked.sheet == files / "out-preview.png"
    assert asked.perception.faces.held_out is None  # what judges makes nothing


def test_another_model_comes_with_the_settings_of_the_paper(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SA_WEIGHTS", str(files))
    (files / "model").mkdir()
    on_cpu = ["animate.gpus_per_actor=0"]
    asked = _asked(files, model=str(files / "model"), overrides=on_cpu)
    assert (512, 512) in asked.config.animate.settings.sizes
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match=r"there is no GPU here.*animate\.gpus_per_actor=0"):
            _asked(files, model=str(files / "model"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"reference": "gone.png"}, "reference .*gone.png: there is no such file"),
        ({"driving": "gone.mp4"}, "driving video .*gone.mp4: there is no such file"),
        ({"driving": "folder.mp4"}, "folder.mp4: it is a folder"),
        ({"out": "out.avi"}, "give a name that ends in .mp4"),
        ({"out": "folder.mp4"}, "it is a folder; give the name of a file"),
        ({"out": "nowhere/out.mp4"}, "there is no folder .*nowhere; make it first"),
        ({"out": "b.mp4"}, "it is one of the inputs"),
        ({"out": "folder.mp4/../b.mp4"}, "it is one of the inputs"),
        ({"model": "/nowhere"}, "--model /nowhere: there is no such folder; give a model's folder, or small"),
        ({"model": "tiny"}, "--model tiny: there is no such folder"),
        ({"config": "/nowhere.yaml"}, "nowhere.yaml: No such file"),
        ({"overrides": ["animate.setings.window=8"]}, "unknown setting 'animate.setings'; did you mean 'settings'?"),
        ({"overrides": ["perception=null"]}, "perception: people and faces must be found"),
    ],
)
def test_a_mistake_is_one_line(files: Path, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        _asked(files, **wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(files: Path) -> None:
    (files / "closed").mkdir(mode=0o500)
    with pytest.raises(InputError, match="nothing may be written into"):
        _asked(files, out="closed/out.mp4")
