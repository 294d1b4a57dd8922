"""A look at what an animation will show, before minutes of GPU: figures and warnings of every person, from keypoints.

driven = aligned(reference, driving, settings, aligner)
seen = look(reference, driving, driven, reference_people=2, driving_people=1)
for warning in seen.warnings:
    print(warning)                       # people_unmatched: the reference shows 2 and the drive 1, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stableanimator.driving import BODY, joints_in_picture
from stableanimator.inference.inputs import Driven, Driving, Reference
from stableanimator.media.framing import Framing, Size
from stableanimator.metrics.pose import stature
from stableanimator.perception.person_boxes import in_picture, inside, only, visible
from stableanimator.perception.skeleton import to_openpose18
from stableanimator.preview import figures
from stableanimator.preview.warnings import PersonFigures, PreviewWarning, unmatched_people, warnings_of_person

Array = npt.NDArray[np.float32]

_MOSTLY = 0.5
"""Share of the frames from which a drive is said to show something."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What will be seen in the frames of an animation."""

    size: Size
    """Height and width of the frames, pixels."""
    frames: int
    fps: float
    people: tuple[PersonFigures, ...]
    """In the reference's order, those who are animated."""
    reference_people: int
    driving_people: int
    warnings: tuple[PreviewWarning, ...]
    """Each name at most once for each person; of several people a sentence says of whom."""


def look(reference: Reference, driving: Driving, driven: Driven, *, reference_people: int, driving_people: int) -> Look:
    """Figures and warnings of a pair.

    Args:
        reference, driving: of the people who are animated.
        driven: what `stableanimator.animate.aligned` made of these.
        reference_people: whom the whole picture shows.
        driving_people: whom the video usually shows (`usual_people`).
    """
    people = tuple(_person(reference, driving, driven, number) for number in range(len(reference.keypoints)))
    warnings = list(unmatched_people(len(people), reference_people, driving_people))
    for number, person in enumerate(people, 1):
        of_whom = f"person {number}: " if len(people) > 1 else ""
        warnings += [PreviewWarning(each.name, of_whom + each.sentence) for each in warnings_of_person(person)]
    return Look(
        size=driven.framing.kept.size,
        frames=len(driven.poses),
        fps=driven.fps,
        people=people,
        reference_people=reference_people,
        driving_people=driving_people,
        warnings=tuple(warnings),
    )


def usual_people(frames: Sequence[Array]) -> int:
    """How many people most of the frames [F] of poses [P_f, 133, 3] show, at least one: not who passes by."""
    return max(1, int(np.median([len(people) for people in frames]))) if len(frames) else 1


def _person(reference: Reference, driving: Driving, driven: Driven, number: int) -> PersonFigures:
    framing, source = driven.framing.kept, (driving.height, driving.width)
    seen = in_picture(driving.keypoints[:, number], source)
    shown = in_picture(reference.keypoints[number], framing.source)
    poses = only(driven.poses_in_frames[:, number], inside(driving.keypoints[:, number], source))
    framed = framing.keypoints(shown)
    tall, scales = stature(to_openpose18(poses)), figures.scales(poses, framed)
    inside_it = joints_in_picture(poses[:, None], shown[None], framing.source, framing.size)
    return PersonFigures(
        found=figures.found(seen),
        stature=None if tall is None else tall / framing.size[0],
        scales=scales,
        place=_shares(figures.middle(poses), framing.size),
        offset=_shares(figures.offset(poses, framed), framing.size),
        outside=1 - inside_it,
        **_cuts(seen, poses, shown[None], framing),
        turned=figures.turned(seen, source),
        reference_turned=figures.turned(shown[None], framing.source),
        thighs_down=figures.thighs_down(seen),
        reference_thighs_down=figures.thighs_down(shown[None]),
        face=_face(reference, number, framing, scales[0] if scales else 1.0),
    )


def _cuts(seen: Array, poses: Array, shown: Array, framing: Framing) -> dict[str, Any]:
    """What of a body the reference picture shows and the result does not, as `PersonFigures` has it. A cut that the
    framing makes is the result's.

    Args:
        seen: [F, 133, 3] what the drive shows, in its pixels.
        poses: the same in pixels of the result.
        shown: [1, 133, 3] what the reference picture shows, in its pixels.
    """
    there = _any(visible(seen[:, BODY]))
    tall, theirs = stature(to_openpose18(poses)) or 0.0, stature(to_openpose18(shown)) or 0.0
    feet, head = figures.feet_shown(poses, framing.size, tall), figures.head_shown(poses, framing.size)
    feet_wanted = figures.feet_shown(shown, framing.source, theirs).any()
    head_wanted = figures.head_shown(shown, framing.source).any()
    feet_driven, head_driven = _any(visible(seen[:, figures.ANKLES])), _any(visible(seen[:, figures.HEAD]))
    return {
        "without_feet": 1 - _share(feet, there) if feet_wanted else None,
        "without_head": 1 - _share(head, there) if head_wanted else None,
        "drive_shows_feet": _share(feet_driven, there) > _MOSTLY,
        "drive_shows_head": _share(head_driven, there) > _MOSTLY,
    }


def _any(which: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """[F] of [F, J]."""
    return np.asarray(which.any(1))


def _share(which: npt.NDArray[np.bool_], of: npt.NDArray[np.bool_]) -> float:
    """Of a drive that never shows the person nothing is missing."""
    return float(which[of].mean()) if of.any() else 1.0


def _shares(point: tuple[float, float] | None, size: Size) -> tuple[float, float] | None:
    return None if point is None else (point[0] / size[1], point[1] / size[0])


def _face(reference: Reference, number: int, framing: Framing, scale: float) -> float | None:
    """Shorter side of a face in the result, pixels: that of the reference's, as large as it is driven."""
    faces = reference.faces
    face = faces[number] if number < len(faces) else None
    if face is None:
        return None
    x0, y0, x1, y1 = framing.boxes(face.box[None])[0].tolist()
    return float(min(x1 - x0, y1 - y0) * scale)
