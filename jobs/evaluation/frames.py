"""The frames of a prediction, of its truth and of its reference, all cut alike; and videos of them side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.pairs.predicted_files import require_file
from stableanimator.errors import DecodeError
from stableanimator.media.frame_folder import open_frames
from stableanimator.media.framing import Framing, Size
from stableanimator.media.pictures import Colour, read_image
from stableanimator.media.side_by_side import strip
from stableanimator.media.video import FrameReader, VideoReader

Image = npt.NDArray[np.uint8]
Prediction = dict[str, Any]
"""A row of the PREDICTIONS table."""


def open_result(prediction: Prediction) -> FrameReader:
    """The frames of a prediction, without loss where they were kept so.

    Raises:
        DecodeError: they cannot be read, or are fewer than the row says.
        RowError: `damaged`, they are not what was written.
    """
    require_file(prediction, "frames" if prediction["frames_uri"] else "prediction")
    uri = prediction["frames_uri"] or prediction["prediction_uri"]
    reader = open_frames(uri, prediction["fps"])
    frames, count = len(prediction["frame_index"]), reader.info.frame_count
    if count < frames:
        reader.close()
        raise DecodeError("too_few_frames", f"{uri} has {count} frames, {frames} were made")
    return reader


def true_frames(prediction: Prediction, size: Size) -> Iterator[Image]:
    """The true frames, framed to the prediction's size around the middle of the reference's cut.

    Raises:
        DecodeError: the video cannot be read, or `truth_too_short`.
    """
    with VideoReader(prediction["truth_uri"]) as video:
        indices = prediction["frame_index"]
        if indices[-1] >= video.info.frame_count:
            raise DecodeError("truth_too_short", f"frame {indices[-1]} of {video.info.frame_count}")
        framing = Framing.cover((video.info.height, video.info.width), size, prediction["cut_middle"])
        for _, frame in video.frames(indices):
            yield framing.pictures(frame[None])[0]


def framed_reference(picture: Image, prediction: Prediction, size: Size) -> Image:
    """A reference picture, framed as the prediction is."""
    framing = Framing.cover((picture.shape[0], picture.shape[1]), size, prediction["cut_middle"])
    return framing.pictures(picture[None])[0]


def reference_frame(prediction: Prediction) -> int | None:
    """Which frame of the true video is the reference; None: it is another picture."""
    video, mark, number = prediction["reference_uri"].rpartition("#frame=")
    return int(number) if mark and video == prediction["truth_uri"] and number.isdigit() else None


def side_by_side(variants: Sequence[Prediction], background: Colour) -> Iterator[Image]:
    """Frames of one pair's variants: reference | driven by | each variant | truth, at the moments of the first one.

    Raises:
        RowError: one of the videos cannot be read.
    """
    first = variants[0]
    with open_result(first) as video:
        size = (video.info.height, video.info.width)
    reference = framed_reference(read_image(first["reference_uri"], background), first, size)
    columns = {row["variant"]: _at(row, first["frame_index"]) for row in variants}
    if first["skeleton_uri"] is not None:
        columns = {"driven by": _skeletons(first), **columns}
    if first["truth_uri"] is not None:
        columns["truth"] = true_frames(first, size)
    for frames in zip(*columns.values(), strict=False):  # what all of them have is shown
        yield strip({"reference": reference, **dict(zip(columns, frames, strict=True))})


def _skeletons(prediction: Prediction) -> Iterator[Image]:
    require_file(prediction, "skeleton")
    with VideoReader(prediction["skeleton_uri"]) as video:
        for _, frame in video.frames(range(video.info.frame_count)):
            yield frame


def _at(prediction: Prediction, moments: Sequence[int]) -> Iterator[Image]:
    """Of each moment, a frame of the drive, the last frame of a prediction up to it, as far as the prediction goes."""
    own = np.array(prediction["frame_index"])
    reached = np.array(moments)[np.array(moments) <= own[-1]]
    with open_result(prediction) as video:
        for _, frame in video.frames(np.maximum(np.searchsorted(own, reached, side="right") - 1, 0)):
            yield frame
