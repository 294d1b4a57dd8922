"""An ONNX graph as a frozen, differentiable torch module, for the operators of ArcFace recognisers.

onnxruntime gives no gradients, and the converters that exist (onnx2torch, onnx2pytorch) need torchvision. The operators
are those of InsightFace's recognisers (iresnet, MobileFaceNet) as exporters write them; another one is an error that
names it when the file is loaded, never at run time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from stableanimator.errors import WeightsError
from stableanimator.perception.onnx_session import first_line, read_graph, require_file

Attributes = dict[str, Any]
Operator = Callable[[list[Any], Attributes], Tensor]
"""(inputs, None where an optional one is left out; attributes) -> the first output."""


class OnnxModule(nn.Module):
    """The graph of an ONNX file with one input and one output.

    Floating-point weights are buffers: they follow `.to()` and are never trained. Integers (shapes, axes) stay on the
    CPU.

    Raises:
        WeightsError: the file is missing, is no ONNX file, or has an operator or attribute that is not known here.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        graph = _load(require_file(path, "an ONNX file")).graph
        try:
            self._read(path, graph)
        except WeightsError:
            raise
        except Exception as error:  # weights of another size than their shape, nodes without what they need
            raise WeightsError(f"{path} cannot be used: {first_line(error)}") from error

    def _read(self, path: str | Path, graph: onnx.GraphProto) -> None:
        weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        inputs = [value for value in graph.input if value.name not in weights]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise WeightsError(f"{path} has {len(inputs)} inputs and {len(graph.output)} outputs; one each is needed")
        self.input_name, self.output_name = inputs[0].name, graph.output[0].name
        self.input_shape = _static_shape(inputs[0])
        """Sizes of the input; None for one that is not fixed."""
        self.output_shape = _static_shape(graph.output[0])
        self._steps: list[tuple[Operator, list[str], str, Attributes]] = []
        self._integers: dict[str, Tensor] = {}
        self._buffer_names: dict[str, str] = {}
        for node in graph.node:
            attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
            if node.op_type == "Constant":
                weights[node.output[0]] = _constant(path, attributes)
            elif node.op_type == "Cast" and node.input[0] in weights and attributes["to"] == onnx.TensorProto.FLOAT:
                # a weight that the file keeps in 16 bits
                weights[node.output[0]] = weights.pop(node.input[0]).astype(np.float32)
            else:
                operator = _operator(path, node, attributes)
                self._steps.append((operator, list(node.input), node.output[0], attributes))
        made = {"", self.input_name, *weights}
        for _, wanted, output, _ in self._steps:
            if not made.issuperset(wanted):
                raise WeightsError(f"{path} has a node that reads what no node before it makes; it is damaged")
            made.add(output)
        if self.output_name not in made:
            raise WeightsError(f"{path} has no node that makes its output; it is damaged")
        for name, value in weights.items():
            self._keep(name, value)

    def _keep(self, name: str, value: np.ndarray) -> None:
        tensor = torch.from_numpy(np.array(value))
        if tensor.is_floating_point():
            buffer = f"weight_{len(self._buffer_names)}"  # ONNX names hold dots and slashes
            self._buffer_names[name] = buffer
            self.register_buffer(buffer, tensor)
        else:
            self._integers[name] = tensor

    def forward(self, x: Tensor) -> Tensor:
        values: dict[str, Any] = {**self._integers, self.input_name: x, "": None}
        values.update({name: getattr(self, buffer) for name, buffer in self._buffer_names.items()})
        for operator, inputs, output, attributes in self._steps:
            values[output] = operator([values[name] for name in inputs], attributes)
        return values[self.output_name]


def _load(file: Path) -> onnx.ModelProto:
    read_graph(file)
    try:
        return onnx.load(str(file))
    except Exception as error:  # protobuf, external data and value errors share no base class
        raise WeightsError(f"{file} cannot be read as ONNX ({first_line(error)})") from error


def _static_shape(value: onnx.ValueInfoProto) -> list[int | None]:
    return [entry.dim_value or None for entry in value.type.tensor_type.shape.dim]


def _constant(path: str | Path, attributes: Attributes) -> np.ndarray:
    for name, kind in (("value_float", np.float32), ("value_int", np.int64)):
        if name in attributes:
            return np.array(attributes[name], kind)
    for name, kind in (("value_floats", np.float32), ("value_ints", np.int64)):
        if name in attributes:
            return np.array(list(attributes[name]), kind)
    if "value" in attributes:
        return numpy_helper.to_array(attributes["value"])
    raise WeightsError(f"{path} has a Constant with {', '.join(attributes)}, which is not known here")


def _operator(path: str | Path, node: onnx.NodeProto, attributes: Attributes) -> Operator:
    operator = OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if operator is None:
        raise WeightsError(f"{path} uses the operator {node.op_type}, which cannot be made differentiable here")
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise WeightsError(f"{path} uses auto_pad in {node.op_type}; export it with explicit pads")
    if attributes.get("mode", b"constant") != b"constant" or attributes.get("training_mode", 0):
        raise WeightsError(f"{path} uses {node.op_type} in a mode that is not known here")
    return operator


def _axes(inputs: list[Any], attributes: Attributes) -> list[int] | None:
    """Axes as an attribute (older operator sets) or as the second input."""
    if len(inputs) > 1 and inputs[1] is not None:
        return inputs[1].reshape(-1).tolist()
    return list(attributes["axes"]) if "axes" in attributes else None


def _spatial_pad(x: Tensor, pads: list[int], value: float = 0.0) -> Tensor:
    """ONNX pads (all begins, then all ends) as torch's (last axis first)."""
    half = len(pads) // 2
    ordered = [pad for axis in reversed(range(half)) for pad in (pads[axis], pads[axis + half])]
    return F.pad(x, ordered, value=value) if any(ordered) else x


def _conv(inputs: list[Any], attributes: Attributes) -> Tensor:
    x, weight = inputs[:2]
    bias = inputs[2] if len(inputs) > 2 else None
    spatial = weight.dim() - 2
    ones = [1] * spatial
    x = _spatial_pad(x, list(attributes.get("pads", [0] * 2 * spatial)))
    convolve = (F.conv1d, F.conv2d, F.conv3d)[spatial - 1]
    strides, dilations = attributes.get("strides", ones), attributes.get("dilations", ones)
    return convolve(x, weight, bias, tuple(strides), 0, tuple(dilations), attributes.get("group", 1))


def _batch_norm(inputs: list[Any], attributes: Attributes) -> Tensor:
    x, scale, shift, mean, variance = inputs
    return F.batch_norm(x, mean, variance, scale, shift, False, 0.0, attributes.get("epsilon", 1e-5))


def _prelu(inputs: list[Any], _: Attributes) -> Tensor:
    x, slope = inputs
    return torch.where(x < 0, x * slope, x)


def _clip(inputs: list[Any], attributes: Attributes) -> Tensor:
    low = inputs[1] if len(inputs) > 1 else attributes.get("min")
    high = inputs[2] if len(inputs) > 2 else attributes.get("max")
    return inputs[0] if low is None and high is None else torch.clamp(inputs[0], low, high)


def _reshape(inputs: list[Any], attributes: Attributes) -> Tensor:
    x, shape = inputs[0], inputs[1].tolist()
    if not attributes.get("allowzero", 0):
        shape = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return x.reshape(shape)


def _flatten(inputs: list[Any], attributes: Attributes) -> Tensor:
    x, axis = inputs[0], attributes.get("axis", 1)
    return x.flatten(axis) if axis == 1 else x.reshape(int(np.prod(x.shape[:axis])), -1)


def _gemm(inputs: list[Any], attributes: Attributes) -> Tensor:
    a = inputs[0].T if attributes.get("transA", 0) else inputs[0]
    b = inputs[1].T if attributes.get("transB", 0) else inputs[1]
    product = attributes.get("alpha", 1.0) * (a @ b)
    bias = inputs[2] if len(inputs) > 2 else None
    return product if bias is None else product + attributes.get("beta", 1.0) * bias


def _unsqueeze(inputs: list[Any], attributes: Attributes) -> Tensor:
    axes = _axes(inputs, attributes) or []
    rank = inputs[0].dim() + len(axes)
    x = inputs[0]
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _squeeze(inputs: list[Any], attributes: Attributes) -> Tensor:
    axes = _axes(inputs, attributes)
    return inputs[0].squeeze() if axes is None else inputs[0].squeeze(tuple(axes))


def _reduce_mean(inputs: list[Any], attributes: Attributes) -> Tensor:
    axes = _axes(inputs, attributes)
    every = list(range(inputs[0].dim()))
    return inputs[0].mean(axes or every, keepdim=bool(attributes.get("keepdims", 1)))


def _pad(inputs: list[Any], attributes: Attributes) -> Tensor:
    pads = list(attributes["pads"]) if "pads" in attributes else inputs[1].tolist()
    value = inputs[2] if len(inputs) > 2 else attributes.get("value", 0.0)
    return _spatial_pad(inputs[0], pads, float(value or 0.0))


def _gather(inputs: list[Any], attributes: Attributes) -> Tensor:
    data, index = inputs
    axis = attributes.get("axis", 0) % data.dim()
    picked = data.index_select(axis, index.reshape(-1).to(data.device) % data.shape[axis])
    return picked.reshape([*data.shape[:axis], *index.shape, *data.shape[axis + 1 :]])


OPERATORS: dict[str, Operator] = {
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": lambda inputs, attributes: torch.cat(inputs, attributes["axis"]),
    "Conv": _conv,
    "Div": lambda inputs, _: inputs[0] / inputs[1],
    "Dropout": lambda inputs, _: inputs[0],
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda inputs, _: inputs[0].mean(tuple(range(2, inputs[0].dim())), keepdim=True),
    "Identity": lambda inputs, _: inputs[0],
    "MatMul": lambda inputs, _: inputs[0] @ inputs[1],
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "PRelu": _prelu,
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
    "Relu": lambda inputs, _: F.relu(inputs[0]),
    "Reshape": _reshape,
    "Shape": lambda inputs, _: torch.tensor(inputs[0].shape, dtype=torch.int64),
    "Sigmoid": lambda inputs, _: torch.sigmoid(inputs[0]),
    "Squeeze": _squeeze,
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
    "Transpose": lambda inputs, attributes: inputs[0].permute(*attributes["perm"]),
    "Unsqueeze": _unsqueeze,
}
"""What is known here. A new entry needs a case in the test that compares each with onnxruntime."""
