"""The measurement on a GPU, at a small size."""

from __future__ import annotations

import pytest
import torch

from benchmarks.model.cuda import cuda_figures
from stableanimator.models.settings import ModelSettings


@pytest.mark.gpu
def test_a_pass_takes_time_and_memory() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    figures = {figure.name.split(",")[0]: figure.value for figure in cuda_figures(ModelSettings(), 2, (64, 64))}
    weights = 1_607_570_911 * 2 / 2**30
    assert figures["seconds of forward"] > 0
    assert weights < figures["memory of forward"] < figures["memory of forward and backward"]
    assert figures["memory of forward and backward"] > 2 * weights  # with the gradients
