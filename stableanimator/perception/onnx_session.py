"""Opening ONNX files: one way for every model, one clear error."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import onnx
import onnxruntime as ort

from stableanimator.errors import ConfigError, WeightsError
from stableanimator.paths import local_path
from stableanimator.perception.settings import Device

ort.set_default_logger_severity(3)


def providers_of(device: Device) -> list[str]:
    """onnxruntime's execution providers for a device.

    Raises:
        ConfigError: cuda is asked for and this onnxruntime has none.
    """
    if device == "cpu":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise ConfigError("device: cuda, but this onnxruntime runs on CPUs only; install onnxruntime-gpu or set cpu")
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]


def session_options(threads: int) -> ort.SessionOptions:
    """Options that keep a session to `threads` threads, which sleep when idle."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def require_file(path: str | Path, what: str) -> Path:
    """`path`, if it is a file.

    Raises:
        WeightsError: it is not; `what` says which file belongs there.
    """
    file = local_path(path)
    if not file.is_file():
        raise WeightsError(f"{file} is missing; put {what} there, or name another file in the settings")
    return file


def first_line(error: Exception) -> str:
    """What an error of another library says, short enough for one line of ours."""
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__


def open_session(path: str | Path, what: str, threads: int, device: Device) -> ort.InferenceSession:
    """An inference session for a file.

    Raises:
        WeightsError: the file is missing, or onnxruntime cannot read it.
    """
    file = require_file(path, what)
    try:
        return ort.InferenceSession(str(file), session_options(threads), providers=providers_of(device))
    except ConfigError:
        raise
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise WeightsError(f"{file} is not {what}: {first_line(error)}") from error


def weights_sha256(paths: Sequence[str | Path]) -> str:
    """SHA-256 (hex) over weights files in the given order, ONNX files with the external files that hold weights."""
    digest = hashlib.sha256()
    for path in paths:
        for file in [local_path(path), *_external_files(local_path(path))]:
            with file.open("rb") as handle:
                digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()


def _external_files(path: Path) -> list[Path]:
    if path.suffix != ".onnx":
        return []
    graph = onnx.load(str(path), load_external_data=False).graph
    names = {entry.value for tensor in graph.initializer for entry in tensor.external_data if entry.key == "location"}
    return [path.parent / name for name in sorted(names)]
