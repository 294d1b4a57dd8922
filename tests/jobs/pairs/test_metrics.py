"""Metrics of prediction files that are written here; faces are judged by a real analyser where there is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from jobs.pairs.metrics import frame_pairs, measure, metrics_of, repeats, side_by_side, unmeasured
from stableanimator.errors import RowError
from stableanimator.media.pictures import WHITE
from stableanimator.media.video import VideoReader, write_mp4
from stableanimator.metrics.seen import Judges
from stableanimator.perception.faces import Face, FaceAnalyser
from stableanimator.perception.settings import FaceSettings


def _no_faces(frame: np.ndarray) -> list[Face]:
    """An analyser for pictures of which is known that they show nobody."""
    return []


def _nobody(frame: np.ndarray) -> np.ndarray:
    """The same of people."""
    return np.zeros((0, 133, 3), np.float32)


JUDGES = Judges(faces=_no_faces, held_out=None, people=_nobody)


def _waves(frames: int, height: int, width: int) -> list[np.ndarray]:
    y, x = np.mgrid[0:height, 0:width]
    return [
        np.stack([127 + 90 * np.sin((x + 4 * t) / 9), 127 + 90 * np.cos(y / 7), 0 * x + 60], -1).astype(np.uint8)
        for t in range(frames)
    ]


@pytest.fixture
def prediction(tmp_path: Path) -> dict[str, Any]:
    """A prediction that is its own truth."""
    write_mp4(tmp_path / "prediction.mp4", _waves(4, 32, 48), 8)
    cv2.imwrite(str(tmp_path / "reference.png"), _waves(1, 64, 96)[0])
    return {
        "pair_id": "a",
        "status": "done",
        "reason": None,
        "detail": None,
        "variant": "plain",
        "cut_middle": [0.5, 0.5],
        "prediction_uri": str(tmp_path / "prediction.mp4"),
        "skeleton_uri": str(tmp_path / "prediction.mp4"),
        "reference_uri": str(tmp_path / "reference.png"),
        "truth_uri": str(tmp_path / "prediction.mp4"),
        "frame_index": [0, 1, 2, 3],
    }


@pytest.mark.parametrize("protocol", ["disco", "standard"])
def test_a_prediction_that_is_the_truth_is_perfect(prediction: dict[str, Any], protocol: Any) -> None:
    row = measure(prediction, JUDGES, protocol, WHITE)
    assert (row["pair_id"], row["variant"], row["frames"]) == ("a", "plain", 4)
    assert (row["l1"], row["psnr"], row["psnr_uint8"]) == (0, 100, 100 if protocol == "disco" else None)
    assert row["ssim"] == pytest.approx(1)
    assert (row["csim"], row["face_found"], row["reason"]) == (None, 0, "no_reference_face")
    metrics = metrics_of(row)
    assert metrics is not None
    assert metrics.columns["standard/ssim"] == row["ssim"]


def test_the_repeated_reference_is_measured_in_the_place_of_each_frame(
    prediction: dict[str, Any], tmp_path: Path
) -> None:
    frames = _waves(4, 32, 48)
    cv2.imwrite(str(tmp_path / "reference.png"), np.hstack([frames[0], frames[2]])[..., ::-1])
    (repeat,) = repeats([prediction | {"status": "failed"}, prediction, prediction | {"variant": "hjb"}])
    assert (repeat["pair_id"], repeat["variant"]) == ("a", "repeat")
    for middle, shown in ((0.25, frames[0]), (0.75, frames[2])):  # the left half or the right one
        row = measure(repeat | {"cut_middle": [middle, 0.5]}, JUDGES, "standard", WHITE)
        with VideoReader(prediction["truth_uri"]) as video:
            truth = video.read(range(4))
        by_hand = np.abs(truth.astype(float) - shown).mean() / 255
        assert row["l1"] == pytest.approx(by_hand, rel=1e-3)
    assert repeats([prediction | {"status": "failed"}]) == []


def test_true_frames_are_chosen_by_index_and_cut_as_the_reference_was(
    prediction: dict[str, Any], tmp_path: Path
) -> None:
    write_mp4(tmp_path / "truth.mp4", _waves(12, 64, 160), 24)
    prediction |= {"truth_uri": str(tmp_path / "truth.mp4"), "frame_index": [1, 4, 7, 10]}
    with VideoReader(tmp_path / "truth.mp4") as video:
        frames = video.read([1, 4, 7, 10])
    # At 32 rows the truth is 80 wide; 48 of them are cut out, in the middle or at the right.
    for middle, left in (([0.5, 0.5], 16), ([0.9, 0.5], 32)):
        expected = np.stack([cv2.resize(frame, (80, 32), interpolation=cv2.INTER_AREA) for frame in frames])
        truths = np.stack([truth for _, truth in frame_pairs(prediction | {"cut_middle": middle}) if truth is not None])
        np.testing.assert_array_equal(truths, expected[:, :, left : left + 48])


def test_what_is_wrong_with_a_pair_is_its_reason(prediction: dict[str, Any], tmp_path: Path) -> None:
    for columns, reason in (
        ({"frame_index": [0, 1, 2, 9]}, "truth_too_short"),
        ({"prediction_uri": str(tmp_path / "gone.mp4")}, "not_found"),
        ({"status": "failed", "reason": "no_driving_person", "detail": "in none of 9 frames"}, "no_driving_person"),
    ):
        with pytest.raises(RowError) as caught:
            measure(prediction | columns, JUDGES, "disco", WHITE)
        row = unmeasured(prediction, caught.value)
        assert row == {
            "pair_id": "a", "variant": "plain", "reason": reason, "detail": caught.value.detail
        }  # fmt: skip
        assert row["detail"]
        assert metrics_of(row) is None


def test_a_reference_is_seen_on_the_background_that_it_was_put_on(prediction: dict[str, Any], tmp_path: Path) -> None:
    Image.new("RGBA", (96, 64), (200, 30, 40, 0)).save(tmp_path / "reference.png")
    shown: list[np.ndarray] = []

    def looks(frame: np.ndarray) -> list[Face]:
        shown.append(frame)
        return []

    measure(prediction, replace(JUDGES, faces=looks), "disco", (0, 255, 0))
    assert (shown[0] == (0, 255, 0)).all()
    strip = next(iter(side_by_side([prediction], (0, 255, 0))))
    assert (strip[24:, :288] == (0, 255, 0)).all()


def test_without_truth_there_are_no_picture_metrics(prediction: dict[str, Any]) -> None:
    row = measure(prediction | {"truth_uri": None}, JUDGES, "disco", WHITE)
    assert (row["frames"], row["l1"], row["psnr"]) == (4, None, None)


def test_side_by_side_shows_every_frame_of_every_column(prediction: dict[str, Any]) -> None:
    variants = [prediction | {"variant": name} for name in ("plain", "hjb", "face_off")]
    frames = list(side_by_side(variants, WHITE))
    assert len(frames) == 4
    # reference, driven by, three variants, truth: each 288 wide at 192 high (32x48 six times), and a gap of 4
    assert frames[0].shape == (24 + 192, 6 * (288 + 4), 3)
    with VideoReader(prediction["prediction_uri"]) as video:
        third = video.read([2])[0].repeat(6, 0).repeat(6, 1)
    for column in range(1, 6):
        np.testing.assert_array_equal(frames[2][24:, column * 292 : column * 292 + 288], third)


@pytest.mark.real_data
def test_csim_of_a_clip_with_itself_and_with_another_person(real_data: Path, tmp_path: Path) -> None:
    weights = FaceSettings(pack_root=str(real_data / "weights" / "insightface"), pack="small")
    clip = str(real_data / "media" / "videos" / "lp_s13.mp4")
    with VideoReader(clip) as video:
        write_mp4(tmp_path / "copy.mp4", list(video.read([0, 5, 10])), 5, crf=4)
    row = {
        "pair_id": "a",
        "status": "done",
        "variant": "hjb",
        "cut_middle": [0.5, 0.5],
        "prediction_uri": str(tmp_path / "copy.mp4"),
        "reference_uri": f"{clip}#frame=0",
        "truth_uri": clip,
        "frame_index": [0, 5, 10],
    }
    judges = replace(JUDGES, faces=FaceAnalyser(weights))
    same = measure(row, judges, "disco", WHITE)
    assert same["face_found"] == 1
    assert same["csim"] > 0.8
    assert same["csim_truth"] > 0.95
    assert same["psnr"] > 38
    other = str(real_data / "media" / "images" / "full_body_1.jpg")
    assert measure(row | {"reference_uri": other}, judges, "disco", WHITE)["csim"] < 0.4
