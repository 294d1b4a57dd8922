"""Pictures of alignments for people: reference, driven, aligned and true pose of a frame, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.methods import align
from stableanimator.alignment.scoring.drives import Drive
from stableanimator.alignment.scoring.evaluate import drive_dis
from stableanimator.alignment.settings import AlignmentName, AlignmentScope
from stableanimator.perception.skeleton import LIMBS

Picture = NDArray[np.uint8]

_SIDE = 240  # pixels of a panel
_MARGIN = 0.15  # of the poses' extent around them
_TEXT = 20
_GREY, _RED, _GREEN, _BLUE = (170, 170, 170), (210, 60, 50), (30, 150, 60), (40, 90, 220)


def worst_cases(
    drives: Sequence[Drive],
    values: NDArray[np.float64],
    count: int,
    name: AlignmentName,
    scope: AlignmentScope,
    aligner: Aligner | None = None,
) -> Picture:
    """The drives of largest Dis `values` [D], one row each at its worst frame: RGB, rows of four panels.

    The panels show the reference; the driven pose; the aligned one over the truth; all of them. Drives without a value
    (NaN) are left out.
    """
    order = [index for index in np.argsort(-values) if np.isfinite(values[index])][:count]
    rows = [_row(drives[index], name, scope, aligner) for index in order]
    return np.concatenate(rows) if rows else np.full((_SIDE, 4 * _SIDE, 3), 255, np.uint8)


def _row(drive: Drive, name: AlignmentName, scope: AlignmentScope, aligner: Aligner | None) -> Picture:
    errors = drive_dis(drive, name, scope, aligner)
    frame = int(np.nanargmax(errors))
    with torch.no_grad():
        moved = align(name, scope, drive.reference, drive.driven, aligner).apply(drive.driven[..., :2])[frame].numpy()
    reference, driven, truth = (
        each[..., :2].numpy() for each in (drive.reference, drive.driven[frame], drive.truth[frame])
    )
    poses = {
        "reference": (reference, _GREY),
        "driven": (driven, _RED),
        "truth": (truth, _BLUE),
        "aligned": (moved, _GREEN),
    }
    frame_of = _window(np.concatenate([points for points, _ in poses.values()]))
    panels = [
        _panel([poses["reference"]], "reference", frame_of),
        _panel([poses["driven"]], "driven", frame_of),
        _panel([poses["truth"], poses["aligned"]], f"truth, {name}: Dis {errors[frame]:.3f}", frame_of),
        _panel(list(poses.values()), drive.clip[:24], frame_of),
    ]
    return np.concatenate(panels, axis=1)


def _window(points: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Corner and side in image heights of the square that holds all points."""
    low, high = np.nanmin(points, 0), np.nanmax(points, 0)
    side = float(max((high - low).max(), 1e-3)) * (1 + 2 * _MARGIN)
    return (low + high) / 2 - side / 2, side


def _panel(
    poses: Sequence[tuple[NDArray[np.float32], tuple[int, int, int]]],
    title: str,
    window: tuple[NDArray[np.float32], float],
) -> Picture:
    canvas = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    corner, side = window
    for points, colour in poses:
        places = (points - corner) / side * (_SIDE - _TEXT) + [0, _TEXT]
        for start, end in LIMBS:
            if np.isfinite(places[[start, end]]).all():
                ends = [tuple(int(value) for value in places[joint].round()) for joint in (start, end)]
                cv2.line(canvas, ends[0], ends[1], colour, 2, cv2.LINE_AA)
        for x, y in places[np.isfinite(places).all(-1)]:
            cv2.circle(canvas, (round(float(x)), round(float(y))), 3, colour, -1, cv2.LINE_AA)
    cv2.putText(canvas, title, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.rectangle(canvas, (0, 0), (_SIDE - 1, _SIDE - 1), (220, 220, 220))
    return canvas
