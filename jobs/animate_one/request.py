"""What was asked for: files that are there or can be made, and settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jobs
from jobs.running.config import Config, load
from stableanimator.errors import ConfigError, InputError
from stableanimator.paths import local_path
from stableanimator.perception.settings import PerceptionSettings

SMALL = "small"
"""Name of the base model that comes with the package, which knows drawn people alone."""
_SMALL_FOLDER = "package://stableanimator.synthetic/weights/base"
_CONFIGS = Path(jobs.__file__).parent / "configs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One animation."""

    reference: Path
    driving: Path
    out: Path
    model: Path
    config: Config
    perception: PerceptionSettings
    seed: int

    @property
    def sheet(self) -> Path:
        """Where the preview goes."""
        return self.out.with_name(f"{self.out.stem}-preview.png")


def request(
    reference: str, driving: str, out: str, *, model: str, config: str | None, overrides: Sequence[str], seed: int
) -> Request:
    """Check what can be checked before anything is loaded.

    Args:
        model: a model folder, or `small`.
        config: a YAML file; None: `tiny.yaml` for the small model, else `full.yaml`.
        overrides: `a.b=value`.

    Raises:
        InputError: a file is missing, or the output cannot be written, or is one of the inputs.
        ConfigError: a setting is wrong, or there is no GPU and the settings want one.
    """
    small = model == SMALL
    folder = local_path(_SMALL_FOLDER if small else os.path.expanduser(model))
    if not folder.is_dir():
        raise InputError(f"--model {model}: there is no such folder; give a model's folder, or {SMALL}")
    settings = load(config or str(_CONFIGS / ("tiny.yaml" if small else "full.yaml")), overrides)
    if settings.perception is None:
        raise ConfigError("perception: people and faces must be found; set perception.faces and perception.pose")
    if settings.animate.device == "cuda" and not _gpu():
        raise ConfigError(
            "there is no GPU here, and animate.gpus_per_actor is not 0; add animate.gpus_per_actor=0 "
            "animate.precision=float32 to use the CPU, which takes hours at full size"
        )
    return Request(
        reference=_there(reference, "reference"),
        driving=_there(driving, "driving video"),
        out=_writable(out, (reference, driving)),
        model=folder,
        config=settings,
        perception=settings.perception.without_judge(),
        seed=seed,
    )


def _gpu() -> bool:
    import torch  # here: it takes seconds, and a mistake must be answered at once

    return torch.cuda.is_available()


def _there(path: str, what: str) -> Path:
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"{what} {path}: {'it is a folder' if file.is_dir() else 'there is no such file'}")
    return file


def _writable(path: str, inputs: Sequence[str]) -> Path:
    out = Path(path).expanduser()
    if out.suffix.lower() != ".mp4":
        raise InputError(f"output {path}: what is made is an mp4; give a name that ends in .mp4")
    if out.is_dir():
        raise InputError(f"output {path}: it is a folder; give the name of a file in it")
    if not out.parent.is_dir():
        raise InputError(f"output {path}: there is no folder {out.parent}; make it first")
    if not os.access(out.parent, os.W_OK):
        raise InputError(f"output {path}: nothing may be written into {out.parent}; choose another folder")
    if any(out.exists() and os.path.samefile(out, Path(each).expanduser()) for each in inputs if Path(each).exists()):
        raise InputError(f"output {path}: it is one of the inputs; choose another name")
    return out
