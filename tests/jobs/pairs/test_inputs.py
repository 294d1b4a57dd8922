from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from jobs.pairs.inputs import Drive, PairReader, _read_table, assign, misalignment, owner_first, rate, read_pairs
from pipelines.storage.tables import FRAMES, PAIRS
from stableanimator.animate import Reference
from stableanimator.errors import InputError, PersonError, RowError
from stableanimator.perception.faces import Face
from stableanimator.perception.settings import FaceSettings, PerceptionSettings, PoseSettings

EMPTY: dict[str, Any] = dict.fromkeys(PAIRS.names)


def _person(x: float) -> np.ndarray:
    """Nose and eyes around (x, 20), body below."""
    pose = np.full((133, 3), np.nan, np.float32)
    pose[:, 2] = 0
    pose[:17, 0], pose[:17, 1], pose[:17, 2] = x + np.arange(17), 40, 0.9
    pose[:3, :2] = [[x, 22], [x + 3, 18], [x - 3, 18]]
    return pose


def _drive(*frames: list[np.ndarray]) -> Drive:
    poses = [np.stack(people) if people else np.zeros((0, 133, 3), np.float32) for people in frames]
    return Drive(frame_index=list(range(len(poses))), poses=poses, height=100, width=200, fps=5, left_out=0)


def _reference(people: int) -> Reference:
    keypoints = np.stack([_person(30 * i) for i in range(people)])
    return Reference(
        picture=np.zeros((50, 50, 3), np.uint8), keypoints=keypoints, face_embedding=np.ones(4, np.float32)
    )


def test_misalignment_is_in_degrees_and_image_heights_and_null_is_none() -> None:
    assert misalignment(EMPTY) is None
    assert misalignment(EMPTY | {"rotation": 0.0, "scale": 1.0, "tx": 0.0, "ty": 0.0}) is None
    moved = misalignment(EMPTY | {"rotation": 90.0, "tx": 0.25})
    assert moved is not None
    # On a screen, 90 degrees turn x (right) into y (down).
    point = moved.apply(torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(point, torch.tensor([[0.25, 1.0]]), atol=1e-6, rtol=0)
    with pytest.raises(RowError, match="bad_misalignment"):
        misalignment(EMPTY | {"scale": -1.0})


def test_people_are_matched_in_order_or_by_the_map() -> None:
    drive = _drive([_person(0), _person(100)], [_person(101), _person(1)])
    one, driving = assign(EMPTY, _reference(1), drive)
    assert (len(one.keypoints), driving.keypoints.shape) == (1, (2, 1, 133, 3))
    np.testing.assert_array_equal(driving.keypoints[:, 0, 0, 0], [0, 1])
    _, mapped = assign(EMPTY | {"person_map": [1]}, _reference(1), drive)
    np.testing.assert_array_equal(mapped.keypoints[:, 0, 0, 0], [100, 101])
    two, both = assign(EMPTY, _reference(3), drive)
    assert len(two.keypoints) == both.keypoints.shape[1] == 2
    assert (both.height, both.width, both.misalignment) == (100, 200, None)


@pytest.mark.parametrize("person_map", [[2], [0, 1], [], [-1]])
def test_a_map_to_nobody_is_refused(person_map: list[int]) -> None:
    with pytest.raises(RowError, match="bad_person_map"):
        assign(EMPTY | {"person_map": person_map}, _reference(1), _drive([_person(0), _person(100)]))


def test_the_owner_of_the_main_face_comes_first() -> None:
    box = np.array([90, 10, 110, 30], np.float32)
    face = Face(box=box, score=0.9, landmarks=np.zeros((5, 2), np.float32), embedding=np.ones(4, np.float32))
    hidden = _person(100)
    hidden[:, 2] = 0
    assert owner_first(np.stack([_person(0), hidden, _person(98)]), face) == [2, 0, 1]
    assert owner_first(np.stack([hidden]), face) == [0]


def test_rate_is_the_mean_over_the_times() -> None:
    assert rate(np.array([1.0, 1.1, 1.4, 1.5]), 9) == pytest.approx(6)
    assert rate(np.array([1.0]), 9) == 9


def _keypoints_table(path: Path, metadata: dict[str, str] | None) -> str:
    rows = [
        {"frame_index": i, "time": i / 10, "keypoints": None if i == 4 else [_person(i).ravel().tolist()]}
        for i in reversed(range(12))
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=FRAMES).replace_schema_metadata(metadata), path)
    return str(path)


def test_poses_from_a_table_are_in_order_strided_and_cut(tmp_path: Path) -> None:
    uri = _keypoints_table(tmp_path / "poses.parquet", {"frame_size": json.dumps([48, 64])})
    pair = EMPTY | {"driving_keypoints_uri": uri, "start": 2, "end": 11}
    every = _read_table(pair, None, 100)
    assert every.frame_index == [2, 3, 5, 6, 7, 8, 9, 10]  # frame 4 was not measured
    assert (every.height, every.width, every.left_out) == (48, 64, 0)
    assert math.isclose(every.poses[0][0, 0, 0], 2)
    some = _read_table(EMPTY | {"driving_keypoints_uri": uri, "start": 5}, 5.0, 3)
    assert (some.frame_index, some.left_out) == ([5, 7, 9], 1)
    assert some.fps == pytest.approx(5)


def test_a_table_without_a_frame_size_or_rows_is_refused(tmp_path: Path) -> None:
    uri = _keypoints_table(tmp_path / "poses.parquet", None)
    with pytest.raises(RowError, match="no_frame_size"):
        _read_table(EMPTY | {"driving_keypoints_uri": uri}, None, 4)
    with pytest.raises(RowError, match="no_driving_frames"):
        _read_table(EMPTY | {"driving_keypoints_uri": uri, "start": 50}, None, 4)
    with pytest.raises(RowError, match="bad_keypoints_table"):
        _read_table(EMPTY | {"driving_keypoints_uri": str(tmp_path / "gone.parquet")}, None, 4)


def test_an_unreadable_pairs_table_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "pairs.parquet").write_text("no table")
    with pytest.raises(InputError, match="no readable Parquet table"):
        read_pairs(str(tmp_path / "pairs.parquet"))


@pytest.mark.real_data
def test_real_pictures_and_clips_become_people(real_data: Path) -> None:
    weights, media = real_data / "weights", real_data / "media"
    reader = PairReader(
        PerceptionSettings(
            faces=FaceSettings(pack_root=str(weights / "insightface"), pack="small"),
            pose=PoseSettings(
                detector=str(weights / "dwpose" / "yolox_nano_640.onnx"),
                pose=str(weights / "dwpose" / "simplepose_as_wholebody133.onnx"),
            ),
        )
    )
    reference = reader.reference(str(media / "images" / "full_body_1.jpg"))
    (face, *_) = reader.faces(reference.picture)
    nose = reference.keypoints[0, 0]
    assert nose[2] > 0.3
    assert (face.box[:2] < nose[:2]).all()
    assert (nose[:2] < face.box[2:]).all()
    with pytest.raises(PersonError, match="no_reference_face"):
        reader.reference(str(media / "images" / "dog.jpg"))
    clip = str(media / "videos" / "lp_d18.mp4")
    drive = reader.drive(EMPTY | {"driving_uri": clip, "start": 10, "end": 30}, 5.0, 3)
    assert drive.frame_index[0] == 10
    assert len(drive.poses) == 3
    assert drive.left_out > 0
    assert all((people[0, :3, 2] > 0.3).all() for people in drive.poses)
    with pytest.raises(RowError, match="no_driving_frames"):
        reader.drive(EMPTY | {"driving_uri": clip, "start": 10_000}, None, 3)
