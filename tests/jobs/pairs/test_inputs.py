from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from jobs.pairs.drives import Drive
from jobs.pairs.inputs import PairReader, assign, faces_of, owner_first
from pipelines.storage.pair_tables import PAIRS
from stableanimator.animate import Reference, ReferenceFace
from stableanimator.errors import PersonError, RowError
from stableanimator.media.pictures import WHITE
from stableanimator.media.video import VideoReader
from stableanimator.perception.faces import Face
from stableanimator.perception.settings import FaceSettings, PerceptionSettings, PoseSettings
from stableanimator.synthetic.figure.actor import draw_actor, figure_of
from stableanimator.synthetic.figure.geometry import View
from stableanimator.synthetic.figure.motions import move
from stableanimator.synthetic.figure.poses import mirrored

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
        picture=np.zeros((50, 50, 3), np.uint8),
        keypoints=keypoints,
        face_box=np.array([0, 10, 10, 30], np.float32),
        face_embedding=np.ones(4, np.float32),
    )


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


def _crossing(count: int, absent: dict[int, range]) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]]]:
    """Drawn people who walk through one another, and who is detected: those of some frames are not, and the order of
    each frame but the first is another one."""
    generator = np.random.default_rng(7)
    times = np.arange(40) / 10
    walkers = []
    for person in range(count):
        right = person % 2 == 0
        x = (150 + 120 * person) + (1 if right else -1) * 60 * (times - 0.5)
        moved = move("stroll", times, person)
        poses = moved.poses if right else np.stack([mirrored(pose) for pose in moved.poses])
        view = View(np.stack([x / 100, np.full(40, 2.0)], -1), np.full(40, 1.0 + 0.05 * person))
        points = figure_of(draw_actor(generator), poses, moved.expression, view).keypoints * 100
        pose = np.full((40, 133, 3), (np.nan, np.nan, 0), np.float32)
        pose[:, :17, :2], pose[:, :17, 2] = points[:, :17], 0.9
        walkers.append(pose)
    every = [[walker[frame] for walker in walkers] for frame in range(40)]
    seen = []
    for frame, people in enumerate(every):
        there = [pose for person, pose in enumerate(people) if frame not in absent.get(person, range(0))]
        seen.append(there if frame == 0 else [there[place] for place in generator.permutation(len(there))])
    return every, seen


@pytest.mark.parametrize(
    ("count", "absent"),
    [(2, {}), (2, {1: range(8, 14)}), (3, {}), (3, {0: range(17, 23), 2: range(30, 36)}), (3, {1: range(28, 40)})],
)
def test_people_who_cross_leave_and_come_back_drive_their_own(count: int, absent: dict[int, range]) -> None:
    """The reference shows them from the right to the left; in the drive they begin from the left."""
    every, seen = _crossing(count, absent)
    drive = replace(_drive(*seen), height=300, width=800)
    picture = np.zeros((300, 800, 3), np.uint8)
    shown = np.stack([every[0][person] for person in reversed(range(count))])
    reference = Reference(picture=picture, keypoints=shown, face_box=None, face_embedding=None)
    people, driving = assign(EMPTY, reference, drive)
    assert len(people.keypoints) == count
    for place, person in enumerate(reversed(range(count))):
        for frame in range(40):
            found = driving.keypoints[frame, place]
            if frame in absent.get(person, range(0)):
                assert not found[:, 2].any()
            else:
                np.testing.assert_array_equal(found, every[frame][person])
    _, named = assign(EMPTY | {"person_map": list(range(count))}, reference, drive)
    np.testing.assert_array_equal(named.keypoints, driving.keypoints[:, ::-1])


def test_somebody_who_passes_by_drives_nobody() -> None:
    drive = _drive([_person(0)], [_person(1), _person(100)], [_person(2)])
    two, driving = assign(EMPTY, _reference(2), drive)
    assert len(two.keypoints) == driving.keypoints.shape[1] == 1
    _, named = assign(EMPTY | {"person_map": [0, 1]}, _reference(2), drive)
    assert named.keypoints.shape[1] == 2
    _, seldom = assign(EMPTY, _reference(2), _drive([], [], [_person(2)]))
    assert seldom.keypoints.shape[1] == 1


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


def _face(x: float, embedding: np.ndarray | None = None) -> Face:
    """Around (x, 20), 20 pixels wide."""
    box = np.array([x - 10, 10, x + 10, 30], np.float32)
    return Face(box=box, score=0.9, landmarks=np.zeros((5, 2), np.float32), embedding=embedding)


def test_each_face_has_one_owner_and_a_face_that_nobody_is_near_has_none() -> None:
    near, far, between = _face(98), _face(400), _face(94)
    people = np.stack([_person(0), _person(97), _person(92), _person(91)])
    assert faces_of(people, [near, far, between]) == [None, near, between, None]
    assert faces_of(people, []) == [None] * 4


def test_others_keep_their_faces_as_far_as_they_are_animated() -> None:
    others = (ReferenceFace(box=np.zeros(4, np.float32), embedding=np.ones(4, np.float32)), None)
    reference = replace(_reference(3), other_faces=others)
    drive = _drive([_person(0), _person(100)])
    assert assign(EMPTY, reference, drive)[0].other_faces == others[:1]
    assert assign(EMPTY, reference, _drive([_person(0)]))[0].other_faces == ()


def test_a_face_belongs_to_who_shows_one_and_people_are_given_whole(tmp_path: Path) -> None:
    """The one whose nose and eyes lie above the picture is no owner of a face, however near they are."""
    cv2.imwrite(str(tmp_path / "reference.png"), np.full((100, 200, 3), 90, np.uint8))
    above, shows = _person(100), _person(160)
    above[:3, :2] = [[100, -2], [103, -3], [97, -3]]
    box = np.array([90, 0, 110, 8], np.float32)
    reader = PairReader.__new__(PairReader)
    face = Face(box=box, score=0.9, landmarks=np.zeros((5, 2), np.float32), embedding=np.ones(4, np.float32))
    reader.faces, reader.people = lambda picture: [face], lambda picture: np.stack([above, shows])  # type: ignore[assignment]
    found = reader.reference(str(tmp_path / "reference.png"), WHITE)
    np.testing.assert_array_equal(found.keypoints, np.stack([shows, above]))


def test_a_drive_is_given_with_what_lies_outside_its_picture() -> None:
    """Of 200 x 100 pixels."""
    leaving, gone = _person(100), _person(400)
    leaving[13:17, 1] = 140
    _, driving = assign(EMPTY, _reference(1), _drive([leaving], [leaving], [gone]))
    np.testing.assert_array_equal(driving.keypoints[:2, 0], np.stack([leaving, leaving]))
    assert not driving.keypoints[2, 0, :, 2].any()  # who lies outside as a whole is not there


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
    reference = reader.reference(str(media / "images" / "full_body_1.jpg"), WHITE)
    (face, *_) = reader.faces(reference.picture)
    nose = reference.keypoints[0, 0]
    assert nose[2] > 0.3
    assert (face.box[:2] < nose[:2]).all()
    assert (nose[:2] < face.box[2:]).all()
    with pytest.raises(PersonError, match="no_reference_person"):
        reader.reference(str(media / "images" / "dog.jpg"), WHITE)
    clip = str(media / "videos" / "lp_d18.mp4")
    drive = reader.drive(EMPTY | {"driving_uri": clip, "start": 10, "end": 30}, 5.0, 3)
    assert drive.frame_index[0] == 10
    assert len(drive.poses) == 3
    assert drive.left_out > 0
    assert all((people[0, :3, 2] > 0.3).all() for people in drive.poses)
    assert drive.remarks == ()
    frames = 10_000
    with VideoReader(clip) as video:
        count = video.info.frame_count
    beyond = reader.drive(EMPTY | {"driving_uri": clip, "start": count - 1, "end": frames}, 1000.0, 3)
    assert beyond.remarks == (f"end is {frames}, the driving video has {count} frames",)
    with pytest.raises(RowError, match="no_driving_frames"):
        reader.drive(EMPTY | {"driving_uri": clip, "start": frames}, 1000.0, 3)
