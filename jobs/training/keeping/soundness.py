"""Whether losses, gradients and weights are finite numbers. What is not is never kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from stableanimator.errors import DivergedError

SCALE_SPENT = "loss scale already at minimum"
"""What DeepSpeed raises when no scale of fp16 keeps gradients finite: after a score of skipped steps at most."""

_SHARES = (
    "single_partition_of_fp32_groups",  # ZeRO 1 and 2
    "fp32_partitioned_groups_flat",  # ZeRO 3
    "fp32_groups_flat_partition",  # its optimiser for bf16
)


def fp32_weights(engine: Any) -> list[Tensor]:
    """This worker's share of the fp32 weights that DeepSpeed keeps."""
    for name in _SHARES:
        if hasattr(engine.optimizer, name):
            return list(getattr(engine.optimizer, name))
    return [parameter for parameter in engine.module.parameters() if parameter.requires_grad]


def fault(loss: float, norm: float, *, applied: bool, scaled: bool) -> str | None:
    """What is wrong with an optimiser step, in words; None where the training may go on.

    Args:
        loss: mean of all workers.
        norm: of the gradient before clipping.
        applied: whether DeepSpeed changed the weights; it skips a step whose gradient is not finite.
        scaled: whether it scales losses (fp16): then skipped steps are how it finds the scale, and it says itself when
            there is none (`SCALE_SPENT`).
    """
    if (math.isfinite(loss) and math.isfinite(norm) and applied) or (scaled and not applied):
        return None
    return f"the loss is {loss:.4g} and the norm of the gradient {norm:.4g}"


@torch.no_grad()
def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether they hold neither NaN nor infinity."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors if tensor.is_floating_point())


def kept_by(engine: Any) -> Iterator[Tensor]:
    """What a checkpoint keeps of this worker: fp32 weights, and what the optimiser remembers of them."""
    yield from fp32_weights(engine)
    for state in engine.basic_optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, Tensor))


def require_finite(path: Path) -> None:
    """Read a file of weights, tensor by tensor.

    Raises:
        DivergedError: it holds NaN or infinity.
    """
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 (no mapping)
            if not all_finite([file.get_tensor(name)]):
                raise DivergedError(
                    f"{path} holds NaN or infinity in {name}, so it is no model and was not committed; delete "
                    f"{path.parent} and train again from before it"
                )
