from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.evaluate.agreement import drawn
from stableanimator.errors import RowError
from stableanimator.metrics import identity
from stableanimator.metrics.networks.loading import FeatureNetwork, Networks
from stableanimator.metrics.networks.lpips import Heads, Lpips, Trunk
from stableanimator.metrics.networks.preparing import for_i3d
from stableanimator.metrics.scoring import PairMetrics, Scoring, column_names, mean_over_frames, weight_of
from stableanimator.metrics.seen import Judges, Seen
from stableanimator.metrics.settings import ProtocolName

ALL: tuple[ProtocolName, ...] = ("standard", "disco", "one_to_all", "steady_dancer")


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


def _shoulders(frame: np.ndarray) -> np.ndarray:
    """Whoever is in a picture has both shoulders at its upper corners, and hips below it, where nobody sees them."""
    height, width, _ = frame.shape
    person = np.full((1, 133, 3), (np.nan, np.nan, 0), np.float32)
    person[0, [5, 6]] = (width - 1, 0, 1), (0, 0, 1)
    person[0, [11, 12]] = (width - 1, height, 1), (0, height, 1)
    return person


JUDGES = Judges(faces=_colour_analyser, held_out=None, people=_nobody)  # type: ignore[arg-type]


def _flat(*colour: int) -> np.ndarray:
    return np.full((16, 16, 3), colour, dtype=np.uint8)


RED, GREEN, YELLOW, BLACK = _flat(200, 0, 0), _flat(0, 200, 0), _flat(90, 90, 0), _flat(0, 0, 0)


def _scored(
    pairs: Sequence[tuple[np.ndarray, np.ndarray | None]],
    reference: np.ndarray = RED,
    judges: Judges = JUDGES,
    protocols: Sequence[ProtocolName] = ("standard",),
    **more: Any,
) -> PairMetrics:
    who = identity.main_identity(judges.faces, judges.held_out, reference)
    scoring = Scoring(who, judges, protocols, fps=10, **more)
    for generated, truth in pairs:
        scoring.add(Seen(generated, judges), None if truth is None else Seen(truth, judges))
    return scoring.finish()


def test_cosine_by_hand() -> None:
    assert identity.cosine(np.array([1.0, 0.0], np.float32), np.array([1.0, 1.0], np.float32)) == pytest.approx(
        0.5**0.5
    )
    assert identity.cosine(np.array([2.0, 0.0], np.float32), np.array([-3.0, 0.0], np.float32)) == -1
    assert identity.cosine(None, np.ones(2, np.float32)) is None
    assert identity.cosine(np.zeros(2, np.float32), np.ones(2, np.float32)) is None


def test_identical_videos_are_perfect_in_all_protocols() -> None:
    noise = np.random.default_rng(0).integers(1, 256, (4, 16, 20, 3), dtype=np.uint8)
    row = _scored([(frame, frame) for frame in noise], noise[0], protocols=ALL)
    assert tuple(row.columns) == column_names(ALL)
    for name in ALL:
        assert (row.columns[f"{name}/l1"], row.columns[f"{name}/psnr"]) == (0, 100)
        assert row.columns[f"{name}/ssim"] == pytest.approx(1)
    assert row.columns["disco/psnr_uint8"] == 100
    assert row.columns["csim_truth"] == pytest.approx(1)
    assert (row.columns["face_found"], row.columns["flicker_truth"], row.reason) == (1, 0, None)
    assert row.counts["frames"] == row.counts["frames_with_truth"] == 4


def test_a_metric_that_is_no_number_is_a_reason_and_no_column() -> None:
    """As of a recogniser whose weights are damaged."""

    def broken(frame: np.ndarray) -> list[_Found]:
        (found,) = _colour_analyser(frame)
        return [found if frame[0, 0, 1] == 0 else _Found(np.full(3, np.nan, np.float32), found.landmarks)]

    judges = replace(JUDGES, faces=broken)
    assert _scored([(RED, RED)], judges=judges).columns["csim"] == pytest.approx(1)
    with pytest.raises(RowError, match=r"^not_finite: csim, csim_truth are NaN or infinite"):
        _scored([(RED, RED), (YELLOW, RED)], judges=judges)


def test_a_frame_without_a_face_is_missing_and_not_zero() -> None:
    row = _scored([(YELLOW, RED), (BLACK, RED), (RED, RED)])
    assert row.columns["csim"] == pytest.approx((0.5**0.5 + 1) / 2)
    assert row.columns["face_found"] == pytest.approx(2 / 3)
    assert (row.counts["faces"], row.counts["faces_with_truth"]) == (2, 2)


def test_csim_compares_with_the_reference_and_csim_truth_with_the_true_frame() -> None:
    row = _scored([(RED, YELLOW), (RED, BLACK)], GREEN)
    assert row.columns["csim"] == pytest.approx(0)
    assert row.columns["csim_truth"] == pytest.approx(0.5**0.5)  # the truth without a face has no cosine
    assert row.counts["faces_with_truth"] == 1


def test_the_held_out_recogniser_judges_the_same_faces() -> None:
    row = _scored([(RED, YELLOW), (GREEN, RED)], judges=replace(JUDGES, held_out=_blind_to_green))
    assert row.columns["csim"] == pytest.approx(0.5)
    # Red is (201, 1) to it, yellow (91, 1), green (1, 1).
    red, yellow, green = (np.array([value, 1]) / np.hypot(value, 1) for value in (201, 91, 1))
    assert row.columns["csim_held_out"] == pytest.approx((1 + green @ red) / 2)
    assert row.columns["csim_truth_held_out"] == pytest.approx((red @ yellow + green @ red) / 2)
    alone = _scored([(RED, YELLOW)])
    assert (alone.columns["csim_held_out"], alone.columns["csim_truth_held_out"]) == (None, None)


def test_people_of_the_truth_are_compared_in_pixels_of_the_result() -> None:
    judges = replace(JUDGES, people=_shoulders)
    row = _scored([(_flat(9, 9, 9), np.zeros((16, 40, 3), np.uint8))] * 3, judges=judges)
    assert (row.counts["joints"], row.columns["pck_05"]) == (9, 1)  # shoulders and neck of three frames
    # The corner of 40 pixels is at 39 / 40 of the width, that of 16 at 15 / 16: 0.6 of the latter's pixels apart.
    stature = 39 * 16 / 40 / 0.259
    assert row.columns["joint_error"] == pytest.approx((0.6 + 0.3 + 0) / 3 / stature, rel=1e-4)
    assert (row.counts["joints_moved"], row.columns["pck_moved_05"], row.columns["velocity"]) == (0, None, None)
    assert _scored([(RED, None)], judges=judges).columns["pck_05"] is None


def test_the_drive_is_compared_with_the_result_and_with_the_truth() -> None:
    judges = replace(JUDGES, people=_shoulders)
    drive = [_shoulders(RED) + np.array([0, 4, 0], np.float32)] * 2
    row = _scored([(RED, RED), (RED, None)], judges=judges, drive=drive)
    stature = 15 / 0.259
    assert row.columns["joint_error_drive"] == pytest.approx(4 / stature)
    assert row.columns["pck_drive_05"] == 0
    assert row.columns["pck_drive_10"] == 1
    assert (row.counts["joints_drive"], row.counts["joints"]) == (6, 3)
    assert (row.columns["dis"], row.counts["frames_with_dis"]) == (pytest.approx(4 / 16), 1)
    alone = _scored([(RED, RED)], judges=judges)
    assert (alone.columns["pck_drive_10"], alone.columns["dis"]) == (None, None)
    with pytest.raises(ValueError, match="the drive has 2 frames, the result 1"):
        _scored([(RED, RED)], judges=judges, drive=drive)


def test_metrics_are_means_over_frames() -> None:
    pairs = [(_flat(30, 30, 30), _flat(10, 10, 10)), (RED, RED)]
    row = _scored(pairs, protocols=ALL)
    assert row.columns["standard/l1"] == pytest.approx((20 / 255 + 0) / 2)
    assert row.columns["disco/l1"] == pytest.approx(20 / 256**2 / 2)  # at 256x256 whatever the frames'
    assert row.columns["one_to_all/l1"] == pytest.approx(20 / 16**2 / 2)
    for name in ALL:
        assert row.columns[f"{name}/psnr"] == pytest.approx((20 * np.log10(255 / 20) + 100) / 2)


def test_lpips_looks_at_what_the_protocol_shows_it() -> None:
    torch.manual_seed(0)
    channels = (8, 8, 8, 8, 8)
    network = Lpips(drawn(Trunk("vgg", channels)), drawn(Heads(channels)))
    judges = replace(JUDGES, networks=Networks(lpips=network, lpips_column="lpips_own"))
    first, second = np.random.default_rng(0).integers(0, 256, (2, 32, 40, 3), dtype=np.uint8)
    row = _scored([(first, second)], judges=judges, protocols=("standard", "one_to_all"))
    assert tuple(row.columns)[:4] == ("standard/l1", "standard/psnr", "standard/ssim", "standard/lpips_own")
    for name, low in (("standard", -1), ("one_to_all", 0)):
        scaled = [torch.from_numpy(frame).permute(2, 0, 1)[None] / 255 * (1 - low) + low for frame in (first, second)]
        wanted = network.distance(*map(network.layers, scaled))
        assert row.columns[f"{name}/lpips_own"] == pytest.approx(float(wanted), rel=1e-5)


def test_a_true_frame_is_looked_at_once_for_all_results() -> None:
    looked: list[tuple[int, ...]] = []

    def people(frame: np.ndarray) -> np.ndarray:
        looked.append(frame.shape)
        return _nobody(frame)

    judges = replace(JUDGES, people=people)
    scorings = [Scoring(identity.Identity(), judges, ALL, fps=10) for _ in range(3)]
    truth = Seen(np.zeros((16, 40, 3), np.uint8), judges)
    for scoring in scorings:
        scoring.add(Seen(RED, judges), truth)
    assert sorted(looked) == [(16, 16, 3)] * 3 + [(16, 40, 3)]
    assert truth.remembered(("brightness", (16, 16)), lambda: None) is not None


def test_seams_are_where_windows_begin() -> None:
    levels = [10, 11, 12, 30, 31, 32]
    row = _scored([(_flat(v, v, v), None) for v in levels], borders=(3,))
    assert row.columns["seam"] == pytest.approx(18.1 / 1.1, rel=1e-4)
    assert row.columns["flicker"] == pytest.approx(np.mean([0, 17, 17, 0]) * 1.4826 / 6**0.5, rel=1e-4)


def test_without_truth_or_reference_face_the_row_says_so() -> None:
    row = _scored([(RED, None)], protocols=ALL)
    assert [name for name, value in row.columns.items() if value is not None] == ["csim", "face_found"]
    assert (row.columns["csim"], row.reason) == (pytest.approx(1), "no_truth")
    row = _scored([(RED, RED)], BLACK)
    assert (row.columns["csim"], row.columns["csim_truth"], row.reason) == (None, pytest.approx(1), "no_reference_face")
    with pytest.raises(ValueError, match="no frame"):
        _scored([])


def _row(counts: dict[str, int], **columns: float) -> PairMetrics:
    named = {name.replace("__", "/"): value for name, value in columns.items()}
    return PairMetrics(columns=named, counts={"results": 1} | counts, features={}, reason=None)


def test_means_of_several_results_are_over_what_each_column_counts() -> None:
    long = _row(
        {"frames": 30, "frames_with_truth": 30, "faces": 30, "joints": 400},
        disco__psnr=20, one_to_all__psnr=20, csim=0.5, face_found=1, pck_10=0.25,
    )  # fmt: skip
    short = _row(
        {"frames": 10, "frames_with_truth": 10, "faces": 5, "joints": 100},
        disco__psnr=40, one_to_all__psnr=40, csim=1, face_found=0.5, pck_10=0.75,
    )  # fmt: skip
    blank = _row({"frames": 5, "frames_with_truth": 0, "faces": 0, "joints": 0}, face_found=0)
    means = mean_over_frames([long, short, blank])
    assert means["disco/psnr"] == pytest.approx((30 * 20 + 10 * 40) / 40)
    assert means["one_to_all/psnr"] == 30  # its scripts average videos
    assert means["csim"] == pytest.approx((30 * 0.5 + 5 * 1.0) / 35)
    assert means["face_found"] == pytest.approx(35 / 45)
    assert means["pck_10"] == pytest.approx((400 * 0.25 + 100 * 0.75) / 500)
    assert mean_over_frames([replace(blank, columns={"csim": None})]) == {"csim": None}
    assert mean_over_frames([]) == {}


def test_every_column_has_a_count_that_a_row_tells() -> None:
    row = _scored([(RED, RED)], protocols=ALL)
    assert {weight_of(name) for name in row.columns} <= set(row.counts)


def test_memory_does_not_grow_with_the_frames_but_by_their_joints_and_features() -> None:
    torch.manual_seed(0)
    channels = (8, 8, 8, 8, 8)
    features = FeatureNetwork(
        kind="fvd", column="fvd_own", prepare=for_i3d, network=lambda clips: clips.mean((2, 3, 4))
    )
    networks = Networks(
        lpips=Lpips(drawn(Trunk("vgg", channels)), drawn(Heads(channels))),
        lpips_column="lpips_own",
        features=(features,),
    )
    judges = replace(JUDGES, people=_shoulders, networks=networks)
    scoring = Scoring(identity.Identity(), judges, ("standard", "disco"), fps=10)
    generator = np.random.default_rng(0)

    def add(count: int) -> None:
        for frame, truth in generator.integers(0, 256, (count, 2, 64, 64, 3), dtype=np.uint8):
            scoring.add(Seen(frame, judges), Seen(truth, judges))

    tracemalloc.start()
    add(40)
    gc.collect()
    early, _ = tracemalloc.get_traced_memory()
    add(60)
    gc.collect()
    late, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A frame is 12 kB here, prepared 600 kB; joints of both sides and a row of features are 4 kB.
    assert (late - early) / 60 < 8_000
    assert scoring.finish().features["disco/fvd_own"].shape == (85, 3)
