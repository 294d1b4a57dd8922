"""From trained networks to ONNX files: batch norms folded, weights kept in 16 bits, the upstream names of inputs."""

from __future__ import annotations

import copy
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_OPSET = 17
_LEAST_VALUES = 64  # smaller constants stay as they are


@dataclass(frozen=True, kw_only=True, slots=True)
class Interface:
    """Names and shapes of a file."""

    inputs: str
    shape: tuple[int, ...]
    """Of an example input."""
    outputs: tuple[str, ...]
    dynamic: dict[int, str]
    """Axes of the input that may have any size, with their names."""


class _Exported(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.network.export(picture)


def export(network: nn.Module, interface: Interface, path: Path) -> None:
    """Write `network.export` as an ONNX file; the same network gives the same bytes."""
    ready = _Exported(_folded(copy.deepcopy(network).cpu().eval()))
    stream = io.BytesIO()
    torch.onnx.export(
        ready,
        (torch.zeros(interface.shape),),
        stream,
        input_names=[interface.inputs],
        output_names=list(interface.outputs),
        dynamic_axes={interface.inputs: interface.dynamic, **_dynamic_outputs(interface)},
        opset_version=_OPSET,
        dynamo=False,
    )
    model = onnx.load_from_string(stream.getvalue())
    halve(model)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _dynamic_outputs(interface: Interface) -> dict[str, dict[int, str]]:
    """The first axis of each output varies with the input: the batch, or the number of anchors."""
    return {name: {0: f"{name}_rows"} for name in interface.outputs} if interface.dynamic else {}


def _folded(network: nn.Module) -> nn.Module:
    """Fold each batch norm that stands right behind a convolution into it."""
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            _fold_neighbours(module)
    return network


def _fold_neighbours(layers: nn.Sequential) -> None:
    names = list(layers._modules)
    for first, second in itertools.pairwise(names):
        convolution, norm = layers._modules[first], layers._modules[second]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            layers._modules[first] = fuse_conv_bn_eval(convolution, norm)
            layers._modules[second] = nn.Identity()


def halve(model: onnx.ModelProto) -> None:
    """Keep large float32 constants as float16 with a cast behind them: half the file, the same interface.

    onnxruntime folds the casts when it opens the file, and computes in float32.
    """
    graph = model.graph
    casts = []
    for constant in list(graph.initializer):
        values = numpy_helper.to_array(constant)
        if values.dtype != np.float32 or values.size < _LEAST_VALUES:
            continue
        name = constant.name
        constant.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], name=f"widen_{name}", to=TensorProto.FLOAT))
    nodes: Sequence[onnx.NodeProto] = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])
