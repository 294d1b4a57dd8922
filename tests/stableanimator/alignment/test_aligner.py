from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from stableanimator.alignment.aligner import Aligner, alignment_loss
from stableanimator.alignment.baselines import svd
from stableanimator.alignment.scoring.evaluate import dis
from stableanimator.alignment.settings import AlignerSettings, AlignSettings, MisalignmentSettings
from stableanimator.alignment.similarity import Similarity
from stableanimator.alignment.training_data.misalignment import misalign, random_misalignment
from stableanimator.alignment.training_data.training_pairs import AlignmentPairs

from ...floats import assert_same

SETTINGS = AlignSettings(
    aligner=AlignerSettings(width=16), steps=200, batch_size=64, validation_pairs=512, learning_rate=4e-3
)


def awake(settings: AlignerSettings) -> Aligner:
    """An aligner whose last layer is not zero."""
    torch.manual_seed(0)
    aligner = Aligner(settings)
    torch.nn.init.normal_(aligner.head[-1].weight, std=0.3)
    return aligner


def pairs(count: int) -> dict[str, torch.Tensor]:
    return AlignmentPairs(SETTINGS, []).batch(range(count))


def weighted_fit(driven: np.ndarray, reference: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Driven points [N, 2] moved by the weighted least-squares similarity, with complex numbers."""
    d, r = driven[:, 0] + 1j * driven[:, 1], reference[:, 0] + 1j * reference[:, 1]
    columns = np.stack([d, np.ones_like(d)], 1) * np.sqrt(weights)[:, None]
    (turn, shift), *_ = np.linalg.lstsq(columns, r * np.sqrt(weights), rcond=None)
    moved = turn * d + shift
    return np.stack([moved.real, moved.imag], 1)


@pytest.mark.numeric
def test_weights_start_as_the_svd_alignment_in_which_arms_count_less() -> None:
    batch = pairs(16)
    points = batch["driven"][..., :2]
    learned = Aligner(AlignerSettings())(batch["reference"], batch["driven"]).apply(points)
    arms = np.isin(np.arange(18), [3, 4, 6, 7])
    for row in range(16):
        common = ((batch["reference"][row, :, 2] > 0) & (batch["driven"][row, :, 2] > 0)).numpy()
        weights = np.where(arms, np.exp(-3), 1.0)[common]
        driven, reference = points[row].numpy()[common], batch["reference"][row, :, :2].numpy()[common]
        expected = weighted_fit(driven.astype(np.float64), reference.astype(np.float64), weights)
        np.testing.assert_allclose(learned[row].detach().numpy()[common], expected, atol=1e-5)


@pytest.mark.numeric
def test_the_residual_starts_as_the_svd_alignment() -> None:
    batch = pairs(16)
    points = batch["driven"][..., :2]
    learned = Aligner(AlignerSettings(mode="residual"))(batch["reference"], batch["driven"])
    expected = svd(batch["reference"], batch["driven"])
    assert_same(learned.apply(points), expected.apply(points))


def test_the_absolute_form_starts_as_the_identity() -> None:
    batch = pairs(4)
    points = batch["driven"][..., :2]
    learned = Aligner(AlignerSettings(mode="absolute"))(batch["reference"], batch["driven"])
    torch.testing.assert_close(learned.apply(points), points, equal_nan=True)


@pytest.mark.numeric
@pytest.mark.parametrize("mode", ["weights", "residual", "absolute"])
def test_a_prediction_is_a_similarity_without_reflection(mode: str) -> None:
    batch = pairs(16)
    learned = awake(AlignerSettings(mode=mode))(batch["reference"], batch["driven"])  # type: ignore[arg-type]
    identity = torch.eye(2).expand(16, 2, 2)
    torch.testing.assert_close(learned.rotation @ learned.rotation.mT, identity, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(learned.rotation), torch.ones(16), atol=1e-5, rtol=0)
    assert (learned.scale > 0).all()


@pytest.mark.numeric
@pytest.mark.parametrize("mode", ["weights", "residual", "absolute"])
def test_what_is_not_visible_does_not_count(mode: str) -> None:
    batch = pairs(16)
    aligner = awake(AlignerSettings(mode=mode))  # type: ignore[arg-type]
    expected = aligner(batch["reference"], batch["driven"])
    low = torch.tensor([7.0, -5.0, 0.29])
    filled = {
        name: torch.where(torch.isnan(batch[name]).any(-1, keepdim=True), low, batch[name])
        for name in ("reference", "driven")
    }
    for part, other in zip(expected, aligner(**filled), strict=True):
        assert_same(part, other)


@pytest.mark.parametrize("mode", ["weights", "residual"])
def test_what_is_left_after_svd_does_not_depend_on_place_and_size_in_the_picture(mode: str) -> None:
    batch = pairs(8)
    aligner = awake(AlignerSettings(mode=mode))  # type: ignore[arg-type]
    moved = batch["reference"].clone()
    moved[..., :2] = 1.7 * moved[..., :2] + torch.tensor([0.3, -0.2])
    here = aligner(batch["reference"], batch["driven"]).apply(batch["driven"][..., :2])
    there = aligner(moved, batch["driven"]).apply(batch["driven"][..., :2])
    torch.testing.assert_close(there, 1.7 * here + torch.tensor([0.3, -0.2]), equal_nan=True, atol=1e-4, rtol=0)


@pytest.mark.numeric
def test_frames_do_not_touch_each_other() -> None:
    batch = pairs(6)
    aligner = awake(AlignerSettings())
    together = aligner(batch["reference"], batch["driven"])
    alone = aligner(batch["reference"][4:5], batch["driven"][4:5])
    assert_same(together.translation[4:5], alone.translation)


@pytest.mark.numeric
@pytest.mark.parametrize("mode", ["weights", "residual", "absolute"])
def test_every_weight_gets_a_finite_gradient(mode: str) -> None:
    batch = pairs(16)
    aligner = awake(AlignerSettings(mode=mode))  # type: ignore[arg-type]
    batch["driven"][0] = torch.tensor([torch.nan, torch.nan, 0])  # a frame without anybody
    points = batch["driven"][1:, :, :2]
    transform = aligner(batch["reference"], batch["driven"])
    loss = alignment_loss(type(transform)(*(part[1:] for part in transform)).apply(points), batch["truth"][1:])
    loss.backward()
    for name, parameter in aligner.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_the_loss_is_the_mean_distance_over_visible_joints_then_frames() -> None:
    truth = torch.full((3, 18, 3), torch.nan)
    truth[..., 2] = 0
    truth[0, 0], truth[0, 1] = torch.tensor([0, 0, 0.9]), torch.tensor([1, 1, 0.3])
    truth[1, 5] = torch.tensor([0.5, 0.5, 1])
    aligned = torch.zeros(3, 18, 2)
    aligned[0, 0] = torch.tensor([3.0, 4.0])  # 5 away
    aligned[0, 1] = torch.tensor([1.0, 2.0])  # 1 away
    aligned[1, 5] = torch.tensor([0.5, 0.5])  # right: the gradient of the distance is defined there, too
    aligned.requires_grad_()
    loss = alignment_loss(aligned, truth)  # the third frame shows nothing
    assert loss.item() == pytest.approx(((5 + 1) / 2 + 0) / 2)
    loss.backward()
    assert aligned.grad is not None
    assert torch.isfinite(aligned.grad).all()


def test_settings_survive_a_round_trip() -> None:
    settings = AlignerSettings(mode="absolute", width=16, heads=2)
    rebuilt = Aligner(AlignerSettings(**asdict(settings)))
    rebuilt.load_state_dict(Aligner(settings).state_dict())
    assert rebuilt.settings == settings


def test_the_papers_numbers_of_blocksare_the_default() -> None:
    aligner = Aligner(AlignerSettings())
    counts = [len(aligner.encoder_m.blocks), len(aligner.encoder_svd.blocks), len(aligner.fusion)]
    assert counts == [2, 2, 4]


@pytest.mark.parametrize(("field", "value"), [("width", 0), ("fusion_modules", 0), ("heads", 5)])
def test_ranges_are_checked(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=field):
        AlignerSettings(**{field: value})  # type: ignore[arg-type]


def test_a_short_training_of_the_residual_beats_svd_on_pairs_it_has_not_seen() -> None:
    torch.manual_seed(0)
    settings = replace(SETTINGS, aligner=AlignerSettings(mode="residual", width=16, fusion_modules=1))
    training, validation = AlignmentPairs(settings, []), AlignmentPairs(settings, [], "validation")
    aligner = Aligner(settings.aligner)
    optimiser = torch.optim.AdamW(aligner.parameters(), settings.learning_rate)
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, total_iters=settings.steps)
    for step in range(settings.steps):
        batch = training.batch(range(step * settings.batch_size, (step + 1) * settings.batch_size))
        train_step(aligner, optimiser, batch)
        decay.step()
    held_out = validation.batch(range(512))
    # Untrained it is the SVD alignment. Three seeds came to 0.944 to 0.948.
    assert dis_of(aligner, held_out) < 0.97 * dis_of(svd, held_out)


def test_weights_learn_which_joints_cannot_be_trusted() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    legs = [9, 10, 12, 13]

    def batch_of(count: int) -> dict[str, torch.Tensor]:
        """Pairs whose poses are the same but for legs anywhere."""
        reference = torch.cat([torch.rand(count, 18, 2, generator=generator), torch.ones(count, 18, 1)], -1)
        truth = reference.clone()
        truth[:, legs, :2] += 0.3 * torch.randn(count, 4, 2, generator=generator)
        moved = random_misalignment(MisalignmentSettings(), generator, count)
        return {"reference": reference, "truth": truth, "driven": misalign(truth, moved)}

    aligner, held_out = Aligner(AlignerSettings(width=16, fusion_modules=1)), batch_of(256)
    before = dis_of(aligner, held_out)
    optimiser = torch.optim.AdamW(aligner.parameters(), 6e-3)
    for _ in range(60):
        train_step(aligner, optimiser, batch_of(64))
    assert dis_of(aligner, held_out) < 0.8 * before  # three seeds came to 0.757 to 0.763


def train_step(aligner: Aligner, optimiser: torch.optim.Optimizer, batch: dict[str, torch.Tensor]) -> None:
    aligned = aligner(batch["reference"], batch["driven"]).apply(batch["driven"][..., :2])
    optimiser.zero_grad()
    alignment_loss(aligned, batch["truth"]).backward()
    optimiser.step()


@torch.no_grad()
def dis_of(method: Callable[[torch.Tensor, torch.Tensor], Similarity], batch: dict[str, torch.Tensor]) -> float:
    aligned = method(batch["reference"], batch["driven"]).apply(batch["driven"][..., :2])
    return float(dis(aligned, batch["truth"]).mean())
