"""Metrics of single results to figures of each variant: means with intervals, distances of sets, and who is ahead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jobs.evaluation.metrics import Measured
from stableanimator.metrics.intervals import Interval, bootstrap
from stableanimator.metrics.scoring import set_metrics, weight_of

Figures = dict[str, float | Interval]
"""Of a variant, by column: a mean with its 95 % interval, or a number that has none."""

LESS_IS_BETTER = frozenset(
    ["l1", "lpips", "lpips_alex", "lpips_squeeze", "fvd", "fvd_torchscript", "fid_vid", "fid", "dis", "flicker", "seam"]
)
"""Metrics by their published names; a column of other weights ends in `_own`."""


def figures_of(measured: Sequence[Measured]) -> Figures:
    """The figures of one variant's results; empty where none was measured.

    Means are over all frames, faces or joints, as the published scripts take them (`scoring.weight_of`); their
    intervals are over the videos, since frames of one video are alike. `coverage` is the share of all drives' seconds
    that was scored.
    """
    there = [(one, one.metrics) for one in measured if one.metrics is not None]
    if not there:
        return {}
    videos = [one.prediction["truth_uri"] or one.prediction["reference_uri"] for one, _ in there]
    scored = [metrics.counts["frames"] for _, metrics in there]
    figures: Figures = {"pairs": float(len(there)), "videos": float(len(set(videos)))}
    figures["coverage"] = sum(scored) / sum(one.driven for one, _ in there)
    for column in there[0][1].columns:
        rows = [(metrics.columns[column], metrics.counts[weight_of(column)]) for _, metrics in there]
        mean = _mean([(value or 0.0, weight if value is not None else 0) for value, weight in rows], videos)
        if mean is not None:
            figures[column] = mean
    with_truth = [(metrics.features, one.truth) for one, metrics in there if one.truth is not None]
    return figures | set_metrics([result for result, _ in with_truth], [truth for _, truth in with_truth])


def _mean(rows: Sequence[tuple[float, int]], videos: Sequence[str]) -> Interval | None:
    """Weighted mean of values with their weights, and its interval over the videos; None where nothing has weight."""
    sums: dict[str, tuple[float, float]] = {}
    for (value, weight), video in zip(rows, videos, strict=True):
        total, weights = sums.get(video, (0.0, 0.0))
        sums[video] = (total + value * weight, weights + weight)
    over, under = np.array([each for each in sums.values() if each[1] > 0]).reshape(-1, 2).T
    return bootstrap(lambda total, weights: total / weights, over, under) if len(over) else None


def flat_figures(figures: Figures) -> dict[str, float]:
    """As MLflow has them: `metric`, and of an interval `metric_low` and `metric_high`."""
    flat: dict[str, float] = {}
    for name, figure in figures.items():
        if isinstance(figure, Interval):
            flat |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
        else:
            flat[name] = figure
    return flat


def rank_flips(figures: Mapping[str, Figures]) -> Iterator[str]:
    """A line for each metric by which protocols rank the variants differently.

    Args:
        figures: by variant.
    """
    by_metric: dict[str, dict[str, list[str]]] = {}
    for column in dict.fromkeys(name for each in figures.values() for name in each if "/" in name):
        protocol, _, metric = column.partition("/")
        values = {name: value_of(each[column]) for name, each in figures.items() if column in each}
        sign = 1 if metric.removesuffix("_own") in LESS_IS_BETTER else -1
        best_first = sorted((sign * value, name) for name, value in values.items())
        by_metric.setdefault(metric, {})[protocol] = [name for _, name in best_first]
    for metric, ranks in by_metric.items():
        if len({tuple(names) for names in ranks.values()}) > 1:
            told = "; ".join(f"{protocol}: {' > '.join(names)}" for protocol, names in ranks.items())
            yield f"{metric} ranks the variants differently by protocol: {told}"


def value_of(figure: float | Interval) -> float:
    """The number itself."""
    return figure.value if isinstance(figure, Interval) else figure
