"""Metrics of predictions that are written here; faces are judged by a real analyser where there is one."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs.evaluation.metrics import Measured, measure_pair, with_files
from jobs.pairs.drives import keypoint_table
from pipelines.storage.inputs import Inputs
from pipelines.storage.store import Store
from stableanimator.errors import WeightsError
from stableanimator.media.video import VideoReader, write_lossless, write_mp4
from stableanimator.metrics.seen import Judges
from stableanimator.metrics.settings import ProtocolName
from stableanimator.perception.faces import Face, FaceAnalyser
from stableanimator.perception.settings import FaceSettings
from tests.jobs.evaluation.conftest import waves

BOTH: tuple[ProtocolName, ...] = ("standard", "disco")


def _measure(judges: Judges, *predictions: dict[str, Any], repeat: bool = False) -> list[Measured]:
    return measure_pair(predictions, repeat, judges, BOTH, {})


def _row(judges: Judges, prediction: dict[str, Any]) -> dict[str, Any]:
    (measured,) = _measure(judges, prediction)
    return measured.row()


def test_a_prediction_that_is_the_truth_is_perfect(prediction: dict[str, Any], judges: Judges) -> None:
    row = _row(judges, prediction)
    assert (row["pair_id"], row["variant"], row["frames"]) == ("a", "plain", 4)
    for protocol in BOTH:
        assert (row[f"{protocol}/l1"], row[f"{protocol}/psnr"]) == (0, 100)
        assert row[f"{protocol}/ssim"] == pytest.approx(1)
    assert row["disco/psnr_uint8"] == 100
    assert (row["csim"], row["face_found"], row["reason"]) == (None, 0, "no_reference_face")
    assert (row["fps"], row["seconds"], row["coverage"]) == (8, 0.5, 1)


def test_what_was_not_animated_lowers_coverage(prediction: dict[str, Any], judges: Judges) -> None:
    row = _row(judges, prediction | {"frames_left_out": 12})
    assert (row["frames"], row["coverage"]) == (4, 0.25)


def test_the_reference_is_never_among_the_scored_frames(
    prediction: dict[str, Any], judges: Judges, tmp_path: Path
) -> None:
    """The result is right in the frame that was the reference, and nowhere else."""
    frames = [np.zeros((32, 48, 3), np.uint8)] * 4
    frames[1] = waves(4, 32, 48)[1]
    write_lossless(tmp_path / "result.mp4", frames, 8)
    wrong = prediction | {"frames_uri": str(tmp_path / "result.mp4")}
    own = wrong | {"reference_uri": f"{prediction['truth_uri']}#frame=1"}
    row, with_it = _row(judges, own), _row(judges, wrong)
    assert (row["frames"], row["coverage"]) == (3, 0.75)
    by_hand = np.mean([np.abs(waves(4, 32, 48)[place].astype(float)).mean() for place in (0, 2, 3)]) / 255
    assert row["standard/l1"] == pytest.approx(by_hand)
    assert with_it["standard/l1"] == pytest.approx(0.75 * by_hand, rel=0.01)
    alone = _row(judges, own | {"frame_index": [1]})
    assert alone["reason"] == "no_scored_frame"


def test_the_repeated_reference_is_measured_in_the_place_of_each_frame(
    prediction: dict[str, Any], judges: Judges, tmp_path: Path
) -> None:
    frames = waves(4, 32, 48)
    cv2.imwrite(str(tmp_path / "reference.png"), np.hstack([frames[0], frames[2]])[..., ::-1])
    failed = prediction | {"variant": "failed", "status": "failed", "reason": "not_found"}
    for middle, shown in ((0.25, frames[0]), (0.75, frames[2])):  # the left half or the right one
        cut = prediction | {"cut_middle": [middle, 0.5]}
        measured = _measure(judges, failed, cut, prediction | {"variant": "hjb"}, repeat=True)
        assert [one.prediction["variant"] for one in measured] == ["failed", "plain", "hjb", "repeat"]
        by_hand = np.abs(np.stack(frames).astype(float) - shown).mean() / 255
        assert measured[-1].row()["standard/l1"] == pytest.approx(by_hand, rel=1e-6)
    assert [one.prediction["variant"] for one in _measure(judges, failed, repeat=True)] == ["failed"]


def test_a_true_frame_is_looked_at_once_for_all_variants(prediction: dict[str, Any], judges: Judges) -> None:
    looked: Counter[bytes] = Counter()

    def people(frame: np.ndarray) -> np.ndarray:
        looked[frame.tobytes()] += 1
        return np.zeros((0, 133, 3), np.float32)

    still = [np.full((32, 48, 3), level, np.uint8) for level in (1, 2, 3, 4)]
    write_lossless(Path(prediction["frames_uri"]).with_name("still.mp4"), still, 8)
    other = prediction["frames_uri"].replace("truth", "still")
    variants = [prediction | {"variant": name, "frames_uri": other} for name in "xyz"]
    _measure(replace(judges, people=people), *variants)
    assert [looked[each.tobytes()] for each in waves(4, 32, 48)] == [1] * 4
    assert [looked[each.tobytes()] for each in still] == [3] * 4


def test_what_is_wrong_with_one_variant_leaves_the_others(
    prediction: dict[str, Any], judges: Judges, tmp_path: Path
) -> None:
    whole = (tmp_path / "truth.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    bad = {
        "gone": ({"frames_uri": str(tmp_path / "gone.mp4")}, "not_found"),
        "failed": ({"status": "failed", "reason": "no_driving_person", "detail": "in 9 frames"}, "no_driving_person"),
        "cut": ({"frames_uri": str(tmp_path / "cut.mp4")}, "too_few_frames"),
        "truth": ({"frame_index": [0, 1, 2, 9]}, "truth_too_short"),
        "poses": ({"poses_uri": str(tmp_path / "gone.parquet")}, "bad_keypoints_table"),
    }
    rows = [prediction | columns | {"variant": name} for name, (columns, _) in bad.items()]
    measured = _measure(judges, *rows, prediction)
    for one, (_, reason) in zip(measured, bad.values(), strict=False):
        row = one.row()
        assert (row["reason"], one.metrics) == (reason, None)
        assert row["detail"]
    assert measured[-1].row()["standard/psnr"] == 100


def test_a_mistake_of_the_users_ends_it(prediction: dict[str, Any], judges: Judges) -> None:
    def looks(frame: np.ndarray) -> list[Face]:
        raise WeightsError("no weights")

    with pytest.raises(WeightsError):
        _measure(replace(judges, faces=looks), prediction)


def test_a_reference_is_seen_on_the_background_that_it_was_put_on(
    prediction: dict[str, Any], judges: Judges, tmp_path: Path
) -> None:
    Image.new("RGBA", (96, 64), (200, 30, 40, 0)).save(tmp_path / "reference.png")
    shown: list[np.ndarray] = []

    def looks(frame: np.ndarray) -> list[Face]:
        shown.append(frame)
        return []

    measure_pair([prediction], False, replace(judges, faces=looks), BOTH, {"plain": (0, 255, 0)})
    assert (shown[0] == (0, 255, 0)).all()


def test_without_truth_there_are_no_picture_metrics(prediction: dict[str, Any], judges: Judges) -> None:
    row = _row(judges, prediction | {"truth_uri": None})
    assert (row["frames"], row["standard/l1"], row["disco/psnr"]) == (4, None, None)
    assert row["flicker"] > 0


def test_joints_are_looked_for_where_the_aligned_drive_has_them(
    prediction: dict[str, Any], judges: Judges, tmp_path: Path
) -> None:
    """The result shows the drive exactly in half of its frames, and is far from it in the others."""
    pose = np.full((133, 3), np.nan, np.float32)
    pose[:, 2] = 0
    pose[:17, :2] = np.random.default_rng(0).uniform((10, 4), (38, 28), (17, 2))
    pose[:17, 2] = 0.9
    drive = np.stack([pose[None]] * 4)
    pq.write_table(keypoint_table(drive, [0, 1, 2, 3], 8.0, (32, 48)), tmp_path / "poses.parquet")
    frames = iter([pose, pose + np.array([9, 0, 0]), pose, pose + np.array([9, 0, 0])])
    found = replace(judges, people=lambda frame: next(frames)[None].astype(np.float32))
    row = _row(found, prediction | {"poses_uri": str(tmp_path / "poses.parquet"), "truth_uri": None})
    assert row["pck_drive_10"] == pytest.approx(0.5)
    assert (row["pck_10"], row["joints"]) == (None, 0)


@pytest.mark.real_data
def test_csim_of_a_clip_with_itself_and_with_another_person(
    prediction: dict[str, Any], judges: Judges, real_data: Path, tmp_path: Path
) -> None:
    weights = FaceSettings(pack_root=str(real_data / "weights" / "insightface"), pack="small")
    clip = str(real_data / "media" / "videos" / "lp_s13.mp4")
    with VideoReader(clip) as video:
        write_mp4(tmp_path / "copy.mp4", list(video.read([0, 5, 10])), 5, crf=4)
    columns = {
        "frames_uri": str(tmp_path / "copy.mp4"), "reference_uri": f"{clip}#frame=3", "truth_uri": clip,
        "frame_index": [0, 5, 10],
    }  # fmt: skip
    found = replace(judges, faces=FaceAnalyser(weights))
    same = _row(found, prediction | columns)
    assert same["face_found"] == 1
    assert same["csim"] > 0.8
    assert same["csim_truth"] > 0.95
    assert same["standard/psnr"] > 38
    other = str(real_data / "media" / "images" / "full_body_1.jpg")
    assert _row(found, prediction | columns | {"reference_uri": other})["csim"] < 0.4


@pytest.mark.parametrize("damaged", ["frames", "poses"])
def test_a_result_that_is_not_what_was_written_is_not_measured(
    prediction: dict[str, Any], judges: Judges, damaged: str, tmp_path: Path
) -> None:
    poses = Path(prediction["truth_uri"]).with_name("poses.parquet")
    pq.write_table(keypoint_table(np.zeros((4, 1, 133, 3), np.float32), range(4), 8.0, (32, 48)), poses)
    named = {"poses_uri": str(poses)} | {
        f"{kind}_sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()
        for kind, path in (("frames", prediction["frames_uri"]), ("poses", poses))
    }
    good = prediction | named | {"variant": "good"}
    bad = good | {"variant": "bad", f"{damaged}_sha256": hashlib.sha256(b"another").hexdigest()}
    first, second = with_files(
        Inputs(Store(str(tmp_path))), [good, bad], lambda there: measure_pair(there, False, judges, ["standard"], {})
    )
    assert first.metrics is not None
    assert second.error is not None
    assert second.error.reason == "changed"
    assert bad[f"{damaged}_uri"] in second.error.detail
