"""The training loop: an interrupted training ends as an undisturbed one, and what is learned is right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stableanimator.errors import InputError
from stableanimator.synthetic.networks.training import Batch, Schedule, train

SCHEDULE = Schedule(steps=60, batch=8, warmup=5, save_every=10, average=0.9, weight_decay=0.0, learning_rate=0.05)


def sample(generator: np.random.Generator, count: int) -> Batch:
    x = generator.normal(size=(count, 3, 2, 2)).astype(np.float32)
    return {"x": torch.from_numpy(x), "y": torch.from_numpy(x.mean((1, 2, 3)))}


def loss(network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    found = network(batch["x"]).float().mean((1, 2, 3))
    value = (found - batch["y"]).square().mean()
    return value, {"squared": value.item()}


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Conv2d(3, 1, 1)


def test_an_interrupted_training_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    whole = train(network(), sample, loss, SCHEDULE, tmp_path / "whole").state_dict()

    class _InterruptedError(Exception):
        pass

    calls = 0

    def breaks(generator: np.random.Generator, count: int) -> Batch:
        nonlocal calls
        calls += 1
        if calls > 35:
            raise _InterruptedError
        return sample(generator, count)

    with pytest.raises(_InterruptedError):
        train(network(), breaks, loss, SCHEDULE, tmp_path / "broken")
    resumed = train(network(), sample, loss, SCHEDULE, tmp_path / "broken").state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=0)


def test_what_can_be_learned_is_learned(tmp_path: Path) -> None:
    trained = train(network(), sample, loss, replace(SCHEDULE, steps=300), tmp_path)
    # the mean over three channels is a convolution with weights of a third
    torch.testing.assert_close(trained.weight.flatten(), torch.full((3,), 1 / 3), atol=0.02, rtol=0)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    train(network(), sample, loss, replace(SCHEDULE, steps=10), tmp_path)
    with pytest.raises(InputError, match="belongs to another network"):
        train(nn.Conv2d(3, 2, 1), sample, loss, SCHEDULE, tmp_path)
