"""What each rule does to a set of shots: whom it keeps out, whom it alone keeps out, what another threshold would give.

Only numbers of the verdict table are read, so the answer for ten thousand shots takes a fraction of a second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.releases.rule_columns import RULE_COLUMNS, Scale
from pipelines.releases.rules import CAMERA_COLUMNS, all_rules
from pipelines.releases.settings import SelectSettings

_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of a threshold
_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
_COUNTS = (0.0, 1.0, 2.0, 3.0, 4.0)
_QUANTILES = (0.05, 0.1, 0.25, 0.5)  # of the accepted shots that a rule which is off could keep out

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another threshold for one rule, all else equal."""

    threshold: float | None
    """None: the rule is switched off."""
    accepted: int
    """Shots that would be accepted."""
    current: bool
    """Whether this is the threshold of the release."""


@dataclass(frozen=True, slots=True)
class RuleEffect:
    """What one rule does to the shots of a release."""

    rule: str
    column: str
    kind: str
    """min or max."""
    threshold: float | None
    """None: the rule is switched off."""
    rejects: int
    """Shots that fail it, whatever else they fail."""
    alone: int
    """Shots that fail nothing else."""
    alternatives: tuple[Alternative, ...]
    """By threshold, the current one among them; off comes last."""


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A rejected shot, and the thresholds that would accept it."""

    row: Row
    changes: dict[str, float]
    """By rule, as near to the current threshold as three digits allow."""
    distance: float
    """By how much of a threshold it misses, at most: 0.1 is a tenth."""


def rule_effects(verdicts: Sequence[Row], settings: SelectSettings) -> list[RuleEffect]:
    """One entry for every rule on a column that was measured, switched on or not, in the order of the settings."""
    failing = [frozenset(failure["rule"] for failure in row["failed_rules"]) for row in verdicts]
    effects = []
    for rule, column, kind, threshold in all_rules(settings):
        values = column_values(verdicts, column)
        rejects = sum(rule in names for names in failing)
        if not rejects and not np.isfinite(values).any():
            continue
        only = np.array([names <= {rule} for names in failing], bool)
        passes_unmeasured = column in CAMERA_COLUMNS and settings.accept_unseen_background
        candidates = values[only]
        thresholds: list[float | None] = [*other_thresholds(column, threshold, candidates, kind), None]
        effects.append(
            RuleEffect(
                rule=rule,
                column=column,
                kind=kind,
                threshold=threshold,
                rejects=rejects,
                alone=sum(names == {rule} for names in failing),
                alternatives=tuple(
                    Alternative(one, _passing(candidates, kind, one, passes_unmeasured), one == threshold)
                    for one in thresholds
                ),
            )
        )
    return effects


def column_values(verdicts: Sequence[Row], column: str) -> NDArray[np.float64]:
    """[shots] of one column; NaN where it was not measured."""
    values = [row.get(column) for row in verdicts]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _passing(values: NDArray[np.float64], kind: str, threshold: float | None, passes_unmeasured: bool) -> int:
    if threshold is None:
        return len(values)
    measured = values[np.isfinite(values)]
    passing = measured >= threshold if kind == "min" else measured <= threshold
    return int(passing.sum()) + passes_unmeasured * (len(values) - len(measured))


def other_thresholds(column: str, threshold: float | None, candidates: NDArray[np.float64], kind: str) -> list[float]:
    """Thresholds worth a look: round steps about the current one, or, for a rule that is off, what would keep out a
    twentieth, a tenth, a quarter and half of `candidates` (NaN: not measured)."""
    scale: Scale = RULE_COLUMNS[column].scale
    if threshold is None:
        measured = candidates[np.isfinite(candidates)]
        if not len(measured):
            return []
        shares = _QUANTILES if kind == "min" else tuple(1 - share for share in _QUANTILES)
        return sorted({round_to(float(value), 2) for value in np.quantile(measured, shares)})
    steps = {"share": _SHARES, "count": _COUNTS}.get(scale, tuple(factor * threshold for factor in _FACTORS))
    return sorted({*steps, threshold})


def round_to(value: float, digits: int, towards: str = "nearest") -> float:
    """A number with so many digits: the nearest, or the next one "down" or "up"."""
    if value == 0 or not math.isfinite(value):
        return value
    place = digits - 1 - math.floor(math.log10(abs(value)))
    scaled = round(value * 10.0**place, 6)
    whole = {"nearest": round(scaled), "down": math.floor(scaled), "up": math.ceil(scaled)}[towards]
    return round(whole / 10.0**place, max(place, 0))


def near_misses(verdicts: Sequence[Row], most: int) -> list[NearMiss]:
    """The rejected shots that come nearest: those with the fewest failed rules first, then by distance.

    A shot with a failure that no threshold mends (a video that cannot be decoded, a value that was not measured) is
    none of them.
    """
    found = []
    for row in verdicts:
        failures = row["failed_rules"]
        if failures and all(failure["value"] is not None for failure in failures):
            changes = {
                one["rule"]: round_to(one["value"], 3, "down" if one["rule"].startswith("min") else "up")
                for one in failures
            }
            found.append(NearMiss(row, changes, max(shortfall(failure) for failure in failures)))
    return sorted(found, key=lambda miss: (len(miss.changes), miss.distance, miss.row["shot_id"]))[:most]


def shortfall(failure: Mapping[str, Any]) -> float:
    """By how much of the threshold a failed rule was missed: 0.1 is a tenth."""
    return float(abs(failure["value"] - failure["threshold"]) / (abs(failure["threshold"]) or 1.0))
