"""Histograms of measured columns with their thresholds, as places from 0 to 1; the report's page draws them.

Edges of bars lie on the thresholds, so that no bar is on both sides of one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.releases.rule_columns import Scale, number_text

_BARS = 24
_TAIL = 0.005  # share of the shots at each end that may share the outermost bar with what lies beyond the axis
_MOST_DECADES = 4.0
_COUNTS_SHOWN = 8

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bar:
    """Shots with a value from `left` to `right`, both places on the axis from 0 to 1."""

    left: float
    right: float
    shots: int
    accepted: int
    text: str
    """The values that it stands for."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """A drawing of one column."""

    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    """Place and value."""
    low: float | None
    """Place of the `min_` threshold: what is left of it is rejected."""
    high: float | None
    """Place of the `max_` threshold: what is right of it is rejected."""
    most: int
    """Shots of the highest bar."""
    span: str
    """Median and extremes of the values, which may lie beyond the axis; the outermost bars hold what does."""


def histogram(
    values: Floats, accepted: NDArray[np.bool_], scale: Scale, low: float | None = None, high: float | None = None
) -> Histogram | None:
    """The histogram of values [n] (NaN: not measured, left out); None where none was measured.

    Args:
        accepted: [n] which shots were accepted in the end.
        low, high: the thresholds; a value on one is kept.
    """
    measured = np.isfinite(values)
    values, accepted = values[measured], accepted[measured]
    if not len(values):
        return None
    limits = [limit for limit in (low, high) if limit is not None]
    if scale == "log" and (not (values > 0).any() or any(limit <= 0 for limit in limits)):
        scale = "linear"
    axis = _Axis(scale, *_range(values, limits, scale))
    edges = _edges(axis, low, high)
    shown = values.clip(axis.start, axis.end)
    if high is not None:
        shown = np.where(values == high, np.nextafter(high, -np.inf), shown)  # bars hold their left edge: keep it left
    places = np.searchsorted(edges, shown, side="right").clip(1, len(edges) - 1) - 1
    shots = np.bincount(places, minlength=len(edges) - 1)
    kept = np.bincount(places[accepted], minlength=len(edges) - 1)
    bars = tuple(
        Bar(
            axis.place(edges[n]),
            axis.place(edges[n + 1]),
            int(shots[n]),
            int(kept[n]),
            axis.text(float(edges[n]), float(edges[n + 1])),
        )
        for n in range(len(edges) - 1)
        if shots[n]
    )
    return Histogram(
        bars=bars,
        ticks=axis.ticks(),
        low=None if low is None else axis.place(axis.boundary(low, -1)),
        high=None if high is None else axis.place(axis.boundary(high, 1)),
        most=int(shots.max()),
        span=f"median {number_text(float(np.median(values)))}, "
        f"from {number_text(float(values.min()))} to {number_text(float(values.max()))}",
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    scale: Scale
    start: float
    end: float

    def place(self, value: float) -> float:
        """0 to 1."""
        if self.scale == "log":
            place = math.log(max(value, self.start) / self.start) / math.log(self.end / self.start)
        else:
            place = (value - self.start) / (self.end - self.start)
        return round(min(max(float(place), 0.0), 1.0), 4)

    def boundary(self, limit: float, towards: int) -> float:
        """Where the line of a threshold is drawn: between two whole numbers, else on the threshold."""
        return limit + towards * 0.25 if self.scale == "count" else limit

    def text(self, left: float, right: float) -> str:
        """What a bar stands for."""
        if self.scale == "count":
            return number_text((left + right) / 2)
        return f"{number_text(left)} to {number_text(right)}"

    def ticks(self) -> tuple[tuple[float, str], ...]:
        values = _log_ticks(self.start, self.end) if self.scale == "log" else _even_ticks(self)
        return tuple((self.place(value), number_text(value)) for value in values)


def _range(values: Floats, limits: list[float], scale: Scale) -> tuple[float, float]:
    """From where to where the axis goes: over nearly all shots and over the thresholds."""
    if scale == "share" and values.min() >= 0 and values.max() <= 1:
        return 0.0, 1.0
    if scale == "count":
        return -0.25, max(min(float(values.max()), _COUNTS_SHOWN), *limits, 2.0) + 0.75
    if scale == "log":
        positive = values[values > 0]
        low, high = (float(value) for value in np.quantile(positive, [_TAIL, 1 - _TAIL]))
        high = max([high, *limits]) * 1.3
        return min([max(low, high / 10**_MOST_DECADES), *limits]) / 1.3, high
    low, high = (float(value) for value in np.quantile(values, [_TAIL, 1 - _TAIL]))
    low, high = min([low, *limits]), max([high, *limits])
    margin = 0.05 * (high - low) or max(abs(high), 1.0) * 0.1
    return (0.0 if low >= 0 and low - margin < 0 else low - margin), high + margin


def _edges(axis: _Axis, low: float | None, high: float | None) -> Floats:
    if axis.scale == "count":
        return np.arange(axis.start, axis.end + 0.25, 0.5)
    spaced = np.geomspace if axis.scale == "log" else np.linspace
    edges = np.asarray(spaced(axis.start, axis.end, _BARS + 1), np.float64)
    places = np.array([axis.place(edge) for edge in edges])
    limits = [limit for limit in (low, high) if limit is not None]
    near = np.zeros(len(edges), bool)
    for limit in limits:
        near |= np.abs(places - axis.place(limit)) <= 0.5 / _BARS
    near[[0, -1]] = False
    return np.unique(np.append(edges[~near], limits))


def _even_ticks(axis: _Axis) -> list[float]:
    span = axis.end - axis.start
    if axis.scale == "count":
        return [float(number) for number in range(math.floor(axis.end) + 1)]
    step = 10 ** math.floor(math.log10(span / 2))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 5)
    first = math.ceil(axis.start / step - 1e-9)
    return [number * step for number in range(first, math.floor(axis.end / step + 1e-9) + 1)]


def _log_ticks(start: float, end: float) -> list[float]:
    """1, 2 and 5 times powers of ten, thinned to at most seven."""
    powers = range(math.floor(math.log10(start)), math.ceil(math.log10(end)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**power for power in powers for factor in factors if start <= factor * 10.0**power <= end]
        if len(ticks) <= 7:
            return ticks
    return ticks
