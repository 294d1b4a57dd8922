"""One accepted clip to its shard rows: which frames, which references, and what the encoders make of them.

Only frames that were measured are encoded, so that keypoints and faces exist for each. Their spacing is the sampling
rate of the measures. No Ray here: `pipelines.encode` runs this in actors.

    F frames of a row   K candidate references   P people   C h w latent   E face embedding   D CLIP embedding
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from pipelines.encode_settings import EncodeSettings
from pipelines.tables import KEYPOINT_COUNT
from stableanimator.diffusion.edm import augment_reference
from stableanimator.errors import PersonError, RowError
from stableanimator.framing import Framing, nearest_size, to_tensor
from stableanimator.models.encoders import Encoders
from stableanimator.video import VideoReader

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredFrame:
    """What the release knows of one frame, in pixels of the bucket."""

    index: int
    """Frame of the video."""
    keypoints: Array
    """[P, 133, 3], in the detector's order."""
    faces: Array
    """[N, 4] boxes, main face first."""
    embedding: Array | None
    """[E] of the main face."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Encoded:
    """What the encoders made of a clip: n frames, K candidates."""

    latents: npt.NDArray[np.float16]
    reference_latents: npt.NDArray[np.float16]
    clip_embeddings: npt.NDArray[np.float16]


def encode_clip(
    clip: dict[str, Any], frames: pa.Table, video: VideoReader, encoders: Encoders, settings: EncodeSettings
) -> list[dict[str, Any]]:
    """Rows of the SHARDS table for one row of CLIPS and its rows of FRAMES.

    Raises:
        RowError: `too_short` (fewer measured frames than a row needs), `latent_overflow` (no 16-bit float).
        PersonError: `no_reference_face` (no frame has a face inside the bucket's cut, with a skeleton).
        DecodeError: the video cannot be read.
    """
    bucket = nearest_size(clip["height"], clip["width"], settings.buckets)
    framing = Framing.cover((clip["height"], clip["width"]), bucket)
    measured = measured_frames(frames, framing)
    if len(measured) < settings.frames_per_row:
        detail = f"{len(measured)} measured frames, a row needs {settings.frames_per_row}"
        raise RowError("too_short", detail)
    candidates = reference_candidates(measured, bucket, settings.references)
    if not candidates:
        raise PersonError("no_reference_face", f"none of {len(measured)} frames has a face and a skeleton")
    encoded = _encode(clip["shot_id"], measured, candidates, video, framing, encoders, settings)
    common = {
        "shot_id": clip["shot_id"],
        "video_id": clip["video_id"],
        "split": clip["split"],
        "bucket": f"{bucket[0]}x{bucket[1]}",
        "encoders": encoders.fingerprint,
    }
    return [
        common | _row(window, measured, candidates, encoded, bucket, encoders.factor, settings)
        for window in windows(len(measured), settings.frames_per_row)
    ]


def measured_frames(frames: pa.Table, framing: Framing) -> list[MeasuredFrame]:
    """Rows of FRAMES of one shot for which both people and faces were looked for, in the order of time."""
    rows = frames.sort_by("frame_index").to_pylist()
    return [
        MeasuredFrame(
            index=row["frame_index"],
            keypoints=framing.keypoints(np.array(row["keypoints"], np.float32).reshape(-1, KEYPOINT_COUNT, 3)),
            faces=framing.boxes(np.array(row["face_boxes"], np.float32).reshape(-1, 4)),
            embedding=None if row["face_embedding"] is None else np.array(row["face_embedding"], np.float32),
        )
        for row in rows
        if row["keypoints"] is not None and row["face_boxes"] is not None
    ]


def windows(count: int, size: int) -> list[range]:
    """Ranges of `size` that cover 0..count-1, one after the other; the last is moved back where it would not fit."""
    starts = list(range(0, count - size + 1, size))
    if starts and starts[-1] + size < count:
        starts.append(count - size)
    return [range(start, start + size) for start in starts]


def face_in_picture(frame: MeasuredFrame, size: tuple[int, int]) -> bool:
    """Whether the centre of the main face lies in the bucket's cut."""
    if not len(frame.faces):
        return False
    x0, y0, x1, y1 = frame.faces[0]
    return bool(0 <= (x0 + x1) / 2 < size[1] and 0 <= (y0 + y1) / 2 < size[0])


def reference_candidates(frames: list[MeasuredFrame], size: tuple[int, int], most: int) -> list[int]:
    """Positions of at most `most` frames with a face in the picture and a skeleton, evenly spread over those."""
    usable = [
        position
        for position, frame in enumerate(frames)
        if frame.embedding is not None and len(frame.keypoints) and face_in_picture(frame, size)
    ]
    count = min(most, len(usable))
    return [usable[int(i)] for i in np.linspace(0, len(usable) - 1, count).round()]


def row_references(candidates: list[int], window: range) -> list[int]:
    """The candidates outside the window, which a loader may draw for any of its frames; where there is none, all."""
    return [position for position in candidates if position not in window] or candidates


def face_mask(faces: Array, size: tuple[int, int], factor: int) -> npt.NDArray[np.uint8]:
    """[h, w] at latent size: 1 in every cell that a face's box [N, 4] touches, 0 elsewhere."""
    height, width = size[0] // factor, size[1] // factor
    mask = np.zeros((height, width), np.uint8)
    for x0, y0, x1, y1 in faces / factor:
        rows = slice(max(int(np.floor(y0)), 0), max(int(np.ceil(y1)), 0))
        columns = slice(max(int(np.floor(x0)), 0), max(int(np.ceil(x1)), 0))
        mask[rows, columns] = 1
    return mask


def people_array(frames: list[MeasuredFrame], most: int) -> Array:
    """[F, P, 133, 3] with the same P for all frames; a person who is not there is NaN with score 0."""
    people = min(max(len(frame.keypoints) for frame in frames), most)
    result = np.full((len(frames), people, KEYPOINT_COUNT, 3), np.nan, np.float32)
    result[..., 2] = 0
    for i, frame in enumerate(frames):
        kept = frame.keypoints[:people]
        result[i, : len(kept)] = kept
    return result


def half(values: torch.Tensor, what: str) -> npt.NDArray[np.float16]:
    """As 16-bit floats on the CPU.

    Raises:
        RowError: `latent_overflow`, a value that 16 bits turn into infinity, or that is no number.
    """
    result = values.to("cpu", torch.float16).numpy()
    if not np.isfinite(result).all():
        raise RowError("latent_overflow", f"{what} reach {values.abs().max().item():.3g}; 16-bit floats end at 65504")
    return result


def _encode(
    shot_id: str,
    measured: list[MeasuredFrame],
    candidates: list[int],
    video: VideoReader,
    framing: Framing,
    encoders: Encoders,
    settings: EncodeSettings,
) -> _Encoded:
    """Every measured frame is decoded once; a window of `batch` frames is in memory at a time."""
    latents: list[npt.NDArray[np.float16]] = []
    references: list[npt.NDArray[np.float16]] = []
    embeddings: list[npt.NDArray[np.float16]] = []
    device = next(encoders.parameters()).device
    wanted = {measured[position].index for position in candidates}
    for indices, frames in video.windows([frame.index for frame in measured], settings.batch):
        pictures = to_tensor(framing.pictures(frames))
        latents.append(half(encoders.encode(pictures.to(device)), "latents"))
        for index, picture in _chosen(indices, pictures, wanted):
            seed = int(hashlib.sha256(f"{shot_id}/{index}".encode()).hexdigest()[:15], 16)
            generator = torch.Generator().manual_seed(seed)
            noisy = augment_reference(picture[None], settings.reference_noise, generator)
            references.append(half(encoders.encode(noisy.to(device)), "reference latents"))
            embeddings.append(half(encoders.embed(picture[None].to(device)), "CLIP embeddings"))
    return _Encoded(
        latents=np.concatenate(latents),
        reference_latents=np.concatenate(references),
        clip_embeddings=np.concatenate(embeddings),
    )


def _chosen(
    indices: npt.NDArray[np.int64], pictures: torch.Tensor, wanted: set[int]
) -> Iterator[tuple[int, torch.Tensor]]:
    return ((int(index), picture) for index, picture in zip(indices, pictures, strict=True) if int(index) in wanted)


def _row(
    window: range,
    measured: list[MeasuredFrame],
    candidates: list[int],
    encoded: _Encoded,
    bucket: tuple[int, int],
    factor: int,
    settings: EncodeSettings,
) -> dict[str, Any]:
    frames = [measured[position] for position in window]
    references = row_references(candidates, window)
    places = [candidates.index(position) for position in references]
    present = [face_in_picture(frame, bucket) for frame in frames]
    masks = [
        face_mask(frame.faces if there else frame.faces[:0], bucket, factor)
        for frame, there in zip(frames, present, strict=True)
    ]
    keypoints = people_array(frames, settings.max_people)
    embeddings = [measured[position].embedding for position in references]
    return {
        "frame_index": [frame.index for frame in frames],
        "latents": encoded.latents[window.start : window.stop].ravel(),
        "reference_index": [measured[position].index for position in references],
        "reference_latent": encoded.reference_latents[places].ravel(),
        "clip_embedding": encoded.clip_embeddings[places].ravel(),
        "face_embedding": np.array(embeddings, np.float16).ravel(),
        "reference_keypoints": np.stack([measured[position].keypoints[0] for position in references]).ravel(),
        "face_present": present,
        "face_mask": np.stack(masks).ravel(),
        "people": keypoints.shape[1],
        "keypoints": keypoints.ravel(),
    }
