"""Counts of operations and memory against arithmetic by hand."""

from __future__ import annotations

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from stableanimator.models.counting import count_flops, peak_bytes


def test_operations_of_single_layers_by_hand() -> None:
    with FakeTensorMode():
        x, picture = torch.empty(5, 7, requires_grad=True), torch.empty(2, 3, 10, 12)
        linear, convolution = nn.Linear(7, 11), nn.Conv2d(3, 4, 5, padding=2)
        query, key = torch.empty(2, 3, 6, 8), torch.empty(2, 3, 9, 8)
        assert count_flops(lambda: linear(x)) == 2 * 5 * 7 * 11
        # Backward: once more for the gradient of the input, and once for that of the weights.
        assert count_flops(lambda: linear(x).sum().backward()) == 3 * 2 * 5 * 7 * 11
        assert count_flops(lambda: convolution(picture)) == 2 * (2 * 4 * 10 * 12) * (3 * 5 * 5)
        # Scores, then their product with the values.
        assert count_flops(lambda: functional.scaled_dot_product_attention(query, key, key)) == 2 * 2 * (
            2 * 3 * 6 * 9 * 8
        )


def test_memory_of_a_chain_by_hand() -> None:
    values = 100 * 50 * 4  # bytes of one activation
    with FakeTensorMode():
        chain = nn.Sequential(*(nn.Linear(50, 50, bias=False) for _ in range(4)))
        x = torch.empty(100, 50)
        with torch.no_grad():
            assert peak_bytes(lambda: chain(x)) == 2 * values  # an input and an output
        assert peak_bytes(lambda: chain(x)) == 4 * values  # inputs of three layers, and the output
        in_place = nn.Sequential(nn.Linear(50, 50), nn.ReLU(inplace=True))
        with torch.no_grad():
            assert peak_bytes(lambda: in_place(x)) == values
