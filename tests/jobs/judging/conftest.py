"""A drawn person who drives herself, and a job with a tiny random denoiser: what it makes is noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from jobs.judging.tries import JudgedJob
from jobs.pairs.animate_job import AnimateJob
from jobs.pairs.settings import AnimateJobSettings
from pipelines.storage.pair_tables import PAIRS
from stableanimator.animate_settings import AnimateSettings
from stableanimator.diffusion.settings import SamplerSettings
from stableanimator.media.video import write_lossless
from stableanimator.metrics.settings import AcceptSettings
from stableanimator.models.animator import Animator
from stableanimator.models.checkpoints import save_model_folder
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import (
    CLIPSettings,
    EncoderSettings,
    FaceEncoderSettings,
    FrameRates,
    ModelSettings,
    PoseNetSettings,
    UNetSettings,
    VAESettings,
)
from stableanimator.perception.settings import FaceSettings, PerceptionSettings, PoseSettings
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.script import ClipSettings

ENCODERS = EncoderSettings(
    vae=VAESettings(block_out_channels=(32, 32, 32), layers_per_block=1, scaling_factor=1.0),
    clip=CLIPSettings(
        hidden_size=16, intermediate_size=16, layers=1, heads=1, image_size=28, patch_size=14, projection_dim=16
    ),
)
MODEL = ModelSettings(
    unet=UNetSettings(
        block_out_channels=(32,),
        down_block_types=("CrossAttnDownBlockSpatioTemporal",),
        up_block_types=("CrossAttnUpBlockSpatioTemporal",),
        layers_per_block=1,
        num_attention_heads=(2,),
        cross_attention_dim=16,
        addition_time_embed_dim=16,
    ),
    face_encoder=FaceEncoderSettings(
        embedding_width=128, cross_attention_dim=16, tokens=2, layers=1, heads=1, head_dim=16
    ),
    pose_net=PoseNetSettings(widths=(8, 8), final_width=8),
    skeleton="ours",
)
SETTINGS = AnimateSettings(
    sizes=((32, 32),), sampler=SamplerSettings(steps=1), alignment="svd", face_optimisation=False
)
WEIGHTS = "package://stableanimator.synthetic/weights"


@pytest.fixture(scope="session")
def perception() -> PerceptionSettings:
    """The drawn world's, with its judge."""
    faces = FaceSettings(
        pack_root=f"{WEIGHTS}/insightface",
        pack="drawn",
        detector_sizes=(320,),
        held_out=f"{WEIGHTS}/held_out_recogniser.onnx",
    )
    pose = PoseSettings(detector=f"{WEIGHTS}/dwpose/person_detector.onnx", pose=f"{WEIGHTS}/dwpose/pose.onnx")
    return PerceptionSettings(faces=faces, pose=pose)


@pytest.fixture(scope="session")
def dance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `drive.mkv`, eight frames of somebody who dances, and her first frame, `reference.png`."""
    folder = tmp_path_factory.mktemp("dance")
    clip = write_clip("dance", 7, ClipSettings(width=192, height=192, fps=8.0, min_seconds=1.2, max_seconds=1.2))
    frames = draw_clip(clip, range(8))[0]
    write_lossless(folder / "drive.mkv", frames, 8.0)
    Image.fromarray(frames[0]).save(folder / "reference.png")
    return folder


@pytest.fixture
def pair(dance: Path) -> dict[str, Any]:
    """Whose truth is the drive."""
    drive = str(dance / "drive.mkv")
    named = {"reference_uri": str(dance / "reference.png"), "driving_uri": drive, "truth_uri": drive}
    return dict.fromkeys(PAIRS.names) | named | {"pair_id": "a", "seed": 1}


@pytest.fixture
def job(tmp_path: Path, perception: PerceptionSettings) -> Callable[..., JudgedJob]:
    """`job(accept, tries, perception)`: jobs of one model and one root."""
    torch.manual_seed(0)
    rates, trained = FrameRates(fps=(8.0,), fps_id=None), {"encoders": Encoders(ENCODERS).fingerprint}
    save_model_folder(tmp_path / "model", Animator(MODEL), None, rates, trained)

    def of(accept: AcceptSettings, tries: int = 1, judges: PerceptionSettings = perception) -> JudgedJob:
        settings = AnimateJobSettings(
            settings=SETTINGS,
            variants={"plain": replace(SETTINGS)},
            precision="float32",
            gpus_per_actor=0,
            accept=accept,
            tries=tries,
        )
        made_with = judges.without_judge()
        shared = AnimateJob(
            root=str(tmp_path / "root"),
            settings=settings,
            encoders=ENCODERS,
            perception=made_with,
            model_folder=str(tmp_path / "model"),
            key="k",
        )
        return JudgedJob(job=shared, perception=judges)

    return of
