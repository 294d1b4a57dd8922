"""Real networks look at what a random denoiser makes: noise; a threshold between two seeds accepts the lesser one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.evaluation.metrics import MeasurePairs
from jobs.judging.actor import AnimateAndJudge
from jobs.judging.tries import JudgedJob
from pipelines.storage.store import Store
from stableanimator.errors import DecodeError
from stableanimator.metrics.settings import AcceptSettings, MetricNetworkSettings
from stableanimator.perception.settings import PerceptionSettings

Jobs = Callable[..., JudgedJob]
IMPOSSIBLE = AcceptSettings(min_pck_drive_10=1.0)


def _files(shared: JudgedJob) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in Path(shared.job.root).rglob("*.mp4")}


def test_tries_go_on_until_one_is_accepted_and_the_first_is_what_is_measured(
    job: Jobs, pair: dict[str, Any], perception: PerceptionSettings
) -> None:
    wanted = {"pair": pair, "variant": "plain"}
    all_of_them = AnimateAndJudge(job(IMPOSSIBLE, tries=4))(wanted)
    assert (all_of_them["accepted"], len(all_of_them["tries"])) == (False, 4)
    assert [each["seed"] for each in all_of_them["tries"]] == [1, 2, 3, 4]
    flickers = [each["figures"]["flicker"] for each in all_of_them["tries"]]
    place = next(n for n in range(3) if flickers[n + 1] < flickers[n])  # where a later seed is better than an earlier
    between = AcceptSettings(max_flicker=(flickers[place] + flickers[place + 1]) / 2)
    later = pair | {"seed": pair["seed"] + place}
    row = AnimateAndJudge(job(between, tries=3))({"pair": later, "variant": "plain"})
    assert (row["accepted"], row["kept_try"], len(row["tries"])) == (True, 2, 2)
    assert row["verdict"] == []
    (missed,) = row["tries"][0]["verdict"]
    assert (missed["name"], missed["threshold"]) == ("flicker", between.max_flicker)
    assert missed["value"] == pytest.approx(flickers[place])
    assert row["kept_figures"]["flicker"] == pytest.approx(flickers[place + 1])
    assert row["kept_uri"] != row["prediction_uri"]
    store = Store(job(between).job.root)
    assert store.read_bytes(row["kept_uri"]) != store.read_bytes(row["prediction_uri"])
    # what evaluate measures is the first try, with the judge's own networks
    actor = MeasurePairs(store, perception, MetricNetworkSettings(), ("standard",), {})
    (measured,) = actor({"predictions": [row], "repeat": False})["measured"]
    assert measured.metrics is not None
    assert measured.metrics.columns["flicker"] == pytest.approx(flickers[place])
    assert row["figures"]["flicker"] == pytest.approx(flickers[place])


def test_where_none_is_accepted_the_one_that_falls_short_the_least_is_kept(job: Jobs, pair: dict[str, Any]) -> None:
    row = AnimateAndJudge(job(AcceptSettings(max_flicker=0.0, max_seam=1.0), tries=3))(
        {"pair": pair, "variant": "plain"}
    )
    assert (row["accepted"], len(row["tries"])) == (False, 3)
    short = [abs(each["figures"]["seam"] - 1) for each in row["tries"]]  # flicker counts as 1 in each
    assert row["kept_try"] == 1 + short.index(min(short))
    assert {each["name"] for each in row["verdict"]} == {"flicker", "seam"}


def test_other_thresholds_animate_and_look_at_nothing_again(job: Jobs, pair: dict[str, Any]) -> None:
    wanted = {"pair": pair, "variant": "plain"}
    shared = job(IMPOSSIBLE, tries=2)
    store = Store(shared.job.root)
    assert shared.finished(store, **wanted) is None
    row = AnimateAndJudge(shared)(wanted)
    assert shared.finished(store, **wanted) == row
    before = _files(shared)
    lenient = job(AcceptSettings(max_flicker=255.0), tries=2)
    again = lenient.finished(store, **wanted)
    assert again is not None
    assert (again["accepted"], again["kept_try"], len(again["tries"])) == (True, 1, 1)
    assert again["kept_uri"] == again["prediction_uri"] == row["prediction_uri"]
    assert job(IMPOSSIBLE, tries=3).finished(store, **wanted) is None  # a third is missing
    more = AnimateAndJudge(job(IMPOSSIBLE, tries=3))(wanted)
    assert more["tries"][:2] == row["tries"]
    assert before.items() <= _files(shared).items()
    works = [(each["try"], each["work"]) for each in shared.timings(store, pair, row)]
    assert works == [(1, "animate"), (1, "judge"), (2, "animate"), (2, "judge")]
    assert all(each["seconds"] > 0 and each["peak_bytes"] > 1e6 for each in shared.timings(store, pair, row))


def test_where_nothing_is_asked_nothing_is_judged(job: Jobs, pair: dict[str, Any], dance: Path) -> None:
    shared = job(AcceptSettings())
    row = AnimateAndJudge(shared)({"pair": pair, "variant": "plain"})
    judged = ("kept_uri", "kept_try", "accepted", "verdict", "figures", "kept_figures", "tries")
    assert all(row[name] is None for name in judged)
    assert [each["work"] for each in shared.timings(Store(shared.job.root), pair, row)] == ["animate"]
    assert (row["seed"], row["coverage"]) == (1, 1.0)
    for column, name in (("reference_sha256", "reference.png"), ("driving_sha256", "drive.mkv")):
        assert row[column] == hashlib.sha256((dance / name).read_bytes()).hexdigest()


def test_identity_is_not_asked_without_a_recogniser_that_nothing_optimises(
    job: Jobs, pair: dict[str, Any], perception: PerceptionSettings
) -> None:
    accept = AcceptSettings(min_csim_held_out=0.9, max_flicker=255.0)
    row = AnimateAndJudge(job(accept, judges=perception.without_judge()))({"pair": pair, "variant": "plain"})
    assert row["accepted"]
    assert "csim_held_out is not judged: perception.faces.held_out names no recogniser" in row["detail"]
    with_judge = AnimateAndJudge(job(accept))({"pair": pair, "variant": "plain"})
    assert [each["name"] for each in with_judge["verdict"]] == ["csim_held_out"]  # noise has no face
    assert with_judge["prediction_uri"] == row["prediction_uri"]  # a judge makes nothing anew


def test_a_pair_with_which_something_is_wrong_stays_one_rows_matter(job: Jobs, pair: dict[str, Any]) -> None:
    shared = job(IMPOSSIBLE, tries=2)
    with pytest.raises(DecodeError, match="not_found"):
        AnimateAndJudge(shared)({"pair": pair | {"driving_uri": "/gone.mp4"}, "variant": "plain"})
    failed = shared.job.failed(pair, "plain", DecodeError("not_found", "/gone.mp4"))
    assert (failed["accepted"], failed["tries"]) == (None, None)


def test_a_try_that_fails_leaves_those_before_it_and_is_made_by_the_next_run(job: Jobs, pair: dict[str, Any]) -> None:
    wanted, shared = {"pair": pair, "variant": "plain"}, job(IMPOSSIBLE, tries=3)
    in_the_way = Path(shared.job.root, shared.job.path(pair, "plain", ".mp4", 2))
    in_the_way.mkdir(parents=True)
    row = AnimateAndJudge(shared)(wanted)
    assert (row["status"], row["kept_try"], len(row["tries"])) == ("done", 1, 1)
    assert "try 2 failed: unexpected_error" in row["detail"]
    store = Store(shared.job.root)
    assert shared.finished(store, **wanted) is None
    in_the_way.rmdir()
    assert len(AnimateAndJudge(shared)(wanted)["tries"]) == 3
    again = shared.finished(store, **wanted)
    assert again is not None
    assert "failed" not in (again["detail"] or "")


def test_equal_runs_give_equal_rows(job: Jobs, pair: dict[str, Any], tmp_path: Path) -> None:
    shared = job(IMPOSSIBLE, tries=2)
    other = replace(shared, job=replace(shared.job, root=str(tmp_path / "other")))
    rows = [AnimateAndJudge(each)({"pair": pair, "variant": "plain"}) for each in (shared, other)]
    assert rows[0] == rows[1]
