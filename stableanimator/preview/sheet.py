"""A look as a picture for people: reference and drive with their skeletons, the aligned skeleton over the reference at
a few times, and in words below what was measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import cv2
import numpy as np
import numpy.typing as npt

from stableanimator.inference.inputs import Driven, Driving, Reference
from stableanimator.media.side_by_side import sheet, strip, words
from stableanimator.perception.skeleton import draw_skeleton
from stableanimator.preview.look import Look
from stableanimator.preview.warnings import PersonFigures

Image = npt.NDArray[np.uint8]

SIDES = (288, 384)
"""Height and width in pixels in which each picture of a sheet has room."""
_SHOWN = 4
_DIMMED = 0.55
"""Brightness of a picture below a skeleton."""
_VISIBLE = 24
"""Grey levels from which a line covers the picture."""
_LEAST_WIDTH = 640
_NOTABLE = 0.03
"""Share of the picture from which somebody is said to be elsewhere."""


def moments(frames: int, count: int = _SHOWN) -> list[int]:
    """Frames spread over a clip, each once: in the middles of `count` equal parts."""
    return sorted({int((part + 0.5) * frames / count) for part in range(count)})


def preview_sheet(
    reference: Reference, driving: Driving, driven: Driven, seen: Look, pictures: Mapping[int, Image]
) -> Image:
    """A page, uint8 RGB [H, W, 3].

    Args:
        reference, driving, driven: as `stableanimator.preview.look.look` takes them.
        seen: what it gave.
        pictures: driving pictures by frame of the clip, for some of `moments`; without one the skeleton is drawn alone.
    """
    shown = moments(len(driven.poses))
    blank = np.zeros((driving.height, driving.width, 3), np.uint8)
    framed = driven.framing.kept.pictures(reference.picture[None])[0]
    above = {"reference": with_skeleton(reference.picture, reference.keypoints)}
    below = {"as the model sees it": with_skeleton(framed, reference.keypoints[:0], 1.0)}
    for frame in shown:
        seconds = f"{frame / seen.fps:.1f} s"
        above[f"drive, {seconds}"] = with_skeleton(pictures.get(frame, blank), driving.keypoints[frame])
        below[f"aligned, {seconds}"] = with_skeleton(framed, driven.poses_in_frames[frame])
    strips = [strip(above), strip(below)]
    width = max(_LEAST_WIDTH, *(each.shape[1] for each in strips))
    return sheet([*strips, words(list(told(seen)), width)])


def with_skeleton(picture: Image, people: npt.NDArray[np.float32], brightness: float = _DIMMED) -> Image:
    """A picture [H, W, 3] as large as a sheet shows it, dimmed, and over it the skeletons of people [P, 133, 3] in its
    pixels."""
    factor = min(SIDES[0] / picture.shape[0], SIDES[1] / picture.shape[1])
    height, width = (max(2, round(side * factor)) for side in picture.shape[:2])
    small = np.array([0.5 * width / picture.shape[1], 0.5 * height / picture.shape[0], 1], np.float32)
    lines = draw_skeleton(people * small, height // 2, width // 2, style="ours")
    lines = _resized(lines, height, width)  # drawn at half the size: twice as thick
    covered = lines.max(-1, keepdims=True) > _VISIBLE
    return np.where(covered, lines, (_resized(picture, height, width) * brightness).astype(np.uint8))


def told(seen: Look) -> Iterator[str]:
    """Figures and warnings in words: a line for the clip, one for each person and each warning."""
    height, width = seen.size
    yield (
        f"{seen.frames} frames of {height}x{width} (height x width), {seen.frames / seen.fps:.1f} s, {seen.fps:.3g} a "
        f"second; people: {seen.reference_people} in the reference, {seen.driving_people} in the drive, "
        f"{len(seen.people)} animated"
    )
    for number, person in enumerate(seen.people, 1):
        yield f"person {number}: {person_in_words(person)}"
    for warning in seen.warnings:
        yield f"! {warning}"
    if not seen.warnings:
        yield "no warnings"


def person_in_words(person: PersonFigures) -> str:
    """Figures of one person on one line."""
    return ", ".join(_of_person(person))


def _of_person(person: PersonFigures) -> Iterator[str]:
    if person.stature is not None:
        yield f"{person.stature:.0%} of the picture tall"
    if person.scale is not None:
        yield f"{person.scale:.2f} times the reference's size"
    if person.offset is not None:
        yield _elsewhere(*person.offset)
    yield f"{person.outside:.0%} of the joints outside"
    if person.turned is not None and person.reference_turned is not None:
        yield f"turned by {person.turned:.0f} degrees (the reference by {person.reference_turned:.0f})"
    yield "no face found" if person.face is None else f"face of {person.face:.0f} pixels"
    yield f"found in {person.found:.0%} of the frames"


def _elsewhere(right: float, down: float) -> str:
    """Where somebody is, seen from the reference's place, in shares of the picture."""
    parts = [
        f"{abs(share):.0%} of the picture {names[share > 0]}"
        for share, names in ((right, ("to the left", "to the right")), (down, ("higher", "lower")))
        if abs(share) >= _NOTABLE
    ]
    return " and ".join(parts) or "at the reference's place"


def _resized(picture: Image, height: int, width: int) -> Image:
    shrinks = picture.shape[0] > height
    return np.asarray(
        cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC), np.uint8
    )
