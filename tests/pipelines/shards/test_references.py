from __future__ import annotations

import numpy as np
import pytest

from pipelines.shards.measured import MeasuredClip, MeasuredFrame
from pipelines.shards.references import Candidate, Cut, candidates_of, row_references, usable_positions
from pipelines.shards.settings import Crop, EncodeSettings
from stableanimator.media.framing import Framing

INSIDE = (10.0, 10.0, 20.0, 20.0)
OUTSIDE = (70.0, 10.0, 90.0, 20.0)  # its centre lies right of a cut of 64 from the left
CUT = Framing((64, 128), (64, 128), (64, 64), 0, 0)


def _frame(index: int, *, face: tuple[float, float, float, float] | None, people: int = 1) -> MeasuredFrame:
    keypoints = np.full((people, 133, 3), float(index), np.float32)
    faces = np.array([face] if face else [], np.float32).reshape(-1, 4)
    embedding = np.array([1, 0], np.float32) if face else None
    return MeasuredFrame(index=index, time=index / 8, keypoints=keypoints, faces=faces, embedding=embedding)


def _clip(shot: str, frames: list[MeasuredFrame], height: int = 64, width: int = 128) -> MeasuredClip:
    return MeasuredClip(clip={"shot_id": shot, "height": height, "width": width, "fps": 8.0}, measured=frames)


def _cut(owner: MeasuredClip) -> Cut:
    return Cut(owner=owner, crop="centre", framing=CUT, positions=usable_positions(owner.measured, CUT))


def test_candidates_have_a_face_in_the_cut_and_a_skeleton_and_are_spread() -> None:
    frames = [_frame(i, face=INSIDE) for i in range(20)]
    frames[0] = _frame(0, face=None)
    frames[1] = _frame(1, face=OUTSIDE)
    frames[2] = _frame(2, face=INSIDE, people=0)
    for count, expected in ((20, [3, 11, 19]), (5, [3, 4]), (3, [])):
        candidates = _cut(_clip("a", frames[:count])).candidates(3)
        assert [each.position for each in candidates] == expected
        assert [each.name for each in candidates] == [f"a/{index}" for index in expected]


def _candidates(owner: MeasuredClip, positions: list[int]) -> list[Candidate]:
    return [Candidate(owner=owner, crop="centre", framing=CUT, position=position) for position in positions]


@pytest.mark.parametrize(
    ("positions", "window", "expected"),
    [
        ([1, 5, 9], range(4, 8), [1, 9]),
        ([1, 5], range(8), [1, 5]),
        ([2, 3, 9], range(0, 8, 2), [3, 9]),  # between the frames of a row with a stride
    ],
)
def test_references_are_other_frames_where_there_are_some(
    positions: list[int], window: range, expected: list[int]
) -> None:
    own = _clip("a", [_frame(i, face=INSIDE) for i in range(10)])
    assert [each.position for each in row_references(_candidates(own, positions), own, window)] == expected
    # A frame of another clip is none of the row's, wherever it stands in its own.
    lent = _candidates(_clip("b", own.measured), positions)
    assert row_references(lent, own, window) == lent


def _standing(index: int, x: float) -> MeasuredFrame:
    """Head, shoulders and hips around `x` of a picture of 128x256, and a face."""
    pose = np.full((1, 133, 3), (np.nan, np.nan, 0), np.float32)
    for joint, (dx, y) in {1: (2, 8), 2: (-2, 8), 5: (5, 14), 6: (-5, 14), 11: (3, 26), 12: (-3, 26)}.items():
        pose[0, joint] = (x + dx, y, 0.9)
    box = np.array([[x - 4, 4, x + 4, 12]], np.float32)
    return MeasuredFrame(index=index, time=index / 8, keypoints=pose, faces=box, embedding=np.ones(2, np.float32))


SETTINGS = EncodeSettings(
    references="same_person", crops=("centre", "person", "half_body"), reference_count=4, max_enlargement=3.0
)


def test_other_clips_lend_a_cut_each_before_a_second_of_any() -> None:
    own = _cut(_clip("a", [_frame(i, face=INSIDE) for i in range(6)]))
    # In the middle of the picture, so that `person` is `centre` again, and small, so that `half_body` is not.
    lenders = [_clip(shot, [_standing(i, 64) for i in range(9)]) for shot in ("b", "c", "d")]
    for count in (1, 2, 3):
        few = candidates_of(own, lenders, EncodeSettings(references="same_person", reference_count=count))
        assert [each.owner.shot_id for each in few] == ["b", "c", "d"][:count]
    four = candidates_of(own, lenders, SETTINGS)
    assert [each.owner.shot_id for each in four] == ["b", "c", "d", "b"]
    assert {each.crop for each in four if each.owner.shot_id == "b"} == {"centre", "half_body"}
    assert {each.framing.size for each in four} == {(64, 64)}
    assert [each.name for each in candidates_of(own, lenders, SETTINGS)] == [each.name for each in four]


def test_without_another_clip_other_cuts_of_the_own_one_come_before_its_own() -> None:
    alone = _clip("a", [_standing(i, 64) for i in range(9)])
    own = Cut(owner=alone, crop="centre", framing=Framing.cover((64, 128), (64, 64)), positions=list(range(9)))
    for lenders in ([], [_clip("b", [_frame(0, face=None)])]):
        chosen = candidates_of(own, lenders, SETTINGS)
        assert [(each.owner.shot_id, each.crop, each.position) for each in chosen] == [
            ("a", "half_body", position) for position in (0, 3, 5, 8)
        ]
    only = candidates_of(own, [], EncodeSettings(references="same_person", crops=("centre",), reference_count=2))
    assert [(each.crop, each.position) for each in only] == [("centre", 0), ("centre", 8)]


def test_both_is_half_of_the_own_cut_and_half_of_the_person() -> None:
    alone = _clip("a", [_standing(i, 64) for i in range(9)])
    own = Cut(owner=alone, crop="centre", framing=Framing.cover((64, 128), (64, 64)), positions=list(range(9)))
    lender = _clip("b", [_standing(i, 64) for i in range(9)])

    def chosen(crops: tuple[Crop, ...], lenders: list[MeasuredClip]) -> list[tuple[str, str, int]]:
        settings = EncodeSettings(references="both", crops=crops, reference_count=5, max_enlargement=3.0)
        return [(each.owner.shot_id, each.crop, each.position) for each in candidates_of(own, lenders, settings)]

    of_own_cut = [("a", "centre", 0), ("a", "centre", 4), ("a", "centre", 8)]
    assert chosen(("centre",), [lender]) == [*of_own_cut, ("b", "centre", 0), ("b", "centre", 8)]
    assert chosen(("centre", "half_body"), []) == [*of_own_cut, ("a", "half_body", 0), ("a", "half_body", 8)]
    assert chosen(("centre",), []) == of_own_cut
