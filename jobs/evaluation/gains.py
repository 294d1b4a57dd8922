"""What face optimisation changed: each optimised variant beside the one that differs from it in nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COSINES = ("csim", "csim_truth", "csim_held_out", "csim_truth_held_out")
"""Columns of METRICS that compare faces. The first two are of the recogniser that is optimised, so that a gain of
theirs says that the optimiser did something; the others are judged by a network that it never saw."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gains:
    """Means over the pairs of which both variants have a number."""

    variant: str
    """With face optimisation."""
    over: str
    """The same without."""
    of: Mapping[str, float]
    """By column of METRICS: cosine with less cosine without, -2 to 2."""
    pairs: Mapping[str, int]
    """By column: of how many pairs."""

    def __str__(self) -> str:
        told = ", ".join(f"{name} {gain:+.3f} ({self.pairs[name]})" for name, gain in self.of.items())
        return (
            f"face optimisation, {self.variant} less {self.over}, mean (pairs): {told or 'nobody has a face in both'}"
        )


def gains(rows: Sequence[Mapping[str, Any]], variants: Mapping[str, Mapping[str, Any]]) -> list[Gains]:
    """Of every variant with face optimisation that has a twin without.

    Args:
        rows: of METRICS.
        variants: settings by name, in the order of the predictions' manifest.
    """
    plain = {name: _else(each) for name, each in variants.items() if not each.get("face_optimisation")}
    found = []
    for name, settings in variants.items():
        twin = next((other for other, rest in plain.items() if rest == _else(settings)), None)
        if settings.get("face_optimisation") and twin is not None:
            found.append(_gains(rows, name, twin))
    return found


def _else(settings: Mapping[str, Any]) -> dict[str, Any]:
    """All settings but those of face optimisation."""
    return {name: value for name, value in settings.items() if name not in ("face_optimisation", "hjb")}


def _gains(rows: Sequence[Mapping[str, Any]], name: str, twin: str) -> Gains:
    by_pair = {which: {row["pair_id"]: row for row in rows if row["variant"] == which} for which in (name, twin)}
    both = [(with_it, by_pair[twin][pair]) for pair, with_it in by_pair[name].items() if pair in by_pair[twin]]
    means, counts = {}, {}
    for column in COSINES:
        cosines = [(a.get(column), b.get(column)) for a, b in both]
        differences = [a - b for a, b in cosines if a is not None and b is not None]
        if differences:
            means[column] = sum(differences) / len(differences)
            counts[column] = len(differences)
    return Gains(variant=name, over=twin, of=means, pairs=counts)
