"""The protocols: what is done to frames before they are compared, by which definitions, and over which clips.

One frozen set of definitions each; docs/evaluation.md tells where every line of them comes from. A protocol scores the
frames that it is given: the frame that served as the reference must not be among them, and whoever calls leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from stableanimator.media.framing import Size
from stableanimator.metrics import image
from stableanimator.metrics.image import Differences, Frame
from stableanimator.metrics.networks.published import FeatureKind
from stableanimator.metrics.settings import ProtocolName

CLIP = 16
"""Frames of a clip, for FVD and FID-VID."""


@dataclass(frozen=True, slots=True)
class Clips:
    """Which frames of a video go through a network over time together."""

    length: int | None = CLIP
    """Frames; None: the whole video at once."""
    stride: int = CLIP
    """Frames from the beginning of one to the next one's."""
    tail: Literal["drop", "repeat"] = "drop"
    """What becomes of fewer frames at the end: nothing, or a clip in which the last one is repeated."""
    averaged: bool = False
    """Whether a video has one feature, the mean over its clips."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """The definitions of one protocol."""

    size: Size | None = None
    """Both sides are resized to this (height, width); None: as `to` says."""
    to: Literal["truth", "result"] = "truth"
    """Whose size both have then."""
    resize: Callable[[Frame, Size], Frame]
    """A frame of another size to that one."""
    l1: Callable[[Differences], float]
    psnr_uint8: bool = False
    """Whether the PSNR that overflows is told beside the correct one."""
    ssim: Callable[[Frame, Frame], float]
    lpips_low: Literal[-1, 0]
    """What black is to LPIPS, where white is 1: -1 is what it was made for."""
    fvd: Clips
    fid_vid: Clips
    per_clip: bool = False
    """Whether picture metrics are averaged over each video first, and FID is of a video first."""

    def common_size(self, generated: Size, truth: Size) -> Size:
        """The size at which a generated frame and its true one are compared."""
        return self.size or (truth if self.to == "truth" else generated)

    def clips(self, kind: FeatureKind) -> Clips | None:
        """Of a network's features; None for one of single frames."""
        return {"fvd": self.fvd, "fid_vid": self.fid_vid, "fid": None}[kind]


def stretched(frame: Frame, size: Size) -> Frame:
    """Bilinear between the four nearest pixels, whatever the scale: DisCo's `cv2.resize`."""
    return _opencv(frame, size, cv2.INTER_LINEAR)


def matched(frame: Frame, size: Size) -> Frame:
    """The mean of the area that a pixel covers where a side shrinks, bilinear where it grows."""
    shrinks = size[0] < frame.shape[0] or size[1] < frame.shape[1]
    return _opencv(frame, size, cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def bicubic(frame: Frame, size: Size) -> Frame:
    """Pillow's bicubic filter, which averages where it shrinks: One-to-All's."""
    picture = Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(picture, np.uint8)


def _opencv(frame: Frame, size: Size, interpolation: int) -> Frame:
    return np.asarray(cv2.resize(frame, (size[1], size[0]), interpolation=interpolation), np.uint8)


PROTOCOLS: dict[ProtocolName, Protocol] = {
    # Textbook definitions at the result's own size; clips that share no frame.
    "standard": Protocol(
        to="result",
        resize=matched,
        l1=image.l1,
        ssim=image.ssim,
        lpips_low=-1,
        fvd=Clips(),
        fid_vid=Clips(),
    ),
    # The published tables: DisCo's scripts at 256x256, bug for bug.
    "disco": Protocol(
        size=(256, 256),
        resize=stretched,
        l1=image.l1_disco,
        psnr_uint8=True,
        ssim=image.ssim_disco,
        lpips_low=0,
        fvd=Clips(stride=1),
        fid_vid=Clips(stride=1),
    ),
    # One-to-All's benchmark: DisCo's definitions at the truth's size, whole videos, means over videos.
    "one_to_all": Protocol(
        resize=bicubic,
        l1=image.l1_disco,
        ssim=image.ssim_disco,
        lpips_low=0,
        fvd=Clips(length=None),
        fid_vid=Clips(tail="repeat", averaged=True),
        per_clip=True,
    ),
    # SteadyDancer states metrics and no code: textbook definitions, at the truth's size; a reading of ours.
    "steady_dancer": Protocol(
        resize=bicubic,
        l1=image.l1,
        ssim=image.ssim,
        lpips_low=-1,
        fvd=Clips(),
        fid_vid=Clips(),
    ),
}
