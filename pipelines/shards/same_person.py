"""Which clips of a release show the same person, and which of them lend references to each other.

One rule: clips show one person if they are of the same split, name the same uploader or none at all, and the main
faces of any two of them are alike (complete linkage of the cosines of their mean directions). So a channel with several
people is several persons, and nobody is looked for in another channel than their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage

from pipelines.shards.measured import MeasuredFrame
from pipelines.shards.references import drawn_order

Array = npt.NDArray[np.floating]


def face_direction(frames: Iterable[MeasuredFrame]) -> Array | None:
    """[E], of length 1: the mean of the directions of a clip's main faces; None without any, or of several widths."""
    faces = [np.asarray(frame.embedding, np.float64) for frame in frames if frame.embedding is not None]
    if not faces or len({face.shape for face in faces}) > 1:
        return None
    mean = np.mean([face / max(float(np.linalg.norm(face)), 1e-12) for face in faces], 0)
    length = float(np.linalg.norm(mean))
    return mean / length if length > 0 else None


def people_of(
    clips: Sequence[Mapping[str, Any]], directions: Mapping[str, Array | None], least_cosine: float
) -> list[list[str]]:
    """Ids of the clips of each person, sorted; clips without a face are nobody's.

    Needs 4 n^2 bytes for n clips of one uploader, or of none.

    Args:
        clips: rows of CLIPS.
        directions: by shot_id, from `face_direction`.
        least_cosine: of any two clips of a person.
    """
    groups: dict[tuple[str, str, int], list[str]] = {}
    for clip in sorted(clips, key=lambda clip: str(clip["shot_id"])):
        direction = directions[clip["shot_id"]]
        if direction is not None:
            key = (clip["split"], clip["uploader"] or "", len(direction))
            groups.setdefault(key, []).append(clip["shot_id"])
    people: list[list[str]] = []
    for group in groups.values():
        faces = np.stack([directions[shot] for shot in group])  # type: ignore[misc]
        labels = np.ones(1, int)
        if len(group) > 1:
            labels = fcluster(linkage(faces, "complete", metric="cosine"), 1 - least_cosine, criterion="distance")
        people += [
            [shot for shot, own in zip(group, labels, strict=True) if own == label] for label in np.unique(labels)
        ]
    return people


def lenders_of(people: Sequence[Sequence[str]], most: int) -> dict[str, list[str]]:
    """For each clip that has any: at most `most` other clips of its person, drawn by their ids."""
    return {
        shot: sorted((other for other in person if other != shot), key=lambda other: drawn_order(shot, other))[:most]
        for person in people
        if len(person) > 1
        for shot in person
    }
