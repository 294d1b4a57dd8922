"""Pretrain a VAE and an image encoder: reads a release's clips, writes a folder that `encoders.svd` can name."""

from __future__ import annotations

from jobs.running import ending, entry

if __name__ == "__main__":
    entry.answer_first("pretrain_encoders")  # before what takes seconds to import

from dataclasses import asdict

from jobs.running.config import Config
from jobs.tracking.run import Run
from jobs.training import run_folder
from jobs.training.encoder_task import EncoderTask
from jobs.training.loop import run_training
from jobs.training.settings import deciding
from pipelines.shards.pictures import write_both_splits
from pipelines.storage.store import Store
from stableanimator.errors import ConfigError


def run(config: Config, run: Run) -> str:
    """Returns what was trained and where the encoders are.

    Raises:
        InputError: there is no such release, or no clip of it gives a picture.
        ConfigError: the crop does not fit the pictures or the VAE, the run's name belongs to another training, or the
            cluster is too small for it.
    """
    settings = config.pretrain_encoders
    _check_crop(config)
    store = Store(config.root)
    release = store.open("releases", config.release)
    run.dataset("release", release.uri, release.id)
    content = {
        "pretrain_encoders": deciding(settings, ("name", "validation_pictures")),
        "vae": asdict(config.encoders.vae),
        "clip": asdict(config.encoders.clip),
        "cuts": [asdict(config.encode)[name] for name in ("buckets", "crops", "max_enlargement", "frames_per_row")],
        "release": release.id,
    }
    with run_folder.claim(config.root, "encoders", settings.name, content) as folder:
        wanted = settings.pictures, settings.validation_pictures
        training, held_out = write_both_splits(release, config.encode, *wanted, folder.path)
        task = EncoderTask(settings, config.encoders, training, held_out)
        run.params({"name": folder.name, "pictures": len(task.pictures), "steps": task.steps})
        outcome = run_training(task, settings.loop, folder, run.folder)
        encoders = run_folder.commit(store, "encoders", folder, content, {"seconds": outcome.seconds})
        run.dataset("encoders", encoders.uri, encoders.id, context="output")
        run.makes_model("encoders", folder.name, encoders.id, str(outcome.checkpoint.folder), outcome.checkpoint.step)
        return f"{folder.name} {outcome.describe()}; encoders.svd: {outcome.checkpoint.folder}"


def _check_crop(config: Config) -> None:
    crop, vae = config.pretrain_encoders.step.crop, config.encoders.vae
    factor, shortest = 2 ** (len(vae.block_out_channels) - 1), min(config.encode.buckets[0])
    if crop % factor or crop > shortest:
        raise ConfigError(
            f"pretrain_encoders.step.crop: {crop} must be a multiple of the VAE's {factor} and at most {shortest}, the "
            "shorter side of encode.buckets[0]"
        )
    if vae.scaling_factor != 1:
        raise ConfigError("encoders.vae.scaling_factor must be 1: the latents are trained to a spread of 1")


if __name__ == "__main__":
    ending.leave(entry.main("pretrain_encoders", run))
