"""One training step against hand calculation: windows, references, aligned poses, noise, and Eq. 25."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from stableanimator.alignment.settings import MisalignmentSettings
from stableanimator.alignment.training_data.misalignment import random_misalignment
from stableanimator.diffusion.settings import EDMSettings, LossSettings
from stableanimator.models.animator import CONDITIONS, Animator, Conditioning
from stableanimator.models.settings import FaceEncoderSettings, ModelSettings, PoseNetSettings, UNetSettings
from stableanimator.perception.skeleton import draw_skeleton
from stableanimator.training import (
    ShardRow,
    StepDraws,
    TrainingBatch,
    draw_window,
    freeze_all_but,
    generator,
    hand_masks,
    join,
    make_sample,
    realigned,
    training_loss,
)
from stableanimator.training_settings import TrainingSettings

pytestmark = pytest.mark.numeric

SETTINGS = TrainingSettings(frames=2, conditioning_dropout=0.0)
ROW_FRAMES, HEIGHT, WIDTH = 6, 48, 64


def _pose(random: np.random.Generator) -> np.ndarray:
    points = random.uniform((8, 8), (WIDTH - 8, HEIGHT - 8), (133, 2))
    return np.concatenate([points, np.full((133, 1), 0.9)], -1).astype(np.float32)


def _row(people: int = 1) -> ShardRow:
    """Frame f has latents f, candidate k has 10 + k in all that belongs to it; a person who does not move."""
    frames, candidates = np.arange(ROW_FRAMES, dtype=np.float32), 10 + np.arange(3, dtype=np.float32)
    pose = _pose(np.random.default_rng(1))
    keypoints = np.tile(pose, (ROW_FRAMES, people, 1, 1))
    mask = np.zeros((ROW_FRAMES, 6, 8), np.float32)
    mask[:, 2:4, 3:5] = 1
    return ShardRow(
        latents=np.broadcast_to(frames[:, None, None, None], (ROW_FRAMES, 4, 6, 8)),
        face_mask=mask,
        keypoints=keypoints,
        reference_latent=np.broadcast_to(candidates[:, None, None, None], (3, 4, 6, 8)),
        clip_embedding=np.broadcast_to(candidates[:, None, None], (3, 1, 5)),
        face_embedding=np.broadcast_to(candidates[:, None], (3, 7)),
        reference_keypoints=np.tile(pose, (3, 1, 1)),
        size=(HEIGHT, WIDTH),
        fps=7.5,
        reference_noise=0.05,
    )


def _batch(clips: int) -> TrainingBatch:
    return join([make_sample(_row(), SETTINGS, generator(0, 0, clip)) for clip in range(clips)])


def test_windows_are_neighbours_and_have_every_start() -> None:
    drawn = Counter(tuple(draw_window(ROW_FRAMES, SETTINGS, generator(3, draw))) for draw in range(600))
    assert set(drawn) == {(start, start + 1) for start in range(ROW_FRAMES - 1)}
    assert all(70 < count < 170 for count in drawn.values())  # 120 each expected, standard deviation 10
    whole = replace(SETTINGS, frames=ROW_FRAMES)
    assert draw_window(ROW_FRAMES, whole, generator(0)) == list(range(ROW_FRAMES))
    with pytest.raises(ValueError, match="6 frames, fewer than the 7"):
        draw_window(ROW_FRAMES, replace(SETTINGS, frames=7), generator(0))


def test_a_sample_is_one_window_and_one_reference() -> None:
    row = _row()
    references = set()
    for draw in range(20):
        sample = make_sample(row, SETTINGS, generator(5, draw))
        conditioning = sample.conditioning
        first, last = sample.latents[0, :, 0, 0, 0].tolist()
        assert last - first == 1
        (reference,) = conditioning.reference_latent.unique().tolist()
        assert conditioning.clip_embedding.unique().tolist() == [reference]
        assert conditioning.face_embedding.unique().tolist() == [reference]
        references.add(reference)
        torch.testing.assert_close(conditioning.added_time_ids, torch.tensor([[6.5, 127.0, 0.05]]))
        again = make_sample(row, SETTINGS, generator(5, draw))
        assert torch.equal(again.latents, sample.latents)
    assert references == {10, 11, 12}
    assert sample.latents.shape == (1, 2, 4, 6, 8)
    assert sample.face_mask.sum() == 2 * 4
    picture = torch.from_numpy(draw_skeleton(row.keypoints[0], HEIGHT, WIDTH)).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(conditioning.pose, picture.expand(1, 2, 3, HEIGHT, WIDTH))


def test_a_sample_is_told_its_own_rate_or_the_constant_one() -> None:
    """Stable Video Diffusion was trained with frames a second less one."""
    for fps, told in ((30.0, 29.0), (8.0, 7.0), (0.5, -0.5)):
        sample = make_sample(replace(_row(), fps=fps), SETTINGS, generator(0))
        assert sample.conditioning.added_time_ids[0, 0] == told
        constant = make_sample(replace(_row(), fps=fps), replace(SETTINGS, fps_id=6.0), generator(0))
        assert constant.conditioning.added_time_ids[0, 0] == 6


def test_misaligned_poses_are_aligned_to_the_reference() -> None:
    row = _row()
    truth = make_sample(row, SETTINGS, generator(2), skeleton="ours").conditioning.pose
    for scope in ("clip", "frame"):
        moved = replace(SETTINGS, misalignment=MisalignmentSettings(), alignment="svd", alignment_scope=scope)
        # The person does not move, so the reference pose is the truth, and SVD undoes a similarity exactly.
        aligned = make_sample(row, moved, generator(2), skeleton="ours").conditioning.pose
        assert (aligned - truth).abs().mean() < 0.002  # here and there a pixel of an edge
    left = replace(SETTINGS, misalignment=MisalignmentSettings(), alignment="none")
    assert (make_sample(row, left, generator(2), skeleton="ours").conditioning.pose - truth).abs().mean() > 0.05
    several = make_sample(_row(people=2), left, generator(2)).conditioning.pose
    torch.testing.assert_close(several, make_sample(_row(people=2), SETTINGS, generator(2)).conditioning.pose)
    with pytest.raises(ValueError, match="needs an aligner"):
        make_sample(row, replace(left, alignment="learned"), generator(2))


def test_poses_are_aligned_by_what_the_cut_shows() -> None:
    """Ankles outside, in places that have nothing to do with each other, move along."""
    row, moved = _row(), random_misalignment(MisalignmentSettings(), generator(4), 1)
    settings = replace(SETTINGS, misalignment=MisalignmentSettings(), alignment="svd")
    keypoints, reference = row.keypoints.copy(), row.reference_keypoints[0].copy()
    keypoints[..., 15:17, :2], reference[15:17, :2] = [(20, 90), (40, 70)], [(-500, 5), (5, 900)]
    aligned = realigned(keypoints, reference, row.size, moved, settings)
    np.testing.assert_allclose(aligned[..., :2], keypoints[..., :2], atol=1e-2)  # the person does not move


@pytest.mark.parametrize(("power", "inside"), [(2, 4.0), (1, 2.0)])
def test_eq_25_by_hand(power: int, inside: float) -> None:
    """Everything is wrong by 0.5; the face covers 4 of the 48 latents and weighs (1 + 1)^power."""
    batch = _batch(3)
    seen: dict[str, Tensor] = {}

    def denoise(x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        seen.update(x=x, sigma=sigma)
        return batch.latents + 0.5

    draws = StepDraws(seed=1, step=9, batch_size=3, positions=(0, 1, 2))
    plain = replace(SETTINGS, loss=LossSettings(mask_power=power, sigma_weight="none"))
    by_hand = 0.25 * (4 * inside + 44) / 48
    torch.testing.assert_close(training_loss(denoise, batch, draws, plain), torch.full((3,), by_hand))
    weighted = replace(SETTINGS, loss=LossSettings(mask_power=power, sigma_weight="edm"))
    loss = training_loss(denoise, batch, draws, weighted)
    torch.testing.assert_close(loss, by_hand * (1 + 1 / seen["sigma"] ** 2))
    without = replace(SETTINGS, loss=LossSettings(face_mask=False, sigma_weight="none"))
    torch.testing.assert_close(training_loss(denoise, batch, draws, without), torch.full((3,), 0.25))
    noise = (seen["x"] - batch.latents) / seen["sigma"].reshape(3, 1, 1, 1, 1)
    assert abs(float(noise.mean())) < 0.1  # 1152 standard normal numbers: standard deviation of the mean 0.03
    assert float(noise.std()) == pytest.approx(1, abs=0.1)


def test_hands_are_marked_where_the_true_poses_have_them() -> None:
    row = _row(people=2)
    row.keypoints[:] = (np.nan, np.nan, 0.0)
    row.keypoints[3, 1, [6, 8, 10]] = [(36, 4, 0.9), (36, 20, 0.9), (36, 36, 0.9)]  # the middle of the hand: y 41.3
    mask = hand_masks(row.keypoints, (HEIGHT, WIDTH), 8)
    expected = np.zeros((ROW_FRAMES, 6, 8), np.float32)
    expected[3, 3:, 3:6] = 1  # 24 pixels wide: x 24 to 48, y 29.3 to 53.3
    np.testing.assert_array_equal(mask, expected)
    row.keypoints[2, 0, [6, 8, 10]] = [(36, 4, 0.9), (36, 40, 0.9), (36, 49, 0.9)]  # a wrist below the picture
    np.testing.assert_array_equal(hand_masks(row.keypoints, (HEIGHT, WIDTH), 8), expected)
    moved = MisalignmentSettings()
    sample = make_sample(row, replace(SETTINGS, misalignment=moved, alignment="none", frames=ROW_FRAMES), generator(1))
    np.testing.assert_array_equal(sample.hand_mask[0], expected)


def test_a_step_is_the_same_in_one_pass_and_in_several() -> None:
    settings = replace(SETTINGS, conditioning_dropout=0.3)
    sigmas: list[Tensor] = []

    def denoise(x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        assert conditioning.keep is not None
        sigmas.append(sigma)
        return 0.3 * x * (1 + conditioning.keep.sum(-1)).reshape(-1, 1, 1, 1, 1)

    def loss(positions: tuple[int, ...], step: int = 5) -> Tensor:
        some = join([make_sample(_row(), SETTINGS, generator(0, 0, clip)) for clip in positions])
        return training_loss(denoise, some, StepDraws(seed=0, step=step, batch_size=4, positions=positions), settings)

    whole = loss((0, 1, 2, 3))
    torch.testing.assert_close(torch.cat([loss((0, 1)), loss((2, 3))]), whole, rtol=1e-6, atol=0)
    torch.testing.assert_close(torch.cat([loss((2,)), loss((0,))]), whole[[2, 0]], rtol=1e-6, atol=0)
    assert not torch.equal(loss((0, 1, 2, 3), step=6), whole)
    assert sigmas[0].tolist() == sorted(sigmas[0].tolist(), reverse=True)  # strata, the noisiest first
    noise = EDMSettings()
    assert noise.sigma_min <= sigmas[0].min() <= sigmas[0].max() <= noise.sigma_max


def test_conditions_are_dropped_as_often_as_asked() -> None:
    batch = _batch(1)
    kept: list[tuple[bool, ...]] = []

    def denoise(x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        assert conditioning.keep is not None
        kept.append(tuple(conditioning.keep[0].tolist()))
        return x

    for step in range(600):
        draws = StepDraws(seed=0, step=step, batch_size=1, positions=(0,))
        training_loss(denoise, batch, draws, replace(SETTINGS, conditioning_dropout=0.2))
    cases = Counter(
        (row[CONDITIONS.index("clip")], row[CONDITIONS.index("reference")]) for row in kept if row[2] and row[3]
    )
    # 0.2 each for no image, no reference, neither; the rest keeps both. Standard deviation below 12.
    expected = {(False, True): 120, (True, False): 120, (False, False): 120, (True, True): 240}
    assert all(abs(cases[case] - count) < 48 for case, count in expected.items())
    assert sum(cases.values()) == 600


def test_the_face_is_dropped_alone_and_as_often_as_asked() -> None:
    seen: list[Tensor] = []

    def denoise(x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        assert conditioning.keep is not None
        seen.append(conditioning.keep)
        return x

    settings = replace(SETTINGS, face_dropout=0.3)
    batch = _batch(4)
    for step in range(250):
        training_loss(denoise, batch, StepDraws(seed=1, step=step, batch_size=4, positions=range(4)), settings)
    kept = torch.cat(seen).double().mean(0)
    assert kept[CONDITIONS.index("face")].item() == pytest.approx(0.7, abs=0.05)  # three deviations of 1,000 draws
    assert [kept[CONDITIONS.index(name)].item() for name in ("clip", "reference", "pose")] == [1, 1, 1]


def test_only_attention_learns_when_asked() -> None:
    unet = UNetSettings(
        block_out_channels=(32, 32),
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        layers_per_block=1,
        num_attention_heads=(2, 2),
        cross_attention_dim=32,
        addition_time_embed_dim=16,
    )
    face = FaceEncoderSettings(embedding_width=16, cross_attention_dim=32, layers=1, heads=2, head_dim=8)
    animator = Animator(
        ModelSettings(unet=unet, face_encoder=face, pose_net=PoseNetSettings(widths=(8, 8, 8), final_width=16))
    )
    freeze_all_but(animator, "attention")
    learning = {name for name, parameter in animator.named_parameters() if parameter.requires_grad}
    parts = Counter(name.split(".")[0] for name in learning)
    assert parts["pose_net"] == len(list(animator.pose_net.parameters()))
    assert parts["face_encoder"] == len(list(animator.face_encoder.parameters()))
    of_unet = {name for name in learning if name.startswith("unet.")}
    assert of_unet == {f"unet.{name}" for name, _ in animator.unet.named_parameters() if "attentions" in name}
    assert "unet.conv_in.weight" not in learning
    assert any(".processor.id_to_k." in name for name in of_unet)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("frames", 0, "at least 1"),
        ("fps_id", -1.0, "at least 0"),
        ("conditioning_dropout", 0.4, "at least 0 and at most 0.333"),
        ("face_dropout", 1.1, "at least 0 and at most 1"),
    ],
)
def test_settings_out_of_range_are_refused(field: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**{field: value})  # type: ignore[arg-type]
