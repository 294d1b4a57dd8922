"""One row of a predictions table to a row of metrics, and to a side-by-side video. No Ray here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.pairs.people import People
from jobs.pairs.settings import REPEAT
from stableanimator.errors import DecodeError, RowError
from stableanimator.media.framing import Framing
from stableanimator.media.pictures import Colour, read_image
from stableanimator.media.side_by_side import strip
from stableanimator.media.video import VideoReader
from stableanimator.metrics.identity import main_identity
from stableanimator.metrics.scoring import PairMetrics, Scoring, weight_of
from stableanimator.metrics.seen import Judges, Seen
from stableanimator.metrics.settings import ProtocolName
from stableanimator.perception.faces import FaceAnalyser
from stableanimator.perception.held_out import HeldOutRecogniser
from stableanimator.perception.settings import PerceptionSettings

Image = npt.NDArray[np.uint8]
Prediction = dict[str, Any]
"""A row of the PREDICTIONS table."""

PICTURES = ("l1", "psnr", "psnr_uint8", "ssim")
"""Columns of METRICS that are the protocol's."""
COLUMNS = (
    *PICTURES,
    *("csim", "csim_truth", "csim_held_out", "csim_truth_held_out", "face_found"),
    *("pck_05", "pck_10", "pck_moved_05", "pck_moved_10"),
)
"""Those that are averaged over predictions, in the order in which tables show them."""
_COUNTS = ("frames", "joints", "joints_moved")
_WINDOW = 32
"""Frames of each video in memory at a time."""


def measure(prediction: Prediction, judges: Judges, protocol: ProtocolName, background: Colour) -> dict[str, Any]:
    """A row of the METRICS table; `background` is what the reference was put on.

    Raises:
        RowError: something is wrong with this prediction alone, or was when it was made.
    """
    if prediction["status"] != "done":
        raise RowError(prediction["reason"], prediction["detail"] or "")
    reference = read_image(prediction["reference_uri"], background)
    pairs = frame_pairs(prediction)
    if prediction["variant"] == REPEAT:
        pairs = _repeated(pairs, reference, prediction["cut_middle"])
    identity = main_identity(judges.faces, judges.held_out, reference)
    scoring = Scoring(identity, judges, [protocol], fps=1)
    for generated, truth in pairs:
        scoring.add(Seen(generated, judges), None if truth is None else Seen(truth, judges))
    metrics = scoring.finish()
    columns = {name: metrics.columns.get(f"{protocol}/{name}" if name in PICTURES else name) for name in COLUMNS}
    return _named(prediction) | columns | {name: metrics.counts[name] for name in _COUNTS} | {"reason": metrics.reason}


def unmeasured(prediction: Prediction, error: RowError) -> dict[str, Any]:
    """A row of the METRICS table that says why there are no metrics."""
    return _named(prediction) | {"reason": error.reason, "detail": error.detail}


def _named(prediction: Prediction) -> dict[str, Any]:
    return {name: prediction[name] for name in ("pair_id", "variant")}


class MeasurePair:
    """An actor: holds the networks that judge, and measures one prediction. `backgrounds` are those of the variants.

    Raises:
        WeightsError: their files are missing or unreadable, or the held-out recogniser is the pack's own.
    """

    def __init__(
        self, perception: PerceptionSettings, protocol: ProtocolName, backgrounds: Mapping[str, Colour]
    ) -> None:
        self.protocol, self.backgrounds = protocol, backgrounds
        faces, threads, device = perception.faces, perception.threads, perception.device
        self._judges = Judges(
            faces=FaceAnalyser(faces, threads, device),
            held_out=HeldOutRecogniser.from_settings(faces, threads, device),
            people=People(perception),
        )

    def __call__(self, prediction: Prediction) -> dict[str, Any]:
        return measure(prediction, self._judges, self.protocol, self.backgrounds[prediction["variant"]])


def metrics_of(row: dict[str, Any]) -> PairMetrics | None:
    """The metrics inside a row of `measure`; None where it has none."""
    if row.get("frames") is None:
        return None
    columns = {f"standard/{name}" if name in PICTURES else name: row[name] for name in COLUMNS}
    frames = {weight_of(name): row["frames"] for name in columns}  # near enough to the faces' counts, where it is not
    return PairMetrics(
        columns=columns,
        counts=frames | {"faces": round(row["frames"] * row["face_found"])} | {name: row[name] for name in _COUNTS},
        features={},
        reason=row["reason"],
    )


def frame_pairs(prediction: Prediction) -> Iterator[tuple[Image, Image | None]]:
    """Each generated frame with its true one, which is scaled and cut as the reference was.

    Raises:
        DecodeError: one of the videos cannot be read, or `truth_too_short`.
    """
    with VideoReader(prediction["prediction_uri"]) as video:
        frames = (frame for _, window in video.windows(range(video.info.frame_count), _WINDOW) for frame in window)
        if prediction["truth_uri"] is None:
            for frame in frames:
                yield frame, None
            return
        size = (video.info.height, video.info.width)
        for frame, truth in zip(frames, true_frames(prediction, size), strict=True):
            yield frame, truth


def repeats(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Rows that stand for the repeated reference: of each pair's first variant that is done, named REPEAT."""
    firsts: dict[str, Prediction] = {}
    for row in predictions:
        if row["status"] == "done":
            firsts.setdefault(row["pair_id"], row)
    return [row | {"variant": REPEAT} for row in firsts.values()]


def _repeated(
    pairs: Iterator[tuple[Image, Image | None]], reference: Image, middle: tuple[float, float]
) -> Iterator[tuple[Image, Image | None]]:
    """The reference, framed as the results are, in the place of each generated frame."""
    still: Image | None = None
    for generated, truth in pairs:
        if still is None:
            still = _framed(reference, (generated.shape[0], generated.shape[1]), middle)
        yield still, truth


def _framed(reference: Image, size: tuple[int, int], middle: tuple[float, float]) -> Image:
    framed: Image = Framing.cover((reference.shape[0], reference.shape[1]), size, middle).pictures(reference[None])[0]
    return framed


def true_frames(prediction: Prediction, size: tuple[int, int]) -> Iterator[Image]:
    """The true frames, framed to the prediction's size around the middle of the reference's cut."""
    with VideoReader(prediction["truth_uri"]) as video:
        indices = prediction["frame_index"]
        if indices[-1] >= video.info.frame_count:
            raise DecodeError("truth_too_short", f"frame {indices[-1]} of {video.info.frame_count}")
        framing = Framing.cover((video.info.height, video.info.width), size, prediction["cut_middle"])
        for _, window in video.windows(indices, _WINDOW):
            yield from framing.pictures(window)


def side_by_side(variants: Sequence[Prediction], background: Colour) -> Iterator[Image]:
    """Frames of one pair's variants: reference | driven by | each variant | truth.

    Raises:
        RowError: one of the videos cannot be read.
    """
    first = variants[0]
    videos = {row["variant"]: _frames(row["prediction_uri"]) for row in variants}
    with VideoReader(first["prediction_uri"]) as video:
        size = (video.info.height, video.info.width)
    picture = read_image(first["reference_uri"], background)
    reference = _framed(picture, size, first["cut_middle"])
    columns = {"driven by": _frames(first["skeleton_uri"]), **videos}
    if first["truth_uri"] is not None:
        columns["truth"] = true_frames(first, size)
    # Variants may differ in `max_frames`; what all of them have is shown.
    for frames in zip(*columns.values(), strict=False):
        yield strip({"reference": reference, **dict(zip(columns, frames, strict=True))})


def _frames(uri: str) -> Iterator[Image]:
    with VideoReader(uri) as video:
        for _, window in video.windows(range(video.info.frame_count), _WINDOW):
            yield from window
