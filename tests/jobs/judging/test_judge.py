"""The judge on results whose truth is known: the drive itself, as if it had been animated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.judging.figures import found
from jobs.judging.judge import Judge
from jobs.pairs.animate_job import TIMES
from jobs.pairs.drives import keypoint_table
from jobs.pairs.people import People
from pipelines.storage.pair_tables import PREDICTIONS, TIMINGS
from pipelines.storage.store import Store, parquet_bytes
from pipelines.storage.verdict_columns import JUDGED
from stableanimator.errors import RowError
from stableanimator.media.video import VideoReader, write_lossless
from stableanimator.metrics.verdict import FIGURES
from stableanimator.perception.person_boxes import in_picture
from stableanimator.perception.settings import PerceptionSettings


@pytest.fixture
def row(dance: Path, perception: PerceptionSettings, tmp_path: Path) -> dict[str, Any]:
    """Of a prediction that is the drive, frame by frame."""
    people = People(perception)
    with VideoReader(dance / "drive.mkv") as video:
        frames = video.read(range(8))
    poses = np.stack([in_picture(people(frame)[:1], (192, 192)) for frame in frames])
    table = keypoint_table(poses, range(8), 8.0, (192, 192))
    (tmp_path / "poses.parquet").write_bytes(parquet_bytes(table))
    return dict.fromkeys(PREDICTIONS.names) | {
        "pair_id": "a",
        "status": "done",
        "variant": "plain",
        "fps": 8.0,
        "cut_middle": [0.5, 0.5],
        "prediction_uri": str(dance / "drive.mkv"),
        "poses_uri": str(tmp_path / "poses.parquet"),
        "reference_uri": str(dance / "reference.png"),
        "truth_uri": "/nobody/has/this.mp4",
        "frame_index": list(range(8)),
        "frames_left_out": 0,
    }


def test_what_was_asked_for_has_the_best_figures_and_is_looked_at_once(
    row: dict[str, Any], perception: PerceptionSettings, tmp_path: Path
) -> None:
    store = Store(str(tmp_path / "root"))
    assert found(store, "key") is None
    judge = Judge(store, perception)
    judged = judge(row, (255, 255, 255), 1, "key")
    figures = judged.figures
    assert (figures["pck_drive_10"], figures["velocity_drive"], figures["face_found"]) == (1.0, 1.0, 1.0)
    assert figures["delay_drive"] == pytest.approx(0, abs=0.02)
    assert figures["csim_held_out"] is not None
    assert figures["csim_held_out"] > 0.7
    assert figures["flicker"] == 0  # its first frame is the reference, and counts: there is no truth
    assert judged.unasked == {}
    assert found(store, "key") == judged
    (timing,) = store.read_parts(TIMES, "key", TIMINGS).to_pylist()
    assert (timing["work"], timing["try"], timing["pair_id"]) == ("judge", 1, "a")


def test_a_late_result_says_by_how_much(
    row: dict[str, Any], perception: PerceptionSettings, dance: Path, tmp_path: Path
) -> None:
    with VideoReader(dance / "drive.mkv") as video:
        late = video.read([0, 0, *range(6)])
    write_lossless(tmp_path / "late.mkv", late, 8.0)
    judge = Judge(Store(str(tmp_path / "root")), perception)
    figures = judge(row | {"prediction_uri": str(tmp_path / "late.mkv")}, (255, 255, 255), 1, "late").figures
    assert figures["delay_drive"] == pytest.approx(2 / 8, abs=0.03)


def test_a_result_that_cannot_be_read_is_its_rows_matter(
    row: dict[str, Any], perception: PerceptionSettings, tmp_path: Path
) -> None:
    with pytest.raises(RowError, match="not_found"):
        Judge(Store(str(tmp_path / "root")), perception)(row | {"prediction_uri": "/gone.mkv"}, (0, 0, 0), 1, "key")


def test_the_table_has_what_verdicts_are_of() -> None:
    assert tuple(field.name for field in JUDGED) == FIGURES
