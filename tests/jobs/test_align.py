"""What the align job reads from a release, and the table of Dis that it prints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs.align import deciding, dis_rows, dis_table, evaluation_pairs, poses_of_clips
from jobs.settings import AlignEngineSettings, AlignJobSettings
from pipelines.store import Collection, Store
from pipelines.tables import CLIPS, FRAMES

HEIGHT = 100


def _person(x: float, y: float = 20) -> np.ndarray:
    """Body joints on a grid from (x, y) on; shoulders (5, 6) at known places; everything else missing."""
    keypoints = np.full((133, 3), (np.nan, np.nan, 0), np.float32)
    for joint in range(17):
        keypoints[joint] = (x + joint % 4 * 3, y + joint // 4 * 10 + joint, 0.9)
    keypoints[5], keypoints[6] = (x, y + 10, 0.8), (x + 8, y + 14, 0.5)
    return keypoints


@pytest.fixture
def release(tmp_path: Path) -> Collection:
    """A training clip of two people who change places in the list, and a held-out one of a person who stands still."""
    clips = [
        {"shot_id": "b", "video_id": "v", "split": "train", "height": HEIGHT, "width": 200},
        {"shot_id": "a", "video_id": "w", "split": "heldout", "height": HEIGHT, "width": 200},
    ]
    left, right = [_person(20), _person(22), _person(24)], [_person(120), _person(122), _person(124)]
    seen = {
        ("b", 4): [right[1], left[1]],
        ("b", 0): [left[0], right[0]],
        ("b", 8): [right[2], left[2]],
        ("b", 12): [],
        ("b", 16): None,
        **{("a", frame): [_person(50)] for frame in range(3)},
    }
    frames = [
        {
            "shot_id": shot,
            "frame_index": frame,
            "keypoints": None if people is None else [person.ravel() for person in people],
        }
        for (shot, frame), people in seen.items()
    ]
    tables = {
        "clips": pa.Table.from_pylist(clips, schema=CLIPS),
        "frames": pa.Table.from_pylist(frames, schema=FRAMES),
    }
    return Store(str(tmp_path)).commit("releases", content={}, tables=tables, build={})


def test_the_first_person_is_followed_in_image_heights(release: Collection) -> None:
    (poses,) = poses_of_clips(release, "train")
    assert poses.shape == (4, 18, 3)  # the frame without a measurement is left out, the one without people is not
    np.testing.assert_allclose(poses[:3, 0, 0], [0.20, 0.22, 0.24], rtol=1e-6)  # the nose
    np.testing.assert_allclose(poses[0, 1], [0.24, 0.32, 0.5], rtol=1e-6)  # neck: midpoint, the lower score
    assert np.isnan(poses[3, :, :2]).all()
    assert (poses[3, :, 2] == 0).all()
    assert [len(clip) for clip in poses_of_clips(release, "heldout")] == [3]
    assert poses_of_clips(release, "test") == []


def test_dis_on_a_person_who_stands_still(release: Collection) -> None:
    settings = AlignJobSettings(evaluation_pairs=50, methods=("none", "svd"))
    pairs, what = evaluation_pairs(settings, poses_of_clips(release, "heldout"))
    assert what == "50 pairs of 1 held-out clips"
    none, svd = dis_rows(settings, pairs, None)
    assert svd["dis"] == pytest.approx(0, abs=1e-5)  # the reference is the truth, and SVD undoes a similarity
    assert none["dis"] > 0.1
    assert (none["of_none"], svd["of_svd"]) == (1, 1)


def test_without_held_out_clips_the_table_says_so() -> None:
    _, what = evaluation_pairs(AlignJobSettings(evaluation_pairs=5), [])
    assert what == "5 pairs of procedural people (no usable held-out clip)"


def test_the_table_is_aligned() -> None:
    rows = [
        {"alignment": "none", "dis": 0.5, "of_none": 1.0, "of_svd": 4.0},
        {"alignment": "svd_no_arms", "dis": 0.125, "of_none": 0.25, "of_svd": None},
    ]
    assert dis_table(rows, "2 pairs") == (
        "Dis (image heights) on 2 pairs\n"
        "alignment          Dis   / none    / svd\n"
        "none            0.5000    1.000    4.000\n"
        "svd_no_arms     0.1250    0.250        –"
    )


def test_what_leaves_the_result_alone_does_not_name_the_run() -> None:
    quiet = AlignJobSettings(engine=AlignEngineSettings(log_every=1, keep_last=9), name="x")
    assert deciding(quiet) == deciding(AlignJobSettings())
    assert deciding(AlignJobSettings(engine=AlignEngineSettings(weight_decay=0.5))) != deciding(AlignJobSettings())
