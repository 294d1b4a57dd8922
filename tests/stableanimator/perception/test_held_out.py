"""The second recogniser on drawn people, beside InsightFace and beside the pack's own."""

from __future__ import annotations

import ast
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from insightface.model_zoo import get_model
from insightface.utils.face_align import norm_crop

from stableanimator.errors import WeightsError
from stableanimator.paths import local_path
from stableanimator.perception.held_out import HeldOutRecogniser, recogniser_of_pack
from stableanimator.perception.settings import FaceSettings
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip

WEIGHTS = "package://stableanimator.synthetic/weights"
FILE = f"{WEIGHTS}/held_out_recogniser.onnx"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def packs(tmp_path: Path) -> FaceSettings:
    """The drawn pack, and another one with the held-out recogniser among other networks."""
    models = tmp_path / "models"
    shutil.copytree(local_path(f"{WEIGHTS}/insightface/models/drawn"), models / "drawn")
    (models / "other").mkdir()
    shutil.copy(models / "drawn" / "detector.onnx", models / "other" / "a_detector.onnx")
    shutil.copy(local_path(FILE), models / "other" / "recogniser.onnx")
    return FaceSettings(pack_root=str(tmp_path), pack="drawn", held_out="other")


def test_it_embeds_what_insightface_does_at_the_same_landmarks() -> None:
    pictures, truth = draw_clip(write_clip("talk", 5_300_002), [5])
    landmarks = truth.face_landmarks[0, 0]
    found = HeldOutRecogniser(FILE)(pictures[0], landmarks)
    theirs = get_model(str(local_path(FILE)), providers=["CPUExecutionProvider"])
    crop = norm_crop(cv2.cvtColor(pictures[0], cv2.COLOR_RGB2BGR), landmarks - 0.5, 112)
    np.testing.assert_allclose(found, theirs.get_feat(crop).ravel(), rtol=1e-4, atol=1e-4)


def test_people_are_told_apart() -> None:
    recogniser = HeldOutRecogniser(FILE)

    def of(seed: int) -> list[np.ndarray]:
        pictures, truth = draw_clip(write_clip("talk", seed), [5, 40])
        embeddings = [recogniser(*each) for each in zip(pictures, truth.face_landmarks[:, 0], strict=True)]
        return [each / np.linalg.norm(each) for each in embeddings]

    (first, again), (other, _) = of(5_300_003), of(5_300_004)
    assert first @ again > first @ other + 0.2


def test_a_pack_by_its_name_is_the_recogniser_in_it(packs: FaceSettings) -> None:
    by_name = HeldOutRecogniser.from_settings(packs)
    by_file = HeldOutRecogniser.from_settings(replace(packs, held_out=FILE))
    assert by_name is not None
    assert by_file is not None
    assert by_name.weights_sha256 == by_file.weights_sha256
    assert HeldOutRecogniser.from_settings(replace(packs, held_out=None)) is None


def test_what_is_no_judge_is_one_line(packs: FaceSettings, tmp_path: Path) -> None:
    own = tmp_path / "models" / "other" / "recogniser.onnx"
    shutil.copy(tmp_path / "models" / "drawn" / "recogniser.onnx", own)
    detector = str(tmp_path / "models" / "other" / "a_detector.onnx")
    for held_out, message in (
        ("other", r"recogniser.onnx is a network of the pack drawn itself"),
        ("/gone/w600k_r50.onnx", r"/gone/w600k_r50.onnx is missing"),
        ("absent", r"absent has no face recogniser"),
        (detector, r"it is not a face recogniser with ArcFace's interface"),
    ):
        with pytest.raises(WeightsError, match=message) as caught:
            HeldOutRecogniser.from_settings(replace(packs, held_out=held_out))
        assert "\n" not in str(caught.value)
    own.write_bytes(b"no network")
    with pytest.raises(WeightsError, match="cannot be read as ONNX"):
        recogniser_of_pack(own.parent)
    with pytest.raises(ValueError, match="a relative path"):
        replace(packs, held_out="weights/a.onnx")
    with pytest.raises(ValueError, match="not the pack's own"):
        replace(packs, held_out="drawn")


def test_the_setting_is_read_where_it_judges_and_nowhere_else() -> None:
    """Import rules keep the module to the evaluation; this keeps its setting there."""
    readers = []
    for package in ("stableanimator", "pipelines", "jobs"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Attribute)
                    and node.attr == "held_out"
                    and ast.unparse(node.value) not in _OTHERS
                ):
                    readers.append(path.relative_to(ROOT).as_posix())
    assert sorted(set(readers)) == [
        "jobs/evaluation/metrics.py",
        "jobs/judging/judge.py",  # which chooses what is kept for people, and nothing that is measured
        "jobs/running/files.py",  # whether its file is there
        "stableanimator/metrics/scoring.py",  # the judge itself, and what it finds
        "stableanimator/metrics/seen.py",
        "stableanimator/perception/held_out.py",
    ]


_OTHERS = {"self", "task"}
"""Of trainings, whose held-out clips and rows are something else."""
