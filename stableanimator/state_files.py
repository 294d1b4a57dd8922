"""Weights in files, and settings beside them: written whole or not at all, read without running code, loaded strictly.

Formats are safetensors and PyTorch's archives; `stableanimator.models.checkpoints` and
`stableanimator.alignment.aligner_folder` make folders of them.
"""

from __future__ import annotations

import contextlib
import os
import pickletools
import tempfile
import typing
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stableanimator.errors import CheckpointError, StorageError, WeightsError
from stableanimator.limits.checks import shown
from stableanimator.paths import own_file

FORMAT = 3
"""Of model folders and aligner folders; raised by hand when weights of the same names mean something else."""

_MOST_HEADER = 8 << 20
"""Bytes of a safetensors file's header: forty times what the full size has."""

_LONGEST = 200
"""Characters of a name that a message shows as it is."""
_SHOWN = 3
"""Names of each kind of mismatch in the error; where there are more, a file lists all."""

Settings = TypeVar("Settings")


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write what becomes `path` when the block ends; of a block that fails nothing stays.

    Raises:
        StorageError: in place of what a full disk makes of the writing; torch and safetensors have errors of their own.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        yield own_file(partial)
        os.replace(partial, path)
    except (OSError, RuntimeError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        reason = " ".join(str(error).split())[:200]
        raise StorageError(f"{path} cannot be written ({reason}); free some space, or write elsewhere") from error


def save_weights(module: nn.Module, path: str | Path) -> None:
    """Write a module's state dict as safetensors; the file appears whole or not at all."""
    state = cpu_state(module)
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


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name, from `.safetensors`, or from a pickle that may hold nothing but tensors; mapped, not read.

    Raises:
        WeightsError: the file is missing, unreadable, or holds something else.
    """
    return require_state_dict(read_checkpoint(path), path)


def require_state_dict(state: Any, path: str | Path) -> dict[str, Tensor]:
    """What a file holds, if it is names with tensors, all of whose numbers are in the file.

    Raises:
        WeightsError: it is something else.
    """
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise WeightsError(f"weights file {path} is not a state dict: names with tensors")
    # A pickle may say of one number that it is a tensor of any size.
    wrong = next((name for name, value in state.items() if not _is_whole(value)), None)
    if wrong is not None:
        raise WeightsError(f"weights file {path} does not hold the numbers of {_named(wrong)}; fetch it again")
    return state


def _is_whole(value: Tensor) -> bool:
    if value.layout != torch.strided or value.device.type != "cpu":
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def read_checkpoint(path: str | Path) -> Any:
    """What a `.safetensors` file or a pickle of tensors and plain values holds; no code of it is run.

    Raises:
        WeightsError: the file is missing or unreadable.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"weights file {path} is missing")
    try:
        if path.suffix == ".safetensors":
            _check_header(path)
            return load_file(path)
        # Files from before PyTorch 1.6 are no archives and cannot be mapped.
        archive = zipfile.is_zipfile(path)
        if archive:
            _check_archive(path)
        else:
            _check_pickles(path)
        with warnings.catch_warnings(action="ignore"):  # of a file that is refused
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except Exception as error:  # torch's reader of pickles raises of every kind for damaged ones
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise WeightsError(f"weights file {path} is unreadable, fetch it again: {reason}") from error


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > _MOST_HEADER:
        raise ValueError(f"a header of {length} bytes")


def _check_archive(path: Path) -> None:
    """Refuse what PyTorch never writes: parts that are packed, and so may be of any size when they are read."""
    with zipfile.ZipFile(path) as archive:
        size = 0
        for part in archive.infolist():
            size += part.file_size
            if part.compress_type != zipfile.ZIP_STORED or size > path.stat().st_size:
                raise ValueError("an archive of packed parts, which PyTorch does not write")
            if part.filename.endswith("data.pkl"):
                with archive.open(part) as file:
                    _check_pickle(file)


def _check_pickles(path: Path) -> None:
    """Of a file from before PyTorch 1.6: its magic number, version, system, and what it holds."""
    with path.open("rb") as file:
        for _ in range(4):
            _check_pickle(file)


def _check_pickle(file: IO[bytes]) -> None:
    """Refuse a pickle that makes bytes of any number: the one thing that PyTorch's reader lets a pickle call which
    takes more memory than the file has bytes."""
    for operation, argument, _ in pickletools.genops(file):
        if operation.name == "GLOBAL" and str(argument).endswith(" bytearray"):
            raise ValueError("it holds bytes, and weights hold none")


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
        ]
        + [
            f"{name} of {state[name].dtype} instead of {value.dtype}"
            for name, value in module.state_dict().items()
            if name in state and state[name].is_floating_point() != value.is_floating_point()
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
    if not isinstance(values, Mapping):
        raise CheckpointError(f"{where} is {shown(values)}; the settings of a model are wanted there")
    hints = typing.get_type_hints(kind)
    known = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise CheckpointError(f"{where}: unknown setting {shown(unknown[0])}; the checkpoint is from another version")
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
    shown = ", ".join(map(_named, sorted(names)[:_SHOWN])) + (", …" if len(names) > _SHOWN else "")
    return f"{len(names)} {kind} ({shown})"


def _named(name: str) -> str:
    """A name for a line, which in a file may be of any length and hold any character."""
    return name if name.isprintable() and len(name) <= _LONGEST else shown(name)


def _list_all(where: str, faults: Mapping[str, Collection[str]]) -> str:
    """Where the line has no room for every name, the file that has them, in words."""
    if all(len(names) <= _SHOWN for names in faults.values()):
        return ""
    with tempfile.NamedTemporaryFile("w", prefix="mismatch-", suffix=".txt", delete=False) as file:
        file.write(f"{where}\n")
        file.writelines(f"{kind}\t{name}\n" for kind, names in faults.items() for name in sorted(names))
    return f"; {file.name} lists all"


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


def cpu_state(module: nn.Module) -> dict[str, Tensor]:
    """The state dict on the CPU, each tensor alone in its storage, as both formats want it."""
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    return {
        name: value if value.untyped_storage().nbytes() == value.nbytes else value.clone()
        for name, value in state.items()
    }
