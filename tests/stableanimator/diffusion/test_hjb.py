"""Face optimisation through a real VAE decoder, real face alignment and a small convolutional embedder."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from stableanimator.diffusion.hjb import FaceOptimisation, OptimisedFace, face_loss
from stableanimator.diffusion.sampler import karras_sigmas, sample
from stableanimator.diffusion.settings import (
    FACE_OPTIMISATION_PRESETS,
    Correction,
    FaceOptimisationSettings,
    SamplerSettings,
)
from stableanimator.errors import RowError
from stableanimator.models.encoders import Encoders
from stableanimator.models.group_norm_statistics import GroupNormStatistics
from stableanimator.models.settings import CLIPSettings, EncoderSettings, VAESettings
from stableanimator.perception.arcface import align_crops

from ...floats import assert_same

pytestmark = pytest.mark.numeric

FRAMES, CHUNK = 5, 2
TEMPLATE = torch.tensor([[5.0, 6.0], [11.0, 6.0], [8.0, 10.0]])  # eyes and nose in a crop of 16 pixels


class Embedder(nn.Module):
    """Crops [n, 3, 16, 16] -> vectors [n, 8] of length 20; its weights ask for gradients, as ArcFace's might."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2), nn.SiLU(), nn.Conv2d(16, 16, 3, stride=2), nn.Flatten(), nn.Linear(144, 8)
        )

    def forward(self, crops: Tensor) -> Tensor:
        return 20.0 * functional.normalize(self.network(crops), dim=-1)


@pytest.fixture(scope="module")
def encoders() -> Encoders:
    clip = CLIPSettings(
        hidden_size=32, intermediate_size=64, layers=1, heads=2, image_size=32, patch_size=8, projection_dim=32
    )
    vae = VAESettings(block_out_channels=(32, 32, 32), layers_per_block=1, scaling_factor=4.0)
    return Encoders(EncoderSettings(vae=vae, clip=clip))


@pytest.fixture
def embedder() -> Embedder:
    torch.manual_seed(0)
    return Embedder()


def _points() -> Tensor:
    """A face in every frame of 32x32 pixels, moving right; none in frame 3."""
    face = torch.tensor([[10.0, 12.0], [22.0, 12.0], [16.0, 20.0]])
    points = face + torch.arange(FRAMES).reshape(-1, 1, 1) * torch.tensor([1.0, 0.0])
    points[3] = math.nan
    return points


def _crop(pictures: Tensor, points: Tensor) -> Tensor:
    return align_crops(pictures, points, TEMPLATE, size=16)


def _hook(
    encoders: Encoders, embedder: Embedder, points: Tensor | None = None, mask: Tensor | None = None, **settings: float
) -> FaceOptimisation:
    values = {"sigma_max": 700.0, "optimisation_steps": 5, "learning_rate": 0.05} | settings
    reference = functional.normalize(torch.randn(8, generator=torch.Generator().manual_seed(4)), dim=0)
    return FaceOptimisation(
        FaceOptimisationSettings(**({"region": "frame"} | values)),  # type: ignore[arg-type]
        encoders.decode,
        _crop,
        embedder,
        [OptimisedFace(points=_points() if points is None else points, wanted=reference, mask=mask)],
        decode_chunk=CHUNK,
    )


def _latents() -> Tensor:
    return torch.randn(1, FRAMES, 4, 8, 8, generator=torch.Generator().manual_seed(1))


def test_face_loss_is_one_less_the_cosine() -> None:
    reference = torch.tensor([1.0, 0.0])
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.6, 0.8]])
    expected = torch.tensor([0.0, 1.0, 2.0, 0.4])
    torch.testing.assert_close(face_loss(vectors, reference), expected)
    lengths = torch.tensor([[20.0], [3.0], [0.5], [20.0]])
    torch.testing.assert_close(face_loss(lengths * vectors, 20 * reference), expected)


def test_a_face_that_is_right_already_is_left_as_it_is(encoders: Encoders, embedder: Embedder) -> None:
    """Adam moves every value by the rate, however small its gradient: at the minimum that leads away."""
    x_pred, points = _latents(), _points()
    points[3] = points[2]
    with torch.no_grad():
        wanted = embedder(_crop(encoders.decode(x_pred[0], CHUNK), points))
    face = OptimisedFace(points=points, wanted=wanted)
    settings = FaceOptimisationSettings(sigma_max=700.0, region="frame")
    hook = FaceOptimisation(settings, encoders.decode, _crop, embedder, [face], CHUNK)
    assert hook(x_pred, 0, 25, 700.0) is x_pred
    (record,) = hook.report.records
    assert record.before == pytest.approx(0, abs=1e-5)
    assert record.after > record.before
    assert record.carried == record.before


def test_it_lowers_its_own_loss_and_records_it(encoders: Encoders, embedder: Embedder) -> None:
    hook, x_pred = _hook(encoders, embedder), _latents()
    x_op = hook(x_pred, 0, 25, 700.0)
    (record,) = hook.report.records
    assert (record.step, record.sigma) == (0, 700.0)
    assert record.before == pytest.approx(hook.loss(x_pred), rel=1e-5)
    assert record.after == pytest.approx(hook.loss(x_op), rel=1e-5)
    assert record.after < 0.8 * record.before
    assert not x_op.requires_grad
    assert (hook.report.frames, hook.report.frames_with_face, hook.report.skipped) == (5, 4, None)


def test_the_sum_over_chunks_is_the_gradient_of_the_same_chunks_in_one_graph(
    encoders: Encoders, embedder: Embedder
) -> None:
    hook, latents = _hook(encoders, embedder), _latents()
    loss, gradient = hook.loss_and_gradient(latents)

    leaf = latents.clone().requires_grad_()
    present = torch.tensor([0, 1, 2, 4])
    pictures = encoders.decode(leaf[0], CHUNK)[present]
    reference = functional.normalize(torch.randn(8, generator=torch.Generator().manual_seed(4)), dim=0)
    cosines = functional.cosine_similarity(embedder(_crop(pictures, _points()[present])), reference[None])
    whole = (1 - cosines).abs().mean()
    whole.backward()
    assert loss == pytest.approx(whole.item(), rel=1e-5)
    assert leaf.grad is not None
    assert_same(gradient, leaf.grad)


def test_frames_without_a_face_are_moved_by_their_chunk_alone(encoders: Encoders, embedder: Embedder) -> None:
    points = _points()
    points[2] = math.nan  # frames 2 and 3 are the second chunk
    hook, latents = _hook(encoders, embedder, points), _latents()
    _, gradient = hook.loss_and_gradient(latents)
    moved = [bool((gradient[0, frame] != 0).any()) for frame in range(FRAMES)]
    assert moved == [True, True, False, False, True]


def test_weights_get_no_gradient(encoders: Encoders, embedder: Embedder) -> None:
    _hook(encoders, embedder)(_latents(), 0, 25, 1.0)
    assert all(parameter.grad is None for module in (embedder, encoders) for parameter in module.parameters())


def test_it_is_the_identity_outside_its_noise_levels(encoders: Encoders, embedder: Embedder) -> None:
    x_pred = _latents()
    hook = _hook(encoders, embedder, sigma_min=0.5, sigma_max=20.0)
    for sigma in (20.1, 0.49):
        assert hook(x_pred, 2, 25, sigma) is x_pred
    assert _hook(encoders, embedder, optimisation_steps=0)(x_pred, 0, 25, 1.0) is x_pred
    assert hook.report.records == []


def test_it_is_the_identity_without_a_face_and_says_so(encoders: Encoders, embedder: Embedder) -> None:
    x_pred = _latents()
    hook = _hook(encoders, embedder, torch.full((FRAMES, 3, 2), math.nan))
    assert hook(x_pred, 0, 25, 1.0) is x_pred
    assert hook.report.skipped == "no driven frame has a face"
    assert hook.report.frames_with_face == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_losses_that_are_no_numbers_are_a_reason(encoders: Encoders, embedder: Embedder, value: float) -> None:
    """They would be neither greater nor smaller than others, and nothing would be optimised."""
    hook = _hook(encoders, embedder)
    with pytest.raises(RowError, match=r"^not_finite: face losses at denoising step 3 are"):
        hook(torch.full_like(_latents(), value), 3, 25, 1.0)
    with pytest.raises(RowError, match=r"^not_finite: face losses of the final frames are"):
        hook.judge(torch.full((FRAMES, 3, 32, 32), value))
    assert hook.report.records == []


def test_what_the_mask_hides_stays_as_it_is(encoders: Encoders, embedder: Embedder) -> None:
    mask = torch.zeros(FRAMES, 8, 8)
    mask[:3, 2:6, 2:6] = 1
    x_pred = _latents()
    change = _hook(encoders, embedder, mask=mask)(x_pred, 0, 25, 1.0) - x_pred
    everywhere = mask[None, :, None].expand_as(change) == 1
    assert (change[~everywhere] == 0).all()
    assert (change[everywhere].abs() > 0).float().mean() > 0.99


def test_every_frame_may_have_a_wish_of_its_own(encoders: Encoders, embedder: Embedder) -> None:
    latents, wishes = _latents(), functional.normalize(torch.randn(FRAMES, 8), dim=-1)
    face = OptimisedFace(points=_points(), wanted=wishes)
    hook = FaceOptimisation(FaceOptimisationSettings(region="frame"), encoders.decode, _crop, embedder, [face], CHUNK)
    present = torch.tensor([0, 1, 2, 4])
    with torch.no_grad():
        seen = embedder(_crop(encoders.decode(latents[0], CHUNK)[present], _points()[present]))
    expected = (1 - functional.cosine_similarity(seen, wishes[present])).mean()
    assert hook.loss(latents) == pytest.approx(float(expected), rel=1e-5)


def test_the_first_adam_step_moves_every_value_by_the_rate(encoders: Encoders, embedder: Embedder) -> None:
    """Adam's first step is the rate times the gradient's sign; at denoising step 1 of 4 the rate is 0.05 * 3/4."""
    hook, x_pred = _hook(encoders, embedder, optimisation_steps=1), _latents()
    _, gradient = hook.loss_and_gradient(x_pred)
    strong = gradient.abs() > 1e-5  # far above Adam's epsilon of 1e-8
    change = hook(x_pred, 1, 4, 1.0) - x_pred
    torch.testing.assert_close(change[strong], -0.0375 * gradient[strong].sign(), atol=1e-4, rtol=0.0)


@pytest.mark.parametrize("masked", [False, True])
def test_a_step_along_the_gradient_is_as_long_as_the_rate(encoders: Encoders, embedder: Embedder, masked: bool) -> None:
    """Of denoising step 1 of 4: 0.05 * 3/4, over the four frames with a face, in which 16 of 64 values may change."""
    mask = torch.zeros(FRAMES, 8, 8)
    mask[[0, 1, 2, 4], 2:6, 2:6] = 1
    hook = _hook(encoders, embedder, mask=mask if masked else None, optimisation_steps=1, update="gradient")  # type: ignore[arg-type]
    _, gradient = hook.loss_and_gradient(_latents())
    change = (hook(_latents(), 1, 4, 1.0) - _latents())[0]
    shown = gradient[0, [0, 1, 2, 4]] * (mask[[0, 1, 2, 4]].unsqueeze(1) if masked else 1)
    assert_same(
        change[[0, 1, 2, 4]], -0.0375 * shown / (shown.square().sum() / (4 * 4 * (16 if masked else 64))).sqrt()
    )
    assert bool((change[3] != 0).any()) != masked  # what the chunk's layers over time leak
    (record,) = hook.report.records
    assert record.after < record.before


def _two(embedder: Embedder) -> list[OptimisedFace]:
    """The person of the other tests and, in frames 2 to 4, a smaller one on the left."""
    small = torch.tensor([[4.0, 14.0], [10.0, 14.0], [7.0, 18.0]]).repeat(FRAMES, 1, 1)
    small[:2] = math.nan
    wishes = functional.normalize(torch.randn(2, 8, generator=torch.Generator().manual_seed(4)), dim=-1)
    boxes = (torch.tensor([[2.0, 2.0, 6.0, 5.5]]), torch.tensor([[0.5, 3.0, 3.0, 4.9]]))
    return [
        OptimisedFace(points=points, wanted=wish, boxes=box.repeat(FRAMES, 1))
        for points, wish, box in zip((_points(), small), wishes, boxes, strict=True)
    ]


def test_the_loss_of_two_people_is_the_mean_over_all_their_faces_and_its_gradient_that_of_one_graph(
    encoders: Encoders, embedder: Embedder
) -> None:
    people, latents = _two(embedder), _latents()
    hook = FaceOptimisation(FaceOptimisationSettings(region="frame"), encoders.decode, _crop, embedder, people, CHUNK)
    assert (hook.report.people, hook.report.frames_with_face) == (2, 5)
    loss, gradient = hook.loss_and_gradient(latents)
    leaf = latents.clone().requires_grad_()
    pictures = encoders.decode(leaf[0], CHUNK)
    losses = []
    for face, frames in zip(people, ([0, 1, 2, 4], [2, 3, 4]), strict=True):
        for frame in frames:
            found = embedder(_crop(pictures[frame : frame + 1], face.points[frame : frame + 1]))[0]
            losses.append(1 - (found / found.norm()) @ face.wanted)
    whole = torch.stack(losses).abs().mean()
    whole.backward()
    assert loss == pytest.approx(whole.item(), rel=1e-5)
    assert leaf.grad is not None
    assert_same(gradient, leaf.grad)
    hook.judge(pictures.detach())
    assert hook.report.final == pytest.approx(whole.item(), rel=1e-5)


def test_a_window_of_the_whole_frame_gives_what_the_whole_frame_does(encoders: Encoders, embedder: Embedder) -> None:
    """With recorded statistics the loss alone: for its gradient they are constants."""
    statistics = GroupNormStatistics(encoders.vae.decoder)
    whole, window, recorded = (
        FaceOptimisation(settings, encoders.decode, _crop, embedder, _two(embedder), CHUNK, statistics)
        for settings in (
            FaceOptimisationSettings(region="frame"),
            FaceOptimisationSettings(region="face", region_margin=8),
            FaceOptimisationSettings(region="face", region_margin=8, region_statistics=True),
        )
    )
    loss, gradient = whole.loss_and_gradient(_latents())
    assert window.loss(_latents()) == pytest.approx(loss, rel=1e-5)
    assert_same(window.loss_and_gradient(_latents())[1], gradient)
    assert recorded.loss(_latents()) == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("with_statistics", [False, True])
def test_the_gradient_of_windows_is_that_of_one_graph_over_the_same_windows(
    encoders: Encoders, embedder: Embedder, with_statistics: bool
) -> None:
    """Frames 0-1, 2-3 and 4 are chunks. The first person's window is rows 1 to 6 and columns 1 to 6 (their box with a
    margin of 1), the second's rows 2 to 5 and columns 0 to 3, each in those chunks that show them."""
    settings = FaceOptimisationSettings(region="face", region_margin=1, region_statistics=with_statistics)
    people, latents, whole_frame = _two(embedder), _latents(), GroupNormStatistics(encoders.vae.decoder)
    hook = FaceOptimisation(settings, encoders.decode, _crop, embedder, people, CHUNK, whole_frame)
    # Computing activations again in the backward pass would find the norms' own statistics.
    plain = Encoders(replace(encoders.settings, checkpoint_decoder=False))
    statistics = GroupNormStatistics(plain.vae.decoder)
    loss, gradient = hook.loss_and_gradient(latents)

    leaf = latents.clone().requires_grad_()
    losses = []
    windows = ((slice(1, 7), slice(1, 7)), (slice(2, 6), slice(0, 4)))
    for face, (rows, columns), shown in zip(people, windows, ([0, 1, 2, 4], [2, 3, 4]), strict=True):
        for chunk in ([0, 1], [2, 3], [4]):
            if not set(chunk) & set(shown):
                continue
            with contextlib.ExitStack() as stack:
                if with_statistics:
                    with torch.no_grad(), statistics.recording("here"):
                        plain.decode(latents[0, chunk], len(chunk))
                    stack.enter_context(statistics.using("here"))
                pictures = plain.decode(leaf[0, chunk][..., rows, columns], len(chunk))
            for place, frame in enumerate(chunk):
                if frame in shown:
                    points = face.points[frame] - 4 * torch.tensor([columns.start, rows.start])
                    found = embedder(_crop(pictures[place : place + 1], points[None]))[0]
                    losses.append((1 - (found / found.norm()) @ face.wanted).abs())
    whole = torch.stack(losses).mean()
    whole.backward()
    assert loss == pytest.approx(whole.item(), rel=1e-4)
    assert leaf.grad is not None
    assert_same(gradient, leaf.grad)


def test_region_face_needs_boxes(encoders: Encoders, embedder: Embedder) -> None:
    with pytest.raises(ValueError, match="boxes"):
        _hook(encoders, embedder, region="face")  # type: ignore[arg-type]


def test_algorithm_1_ends_nearer_to_the_reference_than_without(encoders: Encoders, embedder: Embedder) -> None:
    sampler = SamplerSettings(steps=4, sigma_max=10.0, s_churn=1.0)
    hook = _hook(encoders, embedder)
    mean = 0.5 * _latents()

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return mean + (x - mean) / (1 + sigma**2)  # data N(mean, 1)

    def run(use: FaceOptimisation | None, correction: Correction = "carried") -> float:
        generator = torch.Generator().manual_seed(0)
        noise = 10.0 * torch.randn(mean.shape, generator=generator)
        sigmas = karras_sigmas(4, 0.1, 10.0)
        observe = use.observe if use else None
        return hook.loss(
            sample(
                denoise, noise, sigmas, sampler, hook=use, correction=correction, observe=observe, generator=generator
            )
        )

    without, carried = run(None), run(hook)
    assert carried < 0.9 * without
    assert [record.step for record in hook.report.records] == [0, 1, 2, 3]
    assert all(record.after < record.before for record in hook.report.records)
    last = hook.report.records[-1]  # the last step has no correction: nothing is taken back
    assert last.carried == pytest.approx(last.after, rel=1e-3)
    hook.report.records.clear()
    plain = run(hook, "plain")
    assert carried < plain
    taken_back = hook.report.records[0]
    assert taken_back.carried is not None
    assert taken_back.carried > taken_back.after + 0.1


def test_points_of_another_length_are_refused(encoders: Encoders, embedder: Embedder) -> None:
    with pytest.raises(ValueError, match=r"faces are of \[1, 5\]"):
        _hook(encoders, embedder)(torch.zeros(1, 6, 4, 8, 8), 0, 25, 1.0)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="learning_rate"):
        FaceOptimisationSettings(learning_rate=0.0)
    with pytest.raises(ValueError, match="must be at least 0"):
        FaceOptimisationSettings(optimisation_steps=-1)
    with pytest.raises(ValueError, match="sigma_min must not be above sigma_max"):
        FaceOptimisationSettings(sigma_min=2.0, sigma_max=1.0)
    with pytest.raises(ValueError, match="face_margin"):
        FaceOptimisationSettings(face_margin=-0.1)


def test_the_presets_optimise_the_steps_that_are_told_of_them() -> None:
    """Of Stable Video Diffusion's 25 levels; the study's own window is steps 12 to 20."""
    levels = karras_sigmas(25, 0.002, 700.0)[:-1].tolist()
    steps = {
        name: [i for i, level in enumerate(levels) if each.sigma_min <= level <= each.sigma_max]
        for name, each in FACE_OPTIMISATION_PRESETS.items()
    }
    assert steps["paper"] == list(range(10))
    assert steps["released"] == list(range(21))
    assert set(range(12, 21)) <= set(steps["effective"]) <= set(range(11, 21))
    assert FACE_OPTIMISATION_PRESETS["paper"].correction == "plain"
