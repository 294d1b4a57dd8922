from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.releases.diff import ReleaseDiff, SettingChange, diff_releases
from pipelines.releases.rules import failed_rules
from pipelines.releases.settings import SelectSettings
from pipelines.storage.store import Collection, Store
from pipelines.storage.tables import SOURCES, VERDICTS

NUMBERS = {"people_median": 1.0, "people_most": 1.0, "face_size": 50.0}
GOOD = {"width": 500, "height": 500, "seconds": 9.0, "error": None, **NUMBERS}


def _verdict(name: str, limits: SelectSettings, errors: dict[str, str] | None = None, **values: Any) -> dict[str, Any]:
    shot = {**dict.fromkeys(VERDICTS.names), "shot_id": f"{name}:0-9", "video_id": name, **GOOD, **values}
    failed = failed_rules(shot, errors or {}, {*GOOD}, limits)
    return {**shot, "failed_rules": failed, "verdict": "reject" if failed else "accept"}


def _release(store: Store, rows: list[dict[str, Any]], face_size: float | None = 32) -> Collection:
    source = {**dict.fromkeys(SOURCES.names), "status": "fetched", "extension": ".mp4"}
    videos = sorted({row["video_id"] for row in rows})
    sources = [{**source, "source_uri": f"https://a.test/{name}.mp4", "video_id": name} for name in videos]
    tables = {
        "sources": pa.Table.from_pylist(sources, schema=SOURCES),
        "verdicts": pa.Table.from_pylist(sorted(rows, key=lambda row: row["shot_id"]), schema=VERDICTS),
    }
    settings = {"sample_fps": 8.0, "select": {"min_face_size": face_size, "min_width": 256.0}}
    content = {"settings": settings, "weights": {}, "lineage": {"measures": {"people": "k1"}}}
    return store.commit("releases", content=content, tables=tables, build={})


@pytest.fixture
def diff(tmp_path: Path) -> ReleaseDiff:
    """Every kind of change between a limit of 32 pixels for the face and one of 24."""
    store, before, after = Store(str(tmp_path)), SelectSettings(), SelectSettings(min_face_size=24)
    old = [
        _verdict("same", before),
        _verdict("small", before, face_size=28.0),
        _verdict("worse", before),
        _verdict("mended", before, {"people": "measure_failed"}),
        _verdict("other", before, face_size=20.0),
        _verdict("gone", before),
        _verdict("measured", before, face_size=40.0),
        _verdict("unseen", before, face_size=None),
    ]
    new = [
        _verdict("same", after),
        _verdict("small", after, face_size=28.0),
        _verdict("worse", after, people_most=2.0),
        _verdict("mended", after),
        _verdict("other", after, face_size=20.0, width=100),
        _verdict("added", after),
        _verdict("measured", after, face_size=41.0),
        _verdict("unseen", after, face_size=None),
    ]
    return diff_releases(_release(store, old), _release(store, new, 24))


def test_shots_that_changed_come_by_kind_and_others_do_not(diff: ReleaseDiff):
    assert [(shot.change, shot.shot_id.split(":")[0], shot.before, shot.after) for shot in diff.shots] == [
        ("accepted", "mended", "reject", "accept"),
        ("accepted", "small", "reject", "accept"),
        ("rejected", "worse", "accept", "reject"),
        ("new", "added", "", "accept"),
        ("removed", "gone", "accept", ""),
        ("reasons", "other", "reject", "reject"),
        ("measures", "measured", "accept", "accept"),
    ]
    assert diff.counts == {"accepted": 2, "rejected": 1, "new": 1, "removed": 1, "reasons": 1, "measures": 1}


def test_reasons_give_values_and_limits(diff: ReleaseDiff):
    why = {shot.shot_id.split(":")[0]: shot.why for shot in diff.shots}
    assert why["small"] == "min_face_size failed: 28, limit 32 -> 24"
    assert why["worse"] == "max_people_most fails now: 1 -> 2"
    assert why["mended"] == "people failed: measure_failed -> measured"
    assert why["other"] == "min_face_size fails in both: 20, limit 32 -> 24; min_width fails now: 500 -> 100, limit 256"
    assert why["measured"] == why["added"] == ""
    measures = {shot.shot_id.split(":")[0]: shot.measures for shot in diff.shots}
    assert measures["measured"] == "face_size 40 -> 41"
    assert measures["small"] == ""
    assert {shot.source for shot in diff.shots} >= {"https://a.test/gone.mp4", "https://a.test/added.mp4"}


def test_settings_that_changed_are_named(diff: ReleaseDiff):
    assert diff.settings == [SettingChange("settings.select.min_face_size", 32, 24)]


def test_equal_releases_differ_in_nothing(tmp_path: Path):
    rows = [_verdict("a", SelectSettings()), _verdict("b", SelectSettings(), face_size=None)]
    one = _release(Store(str(tmp_path)), rows)
    assert diff_releases(one, one) == ReleaseDiff([], [])
    empty = _release(Store(str(tmp_path)), [])
    assert [shot.change for shot in diff_releases(empty, one).shots] == ["new", "new"]
    assert [shot.change for shot in diff_releases(one, empty).shots] == ["removed", "removed"]
