"""Which fault strikes which verb, and when: all from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

Verb = Literal["curate", "encode", "align", "train", "animate", "evaluate"]
Kind = Literal[
    "actor_killed",
    "driver_killed",
    "raylet_killed",
    "head_killed",
    "terminated",
    "disk_full",
    "tracker_down",
    "root_stalled",
    "slow_node",
    "clock_jump",
    "bit_flip",
    "two_at_once",
]
VERBS: tuple[Verb, ...] = get_args(Verb)
KINDS: tuple[Kind, ...] = get_args(Kind)

EARLIEST, LATEST = 0.1, 0.95
"""Shares of the time that an undisturbed run takes, between which faults strike."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What happens to one run."""

    number: int
    verb: Verb
    kind: Kind
    share: float
    """When, of the time that an undisturbed run takes."""
    seed: int
    """Of what else is drawn: which actor, which byte."""

    def random(self) -> np.random.Generator:
        """What it draws from, from the beginning."""
        return np.random.default_rng([self.seed, self.number])

    def __str__(self) -> str:
        return f"{self.verb}: {self.kind} at {self.share:.0%}"


def plan(count: int, seed: int, kinds: Sequence[Kind] = KINDS, verbs: Sequence[Verb] = VERBS) -> Iterator[Fault]:
    """So many faults: every kind strikes every verb once, in a drawn order, before any strikes it again."""
    random, number = np.random.default_rng(seed), 0
    while number < count:
        pairs = [(kind, verb) for kind in kinds for verb in verbs]
        for place in _mixed(random, len(kinds), len(verbs))[: count - number]:
            kind, verb = pairs[place]
            share = float(random.uniform(EARLIEST, LATEST))
            yield Fault(number=number, verb=verb, kind=kind, share=share, seed=seed)
            number += 1


def _mixed(random: np.random.Generator, kinds: int, verbs: int) -> list[int]:
    """Places in a table of kinds and verbs along its diagonals, so that few faults are of many kinds and many verbs."""
    rows, columns = random.permutation(kinds), random.permutation(verbs)
    return [int(rows[row] * verbs + columns[(row + turn) % verbs]) for turn in range(verbs) for row in range(kinds)]
