"""Splits by person: `python -m benchmarks.evaluate --parts people`. 200 drawn videos of 60 people, in two releases.

The first release knows half of the videos; the second, of all, follows it, so that new videos join people whose split
is decided. Purity is the share of the clips that are of the most frequent true person of theirs; completeness the share
of clips that are with most of their true person's.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.drawn.clips import default_folder
from benchmarks.evaluate.drawn_people import JUDGED_ON, Drawn, drawn_videos, measured_files, release_of, settings_of
from benchmarks.harness import Figure
from pipelines.storage.store import Collection, Store

SHARES = (0.05, 0.1, 0.3)
"""Held-out shares that are asked for."""


def figures(arguments: argparse.Namespace) -> list[Figure]:
    """On the judged seed."""
    return people_figures(default_folder(), arguments.workers)


def people_figures(folder: Path, workers: int, seed: int = JUDGED_ON) -> list[Figure]:
    """People on both sides, purity, completeness, and how far the held-out share is off, each the worst of `SHARES`.

    Args:
        folder: drawn videos are kept there.
    """
    drawn = drawn_videos(seed, folder, workers)
    both: list[int] = []
    off: dict[bool, list[float]] = {False: [], True: []}  # by whether an earlier release is followed
    with tempfile.TemporaryDirectory(prefix="sa-people-") as root:
        for share in SHARES:
            for count, release in _releases(Store(root), drawn, share, workers):
                splits = _by_person(release, drawn[:count], "split")
                both.append(sum(len(set(of_person)) > 1 for of_person in splits.values()))
                told = release.manifest["counts"]["split_videos"]
                follows = release.build()["splits"]["follows"] is not None
                off[follows].append(100 * abs(told.get("heldout", 0) / sum(told.values()) - share))
        clips = _by_person(release, drawn, "person")
    note = f"{len(drawn)} drawn videos of {len(clips)} people; half of them, then all, and all at once"
    shares = f"the worst of {', '.join(map(str, SHARES))}"
    return [
        Figure("people on both sides of the split", max(both), 0, "lower", note=note),
        Figure("purity of people", purity(clips), 0.95, "higher", note="clips of the most frequent true person"),
        Figure("completeness of people", completeness(clips), 0.95, "higher", note="clips with most of theirs"),
        Figure("held-out share off by", max(off[False]), 5, "lower", "points", note=shares),
        Figure("held-out share off by, after as many new videos of the same people", max(off[True]), None, "lower",
               "points", note="who was held out stays so, however many videos they turn out to be in"),
    ]  # fmt: skip


def _releases(store: Store, drawn: Sequence[Drawn], share: float, workers: int) -> Iterator[tuple[int, Collection]]:
    """Of the first half of the videos; of all, which follows it; and of all by another draw, which follows none."""
    for count, draw in ((len(drawn) // 2, 0), (len(drawn), 0), (len(drawn), 1)):
        settings = settings_of(heldout_share=share, seed=draw)
        videos, measured = measured_files(store, [one.path for one in drawn[:count]], settings, workers)
        yield count, release_of(store, videos, measured, settings)


def _by_person(release: Collection, drawn: Sequence[Drawn], column: str) -> dict[int, list[str]]:
    """A column of the clips of each true person."""
    owners = {_video_id(release.store, one.path): one.person for one in drawn}
    found: dict[int, list[str]] = {}
    for clip in release.table("clips").to_pylist():
        found.setdefault(owners[clip["video_id"]], []).append(str(clip[column]))
    return found


def _video_id(store: Store, path: Path) -> str:
    return store.put_media(path, path.suffix)[0]


def purity(clips: dict[int, list[str]]) -> float:
    """Of people as found, by true person."""
    found: dict[str, Counter[int]] = {}
    for person, names in clips.items():
        for name in names:
            found.setdefault(name, Counter())[person] += 1
    return sum(max(owners.values()) for owners in found.values()) / sum(map(len, clips.values()))


def completeness(clips: dict[int, list[str]]) -> float:
    """The same for true people, by person as found."""
    return sum(max(Counter(names).values()) for names in clips.values()) / sum(map(len, clips.values()))
