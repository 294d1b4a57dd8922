"""What counts as a divergence, and what is never committed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from jobs.training.keeping.soundness import all_finite, fault, require_finite
from stableanimator.errors import DivergedError

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("loss", "norm", "applied", "scaled", "fine"),
    [
        (0.5, 1.0, True, False, True),
        (0.5, 1.0, True, True, True),
        (NAN, 1.0, True, False, False),
        (-INF, 1.0, True, True, False),
        (0.5, NAN, True, False, False),
        (0.5, INF, False, False, False),  # bf16 has the range of fp32: what it skips is no matter of a scale
        (0.5, 1.0, False, False, False),
        (0.5, INF, False, True, True),  # how the scaler of fp16 finds its scale
        (NAN, INF, False, True, True),  # the weights are as they were; DeepSpeed ends it when it goes on
    ],
)
def test_a_step_is_at_fault(loss: float, norm: float, applied: bool, scaled: bool, fine: bool) -> None:
    assert (fault(loss, norm, applied=applied, scaled=scaled) is None) == fine


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_that_are_no_numbers_are_not_committed(tmp_path: Path, bad: float, dtype: torch.dtype) -> None:
    weights = {"first": torch.ones(3, dtype=dtype), "count": torch.ones(1, dtype=torch.int64)}
    save_file(weights, tmp_path / "good.safetensors")
    require_finite(tmp_path / "good.safetensors")
    save_file({**weights, "last": torch.tensor([1.0, bad], dtype=dtype)}, tmp_path / "bad.safetensors")
    with pytest.raises(DivergedError, match=r"bad.safetensors holds NaN or infinity in last"):
        require_finite(tmp_path / "bad.safetensors")


def test_the_largest_numbers_are_numbers() -> None:
    assert all_finite([torch.full((3,), torch.finfo(torch.float32).max)])
