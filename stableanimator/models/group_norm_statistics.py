"""Group norms that take their mean and variance from elsewhere: from the whole frames out of which a window is decoded.

statistics = GroupNormStatistics(vae.decoder)
with statistics.recording(0):
    vae.decode(frames, num_frames=4)      # without a gradient
with statistics.using(0):
    vae.decode(windows, num_frames=4)     # of the same frames

Means and variances are of few numbers, so they fit into any memory. They are constants for the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

_Moments = tuple[Tensor, Tensor]
"""Mean and biased variance, [N, groups, 1]."""


class GroupNormStatistics:
    """Those of a network whose group norms run once in a pass each."""

    def __init__(self, network: nn.Module) -> None:
        self._norms = [module for module in network.modules() if isinstance(module, nn.GroupNorm)]
        self._of: dict[Hashable, dict[nn.GroupNorm, _Moments]] = {}

    @contextmanager
    def recording(self, key: Hashable) -> Iterator[None]:
        """The network's passes leave their statistics under `key`."""
        moments: dict[nn.GroupNorm, _Moments] = {}
        with _replaced({norm: partial(_record, norm, moments) for norm in self._norms}):
            yield
        self._of[key] = moments

    @contextmanager
    def using(self, key: Hashable) -> Iterator[None]:
        """The network's passes take them from there.

        Raises:
            KeyError: nothing was recorded under `key`.
        """
        with _replaced({norm: partial(_normalise, norm, moments) for norm, moments in self._of[key].items()}):
            yield


@contextmanager
def _replaced(forwards: dict[nn.GroupNorm, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    for norm, forward in forwards.items():
        norm.forward = forward
    try:
        yield
    finally:
        for norm in forwards:
            del norm.forward


def _record(norm: nn.GroupNorm, moments: dict[nn.GroupNorm, _Moments], x: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x.reshape(len(x), norm.num_groups, -1), dim=-1, correction=0, keepdim=True)
    moments[norm] = (mean.detach(), variance.detach())
    return nn.GroupNorm.forward(norm, x)


def _normalise(norm: nn.GroupNorm, moments: _Moments, x: Tensor) -> Tensor:
    """Values x [N, C, ...] by given moments, then the norm's own scale and shift: one product and one sum, of which the
    backward pass keeps nothing as large as x."""
    mean, variance = (each.repeat_interleave(x.shape[1] // norm.num_groups, 1)[..., 0] for each in moments)  # [N, C]
    scale = torch.rsqrt(variance + norm.eps) * (1.0 if norm.weight is None else norm.weight)
    shift = (0.0 if norm.bias is None else norm.bias) - mean * scale
    shape = (*x.shape[:2], *(1,) * (x.ndim - 2))
    return torch.addcmul(shift.reshape(shape), x, scale.reshape(shape))
