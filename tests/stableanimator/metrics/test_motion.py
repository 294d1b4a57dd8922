from __future__ import annotations

import numpy as np
import pytest

from stableanimator.metrics.motion import dis, velocity_agreement

# Two shoulders, 51.8 apart: somebody of 200 pixels by Drillis and Contini. OpenPose's neck is between them.
SHOULDERS = {5: (75.9, 36.4), 6: (24.1, 36.4)}


def _at(dx: float, dy: float = 0.0) -> np.ndarray:
    person = np.full((1, 133, 3), (np.nan, np.nan, 0), np.float32)
    for joint, (x, y) in SHOULDERS.items():
        person[0, joint] = (x + dx, y + dy, 1)
    return person


WALK = [_at(5 * t) for t in range(8)]
NOBODY = np.zeros((0, 133, 3), np.float32)


@pytest.mark.parametrize(
    ("result", "agreement"),
    [
        (WALK, 1),
        ([_at(0)] * 8, 0),  # stands still
        ([_at(-5 * t) for t in range(8)], 0),  # walks the other way: 10 apart of 5 + 5
        ([_at(2.5 * t) for t in range(8)], 1 - 2.5 / 7.5),  # half as fast
        ([_at(5 * t + 40) for t in range(8)], 1),  # beside the place, yet moving alike
        ([_at(0, 5 * t) for t in range(8)], 1 - 50**0.5 / 10),  # at right angles
    ],
)
def test_velocities_by_hand(result: list[np.ndarray], agreement: float) -> None:
    velocity = velocity_agreement(result, WALK, fps=5)
    assert velocity.agreement == pytest.approx(agreement, abs=1e-6)
    assert velocity.joints == 7 * 3


def test_a_velocity_is_over_a_fifth_of_a_second() -> None:
    # Trembles by 3 pixels from frame to frame; over two frames nothing of it is left.
    trembling = [_at(5 * t + 3 * (t % 2)) for t in range(8)]
    assert velocity_agreement(trembling, WALK, fps=10).agreement == pytest.approx(1)
    assert velocity_agreement(trembling, WALK, fps=10).joints == 6 * 3
    assert velocity_agreement(trembling, WALK, fps=5).agreement == pytest.approx(1 - 3 / 10, abs=0.03)


def test_joints_that_are_not_found_again_are_left_out() -> None:
    gone = [*WALK[:3], NOBODY, *WALK[4:]]
    velocity = velocity_agreement(gone, WALK, fps=5)
    assert (velocity.agreement, velocity.joints) == (pytest.approx(1), 5 * 3)
    for result, wanted in ((WALK, [NOBODY] * 8), (WALK[:1], WALK[:1]), ([], [])):
        assert velocity_agreement(result, wanted, fps=5).agreement is None
    assert velocity_agreement([_at(0)] * 8, [_at(0)] * 8, fps=5).agreement is None  # nothing moves


def test_dis_is_the_mean_distance_in_image_heights() -> None:
    drive = [_at(5 * t + 3, 4) for t in range(7)] + [NOBODY]
    values = dis(drive, WALK, height=100)
    assert values[:7] == pytest.approx(0.05)
    assert np.isnan(values[7])


def _sway(moment: float) -> np.ndarray:
    """Where somebody is who sways by 40 pixels once in 1.6 s, seconds after the beginning."""
    return _at(40 * np.sin(2 * np.pi * moment / 1.6))


@pytest.mark.parametrize("frames", [-6.0, -2.0, 0.0, 1.5, 3.0])
def test_a_late_result_is_late_by_what_it_was_delayed(frames: float) -> None:
    wanted = [_sway(t / 25) for t in range(50)]
    result = [_sway((t - frames) / 25) for t in range(50)]
    velocity = velocity_agreement(result, wanted, fps=25)
    assert velocity.delay == pytest.approx(frames / 25, abs=0.005)
    assert (velocity.agreement == pytest.approx(1)) == (frames == 0)


def test_a_delay_is_told_where_what_the_pose_network_errs_spoils_the_agreement() -> None:
    """Errors of 2 pixels beside 8 in which somebody sways."""
    random = np.random.default_rng(0)

    def seen(delay: int) -> list[np.ndarray]:
        return [_at(8 * np.sin(2 * np.pi * (t - delay) / 40) + random.normal(0, 2)) for t in range(100)]

    right, late = (velocity_agreement(seen(delay), seen(0), fps=25) for delay in (0, 6))
    assert right.agreement is not None
    assert right.agreement < 0.7
    assert right.delay == pytest.approx(0, abs=0.06)
    assert late.delay == pytest.approx(6 / 25, abs=0.06)


def test_who_stands_still_comes_neither_late_nor_early() -> None:
    still = velocity_agreement([_at(0)] * 8, WALK, fps=5)
    assert (still.agreement, still.delay) == (0, None)


def test_speed_is_that_of_the_wanted_joints_in_statures_a_second() -> None:
    walking = velocity_agreement([_at(0)] * 8, WALK, fps=5)
    assert walking.speed == pytest.approx(5 * 5 / 200, rel=1e-3)
    assert velocity_agreement(WALK, [NOBODY] * 8, fps=5).speed is None
