"""The networks that are trained on the drawn world, on clips and people that no training saw, against the truth.

`python -m benchmarks.synthetic` measures the same on more clips; the floors here lie a little below its bars, since a
few clips say less. Figures rest on the real code of the curation.
"""

from __future__ import annotations

import hashlib
import re

import cv2
import numpy as np
import pytest
import torch
from insightface.app import FaceAnalysis
from insightface.model_zoo import get_model

from benchmarks.drawn.clips import WEIGHTS, MeasuredClip, draw, drawn_perception, measure, unseen_clips
from benchmarks.drawn.faces import identity_score
from benchmarks.drawn.scores import camera_score, cut_score, face_score, joint_score, people_score, rule_scores
from pipelines.curation import CurateSettings
from stableanimator.perception.arcface import TEMPLATE, ArcFace, align_crops
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.scores import total

from ...floats import assert_same

FILES = [
    *("dwpose/person_detector.onnx", "dwpose/pose.onnx", "held_out_recogniser.onnx"),
    *("insightface/models/drawn/detector.onnx", "insightface/models/drawn/recogniser.onnx"),
]

SETTINGS = CurateSettings()
KINDS = (
    *("dance", "talk", "walk", "pan", "wave", "cut_sets", "pair", "statue"),
    *("gesture", "zoom", "turn_away", "cut_short", "roll", "empty", "bystander", "away"),
)
RECOGNISERS = ("insightface/models/drawn/recogniser.onnx", "held_out_recogniser.onnx")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[MeasuredClip]:
    folder = tmp_path_factory.mktemp("drawn")
    scripts = unseen_clips(len(KINDS), KINDS, seconds=(2.2, 2.6))
    paths = draw(scripts, folder, workers=1)
    return measure(scripts, paths, folder, drawn_perception(), SETTINGS, workers=1)


def test_cuts_are_found_and_nothing_else(clips: list[MeasuredClip]) -> None:
    cuts = cut_score(clips)
    assert (cuts.true, cuts.misses, cuts.false_alarms) == (2, 0, 0)


def test_people_and_faces_are_found(clips: list[MeasuredClip]) -> None:
    people, faces = people_score(clips), face_score(clips)
    assert min(people.precision, people.recall) >= 0.93
    assert min(faces.faces.precision, faces.faces.recall) >= 0.93
    assert np.median(faces.landmarks) <= 0.1  # of the distance between the eyes


def test_joints_are_where_the_truth_has_them(clips: list[MeasuredClip]) -> None:
    by_framing = joint_score(clips)
    assert {"full body", "half body", "close-up", "bystander"} <= set(by_framing)
    assert np.mean(np.concatenate(list(by_framing.values())) <= 0.05) >= 0.92


def test_the_camera_is_measured_to_a_fraction_of_a_pixel(clips: list[MeasuredClip]) -> None:
    camera = camera_score(clips)
    assert len(camera.moving) >= 0.8 * camera.moving_steps
    translation, zoom, rotation = np.median(camera.moving, 0)
    assert translation <= 0.003
    assert zoom <= 0.003
    assert rotation <= 0.15


def test_rules_do_what_the_truth_says(clips: list[MeasuredClip]) -> None:
    scores = rule_scores(clips, SETTINGS)
    broken = {rule for rule, score in scores.items() if score.decided.true}
    unbroken = {"max_background_change", "min_width", "min_height", "min_near_duplicate_distance"}
    assert set(scores) - broken <= unbroken
    together = total(score.decided for score in scores.values())
    errors = [f"{rule}: {error}" for rule, score in scores.items() for error in score.wrong]
    assert min(together.precision, together.recall) >= 0.92, "\n".join(errors)


def test_unseen_people_are_told_apart() -> None:
    score = identity_score(8, WEIGHTS, workers=1)
    assert score.found >= 0.95
    for source, area in score.areas.items():
        assert area >= 0.96, source


def test_insightface_itself_loads_the_pack() -> None:
    analysis = FaceAnalysis(name="drawn", root=str(WEIGHTS / "insightface"), providers=["CPUExecutionProvider"])
    analysis.prepare(ctx_id=-1, det_size=(320, 320))
    assert {"detection", "recognition"} <= set(analysis.models)
    pictures, truth = draw_clip(write_clip("wave", 5_100_000), [20])
    (face,) = analysis.get(np.ascontiguousarray(pictures[0][..., ::-1]))
    eyes = truth.face_landmarks[0, 0, 1] - truth.face_landmarks[0, 0, 0]
    assert np.abs(face.kps + 0.5 - truth.face_landmarks[0, 0]).max() <= 0.3 * np.linalg.norm(eyes)
    assert np.linalg.norm(face.normed_embedding) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("file", RECOGNISERS)
def test_the_differentiable_recogniser_is_the_file_that_onnxruntime_runs(file: str) -> None:
    pictures, truth = draw_clip(write_clip("talk", 5_100_001), [5, 25, 45])
    frames = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    crops = align_crops(frames, torch.from_numpy(truth.face_landmarks[:, 0]), torch.from_numpy(TEMPLATE))
    crops = ((crops + 1) * 127.5).round() / 127.5 - 1  # InsightFace reads whole grey levels
    grey = ((crops + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    arcface = ArcFace.from_onnx(WEIGHTS / file)
    reference = get_model(str(WEIGHTS / file), providers=["CPUExecutionProvider"])
    expected = np.concatenate([reference.get_feat(cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)) for crop in grey])
    found, exact = arcface(crops), arcface.double()(crops.double())
    assert_same(found, exact)
    assert_same(expected, exact)


def test_the_card_names_the_files_as_they_are() -> None:
    files = sorted(WEIGHTS.rglob("*.onnx"))
    card = "\n".join(path.read_text(encoding="utf-8") for path in WEIGHTS.glob("*.md"))
    listed = dict(re.findall(r"^\|\s*`?([\w./-]+\.onnx)`?\s*\|.*\b([0-9a-f]{64})\b", card, re.MULTILINE))
    assert listed == {file: hashlib.sha256((WEIGHTS / file).read_bytes()).hexdigest() for file in FILES}
    assert [path.relative_to(WEIGHTS).as_posix() for path in files] == FILES
    assert sum(path.stat().st_size for path in files) <= 8e6
