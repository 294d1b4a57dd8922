"""Weights that nobody should send, by name: how each is written to a path."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

Write = Callable[[Path, Path], object]
"""Writes a file; what its code would make is the second path."""


class _Runs:
    """Unpickled, it makes a file."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._canary}",)


class _Bytes:
    """Unpickled, it takes a lot of memory."""

    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (8 << 30,)


def _then(*writes: Write) -> Write:
    """One after the other."""

    def write(path: Path, canary: Path) -> None:
        for each in writes:
            each(path, canary)

    return write


def _archive(state: Any, path: Path) -> None:
    torch.save(state, path)


def _legacy(state: Any, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def _again(path: Path, compression: int, change: Callable[[str, bytes], bytes] = lambda name, data: data) -> None:
    """An archive written anew, perhaps with other contents."""
    with zipfile.ZipFile(path) as archive:
        parts = {each.filename: archive.read(each) for each in archive.infolist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(name, change(name, data))


def _bomb(path: Path, canary: Path) -> None:
    """Two gigabytes of zeros in two megabytes, as a tensor's."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/version", b"3")
        archive.writestr("a/byteorder", b"little")
        with archive.open("a/data.pkl", "w", force_zip64=True) as file:
            for _ in range(128):
                file.write(bytes(16 << 20))


def _expanded(path: Path, canary: Path) -> None:
    """A tensor of one number that says it is of a million million."""
    _archive({"conv.weight": torch.zeros(1).expand(10**6, 10**6)}, path)


def _pickled(payload: Any, protocol: int = 2) -> Write:
    return lambda path, canary: path.write_bytes(pickle.dumps(payload(canary), protocol))


PICKLES: dict[str, Write] = {
    "code in an archive": lambda path, canary: _archive({"a": _Runs(canary)}, path),
    "code in a file of before": lambda path, canary: _legacy({"a": _Runs(canary)}, path),
    "code as the whole": lambda path, canary: _archive(_Runs(canary), path),
    "code beside tensors": lambda path, canary: _archive(
        {"state_dict": {"a": torch.zeros(2), "b": _Runs(canary)}}, path
    ),
    "a plain pickle of code": _pickled(_Runs),
    "a plain pickle of code, protocol 5": _pickled(lambda canary: {"a": _Runs(canary)}, 5),
    "code behind a pickle": lambda path, canary: path.write_bytes(pickle.dumps({}, 2) + pickle.dumps(_Runs(canary), 2)),
    "eight gigabytes by a call": lambda path, canary: _archive({"a": _Bytes()}, path),
    "a module": lambda path, canary: _archive(torch.nn.Linear(2, 2), path),
    "a tensor larger than its numbers": _expanded,
    "no tensors": lambda path, canary: _archive({"a": 1}, path),
    "a list": lambda path, canary: _archive([torch.zeros(2)], path),
    "names that are numbers": lambda path, canary: _archive({1: torch.zeros(2)}, path),
    "a sparse tensor": lambda path, canary: _archive({"a": torch.zeros(2, 2).to_sparse()}, path),
    "a tensor without data": lambda path, canary: _archive({"a": torch.zeros(2, device="meta")}, path),
    "a program": lambda path, canary: torch.jit.script(torch.nn.Linear(2, 2)).save(path),
    "two gigabytes of zeros, packed": _bomb,
    "a packed archive": _then(
        lambda path, canary: _archive({"a": torch.zeros(9)}, path),
        lambda path, canary: _again(path, zipfile.ZIP_DEFLATED),
    ),
    "half an archive": _then(
        lambda path, canary: _archive({"a": torch.zeros(999)}, path), lambda path, canary: _cut(path)
    ),
    "an archive without numbers": _then(
        lambda path, canary: _archive({"a": torch.zeros(9)}, path),
        lambda path, canary: _again(path, zipfile.ZIP_STORED, lambda name, data: b"" if "/data/" in name else data),
    ),
    "an archive with another pickle": _then(
        lambda path, canary: _archive({"a": torch.zeros(9)}, path),
        lambda path, canary: _again(
            path, zipfile.ZIP_STORED, lambda name, data: b"\x80\x02(h\x07." if name.endswith("data.pkl") else data
        ),
    ),
    "a pickle that takes from nothing": lambda path, canary: path.write_bytes(b"\x80\x020e."),
    "a pickle that remembers nothing": lambda path, canary: path.write_bytes(b"\x80\x02h\x05."),
    "an unknown operation": lambda path, canary: path.write_bytes(b"\x80\x02\xff."),
    "zeros": lambda path, canary: path.write_bytes(bytes(1000)),
    "nothing": lambda path, canary: path.write_bytes(b""),
    "text": lambda path, canary: path.write_text("weights"),
    "a folder": lambda path, canary: path.mkdir(),
    "a pipe": lambda path, canary: os.mkfifo(path),
    "a link to /dev/zero": lambda path, canary: path.symlink_to("/dev/zero"),
}


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _safetensors(header: Any, data: bytes = b"", length: int | None = None) -> Write:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return lambda path, canary: path.write_bytes(
        struct.pack("<Q", len(text) if length is None else length) + text + data
    )


def _tensor(begin: int, end: int, shape: Any = (2,), dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


SAFETENSORS: dict[str, Write] = {
    "a header of 2^64 bytes": _safetensors(b"{}", length=2**64 - 1),
    "a header of a gigabyte": _safetensors(b"{}", length=1 << 30),
    "a header longer than the file": _safetensors(b"{}", length=1000),
    "a header of no JSON": _safetensors(b"not json"),
    "a header of 100,000 levels": _safetensors(b"[" * 100_000),
    "a header that is a list": _safetensors([1]),
    "a header that is no text": _safetensors(b"\xff\xfe"),
    "offsets beyond the file": _safetensors({"a": _tensor(0, 8 << 40, (1 << 41,))}),
    "negative offsets": _safetensors({"a": _tensor(-8, 0)}, bytes(8)),
    "offsets backwards": _safetensors({"a": _tensor(8, 0)}, bytes(8)),
    "offsets over each other": _safetensors({"a": _tensor(0, 8), "b": _tensor(4, 12)}, bytes(12)),
    "a hole": _safetensors({"a": _tensor(0, 8), "b": _tensor(16, 24)}, bytes(24)),
    "more bytes than tensors": _safetensors({"a": _tensor(0, 8)}, bytes(100)),
    "a shape beyond the numbers": _safetensors({"a": _tensor(0, 8, (1 << 40,))}, bytes(8)),
    "a shape that overflows": _safetensors({"a": _tensor(0, 8, (1 << 62, 1 << 62))}, bytes(8)),
    "a negative shape": _safetensors({"a": _tensor(0, 8, (-2,))}, bytes(8)),
    "an unknown kind of number": _safetensors({"a": _tensor(0, 8, dtype="X9")}, bytes(8)),
    "150,000 names": _safetensors({f"t{number}": _tensor(0, 0, (0,)) for number in range(150_000)}),
    "a name of a megabyte": _safetensors({"x" * 1_000_000: _tensor(0, 8)}, bytes(8)),
    "a name with NUL and lines": _safetensors({"a\0\nb": _tensor(0, 8)}, bytes(8)),
    "zeros": lambda path, canary: path.write_bytes(bytes(1000)),
    "nothing": lambda path, canary: path.write_bytes(b""),
    "a pickle of code": _pickled(_Runs),
    "a pipe": lambda path, canary: os.mkfifo(path),
}


def _model(nodes: list[Any], shape: Any = (1, 3, 112, 112), out: Any = (1, 8), weights: Any = ()) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        list(weights),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _outside(location: str, length: int = 8) -> Write:
    """Weights in another file."""

    def write(path: Path, canary: Path) -> None:
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
        for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)
        nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Mul", ["f", "w"], ["y"])]
        path.write_bytes(_model(nodes, weights=[tensor]).SerializeToString())
        place = path.parent / "inside.bin"
        if not place.is_symlink():
            place.symlink_to("/etc/passwd")

    return write


def _onnx(nodes: list[Any], **other: Any) -> Write:
    return lambda path, canary: path.write_bytes(_model(nodes, **other).SerializeToString())


_FLAT = helper.make_node("Flatten", ["x"], ["f"])
_EIGHT = numpy_helper.from_array(np.ones((3 * 112 * 112, 8), np.float32), "w")
_HUGE = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 40])
_SHORT = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[8], raw_data=b"123")
_SIZE = numpy_helper.from_array(np.array([1 << 31], np.int64), "n")

ONNX: dict[str, Write] = {
    "weights in /etc/passwd": _outside("/etc/passwd"),
    "weights in /dev/zero": _outside("/dev/zero"),
    "weights out of the folder": _outside("../../../../../../etc/passwd"),
    "weights behind a link": _outside("inside.bin"),
    "weights nowhere": _outside("none.bin"),
    "weights in the folder itself": _outside("."),
    "weights of a terabyte elsewhere": _outside("inside.bin", 1 << 40),
    "weights with NUL in their place": _outside("a\0b"),
    "a graph that goes round": _onnx(
        [
            helper.make_node("Add", ["x", "b"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Flatten", ["b"], ["y"]),
        ]
    ),
    "an input that nobody makes": _onnx([helper.make_node("Add", ["none", "x"], ["y"])]),
    "an output that nobody makes": _onnx([_FLAT]),
    "no node": _onnx([]),
    "a node without inputs": _onnx([helper.make_node("Relu", [], ["y"])]),
    "a node without outputs": _onnx([helper.make_node("Relu", ["x"], []), _FLAT]),
    "an unknown operator": _onnx([helper.make_node("Nothing", ["x"], ["y"])]),
    "an operator of somebody's": _onnx([helper.make_node("Run", ["x"], ["y"], domain="evil")]),
    "shapes that do not fit": _onnx(
        [_FLAT, helper.make_node("MatMul", ["f", "w"], ["y"])],
        weights=[numpy_helper.from_array(np.ones((5, 8), np.float32), "w")],
    ),
    "another input": _onnx(
        [_FLAT, helper.make_node("MatMul", ["f", "w"], ["y"])], shape=(1, 3, 7, 7), weights=[_EIGHT]
    ),
    "an input without a shape": _onnx([helper.make_node("Relu", ["x"], ["y"])], shape=None, out=None),
    "an input of names": _onnx(
        [helper.make_node("Relu", ["x"], ["y"])], shape=("a", "b", "c", "d"), out=("a", "b", "c", "d")
    ),
    "an output of a name": _onnx(
        [_FLAT, helper.make_node("MatMul", ["f", "w"], ["y"])], out=("a", "b", "c"), weights=[_EIGHT]
    ),
    "weights of a million million": _onnx([_FLAT, helper.make_node("Mul", ["f", "w"], ["y"])], weights=[_HUGE]),
    "weights shorter than their shape": _onnx([_FLAT, helper.make_node("Mul", ["f", "w"], ["y"])], weights=[_SHORT]),
    "weights of no kind": _onnx(
        [_FLAT, helper.make_node("Mul", ["f", "w"], ["y"])], weights=[TensorProto(name="w", data_type=99, dims=[1])]
    ),
    "a constant of eight gigabytes": _onnx(
        [
            _FLAT,
            helper.make_node("ConstantOfShape", ["n"], ["c"]),
            helper.make_node("ReduceMean", ["c"], ["r"], keepdims=0),
            helper.make_node("Mul", ["f", "r"], ["y"]),
        ],
        weights=[_SIZE],
    ),
    "a cast to nowhere": _onnx(
        [helper.make_node("Cast", ["w"], ["c"]), helper.make_node("Flatten", ["x"], ["y"])], weights=[_EIGHT]
    ),
    "a constant without a value": _onnx(
        [helper.make_node("Constant", [], ["c"]), helper.make_node("Flatten", ["x"], ["y"])]
    ),
    "zeros": lambda path, canary: path.write_bytes(bytes(1000)),
    "nothing": lambda path, canary: path.write_bytes(b""),
    "a pickle of code": _pickled(_Runs),
    "half a graph": _then(
        _onnx([_FLAT, helper.make_node("MatMul", ["f", "w"], ["y"])], weights=[_EIGHT]), lambda path, canary: _cut(path)
    ),
    "a pipe": lambda path, canary: os.mkfifo(path),
}

CONFIGS: dict[str, Callable[[Any], Any]] = {
    "no JSON": lambda known: b"{",
    "JSON of 100,000 levels": lambda known: b"[" * 100_000,
    "no text": lambda known: b"\xff\xfe{}",
    "a number": lambda known: 7,
    "a list": lambda known: [1],
    "null": lambda known: None,
    "nothing in it": lambda known: {},
    "numbers as settings": lambda known: {
        key: 7 if isinstance(value, dict | list) else value for key, value in known.items()
    },
    "lists as settings": lambda known: {key: [] if isinstance(value, dict) else value for key, value in known.items()},
    "text as numbers": lambda known: _each(known, lambda value: "x"),
    "NaN as numbers": lambda known: _each(known, lambda value: float("nan")),
    "zeros": lambda known: _each(known, lambda value: 0),
    "negative numbers": lambda known: _each(known, lambda value: -value),
    "a million for each number": lambda known: _each(known, lambda value: 1_048_576),
    "2^31 - 1 for each number": lambda known: _each(known, lambda value: 2**31 - 1),
    "numbers of 400 digits": lambda known: _each(known, lambda value: 10**400),
    "code to import": lambda known: {
        **known,
        "auto_map": {"AutoModel": "evil.Model"},
        "_class_name": "os.system",
        "architectures": ["evil"],
    },
}
"""By name, what becomes of a description."""


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: each if key == "format" else _each(each, change) for key, each in value.items()}
    if isinstance(value, list):
        return [_each(each, change) for each in value]
    return change(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def described(known: Any, change: Callable[[Any], Any]) -> bytes:
    """A description as bytes."""
    made = change(known)
    return made if isinstance(made, bytes) else json.dumps(made).encode()


class Touching(torch.nn.Module):
    """A TorchScript program that makes a file when it is called, and when it is loaded."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place

    def forward(self, x: torch.Tensor, rescale: bool, resize: bool, return_features: bool) -> torch.Tensor:
        torch.from_file(self.place, shared=True, size=4)
        return x.flatten(1)

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.place, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.place = state[0]
        self.training = state[1]
        torch.from_file(self.place, shared=True, size=4)


def program(canary: Path) -> bytes:
    """`Touching` as a file's bytes."""
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(Touching(str(canary))), stream)
    return stream.getvalue()
