"""Who is seen in which clip: faces of a release brought together into people.

Two faces are alike if the cosine of their directions is at least `select.same_person_cosine`. A person is a set of
clips of which any two are alike (complete linkage), so a chain of likenesses makes nobody of two people. What is
connected by such a chain stays on one side of the split all the same: nobody is on both, also where one
was parted.

    n clips' faces   E width of an embedding
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

Array = npt.NDArray[np.floating]
Labels = npt.NDArray[np.int64]

_FRAMES = 32  # of a clip, spread evenly: enough to tell whether it shows one person or several
_LEAST_SHARE = 0.2  # of a clip's faces that make somebody of it: fewer are turned heads and false hits
_BLOCK = 1024  # faces that are compared with all others at a time


def face_directions(embeddings: Array, least_cosine: float) -> Array:
    """The people of one clip as directions [D, E] of length 1, who is seen most first; none without a face.

    Args:
        embeddings: [F, E] of its main faces, of any length.
        least_cosine: on average, of the faces of one of them.
    """
    faces = _unit(np.asarray(embeddings, np.float64))
    if not len(faces):
        return faces
    if len(faces) > _FRAMES:
        faces = faces[np.linspace(0, len(faces) - 1, _FRAMES).round().astype(int)]
    if _all_alike(faces, least_cosine):  # one person: so it is with nearly every clip
        return _unit(faces.mean(0, keepdims=True))
    labels = fcluster(linkage(faces, "average", metric="cosine"), 1 - least_cosine, criterion="distance") - 1
    counts = np.bincount(labels)
    largest_first = np.argsort(-counts, kind="stable")
    kept = [label for label in largest_first if counts[label] >= _LEAST_SHARE * len(faces)] or largest_first[:1]
    return _unit(np.stack([faces[labels == label].mean(0) for label in kept]))


def _all_alike(directions: Array, least_cosine: float) -> bool:
    """Whether any two of directions [n, E] are: then every linkage makes one cluster of them."""
    return bool((directions @ directions.T).min() >= least_cosine)


def _unit(vectors: Array) -> Array:
    lengths: Array = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12))


def connected(directions: Array, least_cosine: float) -> Labels:
    """[n] the group of each of directions [n, E]: alike ones share it, and so do all between whom there is a chain.

    Takes memory for `_BLOCK` x n cosines, whatever n is.
    """
    count = len(directions)
    single = np.asarray(directions, np.float32)
    labels = np.arange(count)  # of each group the number of its first member
    for start in range(0, count, _BLOCK):
        rows, columns = np.nonzero(single[start : start + _BLOCK] @ single[start:].T >= least_cosine)
        ends = np.concatenate([rows + start, np.arange(count)]), np.concatenate([columns + start, labels])
        edges = coo_matrix((np.ones(len(ends[0]), bool), ends), (count, count))
        found = connected_components(edges, directed=False)[1]
        labels = np.unique(found, return_index=True)[1][found]
    return labels


def people_of(directions: Array, groups: Labels, least_cosine: float) -> Labels:
    """[n] the person of each of directions [n, E]: complete linkage, group by group.

    Faces of two of `groups` (`connected`) are not alike, so this takes 4 m^2 bytes for the m faces of the largest.
    """
    people = np.zeros(len(directions), np.int64)
    found = 0
    order = np.argsort(groups, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        labels = np.ones(len(members), np.int64)
        if len(members) > 1 and not _all_alike(directions[members], least_cosine):
            tree = linkage(directions[members], "complete", metric="cosine")
            labels = fcluster(tree, 1 - least_cosine, criterion="distance").astype(np.int64)
        people[members] = found + labels
        found += int(labels.max(initial=0))
    return people


def person_ids(people: Sequence[Sequence[str]], earlier: Mapping[str, str]) -> list[str]:
    """An id for each person, given by their shots, that stays when shots come and go.

    It is the one that most of the shots had in an earlier release, else one made of the smallest shot. Where a person
    was parted the larger part keeps the id.

    Args:
        people: shot ids of each, none in two of them.
        earlier: ids by shot, of an earlier release.
    """
    claims = [_claim(shots, earlier) for shots in people]
    ids: dict[int, str] = {}
    taken: set[str] = set()
    for number in sorted(range(len(people)), key=lambda number: (-claims[number][0], min(people[number]))):
        own = claims[number][1]
        while own is None or own in taken:
            own = hashlib.sha256(f"person:{own or min(people[number])}".encode()).hexdigest()[:16]
        ids[number] = own
        taken.add(own)
    return [ids[number] for number in range(len(people))]


def _claim(shots: Sequence[str], earlier: Mapping[str, str]) -> tuple[int, str | None]:
    """How many shots had the id that most of them had, and this id."""
    had = [earlier[shot] for shot in shots if shot in earlier]
    return max(((had.count(one), one) for one in sorted(set(had))), key=lambda claim: claim[0], default=(0, None))


@dataclass(frozen=True, slots=True)
class People:
    """The people of some clips."""

    of_person: list[list[str]]
    """Shot ids of each person, as the one who is seen most in them; a clip without a face is in none."""
    connected: list[list[str]]
    """Shot ids of people who are alike, directly or by a chain; a clip that shows several people is in several."""


def find_people(faces: Mapping[str, Array], least_cosine: float) -> People:
    """Bring the faces of clips together.

    Args:
        faces: [F, E] embeddings of the main face by shot; F may be 0.
        least_cosine: `select.same_person_cosine`.
    """
    directions = {shot: face_directions(of_shot, least_cosine) for shot, of_shot in sorted(faces.items())}
    seen = [shot for shot, of_shot in directions.items() if len(of_shot)]
    if not seen:
        return People([], [])
    owners = [shot for shot in seen for _ in directions[shot]]
    stacked = np.concatenate([directions[shot] for shot in seen])
    groups = connected(stacked, least_cosine)
    people = people_of(stacked, groups, least_cosine)
    first = [number for number, shot in enumerate(owners) if number == 0 or owners[number - 1] != shot]
    return People(
        _gathered(people[first].tolist(), [owners[number] for number in first]), _gathered(groups.tolist(), owners)
    )


def _gathered(labels: Sequence[int], shots: Sequence[str]) -> list[list[str]]:
    found: dict[int, list[str]] = {}
    for label, shot in zip(labels, shots, strict=True):
        found.setdefault(label, []).append(shot)
    return list(found.values())
