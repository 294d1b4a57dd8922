"""Ablations are settings: as YAML writes them, through a training step, a model folder and two frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from jobs.running.config import Config, load
from jobs.training.aligners import SHIPPED, aligner_folder
from pipelines.storage.store import Store
from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.aligner_folder import load_aligner_folder
from stableanimator.alignment.settings import AlignmentName
from stableanimator.alignment.similarity import Similarity
from stableanimator.animate import Animation, Driving, Models, Reference, aligned, animate
from stableanimator.models.animator import Animator
from stableanimator.models.checkpoints import load_model_folder, save_model_folder
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import FrameRates
from stableanimator.training import (
    ShardRow,
    StepDraws,
    TrainingBatch,
    freeze_all_but,
    generator,
    join,
    make_sample,
    training_loss,
)

TINY = Path(__file__).resolve().parents[2] / "jobs" / "configs" / "tiny.yaml"
SHORT = (
    "train.step.frames=2", "train.step.conditioning_dropout=0", "animate.settings.sizes=[[64, 64]]",
    "animate.settings.sampler.steps=2", "animate.settings.face_optimisation=off",
)  # fmt: skip
SIDE, FRAMES = 64, 2


@pytest.fixture(scope="module")
def aligner(tmp_path_factory: pytest.TempPathFactory) -> Aligner:
    _, folder = aligner_folder(Store(str(tmp_path_factory.mktemp("root"))), SHIPPED)
    return load_aligner_folder(folder)


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SA_ROOT", str(tmp_path))
    return tmp_path


def _config(*overrides: str) -> Config:
    return load(str(TINY), [*SHORT, *overrides])


def _pose(offset: float = 0.0) -> np.ndarray:
    """[133, 3] a person of whom face, shoulders, elbows and hips are seen, in a picture of 64x64."""
    pose = np.full((133, 3), np.nan, np.float32)
    pose[:, 2] = 0
    places = {0: (32, 16), 1: (36, 12), 2: (28, 12), 5: (42, 26), 6: (22, 26), 7: (48, 38), 8: (14, 40), 11: (38, 52)}
    for joint, (x, y) in {**places, 12: (26, 52)}.items():
        pose[joint] = (x + offset, y, 0.9)
    return pose


def _batch(config: Config, aligner: Aligner) -> TrainingBatch:
    """Two clips of random latents; the face is seen in the upper left."""
    random, side = np.random.default_rng(3), SIDE // config.model.pose_net.factor
    channels = config.model.unet.latent_channels
    mask = np.zeros((FRAMES, side, side), np.float32)
    mask[:, :3, :3] = 1
    row = ShardRow(
        latents=random.normal(size=(FRAMES, channels, side, side)).astype(np.float32),
        face_mask=mask,
        keypoints=np.stack([_pose(), _pose(3)])[:, None],
        reference_latent=random.normal(size=(1, channels, side, side)).astype(np.float32),
        clip_embedding=random.normal(size=(1, 1, config.model.unet.cross_attention_dim)).astype(np.float32),
        face_embedding=2 * random.normal(size=(1, config.model.face_encoder.embedding_width)).astype(np.float32),
        reference_keypoints=_pose()[None],
        size=(SIDE, SIDE),
        fps=7.0,
        reference_noise=0.02,
    )
    return join([make_sample(row, config.train.step, generator(0, clip), aligner) for clip in range(2)])


def _untrained(config: Config) -> Animator:
    """No weight is zero, so that gradients and weight decay reach all of them."""
    torch.manual_seed(0)
    animator = Animator(config.model)
    for parameter in animator.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    freeze_all_but(animator, config.train.step.trainable)
    return animator


@dataclass
class Trained:
    """What one configuration came to."""

    loss: torch.Tensor
    """[2] of the one step, for each clip."""
    moved: set[str]
    """Names of the weights that the step changed."""
    models: Models
    """Of the folder that was written and read again."""


def _train(config: Config, aligner: Aligner, folder: Path) -> Trained:
    animator = _untrained(config)
    before = {name: value.clone() for name, value in animator.state_dict().items()}
    learning = [parameter for parameter in animator.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=1e-3)
    draws = StepDraws(seed=0, step=0, batch_size=2, positions=(0, 1))
    loss = training_loss(animator, _batch(config, aligner), draws, config.train.step)
    loss.mean().backward()
    optimiser.step()
    save_model_folder(folder, animator, aligner, FrameRates(), {})
    loaded = load_model_folder(folder)
    after = animator.state_dict()
    assert loaded.animator.settings == config.model
    assert all(torch.equal(value, after[name]) for name, value in loaded.animator.state_dict().items())
    models = Models(
        animator=loaded.animator, rates=loaded.rates, aligner=loaded.aligner, encoders=Encoders(config.encoders)
    )
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    return Trained(loss=loss.detach(), moved=moved, models=models)


def _reference(config: Config) -> Reference:
    random = np.random.default_rng(1)
    return Reference(
        picture=random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8),
        keypoints=_pose()[None],
        face_box=np.array([0, 0, SIDE, SIDE], np.float32),
        face_embedding=2 * random.normal(size=config.model.face_encoder.embedding_width).astype(np.float32),
    )


def _animate(config: Config, models: Models, reference: Reference) -> Animation:
    """Two frames, driven by a person who is turned, larger and elsewhere."""
    moved = Similarity.from_degrees(torch.tensor(12.0), torch.tensor(1.15), torch.tensor([0.06, -0.04]))
    driving = Driving(
        keypoints=np.stack([_pose(), _pose(2)])[:, None], height=SIDE, width=SIDE, fps=7.0, misalignment=moved
    )
    settings = config.animate.settings
    return animate(models, reference, aligned(reference, driving, settings, models.aligner), settings, seed=4)


def _learning(config: Config) -> set[str]:
    """Names of the weights that a step must move, by what the papers say of each ablation."""
    names = {name for name, _ in Animator(config.model).named_parameters()}
    if config.model.id_fusion == "off":
        names = {name for name in names if not name.startswith("face_encoder.")}
    if not config.model.face_encoder.refine:
        names = {name for name in names if not name.startswith("face_encoder.fusion_model.")}
    if config.train.step.trainable == "attention":
        names = {name for name in names if not name.startswith("unet.") or "attentions" in name}
    return names


@pytest.mark.parametrize(
    "override",
    [
        *(f"model.id_fusion={name}" for name in ("distribution", "addition", "norm", "off", "'off'")),
        *(f"model.face_encoder.refine={name}" for name in ("on", "off", "'on'", "'off'", "false")),
        *(f"train.step.loss.face_mask={name}" for name in ("on", "off", "'off'")),
        *(f"train.step.trainable={name}" for name in ("all", "attention")),
        *(f"animate.settings.alignment={name}" for name in get_args(AlignmentName)),
    ],
)
def test_an_ablation_trains_is_kept_and_animates(override: str, aligner: Aligner, root: Path) -> None:
    config = _config(override)
    trained = _train(config, aligner, root / "model")
    assert bool(torch.isfinite(trained.loss).all())
    assert trained.moved == _learning(config)
    frames = _animate(config, trained.models, _reference(config)).frames
    assert frames.shape == (FRAMES, SIDE, SIDE, 3)
    assert frames.std() > 5


def test_without_id_fusion_no_face_is_read_and_otherwise_one_is(aligner: Aligner, root: Path) -> None:
    read = {}
    for name in ("distribution", "addition", "norm", "off"):
        config = _config(f"model.id_fusion={name}")
        models, reference = _train(config, aligner, root / name).models, _reference(config)
        other = replace(reference, face_embedding=-reference.face_embedding)
        frames = [_animate(config, models, each).frames for each in (reference, other)]
        read[name] = bool((frames[0] != frames[1]).any())
    assert read == {"distribution": True, "addition": True, "norm": True, "off": False}


@torch.no_grad()
def test_without_refinement_face_tokens_know_nothing_of_the_picture(root: Path) -> None:
    for name, refined in (("on", True), ("off", False)):
        encoder = _untrained(_config(f"model.face_encoder.refine={name}")).face_encoder
        embedding, picture = (
            torch.randn(1, encoder.settings.embedding_width),
            torch.randn(1, 1, encoder.settings.cross_attention_dim),
        )
        assert torch.equal(encoder(embedding, picture), encoder(embedding, -picture)) is not refined
        assert not torch.equal(encoder(embedding, picture), encoder(-embedding, picture))


def test_without_face_masks_the_loss_is_the_plain_one(aligner: Aligner, root: Path) -> None:
    losses = {}
    for name in ("on", "off"):
        config = _config(f"train.step.loss.face_mask={name}")
        batch, draws = _batch(config, aligner), StepDraws(seed=0, step=0, batch_size=2, positions=(0, 1))
        with torch.no_grad():
            losses[name] = training_loss(_untrained(config), batch, draws, config.train.step)
            no_face = replace(batch, face_mask=torch.zeros_like(batch.face_mask))
            plain = training_loss(_untrained(config), no_face, draws, config.train.step)
        assert torch.equal(losses[name], plain) is (name == "off")
    assert (losses["on"] > losses["off"]).all()


def test_every_alignment_has_an_animation_and_a_training_of_its_own(aligner: Aligner, root: Path) -> None:
    animated, trained_on = {}, {}
    for name in get_args(AlignmentName):
        config = _config(
            f"animate.settings.alignment={name}", f"train.step.alignment={name}", "train.step.misalignment={}"
        )
        models = Models(
            animator=_untrained(config).eval(), rates=FrameRates(), aligner=aligner, encoders=Encoders(config.encoders)
        )
        animated[name] = _animate(config, models, _reference(config)).skeletons.tobytes()
        trained_on[name] = _batch(config, aligner).conditioning.pose.numpy().tobytes()
    for skeletons in (animated, trained_on):
        assert skeletons["none"] not in [skeletons[name] for name in skeletons if name != "none"]
        assert skeletons["linear"] != skeletons["svd"] != skeletons["per_bone"]
        assert skeletons["learned"] != skeletons["none"]
