"""Model folders: `{unet,pose_net,face_encoder,aligner}.safetensors` and `config.json`, written last, read strictly.

The released `.pth` files have the same names inside; they load from the same functions, without running code from them,
and are written by `save_released_folder`. Files are mapped, not read: float32 weights take memory once they are used,
those of 16 bits are turned into float32 one by one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.aligner_folder import read_aligner
from stableanimator.alignment.settings import AlignerSettings
from stableanimator.errors import CheckpointError, WeightsError
from stableanimator.models.animator import Animator
from stableanimator.models.id_adapter import restart_id_adapters
from stableanimator.models.settings import FrameRates, ModelSettings
from stableanimator.paths import local_path, read_json
from stableanimator.state_files import (
    FORMAT,
    check_format,
    check_state_dict,
    cpu_state,
    load_weights,
    read_state_dict,
    save_weights,
    settings_from_dict,
    whole_file,
)

PARTS = ("unet", "pose_net", "face_encoder")
"""Children of `Animator`, one file each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedModel:
    """What a model folder holds."""

    animator: Animator
    """The denoiser, on the CPU, in evaluation mode."""
    aligner: Aligner | None
    """The pose aligner, where the folder has one."""
    rates: FrameRates
    """Frame rates of its training; a folder of released files means the released ones."""
    config: dict[str, Any]
    """What was given to `save_model_folder`; empty for a folder of released files."""


def save_model_folder(
    folder: str | Path, animator: Animator, aligner: Aligner | None, rates: FrameRates, config: dict[str, Any]
) -> None:
    """Write a model folder. `config.json` goes first where it exists and comes last, so a folder that has one is whole.

    Args:
        folder: a local folder; made where it is missing.
        animator: the denoiser.
        aligner: the pose aligner, or None.
        rates: frame rates of the denoiser's training.
        config: anything that JSON can hold, returned by `load_model_folder`.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    (root / "config.json").unlink(missing_ok=True)
    (root / "aligner.safetensors").unlink(missing_ok=True)
    modules: dict[str, nn.Module] = {part: getattr(animator, part) for part in PARTS}
    if aligner is not None:
        modules["aligner"] = aligner
    for name, module in modules.items():
        save_weights(module, root / f"{name}.safetensors")
    description = {
        "format": FORMAT,
        "model": asdict(animator.settings),
        "aligner": None if aligner is None else asdict(aligner.settings),
        "rates": asdict(rates),
        "config": config,
    }
    with whole_file(root / "config.json") as partial:
        partial.write_text(json.dumps(description, indent=1, sort_keys=True))


def save_released_folder(folder: str | Path, animator: Animator) -> None:
    """Write `unet.pth`, `pose_net.pth` and `face_encoder.pth`, state dicts as the released scripts load them.

    These scripts know the default `ModelSettings` alone, and no aligner.

    Args:
        folder: a local folder; made where it is missing.
        animator: the denoiser.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        state = cpu_state(getattr(animator, part))
        with whole_file(root / f"{part}.pth") as partial:
            torch.save(state, partial)


def load_model_folder(folder: str | Path) -> LoadedModel:
    """Read what `save_model_folder` wrote, or a folder of the released `unet.pth`, `pose_net.pth`, `face_encoder.pth`.

    Raises:
        WeightsError: the folder or one of its files is missing or unreadable.
        CheckpointError: names, shapes or settings do not fit.
    """
    root = _folder(folder)
    description = _read_description(root)
    settings = settings_from_dict(ModelSettings, description["model"], f"{root / 'config.json'}: model")
    with torch.device("meta"):
        animator = Animator(settings)
    for part in PARTS:
        load_weights(getattr(animator, part), _weights_file(root, part))
    aligner, rates = _aligner(root, description), _rates(root, description)
    return LoadedModel(animator=animator.eval(), aligner=aligner, rates=rates, config=description["config"])


def load_alignment(folder: str | Path) -> tuple[Aligner | None, FrameRates]:
    """Of a model folder what poses need: its aligner, where it has one, and its frame rates; no network is loaded.

    Raises:
        WeightsError, CheckpointError: as `load_model_folder`.
    """
    root = _folder(folder)
    description = _read_description(root)
    return _aligner(root, description), _rates(root, description)


def _folder(folder: str | Path) -> Path:
    root = Path(folder)
    if not root.is_dir():
        raise WeightsError(f"model folder {root} is missing; train one, or give the folder of a checkpoint")
    return root


def _aligner(root: Path, description: dict[str, Any]) -> Aligner | None:
    if description["aligner"] is None:
        return None
    where = f"{root / 'config.json'}: aligner"
    settings = settings_from_dict(AlignerSettings, description["aligner"], where)
    return read_aligner(settings, _weights_file(root, "aligner"))


def _rates(root: Path, description: dict[str, Any]) -> FrameRates:
    return settings_from_dict(FrameRates, description["rates"], f"{root / 'config.json'}: rates")


def start_from(animator: Animator, folder: str | Path) -> None:
    """Load the weights of a model folder, in place.

    Raises:
        WeightsError: the folder or one of its files is missing or unreadable.
        CheckpointError: it was made with other `model` settings.
    """
    loaded = load_model_folder(local_path(folder)).animator
    if loaded.settings != animator.settings:
        mine, its = asdict(animator.settings), asdict(loaded.settings)
        differing = ", ".join(name for name in mine if mine[name] != its[name])
        raise CheckpointError(f"{folder} was made with other model settings ({differing}); take its own, or another")
    animator.load_state_dict(loaded.state_dict())


def load_svd_unet(animator: Animator, svd: str | Path) -> None:
    """Start from Stable Video Diffusion (SA++ IV-A): its U-Net, and ID adapters copied from its cross-attention.

    Args:
        animator: of the full size.
        svd: the folder of img2vid-xt, with `unet/diffusion_pytorch_model.safetensors`, or its 16-bit variant
            `diffusion_pytorch_model.fp16.safetensors` where only that is there.

    Raises:
        WeightsError: the file is missing or unreadable.
        CheckpointError: its names or shapes do not fit the U-Net.
    """
    path = local_path(svd) / "unet" / "diffusion_pytorch_model.safetensors"
    half = path.with_suffix(".fp16.safetensors")
    path = half if half.exists() and not path.exists() else path
    state = read_state_dict(path)
    adapters = {name: value for name, value in animator.unet.state_dict().items() if ".processor.id_to_" in name}
    check_state_dict(animator.unet, {**adapters, **state}, str(path))
    animator.unet.load_state_dict(state, strict=False)
    restart_id_adapters(animator.unet)


def _weights_file(root: Path, part: str) -> Path:
    """`part.safetensors`, or `part.pth` where only that exists."""
    path = root / f"{part}.safetensors"
    released = root / f"{part}.pth"
    return released if not path.exists() and released.exists() else path


def _read_description(root: Path) -> dict[str, Any]:
    """The contents of config.json; for a folder of released files, the released sizes."""
    path = root / "config.json"
    if not path.exists():
        if all((root / f"{part}.pth").exists() for part in PARTS):
            return {"model": asdict(ModelSettings()), "aligner": None, "rates": asdict(FrameRates()), "config": {}}
        raise WeightsError(f"{path} is missing: {root} is no model folder, or was not written to its end")
    try:
        description = read_json(path)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is unreadable: {error}") from error
    if not isinstance(description, dict) or not {"model", "aligner", "rates", "config"} <= set(description):
        raise CheckpointError(f"{path} does not describe a model folder: needs model, aligner, rates and config")
    check_format(description, path)
    return description
