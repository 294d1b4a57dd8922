from __future__ import annotations

from typing import Any

import pytest

from pipelines.shards.same_person import clips_of_people, lenders_of


def _clip(shot: str, person: str | None, uploader: str | None = None, split: str = "train") -> dict[str, Any]:
    return {"shot_id": shot, "person": person, "uploader": uploader, "split": split}


@pytest.mark.parametrize(
    ("other", "together"),
    [
        (_clip("b", "p", "ann"), True),
        (_clip("b", "q", "ann"), False),
        (_clip("b", "p", "bob"), False),
        (_clip("b", "p", None), False),
        (_clip("b", "p", "ann", "heldout"), False),
    ],
)
def test_a_person_is_one_of_a_channel_and_a_split(other: dict[str, Any], together: bool) -> None:
    people = clips_of_people([other, _clip("a", "p", "ann")])
    assert (people == [["a", "b"]]) == together


def test_clips_without_a_face_are_nobodys() -> None:
    assert clips_of_people([_clip("a", None), _clip("b", "p"), _clip("c", None)]) == [["b"]]


def test_lenders_are_some_others_of_the_person_and_always_the_same() -> None:
    lenders = lenders_of([list("abcdefgh"), ["x"]], 3)
    assert sorted(lenders) == list("abcdefgh")
    assert all(len(set(others)) == 3 and shot not in others for shot, others in lenders.items())
    assert lenders_of([list("hgfedcba")], 3) == lenders
    assert len({other for others in lenders.values() for other in others}) > 5  # not the same few for all
