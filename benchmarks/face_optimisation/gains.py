"""Gains of face optimisation over plain sampling, person by person, as figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.face_optimisation.people import Seen
from benchmarks.harness import Figure, ratio
from stableanimator.metrics.intervals import Interval, bootstrap

PLAIN = "plain"
"""The name of what was made without face optimisation."""
_MEASURES = {
    "held_out": ("held-out cosine", ""),
    "optimised": ("optimised recogniser's cosine", ""),
    "psnr": ("PSNR in the person's box", "dB"),
}


def values_of(people: Sequence[Mapping[str, Seen]], name: str, measure: str) -> npt.NDArray[np.float64]:
    """[P] a measure of one variant."""
    return np.array([getattr(person[name], measure) for person in people])


def gain_of(people: Sequence[Mapping[str, Seen]], name: str, measure: str, over: str = PLAIN) -> Interval:
    """Mean over people of one variant less another, with its 95 % interval."""
    mine, theirs = values_of(people, name, measure), values_of(people, over, measure)
    return bootstrap(lambda a, b: a - b, mine, theirs)


def gain_figures(
    what: str,
    people: Sequence[Mapping[str, Seen]],
    names: Sequence[str],
    bars: Mapping[str, tuple[float, float | None]],
    measures: Sequence[str] = tuple(_MEASURES),
) -> list[Figure]:
    """Gains of the variants over plain sampling by each measure, and of `effective` over `released`.

    Args:
        what: comes first in every figure's name.
        people: what is seen of each, by variant; `PLAIN` is among them.
        names: of the variants.
        bars: by variant, of the held-out gain and of the lower end of its interval.
        measures: fields of `Seen`.
    """
    figures = []
    for name in names:
        bar, low_bar = bars.get(name, (None, None))
        for measure in measures:
            words, unit = _MEASURES[measure]
            gain = gain_of(people, name, measure)
            before, after = (values_of(people, each, measure).mean() for each in (PLAIN, name))
            judged = bar if measure == "held_out" else None
            note = f"{before:.3f} to {after:.3f}; 95 % interval {gain.low:.3f} to {gain.high:.3f}; {len(people)} people"
            spread = (gain.high - gain.low) / 2
            figures.append(Figure(f"{what}, {name}: gain of {words}", gain.value, judged, "higher", unit, spread, note))
        if low_bar is not None:
            low = gain_of(people, name, "held_out").low
            figures.append(Figure(f"{what}, {name}: lower end of the held-out gain", low, low_bar, "higher"))
    if bars and "effective" in names and "released" in names:
        over = gain_of(people, "effective", "held_out", over="released")
        figures.append(
            Figure(
                f"{what}: held-out cosine, effective less released", over.value, 0.0, "higher",
                spread=(over.high - over.low) / 2, note=f"95 % interval {over.low:.3f} to {over.high:.3f}",
            )
        )  # fmt: skip
    return figures


def time_figures(what: str, people: Sequence[Mapping[str, Seen]], names: Sequence[str]) -> list[Figure]:
    """Processor time of variants over that of plain sampling, decoding and conditions included."""
    found = []
    for name in names:
        times = [values_of(people, each, "seconds").tolist() for each in (name, PLAIN)]
        value, spread = ratio(*times)
        found.append(Figure(f"{what}, {name}: time over plain sampling", value, None, "lower", spread=spread))
    return found
