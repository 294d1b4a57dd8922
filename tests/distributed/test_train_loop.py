"""The training loop on a real local cluster: real DeepSpeed, real networks at small widths, two CPU workers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import ray
import torch
from mlflow.tracking import MlflowClient

from jobs.tracking.runs import Job, job_run
from jobs.tracking.tracker import tracking_uri
from jobs.training import run_folder
from jobs.training.align_task import AlignTask
from jobs.training.denoiser_task import DenoiserTask
from jobs.training.loop import Outcome, run_training
from jobs.training.run_folder import RunFolder
from jobs.training.sample_order import validation_passes
from jobs.training.settings import EngineSettings, LoopSettings, TrainSettings
from jobs.training.task import Findings
from pipelines.storage.store import Collection, Store, file_sha256
from stableanimator.alignment.aligner_folder import load_aligner_folder
from stableanimator.alignment.settings import AlignerSettings, AlignSettings, EvaluationSettings
from stableanimator.errors import ConfigError
from stableanimator.models.checkpoints import load_model_folder
from stableanimator.models.settings import FaceEncoderSettings, ModelSettings, PoseNetSettings, UNetSettings
from stableanimator.training_settings import TrainingSettings

pytestmark = pytest.mark.slow

MODEL = ModelSettings(
    unet=UNetSettings(
        block_out_channels=(32, 32),
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        layers_per_block=1,
        num_attention_heads=(2, 2),
        cross_attention_dim=32,
        addition_time_embed_dim=16,
    ),
    face_encoder=FaceEncoderSettings(embedding_width=16, cross_attention_dim=32, layers=1, heads=2, head_dim=8),
    pose_net=PoseNetSettings(widths=(8, 8, 8), final_width=16),
)
ENGINE = EngineSettings(
    workers=2,
    cpus_per_worker=1,
    gpus_per_worker=0,
    zero_stage=2,
    precision="fp32",
    warmup_steps=2,
    checkpoint_every=2,
    keep_last=2,
    log_every=1,
    validate_every=6,
    loader_processes=0,
    max_failures=0,
)
SETTINGS = TrainSettings(
    aligner=None,
    loop=LoopSettings(steps=6, batch_size=4, learning_rate=1e-3, engine=ENGINE),
    step=TrainingSettings(frames=2),
)


Trained = tuple[Outcome, RunFolder, dict[str, list[float]]]


def _train(shards: Collection, settings: TrainSettings) -> Trained:
    """Train, and read the figures of every step back from MLflow."""
    task = DenoiserTask(settings, MODEL, shards, None, {"told": "to people"})
    root = shards.store.root
    with (
        run_folder.claim(root, "models", settings.name, {"name": settings.name}) as folder,
        job_run(Job(verb="train", experiment="loop", key=settings.name or "", root=root)) as run,
    ):
        outcome = run_training(task, settings.loop, folder, run.folder)
    client = MlflowClient(tracking_uri=tracking_uri())
    figures = {}
    for name in ("loss", "gradient_norm", "learning_rate", "validation_loss"):
        history = client.get_metric_history(run.run_id, name)
        figures[name] = [value for _, value in sorted({(point.step, point.value) for point in history})]
    return outcome, folder, figures


@pytest.fixture(scope="module", autouse=True)
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture(scope="module")
def undisturbed(cluster: str, shards: Collection) -> Trained:
    """Two workers, ZeRO 2, six steps."""
    return _train(shards, replace(SETTINGS, name="undisturbed"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_learns_what_a_cpu_learns(shards: Collection, undisturbed: Trained) -> None:
    """DeepSpeed's engine with NCCL; convolutions there may run in TF32."""
    alone = replace(ENGINE, workers=1, batch_per_pass=2, gpus_per_worker=1)
    _, _, there = _train(shards, replace(SETTINGS, name="gpu", loop=replace(SETTINGS.loop, engine=alone)))
    assert there["loss"] == pytest.approx(undisturbed[2]["loss"], rel=2e-2)


def test_two_workers_learn_what_one_learns(shards: Collection, undisturbed: Trained) -> None:
    outcome, _, two = undisturbed
    alone = replace(ENGINE, workers=1, batch_per_pass=2, zero_stage=0)
    _, _, one = _train(shards, replace(SETTINGS, name="alone", loop=replace(SETTINGS.loop, engine=alone)))
    assert (outcome.checkpoint.step, outcome.resumed_from) == (6, None)
    assert len(two["loss"]) == 6
    # The same sums in another order: float32 rounding, which Adam's division by small gradients enlarges.
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-3)
    assert two["loss"][0] == pytest.approx(one["loss"][0], rel=1e-5)  # before any optimiser step
    assert two["gradient_norm"][0] == pytest.approx(one["gradient_norm"][0], rel=1e-4)
    assert two["validation_loss"] == pytest.approx(one["validation_loss"], rel=1e-3)
    assert one["learning_rate"] == pytest.approx([5e-4] + [1e-3] * 5)
    assert max(two["loss"]) > 1.01 * min(two["loss"])


def test_the_exported_weights_are_those_that_were_validated(shards: Collection, undisturbed: Trained) -> None:
    outcome, folder, figures = undisturbed
    assert [checkpoint.step for checkpoint in folder.checkpoints()] == [4, 6]  # keep_last 2
    state = json.loads((folder.path / "step_6" / "state.json").read_text())
    files, _ = state.pop("files"), state.pop("sha256")
    assert state == {"step": 6, "total_steps": 6, "epoch": 3, "samples": 24, "seed": 0, "workers": 2}
    assert files["unet.safetensors"] == file_sha256(folder.path / "step_6" / "unet.safetensors")
    loaded = load_model_folder(outcome.checkpoint.folder)
    assert loaded.config == {"told": "to people"}
    assert all(value.dtype == torch.float32 for value in loaded.animator.state_dict().values())
    assert _held_out_loss(loaded.animator, shards) == pytest.approx(figures["validation_loss"][0], rel=1e-5)
    earlier = load_model_folder(folder.step_folder(4)).animator
    assert _held_out_loss(earlier, shards) != pytest.approx(figures["validation_loss"][0], rel=1e-5)


def test_the_running_mean_is_that_of_the_weights_of_every_step(shards: Collection, undisturbed: Trained) -> None:
    """Against a mean taken by hand of the weights that a training without one exports at each step."""
    engine = replace(ENGINE, checkpoint_every=1, keep_last=6)
    _, plain, _ = _train(shards, replace(SETTINGS, name="each", loop=replace(SETTINGS.loop, engine=engine)))
    mean = DenoiserTask(SETTINGS, MODEL, shards, None, {}).build().state_dict()
    for step in range(6):
        weights = load_model_folder(plain.step_folder(step + 1)).animator.state_dict()
        decay = min(0.5, (1 + step) / (10 + step))
        mean = {name: decay * mean[name] + (1 - decay) * weights[name] for name in mean}

    averaged = replace(SETTINGS.loop, ema_decay=0.5, engine=replace(engine, checkpoint_every=3))
    half = replace(SETTINGS, name="averaged", loop=replace(averaged, steps=6))
    outcome, folder, _ = _train(shards, half)
    _is_near(load_model_folder(outcome.checkpoint.folder).animator, mean)
    shutil.rmtree(folder.step_folder(6))  # as if it had been killed before its last checkpoint
    again, _, _ = _train(shards, half)
    assert again.resumed_from == 3
    _is_near(load_model_folder(again.checkpoint.folder).animator, mean)


def _is_near(animator: torch.nn.Module, wanted: dict[str, torch.Tensor]) -> None:
    for name, value in animator.state_dict().items():
        torch.testing.assert_close(
            value, wanted[name], rtol=1e-3, atol=2e-4, msg=lambda text, name=name: f"{name}: {text}"
        )


def _held_out_loss(animator: torch.nn.Module, shards: Collection) -> float:
    """By one process, without DeepSpeed, all held-out rows at once."""
    task = DenoiserTask(SETTINGS, MODEL, shards, None, {})
    (piece,) = validation_passes(task.validation_groups(), 0, 1, 2)
    with torch.no_grad():
        return float(task.loss(animator, task.load(piece), piece, torch.device("cpu")))


def test_zero_3_shares_the_weights_and_exports_them_whole(shards: Collection, undisturbed: Trained) -> None:
    engine = replace(ENGINE, zero_stage=3, validate_every=1)
    outcome, _, figures = _train(
        shards, replace(SETTINGS, name="three", loop=replace(SETTINGS.loop, steps=2, engine=engine))
    )
    assert figures["loss"] == pytest.approx(undisturbed[2]["loss"][:2], rel=1e-3)  # the tolerance of two and one worker
    loaded = load_model_folder(outcome.checkpoint.folder)
    assert _held_out_loss(loaded.animator, shards) == pytest.approx(figures["validation_loss"][1], rel=1e-5)


def test_killed_and_started_again_equals_undisturbed(cluster: str, shards: Collection, undisturbed: Trained) -> None:
    settings = replace(SETTINGS, name="killed")
    folder = RunFolder(Path(shards.store.root) / "models" / "killed")
    driver = subprocess.Popen([sys.executable, __file__, cluster, shards.store.root, shards.id])
    deadline = time.monotonic() + 300
    while folder.newest() is None and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    assert driver.wait() == -signal.SIGKILL
    interrupted = folder.newest()
    assert interrupted is not None
    assert interrupted.step in (2, 4)
    half_written = folder.step_folder(5)  # newer, and without state.json
    half_written.mkdir()
    (half_written / "unet.safetensors").write_bytes(b"cut sho")

    outcome, _, figures = _train(shards, settings)
    assert outcome.resumed_from == interrupted.step
    # Also equal where steps were done twice: those have one value each. The same operations in the same order.
    assert figures["loss"] == pytest.approx(undisturbed[2]["loss"], rel=1e-6)
    assert figures["gradient_norm"] == pytest.approx(undisturbed[2]["gradient_norm"], rel=1e-5)
    weights, wanted = (
        load_model_folder(each.checkpoint.folder).animator.state_dict() for each in (outcome, undisturbed[0])
    )
    for name, value in weights.items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-5, atol=1e-7)


def test_a_finished_training_says_so_and_does_nothing(shards: Collection, undisturbed: Trained) -> None:
    before = (undisturbed[1].path / "step_6" / "state.json").stat().st_mtime_ns
    outcome, folder, _ = _train(shards, replace(SETTINGS, name="undisturbed"))
    assert outcome.was_finished
    assert outcome.describe() == "was finished already after 6 steps"
    assert (folder.path / "step_6" / "state.json").stat().st_mtime_ns == before


def test_what_a_task_finds_at_a_validation_is_told_once_with_its_step(cluster: str, tmp_path: Path) -> None:
    # An alignment of procedural people; with ZeRO 3 no worker has all weights, so both must examine. Without ZeRO it is
    # part of tests/end_to_end/test_line.py.
    engine = replace(ENGINE, batch_per_pass=4, validate_every=2, zero_stage=3)
    settings = AlignSettings(
        aligner=AlignerSettings(width=8, heads=2),
        steps=4,
        batch_size=8,
        validation_pairs=8,
        evaluation=EvaluationSettings(methods=("none", "learned"), clips=3, drives_per_clip=1, worst=1),
    )
    task = AlignTask(settings, [], [], [], {})
    with (
        run_folder.claim(str(tmp_path), "aligners", "found", {}) as folder,
        job_run(Job(verb="align", experiment="loop", key="found", root=str(tmp_path))) as run,
    ):
        loop = LoopSettings(steps=4, batch_size=8, learning_rate=1e-2, engine=engine)
        outcome = run_training(task, loop, folder, run.folder)
    client = MlflowClient(tracking_uri=tracking_uri())
    history = client.get_metric_history(run.run_id, "dis_learned_clip")
    assert [point.step for point in history] == [2, 4]
    assert history[0].value != history[1].value
    exported = load_aligner_folder(outcome.checkpoint.folder)
    assert history[1].value == pytest.approx(task.examine(exported).metrics["dis_learned_clip"], rel=1e-4)
    found = {artifact.path for artifact in client.list_artifacts(run.run_id, "validation")}
    names = ("dis_{:07d}.json", "dis_by_clip_{:07d}.json", "worst_cases_{:07d}.png")
    assert found == {f"validation/{name.format(step)}" for name in names for step in (2, 4)}


def test_a_task_without_more_to_say_has_its_loss_alone(shards: Collection) -> None:
    assert DenoiserTask(SETTINGS, MODEL, shards, None, {}).examine(torch.nn.Identity()) == Findings()


def test_more_workers_than_the_cluster_holds_are_refused(shards: Collection, cluster: str) -> None:
    engine = replace(ENGINE, cpus_per_worker=2)
    with pytest.raises(ConfigError, match=r"2 workers with 2 CPU cores and 0 GPUs each, .* places for 1"):
        _train(shards, replace(SETTINGS, name="large", loop=replace(SETTINGS.loop, engine=engine)))


def _main(address: str, root: str, shards_id: str) -> None:
    """The driver that a test kills."""
    ray.init(address=address, logging_level="WARNING", log_to_driver=False)
    _train(Store(root).open("shards", shards_id), replace(SETTINGS, name="killed"))


if __name__ == "__main__":
    _main(*sys.argv[1:])
