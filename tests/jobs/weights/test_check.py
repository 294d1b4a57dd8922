"""Damaged weights: published files below SA_WEIGHTS, and folders that trainings have committed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from jobs.running import entry as job
from jobs.training.run_folder import claim, commit
from jobs.weights.catalogue import Entry, WeightsFile
from jobs.weights.check import require_right
from pipelines.storage.store import Store
from stableanimator.errors import WeightsError


def _damage(path: Path) -> None:
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


def test_a_published_file_is_held_against_the_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Callable[..., WeightsFile], entry: Callable[..., Entry]
) -> None:
    weights, store = tmp_path / "weights", Store(str(tmp_path / "root"))
    catalogue = [entry("net", file("net/vae/model.bin", b"vae"), file("net/other.onnx", b"onnx"))]
    for name, body in (("vae/model.bin", b"vae"), ("vae/config.json", b"{}"), ("other.onnx", b"onnx")):
        (weights / "net" / name).parent.mkdir(parents=True, exist_ok=True)
        (weights / "net" / name).write_bytes(body)
    monkeypatch.setenv("SA_WEIGHTS", str(weights))
    paths = [
        str(weights / "net/vae/config.json"),
        str(tmp_path / "elsewhere"),
        "s3://bucket/net",
        "package://nowhere/x",
    ]
    require_right(store, paths, catalogue)
    _damage(weights / "net/other.onnx")
    require_right(store, paths, catalogue)  # none of them names it
    for named in (weights / "net", weights / "net/other.onnx"):
        with pytest.raises(
            WeightsError, match=r"net/other\.onnx is damaged \(SHA-256 .*\); python -m jobs\.weights fetch"
        ):
            require_right(store, [str(named)], catalogue)
    _damage(weights / "net/vae/model.bin")
    with pytest.raises(WeightsError, match=r"net/vae/model\.bin is damaged"):
        require_right(store, paths, catalogue)


def test_a_job_that_would_read_damaged_encoders_of_a_training_ends_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SA_WEIGHTS", raising=False)
    store = Store(str(tmp_path))
    with claim(str(tmp_path), "encoders", "mine", {"seed": 1}) as run:
        folder = run.begin(4)
        for part in ("vae", "image_encoder"):
            (folder / part).mkdir()
            (folder / part / "config.json").write_text("{}")
            save_file({part: np.arange(9, dtype=np.float32)}, folder / part / "model.safetensors")
        run.complete({"step": 4, "total_steps": 4}, 1)
        commit(store, "encoders", run, {"seed": 1}, {})
    require_right(store, [str(folder)])
    _damage(folder / "vae" / "model.safetensors")
    config = tmp_path / "config.yaml"
    config.write_text(f"experiment: x\nroot: {tmp_path}\nencoders: {{svd: {folder}}}\n")
    assert job.main("encode", lambda config, run: "never", ["--config", str(config)]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"error: {folder}/vae/model.safetensors is not what ")
    assert not (tmp_path / "mlflow.db").exists()
