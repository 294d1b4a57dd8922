"""What the release knows of each measured frame of a clip, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.measures.frames import frame_period
from pipelines.storage.tables import KEYPOINT_COUNT
from stableanimator.media.framing import Framing, Size

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredFrame:
    """What the release knows of one frame, in pixels of the upright frame."""

    index: int
    """Frame of the video."""
    time: float
    """Seconds from the start of the video."""
    keypoints: Array
    """[P, 133, 3], in the detector's order."""
    faces: Array
    """[N, 4] boxes, main face first."""
    embedding: Array | None
    """[E] of the main face."""

    def face_in_picture(self, framing: Framing) -> bool:
        """Whether the centre of the main face lies in the cut."""
        if not len(self.faces):
            return False
        x0, y0, x1, y1 = framing.boxes(self.faces[0])
        return bool(0 <= (x0 + x1) / 2 < framing.size[1] and 0 <= (y0 + y1) / 2 < framing.size[0])

    @property
    def face_embedding(self) -> Array:
        """[E] of the main face of a frame that has one."""
        assert self.embedding is not None
        return self.embedding


@dataclass(frozen=True, kw_only=True)
class MeasuredClip:
    """A clip and its measured frames."""

    clip: dict[str, Any]
    """Row of CLIPS."""
    measured: list[MeasuredFrame]
    """In the order of time."""

    @property
    def shot_id(self) -> str:
        return str(self.clip["shot_id"])

    @property
    def size(self) -> Size:
        """Of the video's pictures."""
        return self.clip["height"], self.clip["width"]

    @cached_property
    def main(self) -> list[Array]:
        """[133, 3] of the main person in each frame that shows one."""
        return [frame.keypoints[0] for frame in self.measured if len(frame.keypoints)]

    @cached_property
    def fps(self) -> float:
        """Measured frames a second; a row of stride s has as many, over s."""
        period = frame_period(np.array([frame.time for frame in self.measured]))
        return 1 / period if period > 0 else float(self.clip["fps"])


def measured_clip(clip: dict[str, Any], frames: pa.Table) -> MeasuredClip:
    """Of one row of CLIPS and rows of FRAMES, of this shot and of others."""
    return MeasuredClip(clip=clip, measured=measured_frames(frames.filter(pc.field("shot_id") == clip["shot_id"])))


def measured_frames(frames: pa.Table) -> list[MeasuredFrame]:
    """Rows of FRAMES of one shot for which both people and faces were looked for, in the order of time. Arrays are
    views of the table."""
    poses, faces = _lists(frames["keypoints"], (-1, KEYPOINT_COUNT, 3)), _lists(frames["face_boxes"], (-1, 4))
    places = (frames[name].to_pylist() for name in ("frame_index", "time"))
    cells = zip(*places, poses, faces, _lists(frames["face_embedding"], (-1,)), strict=True)
    measured = [
        MeasuredFrame(index=index, time=time, keypoints=people, faces=boxes, embedding=embedding)
        for index, time, people, boxes, embedding in cells
        if people is not None and boxes is not None
    ]
    return sorted(measured, key=lambda frame: frame.index)


def _lists(column: pa.ChunkedArray, shape: tuple[int, ...]) -> list[Array | None]:
    """Each cell of a column of lists of floats, or of boxes or poses, in this shape; None where it is null."""
    lists = column.combine_chunks()
    values = lists.values
    while isinstance(values, pa.ListArray | pa.FixedSizeListArray):
        values = values.values
    ends = lists.offsets.to_numpy()
    width = len(values) // max(1, len(lists.values))
    flat = values.to_numpy(zero_copy_only=False)
    return [
        flat[start * width : end * width].reshape(shape) if known else None
        for (start, end), known in zip(pairwise(ends), lists.is_valid().to_pylist(), strict=True)
    ]
