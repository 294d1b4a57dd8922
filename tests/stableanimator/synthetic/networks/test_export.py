"""Exported files compute what the networks compute, from half the bytes, the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from stableanimator.synthetic.networks.export import export
from stableanimator.synthetic.networks.train import RECIPES

pytestmark = pytest.mark.numeric


def _settled(name: str) -> nn.Module:
    """The network of a recipe with batch norms that have seen data."""
    torch.manual_seed(0)
    recipe = RECIPES[name]
    network = recipe.kept(recipe.network())
    shape = (4, *recipe.interface.shape[1:])
    for _ in range(5):
        network(torch.randn(shape))
    return network.eval()


@pytest.mark.parametrize("name", list(RECIPES))
def test_onnxruntime_gives_what_the_network_gives(tmp_path: Path, name: str) -> None:
    network, interface = _settled(name), RECIPES[name].interface
    export(network, interface, tmp_path / "a.onnx")
    export(network, interface, tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    session = ort.InferenceSession(str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == [interface.inputs]
    assert [one.name for one in session.get_outputs()] == list(interface.outputs)
    shape = [128 if axis in interface.dynamic and axis > 1 else side for axis, side in enumerate(interface.shape)]
    picture = torch.randn(shape)
    with torch.no_grad():
        expected = network.export(picture)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for found, wanted in zip(session.run(None, {interface.inputs: picture.numpy()}), expected, strict=True):
        scale = max(1.0, float(wanted.abs().max()))
        np.testing.assert_allclose(found / scale, wanted.numpy() / scale, atol=5e-3)  # weights have 11 bits
    floats = sum(one.numel() for one in network.parameters())
    assert (tmp_path / "a.onnx").stat().st_size < 2.2 * floats + 60_000
