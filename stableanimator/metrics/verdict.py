"""Whether a result is good enough: its figures against thresholds, and what good thresholds are.

    figures, unasked = figures_of(scoring.finish(), held_out=True)
    verdict = judged(figures, AcceptSettings(min_pck_drive_10=0.95, max_delay_drive=0.05), unasked)
    verdict.accepted, verdict.missed

A figure is a column of `stableanimator.metrics.scoring` that needs no true frames: what was asked for is the aligned
drive, and the reference's face. One that nothing can be measured of is missed, unless there was nothing to ask.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stableanimator.metrics.settings import AcceptSettings

if TYPE_CHECKING:
    from stableanimator.metrics.scoring import PairMetrics

Figures = Mapping[str, float | None]
"""By column; None: it could not be measured."""

STILL = 0.02
"""Mean speed of the drive's joints, statures a second, below which its motion is not asked for: what moves then is
mostly what the pose network errs."""
_LEAST_FRAMES = 3
"""For flicker and seams."""

_LEAST_MARGIN = {
    "min_pck_drive_10": 0.02,
    "min_velocity_drive": 0.05,
    "max_delay_drive": 0.02,
    "min_csim_held_out": 0.05,
    "min_csim": 0.05,
    "min_face_found": 0.02,
    "max_flicker": 0.5,
    "max_seam": 0.2,
}
"""How far from the worst accepted example a threshold is at least, in the figure's unit: examples that are all alike
say little of those that come."""
_TRUSTED = 10
"""Examples by whose number a threshold goes beyond the worst of them: of ten as far again as from their median to it,
of eighty an eighth of that, since fewer than one in eighty is still worse."""
FIGURES = tuple(name.partition("_")[2] for name in _LEAST_MARGIN)
"""The columns that can be asked for, in the order of `AcceptSettings`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Missed:
    """A figure that does not reach its threshold."""

    name: str
    """Of the column."""
    value: float | None
    """None: it could not be measured."""
    threshold: float

    @property
    def shortfall(self) -> float:
        """How far off, in parts of the threshold; 1 where nothing could be measured."""
        if self.value is None or self.threshold == 0:
            return 1.0
        return abs(abs(self.value) - abs(self.threshold)) / abs(self.threshold)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a result misses."""

    missed: tuple[Missed, ...]

    @property
    def accepted(self) -> bool:
        """Whether it misses nothing."""
        return not self.missed

    @property
    def shortfall(self) -> float:
        """Sum over all that is missed; 0 where it is accepted."""
        return sum(each.shortfall for each in self.missed)


def figures_of(metrics: PairMetrics, held_out: bool) -> tuple[dict[str, float | None], dict[str, str]]:
    """The figures of a result by column, and of those that there is nothing to ask of, why.

    Args:
        metrics: of `Scoring` with `drive`.
        held_out: whether a recogniser judged against which nothing is optimised.
    """
    unasked: dict[str, str] = {}
    if not held_out:
        unasked["csim_held_out"] = "perception.faces.held_out names no recogniser"
    if metrics.reason == "no_reference_face":
        unasked |= dict.fromkeys(("csim_held_out", "csim", "face_found"), "the reference shows no face")
    speed = metrics.columns["speed_drive"]
    if speed is None or speed < STILL:
        unasked |= dict.fromkeys(("velocity_drive", "delay_drive"), "the drive hardly moves")
    if metrics.counts["frames"] < _LEAST_FRAMES:
        unasked |= dict.fromkeys(("flicker", "seam"), f"fewer than {_LEAST_FRAMES} frames")
    return {name: metrics.columns[name] for name in FIGURES}, unasked


def judged(figures: Figures, accept: AcceptSettings, unasked: Collection[str] = ()) -> Verdict:
    """Figures against thresholds; a delay counts either way.

    Args:
        figures: by column.
        accept: the thresholds.
        unasked: columns of which there is nothing to ask.
    """
    missed = []
    for setting, threshold in accept.thresholds.items():
        kind, _, name = setting.partition("_")
        if name in unasked:
            continue
        value = figures[name]
        reached = value is not None and (value >= threshold if kind == "min" else abs(value) <= threshold)
        if not reached:  # nor is NaN, which is neither less nor more
            missed.append(Missed(name=name, value=value, threshold=threshold))
    return Verdict(missed=tuple(missed))


def best(verdicts: Sequence[Verdict]) -> int:
    """Which is kept: the first that is accepted, or the one that falls short the least."""
    return min(range(len(verdicts)), key=lambda number: (not verdicts[number].accepted, verdicts[number].shortfall))


def proposed(accepted: Sequence[Figures], digits: int = 2) -> AcceptSettings:
    """Thresholds that results like these reach: of each figure beyond the worst of them, by a part of the way to it
    from their median that falls with their number (`_TRUSTED`), and by a margin of the figure's own at least.

    Args:
        accepted: figures of results that a person accepted; of twenty of them at least, and of people and motions as
            they will come, or too much is refused. What none of them has is not asked.
        digits: to which thresholds are rounded, away from the examples.
    """
    found: dict[str, float] = {}
    for setting, least in _LEAST_MARGIN.items():
        kind, _, name = setting.partition("_")
        values = np.array(
            [abs(value) if kind == "max" else value for row in accepted if (value := row[name]) is not None]
        )
        if len(values) == 0:
            continue
        middle = float(np.median(values))
        worst = float(values.min() if kind == "min" else values.max())
        margin = max(least, abs(worst - middle) * min(_TRUSTED / len(values), 1))
        if kind == "min":
            found[setting] = max(_rounded(worst - margin, digits, math.floor), -1.0 if name.startswith("csim") else 0.0)
        else:
            found[setting] = _rounded(worst + margin, digits, math.ceil)
    return AcceptSettings(**found)


def _rounded(value: float, digits: int, how: Callable[[float], int]) -> float:
    """Down or up, but what differs from a round number by an error of floats stays it."""
    return how(round(value * 10**digits, 6)) / 10**digits
