"""The benchmark of selecting again, on a few made-up shots: its rows are complete, and nothing of them is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.reselect import KEYS, main, select, write_measures
from pipelines.storage.store import Store
from pipelines.storage.tables import FRAMES, KEYPOINT_COUNT


def test_made_up_shots_are_selected_by_their_score(tmp_path: Path):
    store = Store(str(tmp_path))
    sources = write_measures(store, videos=5, shots=12, frames=3)
    assert sources.num_rows == 5
    release, _ = select(store, sources, 0.5)
    counts = release.manifest["counts"]["shots"]
    assert counts["total"] == 12
    assert 0 < counts["accept"] < 12
    scores = release.table("verdicts")
    accepted = {row["shot_id"] for row in scores.to_pylist() if row["face_score"] >= 0.5}
    assert set(release.table("clips")["shot_id"].to_pylist()) == accepted
    frames = release.table("frames")
    assert frames.schema.equals(FRAMES)
    assert frames.num_rows == 3 * len(accepted)
    assert {len(row["keypoints"][0]) for row in frames.to_pylist()} == {KEYPOINT_COUNT * 3}
    assert len(store.parts(*KEYS.family("keypoints"))) == 5


def test_it_reports_at_a_small_size_and_keeps_no_record(capsys: pytest.CaptureFixture[str]):
    main(["--videos", "70", "--shots", "80", "--frames", "2", "--repeats", "1"])  # the bar is for another size
    output = capsys.readouterr().out
    assert "re-select, warm" in output
    assert "reselect.json" not in output
