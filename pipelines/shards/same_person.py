"""Which clips of a release lend each other references: those of one person, by the release's own word
(`pipelines.releases.people`), of one split, and of one uploader or of none.

So a channel with several people is several persons, and nobody borrows from another channel than their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.shards.references import drawn_order


def clips_of_people(clips: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Ids of the clips of each person, sorted; clips without a face are nobody's.

    Args:
        clips: rows of CLIPS.
    """
    people: dict[tuple[str, str, str], list[str]] = {}
    for clip in sorted(clips, key=lambda clip: str(clip["shot_id"])):
        if clip["person"] is not None:
            people.setdefault((clip["person"], clip["split"], clip["uploader"] or ""), []).append(clip["shot_id"])
    return list(people.values())


def lenders_of(people: Sequence[Sequence[str]], most: int) -> dict[str, list[str]]:
    """For each clip that has any: at most `most` other clips of its person, drawn by their ids."""
    return {
        shot: sorted((other for other in person if other != shot), key=lambda other: drawn_order(shot, other))[:most]
        for person in people
        if len(person) > 1
        for shot in person
    }
