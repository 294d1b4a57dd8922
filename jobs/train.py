"""Train U-Net, FaceEncoder and PoseNet: reads shards and an aligner, writes a model that `jobs.animate` reads."""

from __future__ import annotations

from jobs.running import ending, entry

if __name__ == "__main__":
    entry.answer_first("train")  # before what takes seconds to import

from dataclasses import asdict

from jobs.running.config import Config
from jobs.tracking.run import Run
from jobs.training import run_folder
from jobs.training.aligners import aligner_folder
from jobs.training.denoiser_task import DenoiserTask
from jobs.training.loop import run_training
from jobs.training.settings import TrainSettings, deciding
from pipelines.shards.reader import ShardRows, ShardShapes
from pipelines.storage.store import Store, file_sha256
from stableanimator.errors import ConfigError, WeightsError
from stableanimator.models.settings import ModelSettings
from stableanimator.paths import local_path

NAMED_OTHERWISE = ("name", "shards", "aligner", "start")
"""Settings of a training that its folder's name does not follow from: three are named by their contents."""


def run(config: Config, run: Run) -> str:
    """Returns what was trained and where the model is.

    Raises:
        InputError: there are no such shards, no training rows in them, or no such aligner.
        ConfigError: model and shards do not fit, the run's name belongs to another training, or the cluster is too
            small for it.
    """
    settings = config.train
    store = Store(config.root)
    shards = store.open("shards", settings.shards)
    run.dataset("shards", shards.uri, shards.id)
    check_model(ShardRows(shards, "train").shapes(), config.model, settings)
    aligner_id, folder_of_aligner = (None, None)
    if settings.aligner is not None:
        aligner_id, folder_of_aligner = aligner_folder(store, settings.aligner)
        run.dataset("aligner", str(folder_of_aligner), aligner_id)
    content = {
        "train": deciding(settings, NAMED_OTHERWISE),
        "model": asdict(config.model),
        "shards": shards.id,
        "encoders": shards.manifest["encoders"],
        "aligner": aligner_id,
        "start": start_weights(settings.start),
    }
    with run_folder.claim(config.root, "models", settings.name, content) as folder:
        task = DenoiserTask(settings, config.model, shards, folder_of_aligner, content)
        run.params({"name": folder.name, "rows": len(task.rows), "held_out_rows": len(task.held_out)})
        outcome = run_training(task, settings.loop, folder, run.folder)
        model = run_folder.commit(store, "models", folder, content, {"seconds": outcome.seconds})
        run.dataset("model", model.uri, model.id, context="output")
        run.makes_model("model", folder.name, model.id, str(outcome.checkpoint.folder), outcome.checkpoint.step)
        epochs = outcome.checkpoint.state["samples"] / len(task.rows)
        return (
            f"{folder.name} {outcome.describe()} ({epochs:.1f} epochs of {len(task.rows)} rows); model {model.uri}, "
            f"weights in {outcome.checkpoint.folder}"
        )


def start_weights(folder: str | None) -> dict[str, str] | None:
    """SHA-256 of the weights that a training starts from: a path may come to hold others.

    Raises:
        WeightsError: there are none.
    """
    if folder is None:
        return None
    weights = sorted(local_path(folder).glob("*.safetensors"))
    if not weights:
        raise WeightsError(f"train.start: {folder} holds no weights; name the folder of a model, or leave it out")
    return {path.name: file_sha256(path) for path in weights}


def check_model(shapes: ShardShapes, model: ModelSettings, settings: TrainSettings) -> None:
    """Refuse a model that cannot read these shards.

    Raises:
        ConfigError: with the setting, its value, and what the shards need.
    """
    fits = {
        "model.unet.latent_channels": (model.unet.latent_channels, shapes.latent_channels),
        "model.unet.cross_attention_dim": (model.unet.cross_attention_dim, shapes.image_width),
        "model.face_encoder.embedding_width": (model.face_encoder.embedding_width, shapes.face_width),
        "model.pose_net.widths (pixels a latent)": (model.pose_net.factor, shapes.factor),
    }
    for name, (given, needed) in fits.items():
        if given != needed:
            raise ConfigError(f"{name}: the model has {given}, the shards have {needed}; change it, or encode again")
    if settings.step.frames > shapes.frames:
        raise ConfigError(
            f"train.step.frames: {settings.step.frames} frames, and the shards' rows have {shapes.frames}; use fewer, "
            "or encode again with a larger encode.frames_per_row"
        )
    if settings.step.needs_aligner and settings.aligner is None:
        raise ConfigError("train.aligner: train.step aligns by `learned`, which needs an aligner; name one")


if __name__ == "__main__":
    ending.leave(entry.main("train", run))
