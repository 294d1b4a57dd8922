"""Which sample is trained on when: a pure function of the seed, the same for every number of workers.

Each group (samples of one picture size) has an endless sequence: a permutation for each epoch, one after the other. A
batch takes the next `batch_size` of one group, so nothing is dropped and nothing is seen twice before all was seen
once: what an epoch leaves over opens the group's first batch of the next. Batches of the groups are shuffled within an
epoch. A training of a number of epochs ends by filling up each group's last batch from the epoch after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

_GROUPS, _SAMPLES = 0, 1  # streams of the seed


@dataclass(frozen=True, slots=True)
class Draw:
    """One sample of one step."""

    position: int
    """Place in the step's batch, from 0."""
    index: int
    """Number of the sample in its data set."""
    epoch: int
    """How often the sample came before: it and the index decide the sample's random numbers."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What one worker computes in one forward pass."""

    step: int
    """Optimiser step, from 0."""
    batch_size: int
    """Samples of the whole step."""
    draws: tuple[Draw, ...]
    """The samples of this pass."""
    validation: bool = False
    """Whether they are held-out samples."""
    counted: bool = True
    """False for a repetition that only keeps workers in step with each other."""


class SampleOrder:
    """The batches of a training.

    Args:
        groups: numbers of the samples that may share a batch; empty groups count for nothing.
        batch_size: samples of a step.
        seed: of the permutations.
        epochs: how often every sample is seen at least, where `steps` is None.
        steps: length of the training.

    Raises:
        ValueError: there is no sample.
    """

    def __init__(
        self, groups: Sequence[Sequence[int] | Indices], batch_size: int, seed: int, epochs: int, steps: int | None
    ) -> None:
        self._groups = [np.asarray(group, np.int64) for group in groups if len(group)]
        if not self._groups:
            raise ValueError("there is no sample to train on")
        self.batch_size = batch_size
        self._seed = seed
        self._last_epoch = epochs - 1 if steps is None else None
        self.steps = self._batches_before(epochs) if steps is None else steps
        self._plan = lru_cache(maxsize=1)(self._plan_of)
        self._permutation = lru_cache(maxsize=2 * len(self._groups))(self._permutation_of)

    def epoch(self, step: int) -> int:
        """The epoch in which a step is."""
        epoch = 0
        while epoch != self._last_epoch and self._batches_before(epoch + 1) <= step:
            epoch += 1
        return epoch

    def batch(self, step: int) -> list[Draw]:
        """The samples of a step.

        Raises:
            IndexError: the training is shorter.
        """
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of {self.steps}")
        epoch = self.epoch(step)
        plan = self._plan(epoch)
        within = step - self._batches_before(epoch)
        group = int(plan[within])
        earlier = int((plan[:within] == group).sum())
        first = (self._group_batches(group, epoch) + earlier) * self.batch_size
        samples = len(self._groups[group])
        places = [divmod(first + position, samples) for position in range(self.batch_size)]
        return [
            Draw(position=position, index=int(self._permutation(group, turn)[place]), epoch=turn)
            for position, (turn, place) in enumerate(places)
        ]

    def passes(self, first_step: int, rank: int, workers: int, size: int) -> Iterator[Pass]:
        """What worker `rank` of `workers` computes from a step on, `size` samples at a time.

        The passes of all workers together are each step's batch, cut into pieces of `size`, dealt out in turn.
        """
        for step in range(first_step, self.steps):
            draws = self.batch(step)
            for start in range(rank * size, self.batch_size, workers * size):
                yield Pass(step, self.batch_size, tuple(draws[start : start + size]))

    def _group_batches(self, group: int, epoch: int) -> int:
        """Batches of a group that lie before an epoch."""
        samples = len(self._groups[group]) * epoch
        if self._last_epoch is not None and epoch > self._last_epoch:
            return -(-samples // self.batch_size)  # the last batch is filled up
        return samples // self.batch_size

    def _batches_before(self, epoch: int) -> int:
        return sum(self._group_batches(group, epoch) for group in range(len(self._groups)))

    def _plan_of(self, epoch: int) -> Indices:
        """The group of each batch of an epoch."""
        counts = [
            self._group_batches(group, epoch + 1) - self._group_batches(group, epoch)
            for group in range(len(self._groups))
        ]
        plan = np.repeat(np.arange(len(counts)), counts)
        return np.random.default_rng([self._seed, _GROUPS, epoch]).permutation(plan)

    def _permutation_of(self, group: int, epoch: int) -> Indices:
        return np.random.default_rng([self._seed, _SAMPLES, group, epoch]).permutation(self._groups[group])


def validation_passes(groups: Sequence[Sequence[int] | Indices], rank: int, workers: int, size: int) -> list[Pass]:
    """A worker's share of all held-out samples, the same every time.

    Every worker gets the same number of passes, since workers that share weights run them together; one that would
    have too few repeats the first, which does not count.
    """
    total = sum(len(group) for group in groups)
    pieces: list[Pass] = []
    position = 0
    for group in groups:
        for start in range(0, len(group), size):
            indices = [int(index) for index in group[start : start + size]]
            draws = tuple(Draw(position + place, index, 0) for place, index in enumerate(indices))
            pieces.append(Pass(0, total, draws, validation=True))
            position += len(indices)
    pieces += [replace(piece, counted=False) for piece in pieces[:1]] * (-len(pieces) % workers)
    return pieces[rank::workers]
