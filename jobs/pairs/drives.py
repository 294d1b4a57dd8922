"""The poses that drive a pair, and where they come from; those of a table are read here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jobs.pairs.pairs_table import Pair
from pipelines.measures.frames import steady_indices
from pipelines.storage.tables import FRAMES, KEYPOINT_COUNT
from pipelines.storage.user_tables import read_user_table
from stableanimator.errors import InputError, RowError
from stableanimator.media.video import VideoReader
from stableanimator.paths import parse_json

Array = npt.NDArray[np.float32]

_COLUMNS = pa.schema([FRAMES.field(name) for name in ("frame_index", "time", "keypoints")])


@dataclass(frozen=True, kw_only=True, slots=True)
class Drive:
    """The poses of a driving video, people not yet followed, and where they come from."""

    frame_index: list[int]
    """[F] frames of the video; one that is held is repeated."""
    poses: list[Array]
    """[F] of [P_f, 133, 3]."""
    height: int
    width: int
    fps: float
    """At which the frames follow one another."""
    left_out: int
    """Frames of the pair behind the last one that was taken."""
    begins: float = 0.0
    """Seconds from the first frame of the driving video to the first one that was taken."""
    remarks: tuple[str, ...] = ()
    """What a person should know of it."""


def read_keypoints(pair: Pair, fps: float, most: int | None) -> Drive:
    """Poses from a table with FRAMES' columns of one clip, as `PairReader.drive` takes them; the nearest measured frame
    stands in for one that was not measured for people.

    The picture's size is not among the columns: it is the schema metadata `frame_size` ([height, width] as JSON), or
    that of the true frames.

    Raises:
        RowError: `bad_keypoints_table`, `no_driving_frames`, `no_frame_size`.
        DecodeError: the true frames, of which the size would be, cannot be read.
    """
    uri = pair["driving_keypoints_uri"]
    try:
        table = read_user_table(uri, _COLUMNS, required=("frame_index", "time")).sort_by("frame_index")
    except InputError as error:
        raise RowError("bad_keypoints_table", f"{uri}: {error}") from error
    for name in ("frame_index", "time"):
        if (np.diff(table[name].to_numpy()) <= 0).any():
            raise RowError("bad_keypoints_table", f"{uri}: {name} does not grow from frame to frame; is it one clip?")
    start, end = pair["start"] or 0, pair["end"]
    rows = [
        row for row in table.to_pylist() if start <= row["frame_index"] and (end is None or row["frame_index"] < end)
    ]
    measured = [row for row in rows if row["keypoints"] is not None]
    if not measured:
        raise RowError("no_driving_frames", f"{uri} has no measured frame from {start} to {end}")
    chosen, steady = steady_indices(np.array([row["time"] for row in measured]), 0, len(measured), fps)
    taken = [measured[i] for i in chosen[:most]]
    height, width = _frame_size(table, pair)
    unmeasured = f"{len(rows) - len(measured)} of the table's {len(rows)} frames were not measured; others stand in"
    return Drive(
        frame_index=[row["frame_index"] for row in taken],
        poses=[_poses(row["keypoints"]) for row in taken],
        height=height,
        width=width,
        fps=steady,
        left_out=len(chosen) - len(taken),
        remarks=(unmeasured,) if len(measured) < len(rows) else (),
    )


def keypoint_table(poses: Array, frame_index: Sequence[int], fps: float, size: tuple[int, int]) -> pa.Table:
    """Poses as the table that `read_keypoints` reads.

    Args:
        poses: [F, P, 133, 3] in pixels of a picture of `size` (height, width).
        frame_index: [F] of the driving video. One that is held stands here once, with the first of its poses.
        fps: at which the poses follow one another.
    """
    first = {index: place for place, index in reversed(list(enumerate(frame_index)))}
    rows = [
        {"frame_index": index, "time": place / fps, "keypoints": [pose.ravel() for pose in poses[place]]}
        for index, place in sorted(first.items())
    ]
    metadata = {"frame_size": json.dumps([int(side) for side in size])}
    return pa.Table.from_pylist(rows, schema=_COLUMNS.with_metadata(metadata))


def read_poses(uri: str) -> dict[int, Array]:
    """The poses [P, 133, 3] of a table that `keypoint_table` made, by frame of the driving video.

    Raises:
        RowError: `bad_keypoints_table`.
    """
    try:
        table = read_user_table(uri, _COLUMNS, required=_COLUMNS.names)
    except InputError as error:
        raise RowError("bad_keypoints_table", f"{uri}: {error}") from error
    return {row["frame_index"]: _poses(row["keypoints"]) for row in table.to_pylist()}


def _poses(people: list[list[float]]) -> Array:
    """[P, 133, 3]; a point of which any number is missing is missing as a whole."""
    poses = np.array(people, np.float32).reshape(-1, KEYPOINT_COUNT, 3)
    poses[~np.isfinite(poses).all(-1)] = (np.nan, np.nan, 0)
    return poses


def _frame_size(table: pa.Table, pair: Pair) -> tuple[int, int]:
    stated = (table.schema.metadata or {}).get(b"frame_size")
    if stated is not None:
        try:
            height, width = (int(side) for side in parse_json(stated))
            if min(height, width) < 1:
                raise ValueError
        except (ValueError, TypeError, OverflowError):
            detail = f"frame_size in the metadata is {stated[:60]!r}; write [height, width] in pixels as JSON"
            raise RowError("bad_keypoints_table", detail) from None
        return height, width
    if pair["truth_uri"]:
        with VideoReader(pair["truth_uri"]) as video:
            return video.info.height, video.info.width
    raise RowError("no_frame_size", "the table of keypoints states no frame_size and the pair has no truth_uri")
