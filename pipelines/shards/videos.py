"""What a release says of each of its videos, with the clips that lend references to its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.shards.measured import measured_clip
from pipelines.shards.plan import ClipPlan, plan_clip
from pipelines.shards.same_person import clips_of_people, lenders_of
from pipelines.shards.settings import EncodeSettings
from pipelines.storage.store import Collection, parquet_bytes
from pipelines.storage.tables import CLIPS, FRAMES


@dataclass(frozen=True, kw_only=True)
class VideoRows:
    """A video with accepted clips."""

    video_id: str
    clips: pa.Table
    """Its rows of CLIPS."""
    frames: pa.Table
    """Their rows of FRAMES."""
    lenders: dict[str, list[str]] = field(default_factory=dict)
    """For each of its clips that has any: other clips of the same person, in the order in which they are asked."""
    lent_clips: pa.Table = field(default_factory=CLIPS.empty_table)
    """Rows of CLIPS of all lenders."""
    lent_frames: pa.Table = field(default_factory=FRAMES.empty_table)
    """Their rows of FRAMES."""

    @cached_property
    def rows_sha256(self) -> list[str]:
        """Of everything that the release says of the video's rows; a person's name is in none, lenders are."""
        clips = (table.drop_columns(["person"]) for table in (self.clips, self.lent_clips))
        tables = [*clips, self.frames, self.lent_frames]
        return [hashlib.sha256(parquet_bytes(table.combine_chunks())).hexdigest() for table in tables]

    def plans(self, settings: EncodeSettings, shot_id: str | None = None) -> Iterator[ClipPlan]:
        """Of every clip, or of one."""
        lent = {clip["shot_id"]: clip for clip in self.lent_clips.to_pylist()}
        for clip in self.clips.to_pylist():
            if shot_id in (None, clip["shot_id"]):
                ids = self.lenders.get(clip["shot_id"], ())
                lenders = [measured_clip(lent[other], self.lent_frames) for other in ids]
                yield plan_clip(measured_clip(clip, self.frames), settings, lenders)


def videos_of(release: Collection, settings: EncodeSettings) -> Iterator[VideoRows]:
    """Each video with accepted clips, by id; with lenders where references are to be of the `same_person`."""
    if settings.references == "same_clip":
        return _videos(release)
    return _with_lenders(list(_videos(release)), settings)


def _videos(release: Collection) -> Iterator[VideoRows]:
    clips, frames = release.table("clips").sort_by("video_id"), release.table("frames")
    ids, starts = np.unique(clips["video_id"].to_numpy(), return_index=True)
    video_of_clip = np.repeat(np.arange(len(ids)), np.diff([*starts, clips.num_rows]))
    clip_of_frame = pc.index_in(frames["shot_id"], clips["shot_id"].combine_chunks()).fill_null(-1).to_numpy()
    video_of_frame = np.where(clip_of_frame < 0, -1, video_of_clip[clip_of_frame])
    order = np.argsort(video_of_frame, kind="stable")
    ends = np.searchsorted(video_of_frame[order], np.arange(len(ids) + 1))
    for number, video_id in enumerate(ids):
        of_video = clips.filter(pc.field("video_id") == video_id)
        own = _take(frames, order[ends[number] : ends[number + 1]])
        yield VideoRows(video_id=str(video_id), clips=of_video, frames=own)


def _take(table: pa.Table, rows: npt.NDArray[np.int64]) -> pa.Table:
    """A copy of some rows, in ascending order. A release lists a video's frames together, so they are cut out first:
    `take` copies every chunk that it is given."""
    if not len(rows):
        return table.slice(0, 0)
    return table.slice(rows[0], rows[-1] - rows[0] + 1).take(pa.array(rows - rows[0]))


def _with_lenders(videos: list[VideoRows], settings: EncodeSettings) -> Iterator[VideoRows]:
    clips = [clip for video in videos for clip in video.clips.to_pylist()]
    lenders = lenders_of(clips_of_people(clips), settings.reference_count)
    video_of = {clip["shot_id"]: number for number, video in enumerate(videos) for clip in video.clips.to_pylist()}
    lent: dict[str, tuple[pa.Table, pa.Table]] = {}  # of the clips that lend, so that each is copied once
    for shot in sorted({other for others in lenders.values() for other in others}):
        video = videos[video_of[shot]]
        own = pc.field("shot_id") == shot
        lent[shot] = (video.clips.filter(own), video.frames.filter(own))
    for video in videos:
        of_video = {shot: lenders[shot] for shot in video.clips["shot_id"].to_pylist() if shot in lenders}
        used = sorted({other for others in of_video.values() for other in others})
        yield VideoRows(
            video_id=video.video_id,
            clips=video.clips,
            frames=video.frames,
            lenders=of_video,
            lent_clips=pa.concat_tables([CLIPS.empty_table(), *(lent[shot][0] for shot in used)]),
            lent_frames=pa.concat_tables([FRAMES.empty_table(), *(lent[shot][1] for shot in used)]),
        )
