"""What a training keeps when it diverges, is stopped, or finds a damaged checkpoint or a full disk; real DeepSpeed.

Its network is a matrix that learns to be zero, on two CPU workers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow.tracking import MlflowClient
from torch import Tensor, nn

from jobs.running import ending
from jobs.tracking.runs import Job, job_run
from jobs.training import run_folder
from jobs.training.loop import Outcome, run_training
from jobs.training.run_folder import RunFolder
from jobs.training.settings import EngineSettings, LoopSettings
from jobs.training.task import OpensLate
from stableanimator.errors import CheckpointError, DivergedError, StorageError
from stableanimator.state_files import read_state_dict, save_weights

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cluster")]

ENGINE = EngineSettings(
    workers=2, cpus_per_worker=1, gpus_per_worker=0, zero_stage=2, precision="fp32", warmup_steps=0, batch_per_pass=2,
    checkpoint_every=2, keep_last=2, log_every=10, validate_every=100, loader_processes=0, max_failures=3,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


def matrix(width: int = 4, bad_step: int | None = None) -> Any:
    """The task. At `bad_step` the second worker's loss is NaN."""

    class Matrix(OpensLate):  # here: workers cannot import tests, and what is local travels with its code
        def groups(self) -> list[Any]:
            return [np.arange(8)]

        def validation_groups(self) -> list[Any]:
            return []

        def load(self, piece: Any) -> Tensor:
            return torch.tensor([[1.0 + draw.index] * width for draw in piece.draws])

        def build(self) -> nn.Module:
            network = nn.Linear(width, width, bias=False)
            nn.init.constant_(network.weight, 0.5)
            return network

        def loss(self, module: nn.Module, batch: Tensor, piece: Any, device: torch.device) -> Tensor:
            second = piece.draws[0].position == 2
            return module(batch).square().mean() * (float("nan") if second and piece.step == bad_step else 1.0)

        def export(self, folder: Path, state: dict[str, Tensor]) -> None:
            network = nn.Linear(width, width, bias=False)
            network.load_state_dict(state)
            save_weights(network, folder / "matrix.safetensors")

    return Matrix()


def train(root: Path, task: Any, name: str = "a", **loop: Any) -> tuple[Outcome, RunFolder]:
    """With the run `name` in MLflow."""
    settings = LoopSettings(**{"steps": 6, "batch_size": 4, "learning_rate": 1e-3, "engine": ENGINE, **loop})
    with (
        run_folder.claim(str(root), "models", "a", {}) as folder,
        job_run(Job(verb="train", experiment="faults", key=name)) as run,
    ):
        return run_training(task, settings, folder, run.folder), folder


def logged(name: str) -> Any:
    client = MlflowClient()
    experiment = client.get_experiment_by_name("faults")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.job = '{name}'")
    return run.data


def test_a_loss_of_one_worker_that_is_no_number_ends_the_training_and_keeps_what_was_good(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"^a diverged at step 4 of 6: the loss is nan .*/step_2 is kept\.") as told:
        train(tmp_path, matrix(bad_step=3), "one worker", ema_decay=0.5)
    assert "\n" not in str(told.value)
    folder = RunFolder(tmp_path / "models" / "a")
    assert [checkpoint.step for checkpoint in folder.checkpoints()] == [2]
    data = logged("one worker")
    assert data.metrics["diverged_at_step"] == 4
    assert data.tags["diverged"].startswith("step 4: the loss is nan")
    assert 0 < data.metrics["loss"] < 100  # of the steps before

    # As if what was bad were mended: it goes on from the good one. Again with the same data it would end the same way.
    outcome, _ = train(tmp_path, matrix(), "mended", ema_decay=0.5)
    assert (outcome.resumed_from, outcome.checkpoint.step) == (2, 6)
    assert torch.isfinite(read_state_dict(outcome.checkpoint.folder / "matrix.safetensors")["weight"]).all()


@pytest.mark.parametrize("stage", [0, 2])
def test_weights_that_give_no_number_are_not_kept_though_the_loss_before_them_was_one(
    tmp_path: Path, stage: int
) -> None:
    engine = replace(ENGINE, zero_stage=stage)
    with pytest.raises(DivergedError, match=r"diverged at step 1 of 1: .*no checkpoint yet"):
        train(tmp_path, matrix(), f"large {stage}", steps=1, learning_rate=1e30, engine=engine)
    assert RunFolder(tmp_path / "models" / "a").newest() is None


def test_a_stopped_training_has_a_checkpoint_of_its_last_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path / "models" / "a")

    def stop() -> None:
        while not folder.checkpoints():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    def work() -> int:
        threading.Thread(target=stop, daemon=True).start()
        train(tmp_path, matrix(), "stopped", steps=10**6)
        return 0

    assert ending.ended(work) == 143
    newest = folder.newest()
    assert newest is not None
    assert newest.state["step"] == newest.step < 10**6
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line == f"stopped by SIGTERM; {newest.folder} is kept; the same command goes on"


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(tmp_path, matrix(), "whole", steps=4)
    folder = RunFolder(tmp_path / "models" / "a")
    older, newer = folder.checkpoints()
    state = newer.folder / "state.json"
    state.write_text(state.read_text().replace('"step": 4', '"step": 5'))
    outcome, _ = train(tmp_path, matrix(), "before", steps=4)
    assert outcome.resumed_from == older.step == 2
    assert "step_4 is damaged (state.json" in caplog.text
    for checkpoint in folder.checkpoints():
        path = next((checkpoint.folder / "deepspeed").rglob("*optim_states.pt"))
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        (checkpoint.folder / "matrix.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"step_4 is damaged \(matrix.safetensors is missing\), and so is every"):
        train(tmp_path, matrix(), "none", steps=4)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A disk of so many bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mounted(size: int) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True).returncode == 0
        except FileNotFoundError:
            done = False
        if not done:
            pytest.skip("a small disk can only be mounted by root")
        return folder

    yield mounted
    subprocess.run(["umount", "-l", str(folder)], capture_output=True)


def test_a_full_disk_is_one_line_and_leaves_whole_checkpoints_alone(small_disk: Callable[[int], Path]) -> None:
    root = small_disk(12 << 20)  # a checkpoint takes 5 MB
    with pytest.raises(StorageError, match=r"a disk is full \(while writing .*/step_\d") as told:
        train(root, matrix(width=512), "full", engine=ENGINE)
    assert "\n" not in str(told.value)
    newest = RunFolder(root / "models" / "a").newest()
    assert newest is not None
    assert newest.damage() is None
    assert newest.step < 6
