"""Each operator, a small iresnet and a real recogniser against onnxruntime; gradients against finite differences.

onnxruntime's kernels follow the processor, and no switch of torch's changes them. So the two are not held against each
other: the same graph in float64 is the referee of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from stableanimator.errors import WeightsError
from stableanimator.perception.onnx_to_torch import OPERATORS, OnnxModule

from ...floats import assert_same

pytestmark = pytest.mark.numeric

SHAPE = [2, 4, 6, 5]


def constant(name: str, value: Any, kind: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value, kind), name)


def normal(seed: int | str, shape: Sequence[int]) -> np.ndarray:
    """Float32 values that depend on the seed alone."""
    return np.random.default_rng([*str(seed).encode()]).normal(size=shape).astype(np.float32)


def weights(name: str, *shape: int) -> onnx.TensorProto:
    return constant(name, normal(name, shape))


def save(
    path: Path, nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto], opset: int, shape: list[int]
) -> None:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 9
    onnx.save(model, str(path))


def compare(path: Path, x: np.ndarray) -> None:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    expected = session.run(None, {session.get_inputs()[0].name: x})[0]
    module, given = OnnxModule(path), torch.from_numpy(x)
    found, exact = module(given), module.double()(given.double())
    assert found.shape == exact.shape == expected.shape
    assert found.dtype == torch.float32
    assert exact.dtype == torch.float64
    assert_same(found, exact)
    assert_same(expected, exact)


def node(kind: str, *inputs: str, output: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), [output], **attributes)


Case = tuple[list[onnx.NodeProto], list[onnx.TensorProto], int]
CASES: dict[str, Case] = {
    "Add": ([node("Add", "x", "w")], [weights("w", 4, 1, 1)], 17),
    "Sub": ([node("Sub", "x", "w")], [weights("w", 4, 1, 1)], 17),
    "Mul": ([node("Mul", "x", "w")], [weights("w", 4, 1, 1)], 17),
    "Div": ([node("Div", "x", "w")], [constant("w", 127.5)], 17),
    "BatchNormalization": (
        [node("BatchNormalization", "x", "scale", "shift", "mean", "variance", epsilon=2e-2)],
        [weights("scale", 4), weights("shift", 4), weights("mean", 4), constant("variance", [0.5, 1, 2, 3])],
        15,
    ),
    "Clip": ([node("Clip", "x", "low", "high")], [constant("low", -0.5), constant("high", 0.7)], 17),
    "Clip with attributes": ([node("Clip", "x", min=-0.5, max=0.7)], [], 6),
    "Clip below only": ([node("Clip", "x", "low")], [constant("low", -0.5)], 17),
    "Concat": ([node("Concat", "x", "x", axis=-1)], [], 17),
    "Conv": ([node("Conv", "x", "w", "b", pads=[1, 1, 1, 1])], [weights("w", 3, 4, 3, 3), weights("b", 3)], 17),
    "Conv with groups, strides, dilations, uneven pads": (
        [node("Conv", "x", "w", group=2, strides=[2, 1], dilations=[1, 2], pads=[0, 1, 2, 3])],
        [weights("w", 6, 2, 3, 2)],
        17,
    ),
    "Dropout": ([node("Dropout", "x")], [], 17),
    "Flatten": ([node("Flatten", "x")], [], 17),
    "Flatten from axis 2": ([node("Flatten", "x", axis=2)], [], 17),
    "Gather": ([node("Gather", "x", "i", axis=1)], [constant("i", [[0, -1], [2, 0]], np.int64)], 17),
    "Gemm": (
        [node("Flatten", "x", output="f"), node("Gemm", "f", "w", "b", transB=1, alpha=0.5, beta=2.0)],
        [weights("w", 7, 120), weights("b", 7)],
        17,
    ),
    "GlobalAveragePool": ([node("GlobalAveragePool", "x")], [], 17),
    "Identity": ([node("Identity", "x")], [], 17),
    "MatMul": ([node("MatMul", "x", "w")], [weights("w", 5, 3)], 17),
    "PRelu": ([node("PRelu", "x", "w")], [weights("w", 4, 1, 1)], 16),
    "Pad": ([node("Pad", "x", "p", "v")], [constant("p", [0, 0, 1, 2, 0, 0, 3, 0], np.int64), constant("v", 0.5)], 17),
    "Pad with attributes": ([node("Pad", "x", pads=[0, 0, 1, 2, 0, 0, 3, 0], value=0.5)], [], 2),
    "ReduceMean": ([node("ReduceMean", "x", "a", keepdims=0)], [constant("a", [2, 3], np.int64)], 18),
    "ReduceMean with attributes": ([node("ReduceMean", "x", axes=[-1], keepdims=1)], [], 13),
    "Relu": ([node("Relu", "x")], [], 17),
    "Reshape": ([node("Reshape", "x", "s")], [constant("s", [0, 2, -1], np.int64)], 17),
    "Shape": (
        [
            node("Shape", "x", output="size"),
            node("Gather", "size", "first", output="batch", axis=0),
            node("Unsqueeze", "batch", "zero", output="batch1"),
            node("Concat", "batch1", "rest", output="target", axis=0),
            node("Reshape", "x", "target"),
        ],
        [constant("first", 0, np.int64), constant("zero", [0], np.int64), constant("rest", [-1], np.int64)],
        17,
    ),
    "Sigmoid": ([node("Sigmoid", "x")], [], 17),
    "Squeeze": (
        [node("Unsqueeze", "x", "a", output="u"), node("Squeeze", "u", "a")],
        [constant("a", [0, 3], np.int64)],
        17,
    ),
    "Transpose": ([node("Transpose", "x", perm=[0, 2, 3, 1])], [], 17),
    "Unsqueeze": ([node("Unsqueeze", "x", "a")], [constant("a", [-1, 1], np.int64)], 17),
    "Unsqueeze with attributes": ([node("Unsqueeze", "x", axes=[1])], [], 11),
    "Constant": (
        [helper.make_node("Constant", [], ["w"], value_floats=[1.0, 2.0, 3.0, 4.0, 5.0]), node("Mul", "x", "w")],
        [],
        17,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_operators_equal_onnxruntime(tmp_path: Path, name: str) -> None:
    nodes, tensors, opset = CASES[name]
    save(tmp_path / "op.onnx", nodes, tensors, opset, SHAPE)
    compare(tmp_path / "op.onnx", normal("x", SHAPE))


def test_every_operator_has_a_case() -> None:
    assert {name.split(" ")[0] for name in CASES} >= set(OPERATORS)


def small_iresnet(path: Path) -> None:
    """The building block of InsightFace's w600k_r50 and glintr100, as torch exports it, at a small width."""
    nodes = [
        node("Conv", "x", "stem", output="c0", pads=[1, 1, 1, 1]),
        node("PRelu", "c0", "slope0", output="p0"),
        node("BatchNormalization", "p0", "g", "b", "m", "v", output="n1"),
        node("Conv", "n1", "conv1", "bias1", output="c1", pads=[1, 1, 1, 1]),
        node("PRelu", "c1", "slope1", output="p1"),
        node("Conv", "p1", "conv2", "bias2", output="c2", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Conv", "p0", "shortcut", "bias2", output="c3", strides=[2, 2]),
        node("Add", "c2", "c3", output="sum"),
        node("BatchNormalization", "sum", "g", "b", "m", "v", output="n2"),
        node("Flatten", "n2", output="flat"),
        node("Gemm", "flat", "fc", "fcb", output="e", transB=1),
        node("BatchNormalization", "e", "ge", "be", "me", "ve"),
    ]
    tensors = [
        *(weights("stem", 6, 3, 3, 3), weights("conv1", 6, 6, 3, 3), weights("conv2", 6, 6, 3, 3)),
        *(weights("shortcut", 6, 6, 1, 1), weights("bias1", 6), weights("bias2", 6)),
        *(weights("slope0", 6, 1, 1), weights("slope1", 6, 1, 1), weights("fc", 8, 96), weights("fcb", 8)),
        *(weights("g", 6), weights("b", 6), weights("m", 6), constant("v", np.linspace(0.5, 2, 6))),
        *(weights("ge", 8), weights("be", 8), weights("me", 8), constant("ve", np.linspace(0.5, 2, 8))),
    ]
    save(path, nodes, tensors, 11, [3, 3, 8, 8])


def test_an_iresnet_equals_onnxruntime(tmp_path: Path) -> None:
    small_iresnet(tmp_path / "iresnet.onnx")
    compare(tmp_path / "iresnet.onnx", normal("x", (3, 3, 8, 8)))


def test_gradients_equal_finite_differences(tmp_path: Path) -> None:
    small_iresnet(tmp_path / "iresnet.onnx")
    module = OnnxModule(tmp_path / "iresnet.onnx").double()
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,), eps=1e-6, atol=1e-4)
    assert not list(module.parameters())


def test_external_weights_are_read(tmp_path: Path) -> None:
    small_iresnet(tmp_path / "iresnet.onnx")
    model = onnx.load(str(tmp_path / "iresnet.onnx"))
    onnx.save(model, str(tmp_path / "outside.onnx"), save_as_external_data=True, location="w.data", size_threshold=0)
    x = torch.from_numpy(normal("x", (3, 3, 8, 8)))
    assert_same(OnnxModule(tmp_path / "outside.onnx")(x), OnnxModule(tmp_path / "iresnet.onnx")(x))
    (tmp_path / "w.data").unlink()
    with pytest.raises(WeightsError, match="which is no file in its folder"):
        OnnxModule(tmp_path / "outside.onnx")


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Erf", "x")], "the operator Erf"),
        ([node("Conv", "x", "w", auto_pad="SAME_UPPER")], "auto_pad in Conv"),
        ([node("Pad", "x", "p", mode="reflect")], "Pad in a mode"),
    ],
)
def test_what_is_not_known_is_an_error_when_loading(tmp_path: Path, nodes: list[onnx.NodeProto], message: str) -> None:
    tensors = [weights("w", 3, 4, 3, 3), constant("p", [0] * 8, np.int64)]
    save(tmp_path / "op.onnx", nodes, tensors, 17, SHAPE)
    with pytest.raises(WeightsError, match=message):
        OnnxModule(tmp_path / "op.onnx")


def test_missing_and_foreign_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is missing"):
        OnnxModule(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("<html>not found</html>")
    with pytest.raises(WeightsError, match="cannot be read as ONNX"):
        OnnxModule(tmp_path / "text.onnx")


@pytest.mark.real_data
def test_mobilefacenet_equals_onnxruntime(real_data: Path) -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (1, 3, 112, 112)).astype(np.float32)
    compare(real_data / "weights/insightface/models/small/MobileFaceNet.onnx", x)
