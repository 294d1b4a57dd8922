from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from stableanimator.metrics import identity, protocol


@dataclass
class _Found:
    embedding: np.ndarray
    landmarks: np.ndarray


def _colour_analyser(frame: np.ndarray) -> list[_Found]:
    """A whole analyser for flat pictures: a black one has no face; otherwise the embedding is the colour, so that the
    identity is its direction, whatever its brightness."""
    colour = frame.reshape(-1, 3).mean(0)
    return [_Found(colour.astype(np.float32), np.full((5, 2), 7, np.float32))] if colour.any() else []


def _blind_to_green(frame: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """A second recogniser: of red and blue alone."""
    assert (landmarks == 7).all()
    return frame.reshape(-1, 3).mean(0)[[0, 2]].astype(np.float32) + np.float32(1)


def _nobody(frame: np.ndarray) -> np.ndarray:
    """Finds the people of pictures that show none."""
    return np.zeros((0, 133, 3), np.float32)


JUDGES = protocol.Judges(faces=_colour_analyser, held_out=None, people=_nobody)  # type: ignore[arg-type]


def _flat(*colour: int) -> np.ndarray:
    return np.full((16, 16, 3), colour, dtype=np.uint8)


RED, GREEN, YELLOW, BLACK = _flat(200, 0, 0), _flat(0, 200, 0), _flat(90, 90, 0), _flat(0, 0, 0)


def test_cosine_by_hand() -> None:
    assert identity.cosine(np.array([1.0, 0.0], np.float32), np.array([1.0, 1.0], np.float32)) == pytest.approx(
        0.5**0.5
    )
    assert identity.cosine(np.array([2.0, 0.0], np.float32), np.array([-3.0, 0.0], np.float32)) == -1
    assert identity.cosine(None, np.ones(2, np.float32)) is None
    assert identity.cosine(np.zeros(2, np.float32), np.ones(2, np.float32)) is None


def test_identical_videos_are_perfect() -> None:
    noise = np.random.default_rng(0).integers(1, 256, (3, 16, 20, 3), dtype=np.uint8)
    for name in ("disco", "standard"):
        row = protocol.evaluate(zip(noise, noise, strict=True), noise[0], JUDGES, name)  # type: ignore[arg-type]
        assert (row.frames, row.l1, row.psnr, row.psnr_uint8, row.ssim) == (3, 0, 100, 100, pytest.approx(1))
        assert row.csim_truth == pytest.approx(1)
        assert (row.face_found, row.reason) == (1, None)


def test_a_frame_without_a_face_is_missing_and_not_zero() -> None:
    frames = [(YELLOW, RED), (BLACK, RED), (RED, RED)]
    row = protocol.evaluate(frames, RED, JUDGES)
    assert row.csim == pytest.approx((0.5**0.5 + 1) / 2)
    assert row.face_found == pytest.approx(2 / 3)


def test_csim_compares_with_the_reference_and_csim_truth_with_the_true_frame() -> None:
    row = protocol.evaluate([(RED, YELLOW), (RED, BLACK)], GREEN, JUDGES)
    assert row.csim == pytest.approx(0)
    assert row.csim_truth == pytest.approx(0.5**0.5)  # the truth without a face has no cosine


def test_the_held_out_recogniser_judges_the_same_faces() -> None:
    judges = replace(JUDGES, held_out=_blind_to_green)
    row = protocol.evaluate([(RED, YELLOW), (GREEN, RED)], RED, judges)
    assert row.csim == pytest.approx(0.5)
    # Red is (201, 1) to it, yellow (91, 1), green (1, 1).
    red, yellow, green = (np.array([value, 1]) / np.hypot(value, 1) for value in (201, 91, 1))
    assert row.csim_held_out == pytest.approx((1 + green @ red) / 2)
    assert row.csim_truth_held_out == pytest.approx((red @ yellow + green @ red) / 2)
    alone = protocol.evaluate([(RED, YELLOW)], RED, JUDGES)
    assert (alone.csim_held_out, alone.csim_truth_held_out) == (None, None)


def test_people_of_both_frames_are_sought_in_pixels_of_the_truth() -> None:
    """Whoever is in a picture has both shoulders at its upper corners, and hips below it, where nobody sees them."""

    def shoulders(frame: np.ndarray) -> np.ndarray:
        height, width, _ = frame.shape
        person = np.full((1, 133, 3), (np.nan, np.nan, 0), np.float32)
        person[0, [5, 6]] = (width - 1, 0, 1), (0, 0, 1)
        person[0, [11, 12]] = (width - 1, height, 1), (0, height, 1)
        return person

    row = protocol.evaluate([(_flat(9, 9, 9), np.zeros((16, 40, 3), np.uint8))], RED, replace(JUDGES, people=shoulders))
    assert (row.joints, row.pck_05, row.joints_moved, row.pck_moved_05) == (3, 1, 0, None)  # shoulders and neck
    assert protocol.evaluate([(RED, None)], RED, replace(JUDGES, people=shoulders)).pck_05 is None


def test_metrics_are_means_over_frames() -> None:
    row = protocol.evaluate([(_flat(30, 30, 30), _flat(10, 10, 10)), (RED, RED)], RED, JUDGES)
    assert row.l1 == pytest.approx((20 / 256 + 0) / 2)
    assert row.psnr == pytest.approx((20 * np.log10(255 / 20) + 100) / 2)
    standard = protocol.evaluate([(_flat(30, 30, 30), _flat(10, 10, 10))], RED, JUDGES, "standard")
    assert standard.l1 == pytest.approx(20 / 255)


def test_without_truth_or_reference_face_the_row_says_so() -> None:
    row = protocol.evaluate([(RED, None)], RED, JUDGES)
    assert (row.l1, row.psnr, row.ssim, row.csim_truth) == (None, None, None, None)
    assert (row.csim, row.reason) == (pytest.approx(1), "no_truth")
    row = protocol.evaluate([(RED, RED)], BLACK, JUDGES)
    assert (row.csim, row.csim_truth, row.reason) == (None, pytest.approx(1), "no_reference_face")
    with pytest.raises(ValueError, match="no frame"):
        protocol.evaluate([], RED, JUDGES)


def test_a_generated_frame_of_another_shape_is_stretched_to_the_truth() -> None:
    left_black = np.zeros((8, 16, 3), np.uint8)
    left_black[:, 8:] = 200
    small = protocol.match_shape(left_black, np.zeros((16, 32, 3), np.uint8), "disco")
    assert small.shape == (16, 32, 3)
    assert small[:, :14].max() == 0
    assert small[:, 18:].min() == 200
    checks = np.zeros((32, 32, 3), np.uint8)
    checks[::4] = (
        200  # every fourth line: a bilinear 4:1 reduction reads between lines and misses them, an area mean does not
    )
    area = protocol.match_shape(checks, np.zeros((8, 8, 3), np.uint8), "standard")
    assert (area == 50).all()
    bilinear = protocol.match_shape(checks, np.zeros((8, 8, 3), np.uint8), "disco")
    assert bilinear.max() == 0


def test_means_of_several_predictions_are_over_frames_and_csim_over_faces() -> None:
    nothing = dict.fromkeys(protocol.METRICS) | {"joints": 0, "joints_moved": 0}
    psnr = {"psnr": 20.0, "csim": 0.5, "pck_10": 0.25, "joints": 400, "face_found": 1.0}
    long = protocol.PairMetrics(frames=30, reason=None, **(nothing | psnr))
    psnr = {"psnr": 40.0, "csim": 1.0, "pck_10": 0.75, "joints": 100, "face_found": 0.5}
    short = protocol.PairMetrics(frames=10, reason=None, **(nothing | psnr))
    blank = protocol.PairMetrics(frames=5, reason="no_truth", **(nothing | {"face_found": 0.0}))
    means = protocol.mean_over_frames([long, short, blank])
    assert means["psnr"] == pytest.approx((30 * 20 + 10 * 40) / 40)
    assert means["csim"] == pytest.approx((30 * 0.5 + 5 * 1.0) / 35)
    assert means["face_found"] == pytest.approx(35 / 45)
    assert means["pck_10"] == pytest.approx((400 * 0.25 + 100 * 0.75) / 500)
    assert (means["ssim"], means["pck_moved_10"]) == (None, None)
    assert protocol.mean_over_frames([])["psnr"] is None
