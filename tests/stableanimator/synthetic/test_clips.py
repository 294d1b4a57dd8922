from __future__ import annotations

import numpy as np
import pytest

from stableanimator.synthetic.clips import KINDS, write_clip, write_clips
from stableanimator.synthetic.figure.identity import draw_identity
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.script import Clip, ClipSettings, Shot
from stableanimator.synthetic.truth import Truth

SETTINGS = ClipSettings()

# What curation's rules call enough, from the literature and from what the models need; see pipelines.releases.rules.
LEAST_SECONDS, LEAST_FACE, LEAST_FACE_SHARE = 2.0, 32.0, 0.5
MOST_TRANSLATION, MOST_ROTATION, MOST_ZOOM = 0.02, 2.0, 0.03  # per second: diagonals, degrees, |log scale|
BACKGROUND_SHARE = 0.25  # of the area of the largest person


def drawn(kind: str, seed: int) -> tuple[Clip, Truth]:
    """Frames of a clip: two a second, or eight where the camera goes to and fro."""
    clip = write_clip(kind, seed, SETTINGS)
    return clip, draw_clip(clip, np.arange(0, clip.frame_count, 3 if kind == "shake" else 12))[1]


def faces(truth: Truth, rows: np.ndarray) -> np.ndarray:
    """[F] shorter side of the largest face in each frame, 0 without one."""
    boxes = truth.face_boxes[rows]
    if not boxes.shape[1]:
        return np.zeros(len(rows))
    return np.nan_to_num((boxes[..., 2:] - boxes[..., :2]).min(-1)).max(-1)


def main_people(truth: Truth, row: int) -> int:
    boxes = np.nan_to_num(truth.person_boxes[row])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1) if len(boxes) else np.zeros(1)
    return int((areas >= BACKGROUND_SHARE * areas.max()).sum()) if areas.max() else 0


def camera_speeds(truth: Truth, rows: np.ndarray) -> tuple[float, float, float]:
    """Median speeds between the frames: translation, rotation, zoom."""
    steps = truth.camera_steps()[rows[:-1]]
    seconds = np.diff(truth.frames[rows]) / truth.fps[0]
    translation = np.hypot(steps[:, 0], steps[:, 1]) / np.hypot(*truth.size) / seconds
    return (
        float(np.median(translation)),
        float(np.median(np.abs(steps[:, 2]) / seconds)),
        float(np.median(np.abs(np.log(steps[:, 3])) / seconds)),
    )


def failures(truth: Truth, shot: Shot, rows: np.ndarray) -> set[str]:
    """Which rules a shot fails by what is true of it, with room to spare on both sides of each threshold."""
    found = set()
    if (shot.end - shot.start) / SETTINGS.fps < LEAST_SECONDS:
        found.add("too_short")
    sizes = faces(truth, rows)
    seen = sizes > 0
    if seen.mean() < LEAST_FACE_SHARE or np.median(sizes[seen]) < LEAST_FACE:
        found.add("face_quality")
    if np.median([main_people(truth, row) for row in rows]) > 1:
        found.add("several_people")
    if not truth.person_pixels[rows].any():
        found.add("no_person")
    if any(v > limit for v, limit in zip(camera_speeds(truth, rows), (MOST_TRANSLATION, MOST_ROTATION, MOST_ZOOM),
                                         strict=True)):  # fmt: skip
        found.add("camera_motion")
    if len(truth.alive) and not truth.alive.any():
        found.add("no_motion")
    return found


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_shot_fails_the_rule_that_it_is_said_to_fail(kind: str) -> None:
    for seed in (1, 2, 3):
        clip, truth = drawn(kind, seed)
        for number, shot in enumerate(clip.shots):
            rows = np.flatnonzero(truth.shots == number)
            found = failures(truth, shot, rows)
            assert (shot.expect == "reject") == bool(shot.reason)
            if shot.expect == "accept":
                assert not found, (kind, seed, number)
                assert np.median(faces(truth, rows)) > 1.06 * LEAST_FACE, (kind, seed)
            else:
                assert shot.reason in found, (kind, seed, number)


def test_moving_cameras_move_clearly() -> None:
    for kind, column in (("pan", 0), ("follow", 0), ("shake", 0), ("roll", 1), ("zoom", 2)):
        limit = (MOST_TRANSLATION, MOST_ROTATION, MOST_ZOOM)[column]
        for seed in range(4):
            clip = write_clip(kind, seed, SETTINGS)
            _, truth = draw_clip(clip, np.arange(0, 60, 3))  # about eight samples a second
            assert camera_speeds(truth, np.arange(20))[column] > 1.5 * limit, (kind, seed)


def test_every_script_is_well_formed() -> None:
    for clip in write_clips(2 * len(KINDS), 9):
        assert clip.shots[0].start == 0
        assert all(one.end == other.start for one, other in zip(clip.shots[:-1], clip.shots[1:], strict=True))
        assert 3.0 <= clip.frame_count / SETTINGS.fps <= 6.01
        if not clip.kind.startswith("cut"):
            assert len(clip.shots) == 1


def test_clips_go_through_the_kinds_and_depend_on_seed_and_number_alone() -> None:
    few, many = write_clips(3, 4), write_clips(30, 4)
    assert [clip.kind for clip in many] == (list(KINDS) * 2)[:30]
    assert [(clip.seed, clip.shots) for clip in few] == [(clip.seed, clip.shots) for clip in many[:3]]
    assert len({clip.seed for clip in many}) == 30
    assert write_clips(1, 5)[0].seed != few[0].seed
    assert [clip.kind for clip in write_clips(3, 4, kinds=("wave", "far"))] == ["wave", "far", "wave"]


def test_a_cut_between_sets_changes_the_set() -> None:
    for seed in range(5):
        first, second = write_clip("cut_sets", seed).shots
        assert first.set.name != second.set.name
        first, second = write_clip("cut_inside", seed).shots
        assert first.set == second.set


def test_one_face_can_play_in_many_clips() -> None:
    identity = draw_identity(np.random.default_rng(1))
    clips = [write_clip("talk", seed, SETTINGS, [identity]) for seed in (1, 2)]
    for clip in clips:
        np.testing.assert_array_equal(clip.cast[0].identity, identity)
    assert clips[0].cast[0].outfit != clips[1].cast[0].outfit


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 8}, "width must be at least 16 and at most 8192"),
        ({"width": 2000, "height": 100}, "up to five times"),
        ({"fps": 0}, "fps must be at least 1 and at most 240"),
        ({"min_seconds": 5, "max_seconds": 4}, "shortest first"),
        ({"supersample": 0}, "supersample must be at least 1 and at most 8"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipSettings(**wrong)  # type: ignore[arg-type]
