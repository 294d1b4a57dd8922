"""Distil a small decoder from a VAE: reads a release's clips, writes a folder that `encoders.tiny_decoder` can name."""

from __future__ import annotations

from jobs.running import ending, entry

if __name__ == "__main__":
    entry.answer_first("distill_decoder")  # before what takes seconds to import

from dataclasses import asdict, replace

from jobs.running.config import Config
from jobs.tracking.run import Run
from jobs.training import run_folder
from jobs.training.distill_task import DistillTask
from jobs.training.loop import run_training
from jobs.training.settings import deciding
from pipelines.shards.pictures import write_both_splits
from pipelines.storage.store import Store
from stableanimator.errors import ConfigError
from stableanimator.models.encoders import Encoders


def run(config: Config, run: Run) -> str:
    """Returns what was trained and where the decoder is.

    Raises:
        InputError: there is no such release, or no clip of it gives a picture.
        ConfigError: the crop does not fit the pictures or the VAE, the run's name belongs to another training, or the
            cluster is too small for it.
        WeightsError: the VAE is missing or unreadable.
    """
    settings = config.distill_decoder
    teacher = replace(config.encoders, tiny_decoder=None)  # the configuration may name the one that is to be made
    encoders = Encoders(teacher)
    _check_crop(config, encoders.factor)
    store = Store(config.root)
    release = store.open("releases", config.release)
    run.dataset("release", release.uri, release.id)
    content = {
        "distill_decoder": deciding(settings, ("name", "validation_pictures")),
        "encoders": encoders.fingerprint,
        "cuts": [asdict(config.encode)[name] for name in ("buckets", "crops", "max_enlargement", "frames_per_row")],
        "release": release.id,
    }
    with run_folder.claim(config.root, "tiny_decoders", settings.name, content) as folder:
        wanted = settings.pictures, settings.validation_pictures
        training, held_out = write_both_splits(release, config.encode, *wanted, folder.path)
        task = DistillTask(settings, teacher, encoders.factor, encoders.latent_channels, training, held_out)
        run.params({"name": folder.name, "pictures": len(task.pictures), "steps": task.steps})
        outcome = run_training(task, settings.loop, folder, run.folder)
        decoder = run_folder.commit(store, "tiny_decoders", folder, content, {"seconds": outcome.seconds})
        run.dataset("tiny_decoder", decoder.uri, decoder.id, context="output")
        run.makes_model(
            "tiny_decoder", folder.name, decoder.id, str(outcome.checkpoint.folder), outcome.checkpoint.step
        )
        return f"{folder.name} {outcome.describe()}; encoders.tiny_decoder: {outcome.checkpoint.folder}"


def _check_crop(config: Config, factor: int) -> None:
    crop, shortest = config.distill_decoder.crop, min(config.encode.buckets[0])
    if crop % factor or crop > shortest:
        raise ConfigError(
            f"distill_decoder.crop: {crop} must be a multiple of the VAE's {factor} and at most {shortest}, the "
            "shorter side of encode.buckets[0]"
        )


if __name__ == "__main__":
    ending.leave(entry.main("distill_decoder", run))
