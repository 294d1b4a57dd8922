"""What users of an animation would mend if they knew: each kind a function, its threshold a constant with a reason.

A warning has a name that stays, for tables and programs, and a sentence that says what is wrong and what to do.
Thresholds follow from the body and the picture; `python -m benchmarks.animate.preview` says how often they are right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

TOO_LARGE = 1.25
"""Statures of a driven person in those of the reference's. Who is a quarter larger than a person who fills four fifths
of a picture fills all of it; bones of grown people differ by less."""
TOO_SMALL = 1 / TOO_LARGE
MOST_OUTSIDE = 0.25
"""Share of the joints. A whole arm or leg is three of 18; beyond a quarter more than one limb is gone."""
MOST_CUT = 0.25
"""Share of the frames without feet or head: beyond it that is no moment but how the clip looks."""
SEATED, STANDING = 0.35, 0.5
"""How far the knees are below the hips, in trunks. A thigh is 0.85 of a trunk, of long and of short legs 0.7 to 1, so
that below 0.35 it is raised by 60 degrees and more, and above 0.5 by 60 at most; between these nothing is said."""
FRONTAL, PROFILE, BACK = 45.0, 60.0, 120.0
"""Degrees: turned less than halfway is frontal, by two thirds a profile, by a third more than a profile the back. From
60 degrees on the far eye is hidden by the nose."""
SMALLEST_FACE = 32.0
"""Pixels of the shorter side of a face's box. Curation turns smaller ones away (`min_face_size`), so that no training
saw them; they are four latents of Stable Video Diffusion's VAE, and a recogniser's 112 pixels of them are made up."""
LEAST_FOUND = 0.9
"""Share of the frames in which a person must be found: one of ten without a skeleton is seen as flicker."""

WarningName = Literal[
    "person_too_large",
    "person_too_small",
    "person_out_of_picture",
    "feet_cut",
    "head_cut",
    "seated_drives_standing",
    "standing_drives_seated",
    "profile_drives_frontal",
    "frontal_drives_profile",
    "back_drives_frontal",
    "face_too_small",
    "people_unmatched",
    "person_seldom_found",
]


@dataclass(frozen=True, slots=True)
class PreviewWarning:
    """Something to mend before an animation is made."""

    name: WarningName
    sentence: str
    """What is wrong, and what to do."""

    def __str__(self) -> str:
        return f"{self.name}: {self.sentence}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonFigures:
    """What is known of one driven person; None: nothing tells."""

    found: float
    """Share of the drive's frames that show the person, 0 to 1."""
    stature: float | None
    """In the result, as a share of the picture's height: ground to crown, standing."""
    scales: tuple[float, ...]
    """Driven size over the reference's, by each length that both show, the best first."""
    place: tuple[float, float] | None
    """Middle of the person in the result, x and y as shares of its sides."""
    offset: tuple[float, float] | None
    """From the reference's joints to the driven ones, the same: positive to the right, and down."""
    outside: float
    """Share of the driven joints that the reference shows too and that lie outside the picture, 0 to 1."""
    without_feet: float | None
    """Share of the person's frames that show no foot, 0 to 1; None where the reference shows none either."""
    without_head: float | None
    """The same of the head up to the crown."""
    drive_shows_feet: bool
    """Whether most of the driving frames show a foot."""
    drive_shows_head: bool
    turned: float | None
    """In the drive, degrees: 0 faces the camera, 90 is a profile, 180 the back."""
    reference_turned: float | None
    thighs_down: float | None
    """In the drive: knees below hips, in trunks."""
    reference_thighs_down: float | None
    face: float | None
    """Shorter side of the face in the result, pixels; None where the reference shows no face."""

    @property
    def scale(self) -> float | None:
        """By the best length that both show."""
        return self.scales[0] if self.scales else None


def warnings_of_person(person: PersonFigures) -> Iterator[PreviewWarning]:
    """Of one person, each kind at most once."""
    for rule in (wrong_scale, out_of_picture, cut_feet, cut_head, other_posture, other_side, small_face, seldom_found):
        yield from rule(person)


def wrong_scale(person: PersonFigures) -> Iterator[PreviewWarning]:
    """Driven larger or smaller than the reference's person by most lengths: one of them may be foreshortened."""
    scale, lengths = person.scale, sorted(person.scales)
    if scale is None:
        return
    mend = "use the alignment learned or svd, or a reference and a drive in which people are alike in size"
    if lengths[(len(lengths) - 1) // 2] > TOO_LARGE:
        yield PreviewWarning(
            "person_too_large", f"the driven person is {scale:.2g} times as large as the reference's; {mend}"
        )
    if lengths[len(lengths) // 2] < TOO_SMALL:
        yield PreviewWarning(
            "person_too_small", f"the driven person is only {scale:.2g} times as large as the reference's; {mend}"
        )


def out_of_picture(person: PersonFigures) -> Iterator[PreviewWarning]:
    """Driven joints lie outside the picture."""
    if person.outside > MOST_OUTSIDE:
        yield PreviewWarning(
            "person_out_of_picture",
            f"{person.outside:.0%} of the driven joints lie outside the picture; use the alignment learned or svd, a "
            "reference with more room around the person, or a part of the drive that keeps its place (start and end)",
        )


def cut_feet(person: PersonFigures) -> Iterator[PreviewWarning]:
    """The reference shows feet, and the result will not."""
    if person.without_feet is not None and person.without_feet > MOST_CUT:
        yield PreviewWarning("feet_cut", _cut("feet", person.without_feet, person.drive_shows_feet, "below"))


def cut_head(person: PersonFigures) -> Iterator[PreviewWarning]:
    """The reference shows a whole head, and the result will not."""
    if person.without_head is not None and person.without_head > MOST_CUT:
        yield PreviewWarning("head_cut", _cut("head", person.without_head, person.drive_shows_head, "above"))


def _cut(what: str, share: float, in_drive: bool, where: str) -> str:
    seldom = f"the reference shows the {what}, and {share:.0%} of the driven frames do not"
    if in_drive:
        mend = f"use fit: contain, another of sizes, or a reference with more room {where} the person"
        return f"{seldom}, since the picture ends before; {mend}"
    return f"{seldom}, since the drive shows none; use a drive that does, or cut the reference alike"


def other_posture(person: PersonFigures) -> Iterator[PreviewWarning]:
    """Somebody who sits drives somebody who stands, or the reverse: no alignment bends knees."""
    drive, reference = person.thighs_down, person.reference_thighs_down
    if drive is None or reference is None:
        return
    mend = "choose a reference and a drive that both sit or both stand, or cut both above the hips"
    if drive < SEATED and reference > STANDING:
        yield PreviewWarning("seated_drives_standing", f"who drives sits, and the reference stands; {mend}")
    if drive > STANDING and reference < SEATED:
        yield PreviewWarning("standing_drives_seated", f"who drives stands, and the reference sits; {mend}")


def other_side(person: PersonFigures) -> Iterator[PreviewWarning]:
    """The drive shows another side of a person than the reference does, so that the model must invent it."""
    drive, reference = person.turned, person.reference_turned
    if drive is None or reference is None:
        return
    ours, theirs = _side(drive), _side(reference)
    mend = "choose a reference that shows the side that the drive shows"
    turned = f"who drives is turned by {drive:.0f} degrees, the reference by {reference:.0f}"
    if (ours, theirs) == ("profile", "frontal"):
        yield PreviewWarning("profile_drives_frontal", f"{turned}: a profile drives a front; {mend}")
    if (ours, theirs) == ("frontal", "profile"):
        yield PreviewWarning("frontal_drives_profile", f"{turned}: a front drives a profile; {mend}")
    if (ours, theirs) == ("back", "frontal"):
        yield PreviewWarning("back_drives_frontal", f"{turned}: a back drives a front; {mend}")


def _side(turned: float) -> str:
    """`frontal`, `profile`, `back`, or nothing between front and profile."""
    if turned < FRONTAL:
        return "frontal"
    if turned > BACK:
        return "back"
    return "profile" if turned > PROFILE else ""


def small_face(person: PersonFigures) -> Iterator[PreviewWarning]:
    """Too few pixels for an identity."""
    if person.face is not None and person.face < SMALLEST_FACE:
        yield PreviewWarning(
            "face_too_small",
            f"the face will be {person.face:.0f} pixels wide, too few to keep an identity (at least "
            f"{SMALLEST_FACE:.0f}); use a reference that is cut closer, or larger sizes (animate.settings.sizes)",
        )


def seldom_found(person: PersonFigures) -> Iterator[PreviewWarning]:
    """Frames without a skeleton."""
    if person.found < LEAST_FOUND:
        yield PreviewWarning(
            "person_seldom_found",
            f"the driving person is found in {person.found:.0%} of the frames, and the model invents the others; "
            "choose a part of the drive that shows the person throughout (start and end)",
        )


def unmatched_people(animated: int, reference: int, driving: int) -> Iterator[PreviewWarning]:
    """People on one side without a partner on the other."""
    if max(reference, driving) > animated:
        yield PreviewWarning(
            "people_unmatched",
            f"the reference shows {reference} and the drive {driving}, of whom {animated} will move; name who drives "
            "whom (person_map), or use a picture and a video with equally many people",
        )
