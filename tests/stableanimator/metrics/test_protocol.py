from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from stableanimator.metrics import identity, protocol


@dataclass
class _Found:
    embedding: np.ndarray


def _colour_analyser(frame: np.ndarray) -> list[_Found]:
    """A whole analyser for flat pictures: a black one has no face; otherwise the embedding is the colour, so that the
    identity is its direction, whatever its brightness."""
    colour = frame.reshape(-1, 3).mean(0)
    return [_Found(colour.astype(np.float32))] if colour.any() else []


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
        row = protocol.evaluate(zip(noise, noise, strict=True), noise[0], _colour_analyser, name)  # type: ignore[arg-type]
        assert (row.frames, row.l1, row.psnr, row.psnr_uint8, row.ssim) == (3, 0, 100, 100, pytest.approx(1))
        assert row.csim_truth == pytest.approx(1)
        assert (row.face_found, row.reason) == (1, None)


def test_a_frame_without_a_face_is_missing_and_not_zero() -> None:
    frames = [(YELLOW, RED), (BLACK, RED), (RED, RED)]
    row = protocol.evaluate(frames, RED, _colour_analyser)
    assert row.csim == pytest.approx((0.5**0.5 + 1) / 2)
    assert row.face_found == pytest.approx(2 / 3)


def test_csim_compares_with_the_reference_and_csim_truth_with_the_true_frame() -> None:
    row = protocol.evaluate([(RED, YELLOW), (RED, BLACK)], GREEN, _colour_analyser)
    assert row.csim == pytest.approx(0)
    assert row.csim_truth == pytest.approx(0.5**0.5)  # the truth without a face has no cosine


def test_metrics_are_means_over_frames() -> None:
    row = protocol.evaluate([(_flat(30, 30, 30), _flat(10, 10, 10)), (RED, RED)], RED, _colour_analyser)
    assert row.l1 == pytest.approx((20 / 256 + 0) / 2)
    assert row.psnr == pytest.approx((20 * np.log10(255 / 20) + 100) / 2)
    standard = protocol.evaluate([(_flat(30, 30, 30), _flat(10, 10, 10))], RED, _colour_analyser, "standard")
    assert standard.l1 == pytest.approx(20 / 255)


def test_without_truth_or_reference_face_the_row_says_so() -> None:
    row = protocol.evaluate([(RED, None)], RED, _colour_analyser)
    assert (row.l1, row.psnr, row.ssim, row.csim_truth) == (None, None, None, None)
    assert (row.csim, row.reason) == (pytest.approx(1), "no_truth")
    row = protocol.evaluate([(RED, RED)], BLACK, _colour_analyser)
    assert (row.csim, row.csim_truth, row.reason) == (None, pytest.approx(1), "no_reference_face")
    with pytest.raises(ValueError, match="no frame"):
        protocol.evaluate([], RED, _colour_analyser)


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
    nothing = dict.fromkeys(("l1", "psnr", "psnr_uint8", "ssim", "csim", "csim_truth"))
    long = protocol.PairMetrics(frames=30, face_found=1.0, reason=None, **(nothing | {"psnr": 20.0, "csim": 0.5}))
    short = protocol.PairMetrics(frames=10, face_found=0.5, reason=None, **(nothing | {"psnr": 40.0, "csim": 1.0}))
    blank = protocol.PairMetrics(frames=5, face_found=0.0, reason="no_truth", **nothing)
    means = protocol.mean_over_frames([long, short, blank])
    assert means["psnr"] == pytest.approx((30 * 20 + 10 * 40) / 40)
    assert means["csim"] == pytest.approx((30 * 0.5 + 5 * 1.0) / 35)
    assert means["face_found"] == pytest.approx(35 / 45)
    assert means["ssim"] is None
    assert protocol.mean_over_frames([])["psnr"] is None
