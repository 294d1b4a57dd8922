from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.shards.measured import MeasuredFrame
from pipelines.shards.same_person import face_direction, lenders_of, people_of


def _frame(embedding: list[float] | None) -> MeasuredFrame:
    face = None if embedding is None else np.array(embedding, np.float32)
    return MeasuredFrame(index=0, time=0.0, keypoints=np.zeros((0, 133, 3)), faces=np.zeros((0, 4)), embedding=face)


def test_a_clips_face_is_the_mean_of_directions_whatever_their_lengths() -> None:
    direction = face_direction([_frame([20, 0]), _frame(None), _frame([0, 3])])
    assert direction is not None
    np.testing.assert_allclose(direction, [0.5**0.5, 0.5**0.5])
    assert face_direction([_frame(None)]) is None
    assert face_direction([_frame([1, 0]), _frame([1, 0, 0])]) is None


def _at(degrees: float) -> np.ndarray:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


def _clip(shot: str, uploader: str | None = None, split: str = "train") -> dict[str, Any]:
    return {"shot_id": shot, "uploader": uploader, "split": split}


def test_all_clips_of_a_person_are_alike_and_not_only_neighbours() -> None:
    """At 0, 30, 60 and 90 degrees each is within 40 of the next; only two at a time are within 40 of each other."""
    clips = [_clip(shot) for shot in "dcba"]
    faces = {shot: _at(30 * number) for number, shot in enumerate("abcd")}
    people = people_of(clips, faces, float(np.cos(np.radians(40))))
    assert sorted(people) == [["a", "b"], ["c", "d"]]
    assert people_of(clips, faces, 0.0)[0] == list("abcd")
    assert [len(person) for person in people_of(clips, faces, 0.999)] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("other", "together"),
    [
        (_clip("b", "ann"), True),
        (_clip("b", "bob"), False),
        (_clip("b", None), False),
        (_clip("b", "ann", "heldout"), False),
    ],
)
def test_a_face_is_looked_for_in_its_own_channel_and_split_alone(other: dict[str, Any], together: bool) -> None:
    people = people_of([_clip("a", "ann"), other], {"a": _at(0), "b": _at(5)}, 0.9)
    assert (sorted(people) == [["a", "b"]]) == together


def test_a_channel_may_show_several_people_and_clips_without_a_face_are_nobodys() -> None:
    clips = [_clip(shot, "ann") for shot in "abcde"]
    faces = {"a": _at(0), "b": _at(90), "c": _at(3), "d": None, "e": _at(93)}
    assert sorted(people_of(clips, faces, 0.9)) == [["a", "c"], ["b", "e"]]


def test_lenders_are_some_others_of_the_person_and_always_the_same() -> None:
    lenders = lenders_of([list("abcdefgh"), ["x"]], 3)
    assert sorted(lenders) == list("abcdefgh")
    assert all(len(set(others)) == 3 and shot not in others for shot, others in lenders.items())
    assert lenders_of([list("hgfedcba")], 3) == lenders
    assert len({other for others in lenders.values() for other in others}) > 5  # not the same few for all
