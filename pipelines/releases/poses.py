"""The poses of a release's clips, clip by clip: what alignment learns from and is measured on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.storage.store import Collection
from pipelines.storage.tables import KEYPOINT_COUNT
from stableanimator.alignment.poses import body_pose
from stableanimator.alignment.training_data.pose_clips import Poses
from stableanimator.driving import follow_people
from stableanimator.perception.person_boxes import in_picture

_COLUMNS = ["shot_id", "frame_index", "keypoints"]


@dataclass(frozen=True, slots=True)
class ClipPoses:
    """The main person of one clip."""

    shot_id: str
    frame_index: npt.NDArray[np.int64]
    """[F] frames of the video."""
    poses: Poses
    """[F, 18, 3] in image heights; a joint that the picture does not show is NaN with score 0."""


def clip_poses(release: Collection, split: str) -> Iterator[ClipPoses]:
    """The poses of every clip of a split, as the release lists them; its table is read a row group at a time.

    Frames that were not measured for keypoints are left out. Where a clip shows several people, the first one is
    followed from frame to frame: a pair must not mix people.
    """
    clips = release.table("clips").filter(pc.field("split") == split)
    sizes = {clip["shot_id"]: (clip["height"], clip["width"]) for clip in clips.to_pylist()}
    for shot, unordered in _shots(release, pa.array(sizes, pa.string())):
        frames = unordered.sort_by("frame_index")
        measured = frames["keypoints"].to_pylist()
        people = [np.array(poses, np.float32).reshape(-1, KEYPOINT_COUNT, 3) for poses in measured]
        seen = in_picture(follow_people(people, 1, sizes[shot])[:, 0], sizes[shot])
        yield ClipPoses(shot, frames["frame_index"].to_numpy().astype(np.int64), body_pose(seen, sizes[shot][0]))


def _shots(release: Collection, wanted: pa.Array) -> Iterator[tuple[str, pa.Table]]:
    """The measured frames of each wanted shot; the release keeps them together."""
    rest: pa.Table | None = None
    for batch in release.batches("frames", _COLUMNS):
        batch = batch.filter(pc.field("shot_id").isin(wanted) & ~pc.field("keypoints").is_null())
        batch = batch if rest is None else pa.concat_tables([rest, batch])
        shots = batch["shot_id"].to_numpy(zero_copy_only=False)
        starts = [0, *(np.flatnonzero(shots[1:] != shots[:-1]) + 1)] if len(shots) else []
        for start, end in pairwise(starts):
            yield shots[start], batch.slice(start, end - start)
        rest = batch.slice(starts[-1]) if starts else None  # its shot may go on in the next row group
    if rest is not None:
        yield rest["shot_id"][0].as_py(), rest
