"""The full size with random weights, as far as a CPU goes: built, written, read, two frames animated in bfloat16."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from stableanimator.animate import Driven, Models, Reference, animate
from stableanimator.animate_settings import AnimateSettings
from stableanimator.diffusion.settings import SamplerSettings
from stableanimator.media.framing import Framing
from stableanimator.models.animator import Animator
from stableanimator.models.checkpoints import PARTS, load_model_folder, save_model_folder
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import EncoderSettings, FrameRates, ModelSettings

SIDE, FRAMES = 256, 2
PARAMETERS = 1_607_570_911
"""Of the released U-Net, PoseNet and FaceEncoder (their checkpoints' shapes, added up)."""


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_it_is_built_written_read_and_animates(tmp_path: Path) -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        animator = Animator(ModelSettings()).to(torch.bfloat16)
    animator = animator.to_empty(device="cpu")
    for parameter in animator.parameters():  # drawing normal numbers, as modules do, would take a minute
        torch.nn.init.uniform_(parameter, -0.02, 0.02)
    some = {part: next(iter(getattr(animator, part).parameters())).detach().clone() for part in PARTS}
    save_model_folder(tmp_path, animator, None, FrameRates(), {})
    del animator
    gc.collect()
    written = sum(
        int(np.prod(file.get_slice(name).get_shape()))
        for part in PARTS
        for file in [safe_open(tmp_path / f"{part}.safetensors", "pt")]
        for name in file.keys()  # noqa: SIM118
    )
    assert written == PARAMETERS

    loaded = load_model_folder(tmp_path)
    animator = loaded.animator.to(torch.bfloat16)
    for part, expected in some.items():
        torch.testing.assert_close(next(iter(getattr(animator, part).parameters())), expected, rtol=0, atol=0)
    models = Models(animator=animator, rates=loaded.rates, encoders=Encoders(EncoderSettings()))
    settings = AnimateSettings(
        sizes=((SIDE, SIDE),), sampler=SamplerSettings(steps=1), face_optimisation=False, branches="apart"
    )
    animation = animate(models, *_person(animator.settings.face_encoder.embedding_width), settings)
    assert animation.frames.shape == (FRAMES, SIDE, SIDE, 3)
    assert animation.frames.std() > 0


def _person(width: int) -> tuple[Reference, Driven]:
    random = np.random.default_rng(0)
    poses = np.full((FRAMES, 1, 133, 3), 0.9, np.float32)
    poses[..., :2] = random.uniform(0.2 * SIDE, 0.8 * SIDE, (FRAMES, 1, 133, 2))
    reference = Reference(
        picture=random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8),
        keypoints=poses[0],
        face_box=np.array([80, 40, 170, 130], np.float32),
        face_embedding=random.normal(size=width).astype(np.float32),
    )
    framing = Framing.cover((SIDE, SIDE), (SIDE, SIDE))
    return reference, Driven(poses=poses, fps=FrameRates().fps[0], framing=framing, joints_in_picture=1.0)
