"""Drawn cases of each warning of a look, and near misses of each: what is true of them is known by construction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.animate.preview_people import (
    FRAMES,
    Case,
    Person,
    Random,
    Scene,
    Values,
    driving_of,
    full_body,
    half_body,
    lies_inside,
    motion,
    person,
    reference_of,
    seated,
    still,
)
from stableanimator.driving import BODY
from stableanimator.media.framing import Size
from stableanimator.preview.warnings import WarningName

_FEET = slice(15, 23)
"""Ankles, toes and heels among the 133."""


def _pair(drive: Person, reference: Person, sizes: tuple[Size, Size], **more: object) -> Case:
    """One person drives one; `sizes` of the reference and of the drive."""
    frames = list(drive.seen[:, None])
    return Case(
        reference=reference_of([reference], sizes[0]), driving=driving_of([drive], sizes[1]), frames=frames,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def _ordinary(random: Random, scene: Scene, **changes: float) -> Person:
    """A reference that faces the camera, more or less, and stands."""
    return person(random, motion(random, 1, "idle", **changes), scene, missed=0.03)


def sound(random: Random) -> Case:
    """A pair with which nothing is wrong: people cut alike, both facing the camera and standing."""
    framing = full_body if random.random() < 0.6 else half_body
    scenes = framing(random), framing(random)
    drive = person(random, motion(random), scenes[1])
    return _pair(drive, _ordinary(random, scenes[0]), (scenes[0].size, scenes[1].size))


def _scaled(random: Random, factor: float) -> Case:
    """Driven without alignment, so many times as large as the reference's person."""
    theirs = full_body(random)
    theirs = replace(theirs, stature=theirs.stature * min(1.0, 1 / factor) * 0.95)
    ours = replace(theirs, stature=theirs.stature * factor)
    drive, reference = person(random, motion(random), ours), _ordinary(random, theirs)
    return _pair(drive, reference, (theirs.size, theirs.size), alignment="none")


def too_large(random: Random, true: bool) -> Case:
    return _scaled(random, random.uniform(1.45, 2.0) if true else random.uniform(0.9, 1.1))


def too_small(random: Random, true: bool) -> Case:
    return _scaled(random, random.uniform(0.45, 0.69) if true else random.uniform(0.91, 1.12))


def _shifted(
    random: Random,
    true: bool,
    scene: Scene,
    axis: int,
    sign: float,
    share: Callable[[Person, Values], float],
    shares: tuple[tuple[float, float], tuple[float, float]],
) -> Case:
    """Driven without alignment, and moved until the share of what is lost lies in the range for cases or misses."""
    low, high = shares[0 if true else 1]
    while True:
        drive, reference = person(random, motion(random), scene), _ordinary(random, scene)
        for distance in random.permutation(np.linspace(0, 0.9, 46)):
            shift = np.zeros(2)
            shift[axis] = sign * distance * scene.size[1 - axis]
            if low <= share(drive, shift) <= high:
                case = _pair(drive, reference, (scene.size, scene.size), alignment="none")
                moved = driving_of([drive], scene.size, (float(shift[0]), float(shift[1])))
                return replace(case, driving=moved)  # fmt: skip


def out_of_picture(random: Random, true: bool) -> Case:
    """To one side; joints outside are counted among the true ones."""
    scene = full_body(random)

    def outside(drive: Person, shift: Values) -> float:
        points = drive.true[:, BODY] + shift
        return float(1 - lies_inside(points, scene.size).mean())

    sign = random.choice([-1.0, 1.0])
    return _shifted(random, true, scene, 0, sign, outside, ((0.35, 0.9), (0.02, 0.16)))


def feet_cut(random: Random, true: bool) -> Case:
    """By the picture's lower edge, or by the drive, which ends above them."""
    way = random.random()
    if way < 0.4:
        ours = full_body(random)
        theirs = half_body(random) if true else replace(full_body(random), ground=random.uniform(0.96, 0.985))
        drive = person(random, motion(random), theirs)
        return _pair(drive, _ordinary(random, ours), (ours.size, theirs.size))
    if way < 0.55 and not true:  # a reference without feet has none to lose
        return sound_of(random, half_body, full_body)
    scene = full_body(random)

    def without(drive: Person, shift: Values) -> float:
        feet = lies_inside(drive.true[:, _FEET] + shift, scene.size)
        both = [feet[:, [0, 2, 3, 4]].all(1), feet[:, [1, 5, 6, 7]].all(1)]  # ankle, toes and heel of each
        return float(1 - (both[0] | both[1]).mean())

    return _shifted(random, true, scene, 1, 1.0, without, ((0.4, 1.0), (0.0, 0.12)))


def sound_of(random: Random, ours: Callable[[Random], Scene], theirs: Callable[[Random], Scene]) -> Case:
    """A reference and a drive of these framings."""
    scenes = ours(random), theirs(random)
    drive = person(random, motion(random), scenes[1])
    return _pair(drive, _ordinary(random, scenes[0]), (scenes[0].size, scenes[1].size))


def head_cut(random: Random, true: bool) -> Case:
    """By the picture's upper edge, or by the drive, which begins below it."""
    if random.random() < 0.3:
        ours, theirs = full_body(random), full_body(random)
        # Crown: ground less the stature; the chin is a quarter of the stature below it in a drawn person.
        top = random.uniform(-0.3, -0.24) if true else random.uniform(0.02, 0.05)
        theirs = replace(theirs, ground=top * theirs.stature / theirs.size[0] + theirs.stature / theirs.size[0])
        drive = person(random, motion(random, name="idle"), theirs)
        return _pair(drive, _ordinary(random, ours), (ours.size, theirs.size))
    scene = full_body(random)

    def without(drive: Person, shift: Values) -> float:
        return float(1 - lies_inside(drive.crown + shift, scene.size).mean())

    return _shifted(random, true, scene, 1, -1.0, without, ((0.4, 1.0), (0.0, 0.1)))


def seated_drives_standing(random: Random, true: bool) -> Case:
    ours, theirs = full_body(random), full_body(random)
    if true:
        poses = seated(random, FRAMES, random.uniform(-60, 60))
    elif random.random() < 0.5:  # one knee up
        side = str(random.choice(["left", "right"]))
        raised = {f"{side}_leg_flex": random.uniform(60, 95), f"{side}_knee": random.uniform(60, 100)}
        poses = still(random, FRAMES, **raised)
    else:  # knees bent
        flex = random.uniform(20, 38)
        poses = still(random, FRAMES, leg_flex=flex, knee=1.7 * flex, lean=random.uniform(0, 12))
    return _pair(person(random, poses, theirs), _ordinary(random, ours), (ours.size, theirs.size))


def standing_drives_seated(random: Random, true: bool) -> Case:
    ours, theirs = full_body(random), full_body(random)
    if true:
        poses = seated(random, 1, random.uniform(-50, 50))
    else:
        flex = random.uniform(20, 38)
        poses = still(random, 1, leg_flex=flex, knee=1.7 * flex)
    drive = person(random, motion(random), theirs)
    return _pair(drive, person(random, poses, ours, missed=0.03), (ours.size, theirs.size))


def _turned(random: Random, drive: float, reference: float) -> Case:
    """Degrees of both; motions turn by some more."""
    ours, theirs = full_body(random), full_body(random)
    name = str(random.choice(["dance", "wave"]))
    driven = person(random, motion(random, name=name, yaw=drive), theirs)
    return _pair(driven, person(random, still(random, 1, yaw=reference), ours, missed=0.03), (ours.size, theirs.size))


def _either_way(random: Random, low: float, high: float) -> float:
    return float(random.uniform(low, high) * random.choice([-1, 1]))


def profile_drives_frontal(random: Random, true: bool) -> Case:
    degrees = _either_way(random, 72, 105) if true else _either_way(random, 20, 42)
    return _turned(random, degrees, random.uniform(-25, 25))


def frontal_drives_profile(random: Random, true: bool) -> Case:
    degrees = _either_way(random, 72, 105) if true else _either_way(random, 20, 45)
    return _turned(random, random.uniform(-20, 20), degrees)


def back_drives_frontal(random: Random, true: bool) -> Case:
    degrees = 180 + _either_way(random, 0, 35) if true else _either_way(random, 60, 102)
    return _turned(random, degrees, random.uniform(-25, 25))


def face_too_small(random: Random, true: bool) -> Case:
    """By the true outline of the face, hairline to chin and ear to ear."""
    low, high = (12.0, 28.0) if true else (36.0, 60.0)
    while True:
        theirs = full_body(random)
        ours = replace(theirs, stature=random.uniform(0.2, 0.85) * theirs.size[0])
        reference = _ordinary(random, ours)
        if reference.face is None or not low <= min(reference.face[2:] - reference.face[:2]) <= high:
            continue
        drive = person(random, motion(random), theirs)
        return _pair(drive, reference, (ours.size, theirs.size))


def people_unmatched(random: Random, true: bool) -> Case:
    """Side by side; who passes by is there in less than half of the frames."""
    size = (512, 768)
    ours, theirs = (int(each) for each in random.integers(1, 4, 2))
    while (ours == theirs) == true:
        theirs = int(random.integers(1, 4))
    most = max(ours, theirs, 3)
    scenes = [Scene(size=size, stature=300.0, x=(place + 0.5) / most) for place in range(most)]
    reference = [_ordinary(random, scene) for scene in scenes[:ours]]
    drive = [person(random, motion(random), scene) for scene in scenes[:theirs]]
    passes = person(random, motion(random, name="idle"), replace(scenes[0], x=0.95))
    there = random.random((FRAMES, theirs)) >= random.uniform(0, 0.1)
    visits = np.arange(FRAMES) < random.uniform(0, 0.4) * FRAMES
    nobody = np.zeros((0, 133, 3), np.float32)
    frames = []
    for frame in range(FRAMES):
        shown = [each.seen[frame, None] for each, seen in zip(drive, there[frame], strict=True) if seen]
        frames.append(np.concatenate([nobody, *shown, *[passes.seen[frame, None]] * int(visits[frame])]))
    count = min(ours, theirs)
    return Case(
        reference=reference_of(reference[:count], size), driving=driving_of(drive[:count], size),
        reference_people=ours, frames=frames,
    )  # fmt: skip


def person_seldom_found(random: Random, true: bool) -> Case:
    """By chance, or for a while."""
    case = sound(random)
    share = random.uniform(0.16, 0.5) if true else random.uniform(0.0, 0.08)
    lost = np.zeros(FRAMES, bool)
    count = round(share * FRAMES)
    begin = int(random.integers(FRAMES - count + 1))
    lost[begin : begin + count] = True
    if random.random() < 0.5:
        lost = random.permutation(lost)
    keypoints = case.driving.keypoints.copy()
    keypoints[lost] = (np.nan, np.nan, 0)
    frames = [poses[:0] if gone else poses for poses, gone in zip(case.frames, lost, strict=True)]
    return replace(case, driving=replace(case.driving, keypoints=keypoints), frames=frames)


KINDS: dict[WarningName, Callable[[Random, bool], Case]] = {
    "person_too_large": too_large,
    "person_too_small": too_small,
    "person_out_of_picture": out_of_picture,
    "feet_cut": feet_cut,
    "head_cut": head_cut,
    "seated_drives_standing": seated_drives_standing,
    "standing_drives_seated": standing_drives_seated,
    "profile_drives_frontal": profile_drives_frontal,
    "frontal_drives_profile": frontal_drives_profile,
    "back_drives_frontal": back_drives_frontal,
    "face_too_small": face_too_small,
    "people_unmatched": people_unmatched,
    "person_seldom_found": person_seldom_found,
}
"""Of each warning what draws a case (True) or a near miss (False)."""
