"""The small base model of the package, loaded; what does not fit together is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.settings import AlignerSettings
from stableanimator.errors import CheckpointError, WeightsError
from stableanimator.inference.loading import load_models
from stableanimator.models.animator import Animator
from stableanimator.models.checkpoints import load_alignment, save_model_folder
from stableanimator.models.settings import EncoderSettings, FrameRates, ModelSettings
from stableanimator.paths import local_path
from stableanimator.perception.faces import FaceAnalyser
from stableanimator.perception.settings import FaceSettings

BASE = "package://stableanimator.synthetic/weights/base"
ENCODERS = EncoderSettings(svd=BASE)


@pytest.fixture(scope="module")
def faces() -> FaceAnalyser:
    return FaceAnalyser(FaceSettings(pack_root="package://stableanimator.synthetic/weights/insightface", pack="drawn"))


def test_models_are_loaded_with_an_aligner_for_a_folder_without_one(faces: FaceAnalyser) -> None:
    aligner = Aligner(AlignerSettings(width=8, heads=2))
    models = load_models(local_path(BASE), ENCODERS, faces, aligner=aligner, precision="bfloat16")
    assert models.aligner is aligner
    assert models.arcface is not None
    assert next(models.animator.parameters()).dtype == torch.bfloat16
    assert next(models.encoders.vae.decoder.parameters()).dtype == torch.float32
    assert load_models(local_path(BASE), ENCODERS, faces, face_optimisation=False).arcface is None


def test_faces_of_another_width_and_other_encoders_are_refused(
    faces: FaceAnalyser, tmp_path: Path, tiny_settings: ModelSettings
) -> None:
    save_model_folder(tmp_path, Animator(tiny_settings), None, FrameRates(), {})
    with pytest.raises(CheckpointError, match=r"embeddings of 16 values, perception\.faces gives 128"):
        load_models(tmp_path, ENCODERS, faces)
    wide = replace(tiny_settings, face_encoder=replace(tiny_settings.face_encoder, embedding_width=128))
    save_model_folder(tmp_path, Animator(wide), None, FrameRates(), {"encoders": "others"})
    with pytest.raises(CheckpointError, match="trained on latents of other encoders"):
        load_models(tmp_path, ENCODERS, faces)


def test_aligner_and_rates_come_without_the_networks(tmp_path: Path, tiny_settings: ModelSettings) -> None:
    own, rates = Aligner(AlignerSettings(width=8, heads=2)), FrameRates(fps=(8.0, 4.0), fps_id=None)
    save_model_folder(tmp_path, Animator(tiny_settings), own, rates, {})
    for part in ("unet", "pose_net", "face_encoder"):
        (tmp_path / f"{part}.safetensors").unlink()
    aligner, found = load_alignment(tmp_path)
    assert found == rates
    assert aligner is not None
    assert all(torch.equal(value, aligner.state_dict()[name]) for name, value in own.state_dict().items())
    with pytest.raises(WeightsError, match="missing"):
        load_alignment(tmp_path / "nowhere")
