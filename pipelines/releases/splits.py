"""Which videos are kept out of training: a decision for groups of videos that must not be parted, kept from release to
release.

A group holds all videos that show one person, or are copies of one another. What an earlier release of the root said of
its videos stays; where it said both, the group is for training, since a model may have learned from it. New groups are
drawn, in an order that only their videos and the seed decide, as long as that brings the held-out share nearer to the
setting.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection as Some
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pyarrow.compute as pc
from scipy.cluster.hierarchy import DisjointSet

from pipelines.releases.settings import SelectSettings
from pipelines.storage.store import Collection, Store

Split = Literal["train", "heldout"]


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier release said."""

    release: str | None = None
    """Its id."""
    splits: dict[str, str] = field(default_factory=dict)
    """By video."""
    people: dict[str, str] = field(default_factory=dict)
    """Person by shot."""


@dataclass(frozen=True, slots=True)
class Splits:
    """A split for each video."""

    of_video: dict[str, Split]
    moved: list[str]
    """Videos that an earlier release held out and that train now, sorted: a video that joined two groups, one of each
    side, brought them over."""


def followed(store: Store, settings: SelectSettings, videos: Some[str]) -> Collection | None:
    """The release that a new one follows: the newest of the root that was drawn with the same `seed` and
    `heldout_share` and shares a video with it. Whoever changes one of the two asks for another draw."""
    releases = sorted(store.collections("releases"), key=lambda one: str(one.build()["finished_at"]), reverse=True)
    for release in releases:
        select = release.manifest["settings"]["select"]
        drawn = select.get("seed"), select.get("heldout_share")
        if drawn == (settings.seed, settings.heldout_share) and _shares_video(release, videos):
            return release
    return None


def _shares_video(release: Collection, videos: Some[str]) -> bool:
    known = pc.unique(release.table("clips")["video_id"]).to_pylist()
    return not set(videos).isdisjoint(known)


def earlier_of(release: Collection | None) -> Earlier:
    """What a release said of its clips; nothing where there is none."""
    if release is None:
        return Earlier()
    clips = release.table("clips")
    splits = dict(zip(clips["video_id"].to_pylist(), clips["split"].to_pylist(), strict=True))
    people = clips["person"].to_pylist() if "person" in clips.column_names else [None] * len(clips)
    named = zip(clips["shot_id"].to_pylist(), people, strict=True)
    return Earlier(release.id, splits, {shot: person for shot, person in named if person is not None})


def groups_of(videos: Iterable[str], together: Iterable[Sequence[str]]) -> list[list[str]]:
    """The videos, each in one group, with those of every entry of `together` in the same; sorted throughout."""
    sets = DisjointSet(sorted(videos))
    for entry in together:
        for other in entry[1:]:
            sets.merge(entry[0], other)
    return sorted(sorted(group) for group in sets.subsets())


def draw_splits(
    groups: Sequence[Sequence[str]], counted: Some[str], earlier: Mapping[str, str], settings: SelectSettings
) -> Splits:
    """A split for every video of the groups.

    Args:
        groups: sorted video ids of each.
        counted: the videos of which `settings.heldout_share` is a share: those with clips.
        earlier: split by video, of an earlier release.
    """
    sizes = {group[0]: sum(video in counted for video in group) for group in groups}
    wanted = settings.heldout_share * sum(sizes.values())
    known = {group[0]: {earlier[video] for video in group if video in earlier} for group in groups}
    splits: dict[str, Split] = {
        first: "train" if "train" in said else "heldout" for first, said in known.items() if said
    }
    held_out = sum(sizes[first] for first, split in splits.items() if split == "heldout")
    for first in sorted((first for first in sizes if first not in splits), key=lambda name: _place(name, settings)):
        nearer = abs(held_out + sizes[first] - wanted) < abs(held_out - wanted)
        splits[first] = "heldout" if nearer else "train"
        held_out += sizes[first] if nearer else 0
    of_video: dict[str, Split] = {video: splits[group[0]] for group in groups for video in group}
    moved = [video for video, split in of_video.items() if split == "train" and earlier.get(video) == "heldout"]
    return Splits(of_video, sorted(moved))


def _place(name: str, settings: SelectSettings) -> str:
    """Of a group in the order of the draw, by its smallest video and the seed."""
    return hashlib.sha256(f"{settings.seed}:{name}".encode()).hexdigest()
