"""The contact sheet of a shards collection: what some of its rows look like, beside the pictures they were made of."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from pipelines.releases.contact_sheet import shared_out
from pipelines.shards.plan import ClipPlan, CropPlan
from pipelines.shards.reader import decode_row
from pipelines.shards.settings import EncodeSettings
from pipelines.shards.videos import VideoRows
from pipelines.storage.inputs import Inputs
from pipelines.storage.parquet_files import open_parquet
from pipelines.storage.store import Store
from stableanimator.driving import skeleton_pictures
from stableanimator.errors import RowError
from stableanimator.media.framing import Framing
from stableanimator.media.side_by_side import sheet, strip
from stableanimator.media.tensors import to_pictures
from stableanimator.media.video import VideoReader
from stableanimator.models.encoders import Encoders
from stableanimator.training import ShardRow

Image = npt.NDArray[np.uint8]
Line = dict[str, Any]

NAME = "contact_sheet.jpg"
"""File of a shards collection."""
LARGEST = 65_000
"""Pixels of a sheet's longer side; a JPEG ends at 65,500."""

_PANEL = 256  # pixels of a picture's height at most
_QUALITY = 88
_NOTHING = np.full((8, 640, 3), 255, np.uint8)
_MASK = np.array([255, 40, 40], np.float32)


def spread_lines(lines: Sequence[Line], most: int) -> list[Line]:
    """At most so many lines of the report that have rows: shared by buckets, crops and strides, in each spread evenly
    over clips."""
    groups: dict[tuple[str, str, int], list[Line]] = {}
    for line in sorted(lines, key=lambda line: line["shot_id"]):
        if line["rows"]:
            groups.setdefault((line["bucket"], line["crop"], line["stride"]), []).append(line)
    ordered = [groups[key] for key in sorted(groups)]
    shares = shared_out([len(group) for group in ordered], most)
    return [
        group[number * len(group) // share]
        for group, share in zip(ordered, shares, strict=True)
        for number in range(share)
    ]


def draw_sheet(
    store: Store, lines: Sequence[Line], videos: Sequence[VideoRows], settings: EncodeSettings, encoders: Encoders
) -> bytes:
    """A JPEG with a strip for each line, which names its shot, crop, stride and the `path` of its part.

    Lines whose video cannot be read any more are left out: rows are not lost for want of a picture.

    Args:
        lines: at least one.
        videos: those that the shots are of.
    """
    strips = []
    for line in lines:
        (plan,) = (plan for video in videos for plan in video.plans(settings, line["shot_id"]))
        (crop,) = (crop for crop in plan.crops if crop.crop == line["crop"])
        with contextlib.suppress(RowError):
            strips.append(_strip(store, _middle_row(store, line), plan, crop, encoders))
    notes = ["The VAE has random weights: decoded latents are noise."] if encoders.settings.svd is None else []
    if len(strips) < len(lines):
        notes.append(f"{len(lines) - len(strips)} videos cannot be read any more.")
    picture = sheet(strips or [_NOTHING], " ".join(notes))
    if max(picture.shape) > LARGEST:
        scale = LARGEST / max(picture.shape)
        picture = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    return cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def _middle_row(store: Store, line: Line) -> pa.Table:
    """One row from the middle of a line's rows. A part has a row group for each row, so no other is read."""
    keys = ("shot_id", "crop", "stride")
    with contextlib.closing(open_parquet(store.open_file(line["path"]))) as part:
        rows = part.read(columns=list(keys)).to_pylist()
        of_line = [number for number, row in enumerate(rows) if all(row[key] == line[key] for key in keys)]
        return part.read_row_group(of_line[len(of_line) // 2])


def _strip(store: Store, row: pa.Table, plan: ClipPlan, crop: CropPlan, encoders: Encoders) -> Image:
    arrays = decode_row(row, 0.0)
    indices = row["frame_index"][0].as_py()
    shown = _shown_frame(arrays)
    frame = _picture(store, plan.clip, indices[shown], crop.framing)
    panels = {
        "frame, as cut": frame,
        "decoded latent": _decoded(arrays.latents[shown:], encoders),
        "pose": _with_pose(frame, arrays.keypoints[shown]),
        "face mask": _with_mask(frame, arrays.face_mask[shown]),
        **_references(store, row, plan, crop),
    }
    name = f"{row['shot_id'][0].as_py()[:12]}, {row['crop'][0]}, {row['bucket'][0]}, stride {row['stride'][0]}"
    words = (
        f"{name}, {row['fps'][0].as_py():.3g} frames a second: frame {indices[shown]} of {indices[0]} to {indices[-1]}"
    )
    return sheet([strip({title: _small(picture) for title, picture in panels.items()})], words)


def _references(store: Store, row: pa.Table, plan: ClipPlan, crop: CropPlan) -> dict[str, Image]:
    """The pictures of a row's references by title, as they were cut."""
    names = ("reference_shot_id", "reference_crop", "reference_index")
    wanted = list(zip(*(row[name][0].as_py() for name in names), strict=True))
    pictures = {}
    for each in crop.candidates:
        if (each.owner.shot_id, each.crop, each.frame.index) in wanted:
            other = "" if each.owner.shot_id == plan.shot_id else f" of {each.owner.shot_id[:6]}"
            title = f"ref. {each.frame.index}{other}" + ("" if each.crop == crop.crop else f", {each.crop}")
            pictures[title] = _picture(store, each.owner.clip, each.frame.index, each.framing)
    return pictures


def _picture(store: Store, clip: dict[str, Any], index: int, framing: Framing) -> Image:
    with Inputs(store).opened(clip["media"]) as local, VideoReader(local) as video:
        return framing.pictures(video.read([index]))[0]


def _shown_frame(row: ShardRow) -> int:
    """The first frame with a face from the middle on, else the middle."""
    middle = len(row.latents) // 2
    with_face = np.flatnonzero(row.face_mask[middle:].any((1, 2)))
    return middle + (int(with_face[0]) if len(with_face) else 0)


@torch.no_grad()
def _decoded(latents: npt.NDArray[np.float32], encoders: Encoders) -> Image:
    """The first of these frames; the decoder sees a chunk of them."""
    chunk = torch.from_numpy(latents[: encoders.settings.decode_chunk]).to(next(encoders.parameters()).device)
    return to_pictures(encoders.decode(chunk)[0])


def _with_pose(frame: Image, people: npt.NDArray[np.float32]) -> Image:
    height, width = frame.shape[:2]
    drawn = skeleton_pictures(people[None], height, width, "ours")[0]
    return np.maximum(frame // 2, drawn)


def _with_mask(frame: Image, mask: npt.NDArray[np.float32]) -> Image:
    height, width = frame.shape[:2]
    inside = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)[..., None] > 0
    return np.where(inside, 0.5 * frame + 0.5 * _MASK, frame).astype(np.uint8)


def _small(picture: Image) -> Image:
    height, width = picture.shape[:2]
    if height <= _PANEL:
        return picture
    size = (max(1, round(width * _PANEL / height)), _PANEL)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
