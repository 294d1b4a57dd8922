"""Which shard rows a clip gives, told from the release alone: cuts, windows of frames, candidate references.

Nothing is decoded here. `pipelines.shards.encode` plans every video to know what will be written, and its actors follow
the same plan. Only frames that were measured are encoded, so that keypoints and faces exist for each; their spacing is
the sampling rate of the measures, as each video's frames allow it.

    F frames of a row   P people   N faces   E face embedding
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.measures.frames import frame_period
from pipelines.shards.crops import crop_framing, same_cut
from pipelines.shards.settings import Crop, EncodeSettings
from pipelines.storage.tables import KEYPOINT_COUNT
from stableanimator.errors import PersonError, RowError
from stableanimator.media.framing import Framing

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


@dataclass(frozen=True, kw_only=True)
class CropPlan:
    """One cut of a clip, and the rows that are made of it."""

    crop: Crop
    framing: Framing
    candidates: list[int]
    """Positions of the candidate references among the measured frames."""
    windows: dict[int, list[range]]
    """By stride: positions of the frames of each row."""

    @property
    def bucket(self) -> str:
        """HxW."""
        return f"{self.framing.size[0]}x{self.framing.size[1]}"

    @cached_property
    def row_count(self) -> int:
        return sum(len(windows) for windows in self.windows.values())


@dataclass(frozen=True, kw_only=True)
class ClipPlan:
    """What becomes of one row of CLIPS."""

    clip: dict[str, Any]
    measured: list[MeasuredFrame]
    crops: list[CropPlan]
    lost: list[dict[str, Any]]
    """Lines of ENCODE_REPORT for every crop and stride that gives no row."""

    @cached_property
    def fps(self) -> float:
        """Measured frames a second; a row of stride s has as many, over s."""
        period = frame_period(np.array([frame.time for frame in self.measured]))
        return 1 / period if period > 0 else float(self.clip["fps"])


def plan_clip(clip: dict[str, Any], frames: pa.Table, settings: EncodeSettings) -> ClipPlan:
    """For one row of CLIPS and its rows of FRAMES.

    Reasons in `lost`: too_short (fewer measured frames than a row of this stride spans), too_small, no_person,
    no_half_body and not_closer (of `pipelines.shards.crops`), same_cut (nearly that of a crop before it),
    no_reference_face (no frame has a face inside the cut, with a skeleton).
    """
    measured = measured_frames(frames)
    plan = ClipPlan(clip=clip, measured=measured, crops=[], lost=[])
    windows = {stride: row_windows(len(measured), settings.frames_per_row, stride) for stride in settings.strides}
    short = [stride for stride in settings.strides if not windows[stride]]
    for crop in settings.crops:
        for stride in short:
            span = (settings.frames_per_row - 1) * stride + 1
            detail = f"{len(measured)} measured frames, a row needs {span}"
            plan.lost.append(lost_line(clip, crop, stride, RowError("too_short", detail)))
        kept = {stride: windows[stride] for stride in settings.strides if windows[stride]}
        if not kept:
            continue
        try:
            framing, candidates = _cut(crop, clip, plan, settings)
        except RowError as error:
            plan.lost.extend(lost_line(clip, crop, stride, error) for stride in kept)
        else:
            plan.crops.append(CropPlan(crop=crop, framing=framing, candidates=candidates, windows=kept))
    return plan


def _cut(crop: Crop, clip: dict[str, Any], plan: ClipPlan, settings: EncodeSettings) -> tuple[Framing, list[int]]:
    main = [frame.keypoints[0] for frame in plan.measured if len(frame.keypoints)]
    source = (clip["height"], clip["width"])
    framing = crop_framing(crop, source, main, settings.buckets, settings.max_enlargement)
    for other in plan.crops:
        if same_cut(framing, other.framing):
            raise RowError("same_cut", f"nearly that of {other.crop}")
    candidates = reference_candidates(plan.measured, framing, settings.references)
    if not candidates:
        raise PersonError("no_reference_face", f"none of {len(plan.measured)} frames has a face and a skeleton")
    return framing, candidates


def lost_line(clip: dict[str, Any], crop: Crop, stride: int, error: RowError) -> dict[str, Any]:
    """A line of ENCODE_REPORT without rows."""
    why = {"rows": 0, "fps": None, "reason": error.reason, "detail": error.detail}
    return {"shot_id": clip["shot_id"], "crop": crop, "stride": stride, **why}


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


def row_windows(count: int, size: int, stride: int = 1) -> list[range]:
    """Positions `stride` apart, `size` in a row, that go through 0..count-1 once, one row after the other; the last is
    moved back where it would not fit. Empty where `count` is too short."""
    places = range(0, count, stride)
    starts = list(range(0, len(places) - size + 1, size))
    if starts and starts[-1] + size < len(places):
        starts.append(len(places) - size)
    return [places[start : start + size] for start in starts]


def reference_candidates(frames: list[MeasuredFrame], framing: Framing, most: int) -> list[int]:
    """Positions of at most `most` frames with a face in the cut and a skeleton, evenly spread over those."""
    usable = [
        position
        for position, frame in enumerate(frames)
        if frame.embedding is not None and len(frame.keypoints) and frame.face_in_picture(framing)
    ]
    count = min(most, len(usable))
    return [usable[int(i)] for i in np.linspace(0, len(usable) - 1, count).round()]


def row_references(candidates: list[int], window: range) -> list[int]:
    """The candidates that are no frames of the row, which a loader may draw for any of them; where all are, all."""
    return [position for position in candidates if position not in window] or candidates


def row_people(measured: list[MeasuredFrame], window: range, most: int) -> int:
    """P, the same for all frames of a row."""
    return min(max(len(measured[position].keypoints) for position in window), most)
