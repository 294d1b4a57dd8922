"""Which model animates, and what all pairs of a job share."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from jobs.pairs.animate_job import AnimateJob
from jobs.running.config import Config
from jobs.training.run_folder import STATE, trained_folder
from jobs.weights.check import require_right
from pipelines.storage.store import Store, file_sha256, fingerprint
from stableanimator.errors import ConfigError, WeightsError
from stableanimator.paths import local_path, read_json

VERSION = 9
"""Raised by hand when the same settings give other predictions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedModel:
    """A model folder and what is known of it."""

    folder: Path
    identity: str
    """What predictions depend on: the collection's id, or the checksums of the weights."""
    steps: int | None
    """Optimiser steps of its training; None where that is not recorded."""
    trained_before: bool = False
    """Whether that training began with weights that another one had left."""


def named_model(store: Store, which: str) -> NamedModel:
    """A trained model by id or `latest`, or a model folder by its absolute path or `package://` URI.

    Raises:
        InputError: there is no such model.
        WeightsError: the folder holds no weights, or damaged ones; all of them are read.
    """
    if "/" not in which:
        collection, folder = trained_folder(store, "models", which)
        manifest = collection.manifest
        began = manifest["run"].get("start") or manifest["run"]["train"].get("svd")
        return NamedModel(
            folder=folder, identity=collection.id, steps=manifest["steps"], trained_before=began is not None
        )
    folder = local_path(which)
    weights = sorted([*folder.glob("*.safetensors"), *folder.glob("*.pth"), *folder.glob("config.json")])
    if not weights:
        raise WeightsError(f"animate.model: {folder} is no model folder: it holds no weights")
    require_right(store, [str(folder)])
    return NamedModel(
        folder=folder,
        identity=fingerprint({path.name: file_sha256(path) for path in weights}),
        steps=_steps(folder / STATE),
    )


def _steps(state: Path) -> int | None:
    """What a training has written down beside its weights; None where there is nothing.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        return int(read_json(state)["step"]) if state.exists() else None
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise WeightsError(f"{state} is unreadable: {error}; restore it, or delete it") from error


def animate_job(config: Config, model: NamedModel) -> AnimateJob:
    """What all pairs share, and the key of what their results depend on.

    Raises:
        ConfigError: there are no perception models.
    """
    if config.perception is None:
        raise ConfigError("perception: animate needs InsightFace and DWPose; set perception.faces and perception.pose")
    perception = config.perception.without_judge()
    settings = config.animate
    key = fingerprint(
        {
            "version": VERSION,
            "model": model.identity,
            "fps": settings.fps,
            "precision": settings.precision,
            "encoders": asdict(config.encoders),
            "perception": asdict(perception),
        }
        | ({"audio": True} if settings.audio else {})
    )
    return AnimateJob(
        root=config.root,
        settings=settings,
        encoders=config.encoders,
        perception=perception,
        model_folder=str(model.folder),
        key=key,
    )
