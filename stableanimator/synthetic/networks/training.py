"""The one training loop: seeded by step, resumable, with averaged weights.

A step's samples depend on (seed, step) alone, so that an interrupted training goes on as if it had not been.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stableanimator.errors import InputError

Batch = dict[str, Tensor]
Sampler = Callable[[np.random.Generator, int], Batch]
Loss = Callable[[nn.Module, Batch], tuple[Tensor, dict[str, float]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """How long and how fast."""

    steps: int
    batch: int
    learning_rate: float = 2e-3
    """Peak of a one-cycle cosine; AdamW."""
    warmup: int = 200
    weight_decay: float = 0.02
    average: float = 0.998
    """Decay of the running mean of the weights, which is what is exported."""
    seed: int = 0
    save_every: int = 250
    settled_from: float = 1.0
    """Share of the steps after which batch norms keep their statistics, so that a network learns what it will be: sizes
    that were learned with the statistics of batches come out a few per cent off without."""


def train(
    network: nn.Module, sampler: Sampler, loss_of: Loss, schedule: Schedule, folder: Path, device: str = "cpu"
) -> nn.Module:
    """Train `network` to the end of the schedule, from where `folder`'s checkpoint left off.

    Returns:
        the averaged network, in evaluation mode.

    Raises:
        InputError: the checkpoint in `folder` belongs to another network.
    """
    torch.manual_seed(schedule.seed)
    network = network.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=schedule.weight_decay)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(schedule.average), use_buffers=True
    )
    start = _resume(folder, network, average, optimizer)
    clock, seen, notes = time.monotonic(), 0, _Notes()
    for step in range(start, schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(schedule, step)
        _set_mode(network, settled=step >= schedule.settled_from * schedule.steps)
        batch = sampler(np.random.default_rng([schedule.seed, step]), schedule.batch)
        batch = {name: value.to(device) for name, value in batch.items()}
        with torch.autocast(device, torch.bfloat16):
            loss, parts = loss_of(network, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        average.update_parameters(network)
        notes.add({"loss": loss.item(), **parts})
        seen += schedule.batch
        if (step + 1) % schedule.save_every == 0 or step + 1 == schedule.steps:
            _save(folder, step + 1, network, average, optimizer)
            rate = seen / (time.monotonic() - clock)
            print(f"step {step + 1}/{schedule.steps}  {notes.line()}  {rate:.0f} samples/s", flush=True)
    return average.module.eval()


def _set_mode(network: nn.Module, settled: bool) -> None:
    network.train()
    for module in network.modules():
        if settled and isinstance(module, nn.BatchNorm2d):
            module.eval()


def _learning_rate(schedule: Schedule, step: int) -> float:
    warm = min(1.0, (step + 1) / schedule.warmup)
    return schedule.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * step / schedule.steps)) + 1e-6


def _resume(folder: Path, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    path = folder / "checkpoint.pt"
    if not path.exists():
        return 0
    state: dict[str, Any] = torch.load(path, weights_only=True)
    try:
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
    except RuntimeError as error:
        raise InputError(f"{path} belongs to another network; remove it or train in another folder") from error
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def _save(folder: Path, step: int, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {"step": step, "network": network.state_dict(), "average": average.state_dict()}
    torch.save({**state, "optimizer": optimizer.state_dict()}, folder / "unfinished.pt")
    os.replace(folder / "unfinished.pt", folder / "checkpoint.pt")


class _Notes:
    """Means of what the steps report, since the last line."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1

    def line(self) -> str:
        text = "  ".join(f"{name} {value / self._count:.4f}" for name, value in self._sums.items())
        self._sums, self._count = {}, 0
        return text


def pixels_to_tensor(pictures: list[np.ndarray[Any, Any]]) -> Tensor:
    """Equal-sized uint8 pictures [H, W, 3] -> [B, 3, H, W] grey levels as float32, channels last in memory."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(torch.float32)
