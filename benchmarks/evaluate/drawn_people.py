"""Many short drawn videos of some people: each in several videos, in other clothes, places, light and framings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.drawn.clips import draw, drawn_perception, measure_files
from pipelines.curation import CurateSettings
from pipelines.measuring.measure import Measured
from pipelines.measuring.video_measures import Video
from pipelines.releases.select import make_release
from pipelines.releases.settings import SelectSettings
from pipelines.storage.store import Collection, Store
from pipelines.storage.tables import SOURCES
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.figure.identity import draw_identity
from stableanimator.synthetic.script import Clip, ClipSettings

VIDEOS, PEOPLE = 200, 60
CHOSEN_ON = (7_000_000, 8_000_000, 8_100_000, 8_200_000)
"""Seeds of the videos on which the thresholds were chosen."""
JUDGED_ON = 9_000_000
"""Seed of those that are judged: looked at only when the thresholds stood."""

_FORMAT = ClipSettings(fps=8.0, min_seconds=2.5, max_seconds=3.5)  # each frame is sampled, none is drawn in vain
_KINDS = ("talk", "gesture", "wave", "dance")
"""Close-ups, half and whole bodies."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawn video."""

    path: Path
    person: int


def drawn_videos(seed: int, folder: Path, workers: int, videos: int = VIDEOS, people: int = PEOPLE) -> list[Drawn]:
    """Everybody once, and then whoever is drawn, so that some are in one video and some in many."""
    others = np.random.default_rng(seed).integers(people, size=max(0, videos - people))
    owners = [*range(min(videos, people)), *others.tolist()]
    paths = draw([_script(seed, number, person) for number, person in enumerate(owners)], folder, workers)
    return [Drawn(path, person) for path, person in zip(paths, owners, strict=True)]


def _script(seed: int, number: int, person: int) -> Clip:
    face = draw_identity(np.random.default_rng([seed, person]))
    return write_clip(_KINDS[number % len(_KINDS)], 2 * seed + number, _FORMAT, identities=[face])


def settings_of(**select: float) -> CurateSettings:
    """Faces and hashes alone, every rule on single shots off; `select` is put on top."""
    off = {rule.name: None for rule in fields(SelectSettings) if rule.name.startswith(("min_", "max_"))}
    kept = {"min_near_duplicate_distance": SelectSettings().min_near_duplicate_distance}
    return CurateSettings(
        measures=("face_quality", "picture_hash"),
        select=SelectSettings(**{**off, **kept, **select}),  # type: ignore[arg-type]
    )


def measured_files(
    store: Store, paths: Sequence[Path], settings: CurateSettings, workers: int
) -> tuple[list[Video], Measured]:
    """With the package's small networks."""
    return measure_files(store, paths, settings, drawn_perception(), workers)


def release_of(store: Store, videos: Sequence[Video], measured: Measured, settings: CurateSettings) -> Collection:
    """The release that curation makes of these videos, each its own source without an uploader."""
    rows = [
        {**dict.fromkeys(SOURCES.names), "source_uri": video.video_id, "status": "fetched",
         "video_id": video.video_id, "extension": video.extension, "bytes": video.size}
        for video in videos
    ]  # fmt: skip
    return make_release(store, pa.Table.from_pylist(rows, schema=SOURCES), measured, settings, {})
