"""Figures of variants against sums by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jobs.evaluation.means import figures_of, flat_figures, rank_flips
from jobs.evaluation.metrics import Measured
from stableanimator.errors import RowError
from stableanimator.metrics.intervals import Interval
from stableanimator.metrics.scoring import PairMetrics


def _measured(video: str, frames: int, faces: int, psnr: float | None, csim: float | None, **more: Any) -> Measured:
    prediction = {"truth_uri": video, "reference_uri": "/r", "frame_index": list(range(frames)), "frames_left_out": 2}
    counts = {"frames": frames, "frames_with_truth": frames, "faces": faces}
    metrics = PairMetrics(
        columns={"standard/psnr": psnr, "csim": csim}, counts=counts, features=more.get("features", {}), reason=None
    )
    return Measured(prediction=prediction, metrics=metrics, truth=more.get("truth"))


def test_means_are_over_frames_and_faces_and_intervals_over_videos() -> None:
    measured = [
        _measured("a", 8, 4, 20.0, 0.5),
        _measured("a", 8, 0, 30.0, None),
        _measured("b", 4, 4, 10.0, 0.9),
        Measured(prediction={"variant": "plain"}, error=RowError("not_found", "gone")),
    ]
    figures = figures_of(measured)
    assert (figures["pairs"], figures["videos"]) == (3, 2)
    assert figures["coverage"] == pytest.approx(20 / 26)
    psnr, csim = figures["standard/psnr"], figures["csim"]
    assert isinstance(psnr, Interval)
    assert isinstance(csim, Interval)
    assert psnr.value == pytest.approx((8 * 20 + 8 * 30 + 4 * 10) / 20)
    assert (psnr.low, psnr.high) == (pytest.approx(10), pytest.approx(25))  # b alone, or a alone
    assert csim.value == pytest.approx(0.7)  # where no face is, there is no cosine


def test_what_nothing_has_is_left_out() -> None:
    assert figures_of([]) == {}
    figures = figures_of([_measured("a", 8, 0, None, None)])
    assert set(figures) == {"pairs", "videos", "coverage"}


def test_distances_are_of_the_whole_set_and_only_of_results_with_truth() -> None:
    random = np.random.default_rng(0)
    one, other = random.normal(size=(2, 30, 3)).astype(np.float32)
    name = "standard/fid"
    measured = [
        _measured("a", 2, 0, 1.0, None, features={name: one}, truth={name: one}),
        _measured("b", 2, 0, 1.0, None, features={name: other}, truth={name: other}),
        _measured("c", 2, 0, 1.0, None, features={name: other + 9}, truth=None),
    ]
    assert figures_of(measured)[name] == pytest.approx(0, abs=1e-4)


def test_flat_figures_have_the_names_that_mlflow_compares() -> None:
    assert flat_figures({"pairs": 3.0, "csim": Interval(0.5, 0.25, 0.75)}) == {
        "pairs": 3.0, "csim": 0.5, "csim_low": 0.25, "csim_high": 0.75
    }  # fmt: skip


def test_a_metric_by_which_protocols_disagree_is_told() -> None:
    figures = {
        "ours": {"standard/psnr": 20.0, "disco/psnr": 19.0, "standard/l1": 0.1, "disco/l1": 1e-4, "csim": 0.5},
        "theirs": {"standard/psnr": 18.0, "disco/psnr": 21.0, "standard/l1": 0.2, "disco/l1": 2e-4, "csim": 0.6},
    }
    (line,) = rank_flips(figures)
    assert line == ("psnr ranks the variants differently by protocol: standard: ours > theirs; disco: theirs > ours")


def test_of_distances_less_is_better() -> None:
    figures = {
        "a": {"standard/fvd_own": 1.0, "disco/fvd_own": 2.0},
        "b": {"standard/fvd_own": 3.0, "disco/fvd_own": 1.0},
    }
    (line,) = rank_flips(figures)
    assert "standard: a > b; disco: b > a" in line
