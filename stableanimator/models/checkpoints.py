"""Model folders: `{unet,pose_net,face_encoder,aligner}.safetensors` and `config.json`, written last, read strictly.

The released `.pth` files have the same names inside; they load from the same functions, without running code from them,
and are written by `save_released_folder`. Files are mapped, not read: float32 weights take memory once they are used,
those of 16 bits are turned into float32 one by one.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import tempfile
import typing
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stableanimator.alignment.aligner import Aligner, AlignerSettings
from stableanimator.errors import CheckpointError, StorageError, WeightsError
from stableanimator.models.animator import Animator, ModelSettings
from stableanimator.models.id_adapter import restart_id_adapters

PARTS = ("unet", "pose_net", "face_encoder")
"""Children of `Animator`, one file each."""

FORMAT = 2
"""Of model folders and aligner folders; raised by hand when weights of the same names mean something else."""

_SHOWN = 3
"""Names of each kind of mismatch in the error; where there are more, a file lists all."""

Settings = TypeVar("Settings")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedModel:
    """What a model folder holds."""

    animator: Animator
    """The denoiser, on the CPU, in evaluation mode."""
    aligner: Aligner | None
    """The pose aligner, where the folder has one."""
    config: dict[str, Any]
    """What was given to `save_model_folder`; empty for a folder of released files."""


def save_model_folder(folder: str | Path, animator: Animator, aligner: Aligner | None, config: dict[str, Any]) -> None:
    """Write a model folder. `config.json` goes first where it exists and comes last, so a folder that has one is whole.

    Args:
        folder: a local folder; made where it is missing.
        animator: the denoiser.
        aligner: the pose aligner, or None.
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
        state = _state(getattr(animator, part))
        with whole_file(root / f"{part}.pth") as partial:
            torch.save(state, partial)


def load_model_folder(folder: str | Path) -> LoadedModel:
    """Read what `save_model_folder` wrote, or a folder of the released `unet.pth`, `pose_net.pth`, `face_encoder.pth`.

    Raises:
        WeightsError: the folder or one of its files is missing or unreadable.
        CheckpointError: names, shapes or settings do not fit.
    """
    root = Path(folder)
    if not root.is_dir():
        raise WeightsError(f"model folder {root} is missing; train one, or give the folder of a checkpoint")
    description = _read_description(root)
    settings = settings_from_dict(ModelSettings, description["model"], f"{root / 'config.json'}: model")
    with torch.device("meta"):
        animator = Animator(settings)
    for part in PARTS:
        load_weights(getattr(animator, part), _weights_file(root, part))
    aligner = None
    if description["aligner"] is not None:
        where = f"{root / 'config.json'}: aligner"
        aligner = Aligner(settings_from_dict(AlignerSettings, description["aligner"], where))
        load_weights(aligner, _weights_file(root, "aligner"))
        aligner.eval()
    return LoadedModel(animator=animator.eval(), aligner=aligner, config=description["config"])


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write what becomes `path` when the block ends; of a block that fails nothing stays.

    Raises:
        StorageError: in place of what a full disk makes of the writing; torch and safetensors have errors of their own.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        os.replace(partial, path)
    except (OSError, RuntimeError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        reason = " ".join(str(error).split())[:200]
        raise StorageError(f"{path} cannot be written ({reason}); free some space, or write elsewhere") from error


def save_weights(module: nn.Module, path: str | Path) -> None:
    """Write a module's state dict as safetensors; the file appears whole or not at all."""
    state = _state(module)
    with whole_file(Path(path)) as partial:
        save_file(state, partial)


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Load a `.safetensors` or `.pth` state dict into a module (also one on the meta device), in float32.

    Raises:
        WeightsError: the file is missing or unreadable.
        CheckpointError: it has missing, unexpected or mis-shaped names.
    """
    state = read_state_dict(path)
    check_state_dict(module, state, str(path))
    for name, value in state.items():
        state[name] = value.float() if value.is_floating_point() else value  # one by one: never two whole copies
    module.load_state_dict(state, strict=True, assign=True)


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
    path = Path(svd) / "unet" / "diffusion_pytorch_model.safetensors"
    half = path.with_suffix(".fp16.safetensors")
    path = half if half.exists() and not path.exists() else path
    state = read_state_dict(path)
    adapters = {name: value for name, value in animator.unet.state_dict().items() if ".processor.id_to_" in name}
    check_state_dict(animator.unet, {**adapters, **state}, str(path))
    animator.unet.load_state_dict(state, strict=False)
    restart_id_adapters(animator.unet)


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name, from `.safetensors`, or from a pickle that may hold nothing but tensors; mapped, not read.

    Raises:
        WeightsError: the file is missing, unreadable, or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"weights file {path} is missing")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # Files from before PyTorch 1.6 are no archives and cannot be mapped.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (SafetensorError, pickle.UnpicklingError, OSError, RuntimeError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"weights file {path} is unreadable, fetch it again: {reason}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"weights file {path} is not a state dict: names with tensors")
    return state


def check_state_dict(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Compare names and shapes with a module's.

    Raises:
        CheckpointError: one line with the number and the first names of what is missing, unexpected and mis-shaped,
            and the temporary file that lists all where these are not.
    """
    expected = {name: list(value.shape) for name, value in module.state_dict().items()}
    found = {name: list(value.shape) for name, value in state.items()}
    faults = {
        "missing": [name for name in expected if name not in found],
        "unexpected": [name for name in found if name not in expected],
        "mis-shaped": [
            f"{name} {found[name]} instead of {shape}"
            for name, shape in expected.items()
            if name in found and found[name] != shape
        ],
    }
    if any(faults.values()):
        shown = "; ".join(_listed(kind, names) for kind, names in faults.items() if names)
        raise CheckpointError(
            f"{where} does not fit the model: {shown}{_list_all(where, faults)}; "
            "use the settings (section model) that it was trained with"
        )


def settings_from_dict(kind: type[Settings], values: Mapping[str, Any], where: str) -> Settings:
    """Rebuild a settings dataclass, nested ones included, from what `asdict` and JSON made of it.

    Raises:
        CheckpointError: an unknown name, or a value out of range.
    """
    hints = typing.get_type_hints(kind)
    known = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise CheckpointError(f"{where}: unknown setting {unknown[0]!r}; the checkpoint is from another version")
    try:
        return kind(**{name: _rebuild(hints[name], value, f"{where}.{name}") for name, value in values.items()})
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{where}: {error}") from error


def _rebuild(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint) and isinstance(value, Mapping):
        return settings_from_dict(typing.cast(type[Any], hint), value, where)
    if isinstance(value, list):
        return tuple(value)
    return value


def _listed(kind: str, names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return f"{len(names)} {kind} ({shown})"


def _list_all(where: str, faults: Mapping[str, Collection[str]]) -> str:
    """Where the line has no room for every name, the file that has them, in words."""
    if all(len(names) <= _SHOWN for names in faults.values()):
        return ""
    with tempfile.NamedTemporaryFile("w", prefix="mismatch-", suffix=".txt", delete=False) as file:
        file.write(f"{where}\n")
        file.writelines(f"{kind}\t{name}\n" for kind, names in faults.items() for name in sorted(names))
    return f"; {file.name} lists all"


def _state(module: nn.Module) -> dict[str, Tensor]:
    """The state dict on the CPU, each tensor alone in its storage, as both formats want it."""
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    return {
        name: value if value.untyped_storage().nbytes() == value.nbytes else value.clone()
        for name, value in state.items()
    }


def check_format(description: Mapping[str, Any], path: Path) -> None:
    """Refuse what another version wrote.

    Raises:
        CheckpointError: the weights mean something else now.
    """
    written = description.get("format")
    if written != FORMAT:
        raise CheckpointError(
            f"{path} is of format {written}, not {FORMAT}: its weights mean something else now; train again"
        )


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
            return {"model": asdict(ModelSettings()), "aligner": None, "config": {}}
        raise WeightsError(f"{path} is missing: {root} is no model folder, or was not written to its end")
    try:
        description = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is unreadable: {error}") from error
    if not isinstance(description, dict) or not {"model", "aligner", "config"} <= set(description):
        raise CheckpointError(f"{path} does not describe a model folder: needs model, aligner and config")
    check_format(description, path)
    return description
