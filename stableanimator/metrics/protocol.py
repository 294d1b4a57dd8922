"""How the frames of one prediction become one row of metrics, in two named protocols.

    disco      what the published tables used, bug for bug (DisCo's scripts): L1 over H*W, SSIM of 8-bit grey with a
               7x7 window, a generated frame of another shape stretched bilinearly to the truth's
    standard   the textbook definitions: L1 with white = 1, SSIM of Wang et al. 2004 on RGB, stretched with area
               averaging where it shrinks

PSNR (float64) and `psnr_uint8` (the published wrap-around) are the same in both, and so are CSIM and PCK. Every metric
is a mean over frames but PCK, which is a share of joints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from stableanimator.metrics import identity, image
from stableanimator.metrics.image import Frame
from stableanimator.metrics.pose import PeopleFinder, pose_agreement
from stableanimator.perception.person_boxes import in_picture

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
    csim_held_out: float | None
    csim_truth_held_out: float | None
    face_found: float
    pck_05: float | None
    pck_10: float | None
    pck_moved_05: float | None
    pck_moved_10: float | None
    joints: int
    joints_moved: int
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Judges:
    """The networks that look at results."""

    faces: identity.Analyser
    """Finds faces and embeds them."""
    held_out: identity.Recogniser | None
    """Embeds the faces once more; None: `csim_held_out` and `csim_truth_held_out` are None."""
    people: PeopleFinder
    """Finds people and their joints."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Frame:
    """What is known of one frame."""

    means: dict[str, float | None]
    """By metric; None where it has no value in this frame."""
    face_found: bool
    people: npt.NDArray[np.float32] | None
    """[P, 133, 3] of the generated frame, pixels of the true one; None without truth, as the next."""
    true_people: npt.NDArray[np.float32] | None


def evaluate(
    pairs: Iterable[tuple[Frame, Frame | None]],
    reference: Frame,
    judges: Judges,
    protocol: ProtocolName = "disco",
) -> PairMetrics:
    """One row of metrics for one prediction.

    Args:
        pairs: the generated frames, each with its true frame or None where the truth is unknown; uint8 RGB [H, W, 3].
            Read once, so a generator keeps one pair in memory.
        reference: the picture that gave the identity, uint8 RGB [H, W, 3], any size.
        judges: find faces and people.
        protocol: the definitions of L1 and SSIM.

    Returns:
        Means over frames, and shares of joints. Without any true frame L1, PSNR, SSIM, CSIM to the truth and PCK are
        None (reason `no_truth`); without a face in the reference CSIM to it is None (reason `no_reference_face`).

    Raises:
        ValueError: there is no frame.
    """
    wanted = identity.main_identity(judges.faces, judges.held_out, reference)
    frames = [_judged(generated, truth, wanted, judges, protocol) for generated, truth in pairs]
    if not frames:
        raise ValueError("the prediction has no frame")
    true = [frame.true_people for frame in frames if frame.true_people is not None]
    found = [frame.people for frame in frames if frame.people is not None]
    means: dict[str, Any] = {name: identity.mean_present(frame.means.get(name) for frame in frames) for name in _MEANS}
    return PairMetrics(
        frames=len(frames),
        face_found=float(np.mean([frame.face_found for frame in frames])),
        reason="no_reference_face" if wanted.own is None else None if true else "no_truth",
        **means,
        **asdict(pose_agreement(found, true)),
    )


def _judged(
    generated: Frame, truth: Frame | None, wanted: identity.Identity, judges: Judges, protocol: ProtocolName
) -> _Frame:
    face = identity.main_identity(judges.faces, judges.held_out, generated)
    means: dict[str, float | None] = {
        "csim": identity.cosine(face.own, wanted.own),
        "csim_held_out": identity.cosine(face.held_out, wanted.held_out),
    }
    people, true_people = None, None
    if truth is not None:
        means |= frame_metrics(generated, truth, protocol)
        if face.own is not None:
            true_face = identity.main_identity(judges.faces, judges.held_out, truth)
            means["csim_truth"] = identity.cosine(face.own, true_face.own)
            means["csim_truth_held_out"] = identity.cosine(face.held_out, true_face.held_out)
        size = (truth.shape[0], truth.shape[1])
        found = (judges.people(match_shape(generated, truth, protocol)), judges.people(truth))
        people, true_people = (in_picture(poses, size) for poses in found)
    return _Frame(means=means, face_found=face.own is not None, people=people, true_people=true_people)


_CSIM = ("csim", "csim_truth", "csim_held_out", "csim_truth_held_out")
_MEANS = ("l1", "psnr", "psnr_uint8", "ssim", *_CSIM)
_PCK = ("pck_05", "pck_10")
_PCK_MOVED = ("pck_moved_05", "pck_moved_10")

METRICS = (*_MEANS, "face_found", *_PCK, *_PCK_MOVED)
"""Names of what is averaged over predictions, in the order in which tables show it."""


def mean_over_frames(rows: Sequence[PairMetrics]) -> dict[str, float | None]:
    """Means of several predictions over all their frames, as the published scripts take them: not over videos.

    CSIM is a mean over the frames with a face, PCK over the joints. A metric that no prediction has is None.
    """
    frames = np.array([row.frames for row in rows], np.float64)
    with_face = frames * np.array([row.face_found for row in rows])
    weights = dict.fromkeys(_CSIM, with_face)
    weights |= dict.fromkeys(_PCK, np.array([row.joints for row in rows], np.float64))
    weights |= dict.fromkeys(_PCK_MOVED, np.array([row.joints_moved for row in rows], np.float64))
    return {name: _weighted([getattr(row, name) for row in rows], weights.get(name, frames)) for name in METRICS}


def _weighted(values: list[float | None], weights: npt.NDArray[np.float64]) -> float | None:
    there = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None]
    total = sum(weight for _, weight in there)
    return float(sum(value * weight for value, weight in there) / total) if total > 0 else None
