"""Opening ONNX files: one way for every model, one clear error."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
import onnxruntime as ort

from stableanimator.errors import ConfigError, WeightsError
from stableanimator.limits.checks import shown
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
        read_graph(file)
        return ort.InferenceSession(str(file), session_options(threads), providers=providers_of(device))
    except (ConfigError, WeightsError):
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


def read_graph(path: str | Path) -> onnx.GraphProto:
    """The graph of an ONNX file, without the weights that lie in other files, each of which is in its folder.

    Raises:
        WeightsError: it is no ONNX file, or its weights lie elsewhere, behind a link, or nowhere.
    """
    file = local_path(path)
    if not file.is_file():  # a pipe would be waited for, and a device may have no end
        raise WeightsError(f"{file} is no regular file; put an ONNX file there")
    try:
        graph = onnx.load(str(file), load_external_data=False).graph
    except Exception as error:  # protobuf's exceptions share no base class with ours
        raise WeightsError(f"{file} cannot be read as ONNX ({first_line(error)})") from error
    for other in _external_names(graph):
        place = file.parent / other
        # A file of somebody else's may name any file of this machine, and a device has no end.
        if "\0" in other or place.parent != file.parent or other in ("", ".", "..") or not _is_plain(place):
            raise WeightsError(f"{file} has weights in {shown(other)}, which is no file in its folder; put it there")
    return graph


def _is_plain(place: Path) -> bool:
    return place.is_file() and not place.is_symlink()


def _external_names(graph: onnx.GraphProto) -> list[str]:
    return sorted({entry.value for each in _tensors(graph) for entry in each.external_data if entry.key == "location"})


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Of a graph and of those in its nodes."""
    yield from graph.initializer
    for attribute in (each for node in graph.node for each in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for inner in (attribute.g, *attribute.graphs):
            yield from _tensors(inner)


def _external_files(path: Path) -> list[Path]:
    return [path.parent / name for name in _external_names(read_graph(path))] if path.suffix == ".onnx" else []
