from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from pipelines.releases import people
from pipelines.releases.people import connected, face_directions, find_people, people_of, person_ids

DEGREES = np.cos(np.radians(40))


def _at(*degrees: float, length: float = 1.0) -> np.ndarray:
    angles = np.radians(degrees)
    return length * np.stack([np.cos(angles), np.sin(angles)], -1)


def test_a_clips_face_is_the_mean_of_directions_whatever_their_lengths() -> None:
    faces = np.concatenate([_at(-10, length=20), _at(10, length=3)])
    np.testing.assert_allclose(face_directions(faces, 0.8), [[1, 0]], atol=1e-12)
    np.testing.assert_allclose(face_directions(_at(30, length=7), 0.8), _at(30))
    assert face_directions(np.zeros((0, 2)), 0.8).shape == (0, 2)


def test_a_clip_that_shows_two_people_by_turns_has_both_the_more_frequent_first() -> None:
    faces = np.concatenate([_at(*[0.0] * 3), _at(*[90.0] * 5), _at(180)])  # and one false hit
    np.testing.assert_allclose(face_directions(faces, 0.8), _at(90, 0), atol=1e-12)


def test_people_are_alike_each_with_each_and_groups_only_by_a_chain() -> None:
    """At 0, 30, 60 and 90 degrees each is within 40 of the next; only two at a time are within 40 of each other."""
    directions = _at(0, 30, 60, 90, 200)
    groups = connected(directions, DEGREES)
    assert groups[0] == groups[1] == groups[2] == groups[3] != groups[4]
    labels = people_of(directions, groups, DEGREES)
    assert labels[0] == labels[1] != labels[2] == labels[3]
    assert len(set(labels.tolist())) == 3


@given(st.integers(0, 10_000), st.floats(-0.5, 0.95))
def test_group_by_group_gives_the_people_of_all_at_once(seed: int, least: float) -> None:
    directions = np.random.default_rng(seed).normal(size=(30, 4))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    ours = people_of(directions, connected(directions, least), least)
    theirs = fcluster(linkage(directions, "complete", metric="cosine"), 1 - least, criterion="distance")
    pairs = {(own, other) for own, other in zip(ours.tolist(), theirs.tolist(), strict=True)}
    assert len(pairs) == len(set(ours.tolist())) == len(set(theirs.tolist()))


def test_groups_are_the_same_however_many_faces_are_compared_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """40 people in 5 clips each, in no order."""
    random = np.random.default_rng(0)
    owners = random.permutation(np.repeat(np.arange(40), 5))
    directions = random.normal(size=(40, 64))[owners] + 0.1 * random.normal(size=(200, 64))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    for block in (1024, 64, 7):
        monkeypatch.setattr(people, "_BLOCK", block)
        groups = connected(directions, 0.9)
        assert len(set(groups.tolist())) == len(set(zip(groups.tolist(), owners.tolist(), strict=True))) == 40


def test_a_clip_of_two_people_connects_them_and_is_the_one_who_is_seen_most() -> None:
    both = np.concatenate([_at(*[0.0] * 6), _at(*[90.0] * 4)])
    faces = {"a:0-9": _at(2), "b:0-9": _at(91), "c:0-9": both, "d:0-9": np.zeros((0, 2))}
    found = find_people(faces, 0.8)
    assert sorted(found.of_person) == [["a:0-9", "c:0-9"], ["b:0-9"]]
    assert sorted(found.connected) == [["a:0-9", "c:0-9"], ["b:0-9", "c:0-9"]]
    assert find_people({"d:0-9": np.zeros((0, 2))}, 0.8).connected == []


def test_ids_follow_the_clips_and_stay_apart() -> None:
    (first,) = person_ids([["b", "c"]], {})
    assert person_ids([["c", "b"]], {}) == [first]
    earlier = {"b": first, "c": first}
    assert person_ids([["a", "b", "c"], ["d"]], earlier)[0] == first
    parted = person_ids([["b"], ["c", "e"]], earlier)
    assert first in parted
    assert len(set(parted)) == 2
    assert person_ids([["c"], ["b", "x"], ["y"]], {"b": "q", "x": "q", "c": "p"})[:2] == ["p", "q"]
    two_into_one = person_ids([["b", "c", "x"]], {"b": "p", "c": "q", "x": "q"})
    assert two_into_one == ["q"]
