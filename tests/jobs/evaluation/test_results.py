"""Tables of other systems' results: what they name, and which frames of the drive theirs stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jobs.evaluation.results import located, read_results
from pipelines.storage.pair_tables import PAIRS
from stableanimator.errors import InputError, RowError
from stableanimator.media.video import write_mp4

PAIR: dict[str, Any] = dict.fromkeys(PAIRS.names) | {"reference_uri": "/r.png", "start": 10, "end": 40}


@pytest.fixture
def drive(tmp_path: Path) -> str:
    """60 frames, 30 a second."""
    write_mp4(tmp_path / "drive.mp4", [np.zeros((16, 16, 3), np.uint8)] * 60, 30)
    return str(tmp_path / "drive.mp4")


def _table(path: Path, *lines: str, names: str = "pair_id,variant,uri") -> str:
    path.write_text("\n".join([names, *lines]) + "\n")
    return str(path)


def _pairs(drive: str | None, *names: str) -> list[dict[str, Any]]:
    return [PAIR | {"pair_id": name, "driving_uri": drive, "truth_uri": drive} for name in names]


def _locate(tmp_path: Path, drive: str | None, columns: str, values: str) -> dict[str, Any]:
    table = _table(tmp_path / "results.csv", f"a,Champ,result{values}", names=f"pair_id,variant,uri{columns}")
    return located(read_results(table, _pairs(drive, "a"), ())[0])


def _video(tmp_path: Path, frames: int, fps: float) -> None:
    write_mp4(tmp_path / "result", [np.zeros((16, 16, 3), np.uint8)] * frames, fps)


def test_every_system_has_a_row_of_every_pair(tmp_path: Path) -> None:
    table = _table(tmp_path / "results.csv", "b,One-to-All,/o/b.mp4", "a,MRAA,m/a.mp4", "b,MRAA,s3://x/b")
    rows = read_results(table, _pairs(None, "a", "b"), ("plain",))
    assert [(row["variant"], row["pair_id"], row["status"], row["prediction_uri"]) for row in rows] == [
        ("One-to-All", "a", "failed", None),
        ("One-to-All", "b", "done", "/o/b.mp4"),
        ("MRAA", "a", "done", str(tmp_path / "m/a.mp4")),  # beside the table
        ("MRAA", "b", "done", "s3://x/b"),
    ]
    assert rows[0]["reason"] == "no_result"
    assert rows[1]["cut_middle"] == [0.5, 0.5]


def test_a_relative_path_beside_a_table_elsewhere(tmp_path: Path) -> None:
    table = _table(tmp_path / "results.csv", "a,MRAA,m/a.mp4")
    (row,) = read_results(Path(table).as_uri(), _pairs(None, "a"), ())
    assert row["prediction_uri"] == f"file://{tmp_path}/m/a.mp4"


@pytest.mark.parametrize(
    ("fps", "frames", "indices", "left_out"),
    [
        (30, 30, range(10, 40), 0),
        (30, 16, range(10, 26), 14),  # a system that stops after 16 frames
        (10, 10, range(10, 40, 3), 0),
        (24, 24, [round(10 + k * 30 / 24 - 1e-9) for k in range(24)], 0),  # nearest: no whole number of frames apart
        (30, 50, range(10, 40), 0),
    ],
)
def test_a_video_stands_for_the_frames_of_its_moments(
    fps: float, frames: int, indices: Any, left_out: int, tmp_path: Path, drive: str
) -> None:
    _video(tmp_path, frames, fps)
    row = _locate(tmp_path, drive, "", "")
    assert row["frame_index"] == list(indices)
    assert (row["frames_left_out"], row["fps"]) == (left_out, pytest.approx(fps))
    assert row["detail"] == ("20 of its 50 frames lie behind the drive" if frames == 50 else None)


def test_what_the_table_states_counts(tmp_path: Path, drive: str) -> None:
    """A video whose own rate is not that of its drive: every second frame, after the first three."""
    _video(tmp_path, 8, 7)
    row = _locate(tmp_path, drive, ",every,skip,cut_x,cut_y", ",2,4,0.25,")
    assert row["frame_index"] == list(range(14, 30, 2))
    assert row["fps"] == pytest.approx(7)
    assert row["frames_left_out"] == 5 + round(4 / 30 * 7)  # 30, 32 … 38 were not made, nor what was skipped
    assert row["cut_middle"] == [0.25, 0.5]
    assert _locate(tmp_path, drive, ",fps", ",10")["frame_index"] == list(range(10, 34, 3))


def test_pictures_stand_for_one_frame_each(tmp_path: Path, drive: str) -> None:
    (tmp_path / "result").mkdir()
    for number in range(12):
        Image.new("RGB", (16, 16)).save(tmp_path / "result" / f"{number}.png")
    row = _locate(tmp_path, drive, "", "")
    assert (row["frame_index"], row["fps"]) == (list(range(10, 22)), pytest.approx(30))
    every = _locate(tmp_path, drive, ",every", ",2")
    assert (every["frame_index"], every["fps"]) == (list(range(10, 34, 2)), pytest.approx(15))


def test_without_a_video_of_the_drive_all_frames_count(tmp_path: Path) -> None:
    _video(tmp_path, 5, 8)
    row = _locate(tmp_path, None, "", "")
    assert (row["frame_index"], row["fps"]) == ([0, 1, 2, 3, 4], pytest.approx(8))


def test_a_result_behind_its_drive_is_a_bad_row(tmp_path: Path, drive: str) -> None:
    _video(tmp_path, 5, 8)
    with pytest.raises(RowError, match="no_driving_frames"):
        _locate(tmp_path, drive, ",skip", ",30")


@pytest.mark.parametrize(
    ("lines", "names", "message"),
    [
        ([], "pair_id,variant,uri", "it has no row"),
        (["a,MRAA,/a.mp4", "a,MRAA,/b.mp4"], "pair_id,variant,uri", "row 2: MRAA of a is named before"),
        (["c,MRAA,/a.mp4"], "pair_id,variant,uri", "row 1, column 'pair_id': the pairs have no 'c'"),
        (["a,plain,/a.mp4"], "pair_id,variant,uri", "'plain' is measured already"),
        (["a,repeat,/a.mp4"], "pair_id,variant,uri", "'repeat' is measured already"),
        (["a,two words,/a.mp4"], "pair_id,variant,uri", "not 'two words'"),
        (["a,MRAA,"], "pair_id,variant,uri", "row 1, column 'uri' is empty"),
        (["a,MRAA,/a.mp4,0"], "pair_id,variant,uri,every", "'every': 0; it must be at least 1"),
        (["a,MRAA,/a.mp4,-1"], "pair_id,variant,uri,skip", "'skip': -1; it must not be negative"),
        (["a,MRAA,/a.mp4,0"], "pair_id,variant,uri,fps", "'fps': 0; it must be above 0"),
        (["a,MRAA,/a.mp4,2"], "pair_id,variant,uri,cut_x", "'cut_x': 2; it must lie in 0 to 1"),
        (["a,MRAA,/a.mp4"], "pair,variant,uri", "it lacks the column 'pair_id'"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(tmp_path: Path, lines: list[str], names: str, message: str) -> None:
    table = _table(tmp_path / "results.csv", *lines, names=names)
    with pytest.raises(InputError) as caught:
        read_results(table, _pairs(None, "a", "b"), ("plain",))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"evaluate.results: {table}: ")
    assert "\n" not in str(caught.value)
