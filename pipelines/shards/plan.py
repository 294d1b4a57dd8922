"""Which shard rows a clip gives, told from the release alone: cuts, windows of frames, candidate references.

Nothing is decoded here. `pipelines.shards.encode` plans every video to know what will be written, and its actors follow
the same plan. Only frames that were measured are encoded, so that keypoints and faces exist for each; their spacing is
the sampling rate of the measures, as each video's frames allow it.

    F frames of a row   P people   N faces   E face embedding
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipelines.shards.crops import crop_framing, same_cut
from pipelines.shards.measured import MeasuredClip, MeasuredFrame
from pipelines.shards.references import Candidate, Cut, candidates_of, usable_positions
from pipelines.shards.settings import Crop, EncodeSettings
from stableanimator.errors import PersonError, RowError
from stableanimator.media.framing import Framing


@dataclass(frozen=True, kw_only=True)
class CropPlan:
    """One cut of a clip, and the rows that are made of it."""

    crop: Crop
    framing: Framing
    candidates: list[Candidate]
    """References that its rows may be given."""
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
class ClipPlan(MeasuredClip):
    """What becomes of one row of CLIPS."""

    crops: list[CropPlan] = field(default_factory=list)
    lost: list[dict[str, Any]] = field(default_factory=list)
    """Lines of ENCODE_REPORT for every crop and stride that gives no row."""


def plan_clip(own: MeasuredClip, settings: EncodeSettings, lenders: Sequence[MeasuredClip] = ()) -> ClipPlan:
    """For one clip.

    Reasons in `lost`: too_short (fewer measured frames than a row of this stride spans), too_small, no_person,
    no_half_body and not_closer (of `pipelines.shards.crops`), same_cut (nearly that of a crop before it),
    no_reference_face (no frame has a face inside the cut, with a skeleton).

    Args:
        lenders: other clips of the same person; see `pipelines.shards.references.candidates_of`.
    """
    clip, count = own.clip, len(own.measured)
    plan = ClipPlan(clip=clip, measured=own.measured)
    windows = {stride: row_windows(count, settings.frames_per_row, stride) for stride in settings.strides}
    short = [stride for stride in settings.strides if not windows[stride]]
    for crop in settings.crops:
        for stride in short:
            span = (settings.frames_per_row - 1) * stride + 1
            detail = f"{count} measured frames, a row needs {span}"
            plan.lost.append(lost_line(clip, crop, stride, RowError("too_short", detail)))
        kept = {stride: windows[stride] for stride in settings.strides if windows[stride]}
        if not kept:
            continue
        try:
            cut = _cut(crop, plan, settings)
        except RowError as error:
            plan.lost.extend(lost_line(clip, crop, stride, error) for stride in kept)
        else:
            candidates = candidates_of(cut, lenders, settings)
            plan.crops.append(CropPlan(crop=crop, framing=cut.framing, candidates=candidates, windows=kept))
    return plan


def _cut(crop: Crop, plan: ClipPlan, settings: EncodeSettings) -> Cut:
    framing = crop_framing(crop, plan.size, plan.main, settings.buckets, settings.max_enlargement)
    for other in plan.crops:
        if same_cut(framing, other.framing):
            raise RowError("same_cut", f"nearly that of {other.crop}")
    positions = usable_positions(plan.measured, framing)
    if not positions:
        raise PersonError("no_reference_face", f"none of {len(plan.measured)} frames has a face and a skeleton")
    return Cut(owner=plan, crop=crop, framing=framing, positions=positions)


def lost_line(clip: dict[str, Any], crop: Crop, stride: int, error: RowError) -> dict[str, Any]:
    """A line of ENCODE_REPORT without rows."""
    why: dict[str, Any] = {"rows": 0, "fps": None, "references": None, "reference_shots": None}
    why |= {"reason": error.reason, "detail": error.detail}
    return {"shot_id": clip["shot_id"], "crop": crop, "stride": stride, **why}


def row_windows(count: int, size: int, stride: int = 1) -> list[range]:
    """Positions `stride` apart, `size` in a row, that go through 0..count-1 once, one row after the other; the last is
    moved back where it would not fit. Empty where `count` is too short."""
    places = range(0, count, stride)
    starts = list(range(0, len(places) - size + 1, size))
    if starts and starts[-1] + size < len(places):
        starts.append(len(places) - size)
    return [places[start : start + size] for start in starts]


def row_people(measured: list[MeasuredFrame], window: range, most: int) -> int:
    """P, the same for all frames of a row."""
    return min(max(len(measured[position].keypoints) for position in window), most)
