"""One accepted clip to its shard rows: what the encoders make of its frames, and rows put together from that.

    encoded = encode_clip(plan_clip(clip, frames, settings), video, encoders, settings, spool)
    for crop in encoded.crops:
        for row in crop.rows(spool):            # tables of one row each

A clip is decoded once for all its crops, and a frame encoded once for all strides. Pixels of a window of frames are in
memory at a time; latents wait in the spool until the whole clip is known to be sound. No Ray here:
`pipelines.shards.encode` runs this in actors.

    F frames of a row   K candidate references   P people   C h w latent   E face embedding   D CLIP embedding
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from pipelines.shards.latent_spool import Half, LatentSpool
from pipelines.shards.measured import MeasuredFrame
from pipelines.shards.plan import ClipPlan, CropPlan, lost_line, row_people
from pipelines.shards.references import Candidate, row_references
from pipelines.shards.settings import EncodeSettings
from pipelines.storage.tables import KEYPOINT_COUNT, SHARDS
from stableanimator.diffusion.edm import augment_reference
from stableanimator.errors import RowError
from stableanimator.media.framing import box_mask
from stableanimator.media.prefetch import Prefetch
from stableanimator.media.tensors import to_tensor
from stableanimator.media.video import VideoReader
from stableanimator.models.encoders import Encoders

Array = npt.NDArray[np.float32]

_WINDOW_S = 3600.0  # a window may take so long to decode; the reader has a limit for each frame


@dataclass(kw_only=True)
class EncodedCrop:
    """What the encoders made of one cut of a clip."""

    clip: ClipPlan
    plan: CropPlan
    settings: EncodeSettings
    fingerprint: str
    """Of the encoders."""
    factor: int
    places: list[int] = field(default_factory=list)
    """Of each measured frame's latent in the spool."""
    references: dict[Candidate, Half] = field(default_factory=dict)
    """[C, h, w] of each candidate."""
    embeddings: dict[Candidate, Half] = field(default_factory=dict)
    """[1, D] of each candidate."""

    def rows(self, spool: LatentSpool) -> Iterator[pa.Table]:
        """Tables of SHARDS with one row each, by stride, then time."""
        for stride, windows in self.plan.windows.items():
            for window in windows:
                rate = {"stride": stride, "fps": self.clip.fps / stride}
                yield table_of({**rate, **self._texts(), **self._row(window, spool)})

    def _texts(self) -> dict[str, str]:
        clip = self.clip.clip
        return {
            "shot_id": clip["shot_id"],
            "video_id": clip["video_id"],
            "split": clip["split"],
            "bucket": self.plan.bucket,
            "crop": self.plan.crop,
            "encoders": self.fingerprint,
        }

    def _row(self, window: range, spool: LatentSpool) -> dict[str, Any]:
        measured, framing = self.clip.measured, self.plan.framing
        frames = [measured[position] for position in window]
        candidates = [each for each in self.plan.candidates if each in self.embeddings]
        references = row_references(candidates, self.clip, window)
        present = [frame.face_in_picture(framing) for frame in frames]
        masks = [
            box_mask(framing.boxes(frame.faces if there else frame.faces[:0]), framing.size, self.factor)
            for frame, there in zip(frames, present, strict=True)
        ]
        people = row_people(measured, window, self.settings.max_people)
        shape = self.references[references[0]].shape
        main = [each.framing.keypoints(each.frame.keypoints[0]) for each in references]
        return {
            "frame_index": np.array([frame.index for frame in frames], np.int32),
            "latents": spool.read([self.places[position] for position in window], shape),
            "reference_shot_id": [each.owner.shot_id for each in references],
            "reference_crop": [each.crop for each in references],
            "reference_index": np.array([each.frame.index for each in references], np.int32),
            "reference_latent": np.stack([self.references[each] for each in references]),
            "clip_embedding": np.stack([self.embeddings[each] for each in references]),
            "face_embedding": np.array([each.frame.face_embedding for each in references], np.float16),
            "reference_keypoints": np.stack(main),
            "face_present": np.array(present),
            "face_mask": np.stack(masks),
            "people": people,
            "keypoints": framing.keypoints(people_array(frames, people)),
        }


@dataclass(frozen=True, kw_only=True)
class EncodedClip:
    """All cuts of a clip."""

    crops: list[EncodedCrop]
    lost: list[dict[str, Any]]
    """Lines of ENCODE_REPORT of what could not be encoded."""


def encode_clip(
    plan: ClipPlan,
    video: VideoReader,
    encoders: Encoders,
    settings: EncodeSettings,
    spool: LatentSpool,
    media: Callable[[str], AbstractContextManager[str]],
) -> EncodedClip:
    """Encode every crop of a plan that has rows. What 16 bits cannot hold costs that crop alone (`latent_overflow`).

    Args:
        media: opens the file of another clip's `media`, for references of it (`pipelines.storage.inputs`).

    Raises:
        DecodeError: the video cannot be read.
    """
    crops = [
        EncodedCrop(clip=plan, plan=crop, settings=settings, fingerprint=encoders.fingerprint, factor=encoders.factor)
        for crop in plan.crops
    ]
    lost: list[dict[str, Any]] = []

    def lose(crop: EncodedCrop, error: RowError) -> None:
        crops.remove(crop)
        lost.extend(lost_line(plan.clip, crop.plan.crop, stride, error) for stride in crop.plan.windows)

    for crop in list(crops):
        try:
            _encode_lent(crop, encoders, media)
        except RowError as error:
            lose(crop, error)
    windows = Prefetch(_cut_windows(plan, video, settings.batch), depth=1, timeout_s=_WINDOW_S, what=plan.shot_id)
    with contextlib.closing(windows):
        for pictures in windows:
            for crop in list(crops):
                try:
                    _encode_window(crop, pictures[crop.plan.crop], encoders, spool)
                except RowError as error:
                    lose(crop, error)
            if not crops:
                break
    return EncodedClip(crops=crops, lost=lost)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pictures:
    """Of one cut, in a window of frames."""

    frames: npt.NDArray[np.uint8]
    """[n, H, W, 3]."""
    references: list[tuple[Candidate, npt.NDArray[np.uint8]]]
    """Candidates of the clip itself, each [1, H, W, 3]."""


def _cut_windows(plan: ClipPlan, video: VideoReader, size: int) -> Iterator[dict[str, _Pictures]]:
    """Pictures of each window by crop. Runs ahead on a thread of its own."""
    indices = [frame.index for frame in plan.measured] if plan.crops else []
    first = 0
    for window, frames in video.windows(indices, size):
        inside = range(first, first + len(window))
        yield {
            crop.crop: _Pictures(
                frames=crop.framing.pictures(frames),
                references=[
                    (each, each.framing.pictures(frames[each.position - first][None]))
                    for each in crop.candidates
                    if each.owner.shot_id == plan.shot_id and each.position in inside
                ],
            )
            for crop in plan.crops
        }
        first += len(window)


def _encode_window(crop: EncodedCrop, pictures: _Pictures, encoders: Encoders, spool: LatentSpool) -> None:
    device = next(encoders.parameters()).device
    crop.places += spool.append(half(encoders.encode(to_tensor(pictures.frames).to(device)), "latents"))
    for candidate, picture in pictures.references:
        _encode_reference(crop, candidate, picture, encoders)


def _encode_lent(crop: EncodedCrop, encoders: Encoders, media: Callable[[str], AbstractContextManager[str]]) -> None:
    """The candidates that are frames of other clips. One that cannot be had is left out.

    Raises:
        RowError: as the last of them, where none can be had.
    """
    lent = [each for each in crop.plan.candidates if each.owner.shot_id != crop.clip.shot_id]
    failure: RowError | None = None
    for candidate in lent:
        try:
            with media(candidate.owner.clip["media"]) as local, VideoReader(local) as video:
                picture = candidate.framing.pictures(video.read([candidate.frame.index]))
            _encode_reference(crop, candidate, picture, encoders)
        except RowError as error:
            failure = error
    if failure is not None and not crop.references:
        raise failure


def _encode_reference(
    crop: EncodedCrop, candidate: Candidate, picture: npt.NDArray[np.uint8], encoders: Encoders
) -> None:
    device = next(encoders.parameters()).device
    clean = to_tensor(picture)
    random = torch.Generator().manual_seed(int(hashlib.sha256(candidate.name.encode()).hexdigest()[:15], 16))
    noisy = augment_reference(clean, crop.settings.reference_noise, random)
    crop.references[candidate] = half(encoders.encode(noisy.to(device)), "reference latents")[0]
    crop.embeddings[candidate] = half(encoders.embed(clean.to(device)), "CLIP embeddings")[0]


def table_of(row: dict[str, Any]) -> pa.Table:
    """One row of SHARDS; lists are given as arrays of any shape and become flat."""
    columns = []
    for column in SHARDS:
        value = row[column.name]
        if pa.types.is_list(column.type):
            flat = pa.array(np.ravel(value), column.type.value_type)
            columns.append(pa.ListArray.from_arrays(pa.array([0, len(flat)], pa.int32()), flat))
        else:
            columns.append(pa.array([value], column.type))
    return pa.Table.from_arrays(columns, schema=SHARDS)


def people_array(frames: list[MeasuredFrame], people: int) -> Array:
    """[F, people, 133, 3] in pixels of the upright frame; a person who is not there is NaN with score 0."""
    result = np.full((len(frames), people, KEYPOINT_COUNT, 3), np.nan, np.float32)
    result[..., 2] = 0
    for i, frame in enumerate(frames):
        kept = frame.keypoints[:people]
        result[i, : len(kept)] = kept
    return result


def half(values: torch.Tensor, what: str) -> Half:
    """As 16-bit floats on the CPU.

    Raises:
        RowError: `latent_overflow`, a value that 16 bits turn into infinity, or that is no number.
    """
    result: Half = values.to("cpu", torch.float16).numpy()
    if not np.isfinite(result).all():
        raise RowError("latent_overflow", f"{what} reach {values.abs().max().item():.3g}; 16-bit floats end at 65504")
    return result
