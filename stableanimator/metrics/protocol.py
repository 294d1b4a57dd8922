"""How the frames of one prediction become one row of metrics, in two named protocols.

    disco      what the published tables used, bug for bug (DisCo's scripts): L1 over H*W, SSIM of 8-bit grey with a
               7x7 window, a generated frame of another shape stretched bilinearly to the truth's
    standard   the textbook definitions: L1 with white = 1, SSIM of Wang et al. 2004 on RGB, stretched with area
               averaging where it shrinks

PSNR (float64) and `psnr_uint8` (the published wrap-around) are the same in both. Every metric is a mean over frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from stableanimator.metrics import identity, image
from stableanimator.metrics.image import Frame

ProtocolName = Literal["disco", "standard"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PairMetrics:
    """The metrics of one prediction: the columns of the METRICS table. None is missing, and `reason` says why."""

    frames: int
    l1: float | None
    psnr: float | None
    psnr_uint8: float | None
    ssim: float | None
    csim: float | None
    csim_truth: float | None
    face_found: float
    reason: str | None


@dataclass(frozen=True, slots=True)
class _Definitions:
    l1: Callable[[Frame, Frame], float]
    ssim: Callable[[Frame, Frame], float]
    shrink: int  # OpenCV's interpolation where the generated frame is larger than the truth


_PROTOCOLS: dict[ProtocolName, _Definitions] = {
    "disco": _Definitions(image.l1_disco, image.ssim_disco, cv2.INTER_LINEAR),
    "standard": _Definitions(image.l1, image.ssim, cv2.INTER_AREA),
}


def match_shape(generated: Frame, truth: Frame, protocol: ProtocolName) -> Frame:
    """The generated frame stretched to the truth's height and width; itself where they agree."""
    height, width = truth.shape[:2]
    if generated.shape[:2] == (height, width):
        return generated
    smaller = height < generated.shape[0] or width < generated.shape[1]
    interpolation = _PROTOCOLS[protocol].shrink if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(generated, (width, height), interpolation=interpolation), dtype=np.uint8)


def frame_metrics(generated: Frame, truth: Frame, protocol: ProtocolName) -> dict[str, float]:
    """L1, PSNR, PSNR with the uint8 wrap, and SSIM of one frame pair, uint8 RGB [H, W, 3]."""
    definitions = _PROTOCOLS[protocol]
    generated = match_shape(generated, truth, protocol)
    return {
        "l1": definitions.l1(generated, truth),
        "psnr": image.psnr(generated, truth),
        "psnr_uint8": image.psnr_uint8(generated, truth),
        "ssim": definitions.ssim(generated, truth),
    }


def evaluate(
    pairs: Iterable[tuple[Frame, Frame | None]],
    reference: Frame,
    analyser: identity.Analyser,
    protocol: ProtocolName = "disco",
) -> PairMetrics:
    """One row of metrics for one prediction.

    Args:
        pairs: the generated frames, each with its true frame or None where the truth is unknown; uint8 RGB [H, W, 3].
            Read once, so a generator keeps one pair in memory.
        reference: the picture that gave the identity, uint8 RGB [H, W, 3], any size.
        analyser: finds faces and embeds them.

    Returns:
        Means over frames. Without any true frame L1, PSNR, SSIM and `csim_truth` are None (reason `no_truth`);
        without a face in the reference `csim` is None (reason `no_reference_face`).

    Raises:
        ValueError: there is no frame.
    """
    wanted = identity.main_embedding(analyser, reference)
    pictures: list[dict[str, float]] = []
    found: list[bool] = []
    to_reference: list[float | None] = []
    to_truth: list[float | None] = []
    for generated, truth in pairs:
        embedding = identity.main_embedding(analyser, generated)
        found.append(embedding is not None)
        to_reference.append(identity.cosine(embedding, wanted))
        if truth is not None:
            pictures.append(frame_metrics(generated, truth, protocol))
            if embedding is not None:
                to_truth.append(identity.cosine(embedding, identity.main_embedding(analyser, truth)))
    if not found:
        raise ValueError("the prediction has no frame")
    reason = "no_reference_face" if wanted is None else None if pictures else "no_truth"
    means = {
        name: identity.mean_present(row[name] for row in pictures) for name in ("l1", "psnr", "psnr_uint8", "ssim")
    }
    return PairMetrics(
        frames=len(found),
        csim=identity.mean_present(to_reference),
        csim_truth=identity.mean_present(to_truth),
        face_found=float(np.mean(found)),
        reason=reason,
        **means,
    )


def mean_over_frames(rows: Sequence[PairMetrics]) -> dict[str, float | None]:
    """Means of several predictions over all their frames, as the published scripts take them: not over videos.

    CSIM is a mean over the frames with a face. A metric that no prediction has is None.
    """
    frames = np.array([row.frames for row in rows], np.float64)
    with_face = frames * np.array([row.face_found for row in rows])
    weights = {"csim": with_face, "csim_truth": with_face}
    names = ("l1", "psnr", "psnr_uint8", "ssim", "csim", "csim_truth", "face_found")
    return {name: _weighted([getattr(row, name) for row in rows], weights.get(name, frames)) for name in names}


def _weighted(values: list[float | None], weights: npt.NDArray[np.float64]) -> float | None:
    there = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None]
    total = sum(weight for _, weight in there)
    return float(sum(value * weight for value, weight in there) / total) if total > 0 else None
