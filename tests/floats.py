"""Two computations of the same thing: equal but for rounding, on any processor.

Kernels follow the processor: they sum in another order, with or without fused multiply-add. What that changes is of the
size of the LARGEST values that went into a sum, and a small value that is left of large ones is off by many times its
own last bit. So differences are held against the largest magnitude, never against each value's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROUNDINGS = 512
"""Of float32 this is 3e-5 of the largest value. A real recogniser of some fifty layers came to 31 of them, the small
networks here to fewer (kernels of SSE2, AVX, AVX2 and AVX-512)."""


def assert_same(found: Any, expected: Any, *, largest: float | None = None) -> None:
    """`found` is `expected` but for `ROUNDINGS` of the largest magnitude, in the coarser one of their precisions.

    Args:
        found, expected: arrays or tensors of floats, of one shape; where one is NaN, so is the other.
        largest: the magnitude that rounding follows, where that is not `expected`'s own.
    """
    found, expected = (
        each.detach().numpy() if isinstance(each, Tensor) else np.asarray(each) for each in (found, expected)
    )
    assert found.shape == expected.shape
    largest = float(np.nanmax(np.abs(expected))) if largest is None else largest
    unit = max(np.finfo(each.dtype).eps for each in (found, expected)) / 2
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDINGS * unit * largest)


def assert_same_gradients(found: Mapping[str, Tensor | None], expected: Mapping[str, Tensor | None]) -> None:
    """Of weights by name, to the rounding of float32 of the largest gradient of all: some are nothing but rounding."""
    assert found.keys() == expected.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected.values() if gradient is not None)
    for name, gradient in expected.items():
        other = found[name]
        if gradient is None or other is None:
            assert gradient is other, name
        else:
            assert_same(other.to(torch.float32), gradient.to(torch.float32), largest=largest)
