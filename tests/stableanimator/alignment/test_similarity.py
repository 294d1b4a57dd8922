from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform

from stableanimator.alignment.similarity import (
    Similarity,
    best_rotation,
    best_scale,
    best_translation,
    centre,
    correlation,
    fit_similarity,
    is_degenerate,
    rotation_matrix,
)

from ...floats import assert_same

seeds = st.integers(0, 2**32 - 1)


def random_poses(seed: int, count: int, joints: int = 18) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Driven and reference poses that are related and noisy, and a mask with two joints or more in each row."""
    rng = np.random.default_rng(seed)
    driven = rng.normal(0.5, 0.3, (count, joints, 2))
    angle, scale = rng.uniform(-np.pi, np.pi, count), rng.uniform(0.2, 5, count)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)
    noise = rng.choice([0.0, 0.05, 0.5], count)[:, None, None] * rng.normal(size=driven.shape)
    reference = scale[:, None, None] * driven @ turn.swapaxes(-1, -2) + rng.normal(size=(count, 1, 2)) + noise
    visible = rng.random((count, joints)) < 0.7
    visible[:, :2] = True
    return torch.from_numpy(driven), torch.from_numpy(reference), torch.from_numpy(visible)


def random_similarity(seed: int, count: int = 5) -> Similarity:
    generator = torch.Generator().manual_seed(seed)
    angle, log_scale, x, y = torch.randn(4, count, generator=generator, dtype=torch.float64)
    return Similarity.from_degrees(90 * angle, torch.exp(log_scale), torch.stack([x, y], -1))


def paper_rotation(k: torch.Tensor, proper: bool) -> torch.Tensor:
    """Eq. 4-5 as printed, by a library's SVD."""
    u, _, vt = torch.linalg.svd(k)
    v, ut = vt.mT, u.mT
    sign = torch.linalg.det(v @ ut) if proper else torch.ones(k.shape[:-2], dtype=k.dtype)
    return v @ torch.diag_embed(torch.stack([torch.ones_like(sign), sign], -1)) @ ut


@given(seed=seeds)
@settings(max_examples=100)
def test_fit_equals_scikit_image(seed: int) -> None:
    driven, reference, visible = random_poses(seed, 1)
    fit = fit_similarity(driven[0], reference[0], visible[0])
    kept = visible[0].numpy()
    other = SimilarityTransform.from_estimate(driven[0].numpy()[kept], reference[0].numpy()[kept])
    np.testing.assert_allclose(fit.apply(driven[0]).numpy(), other(driven[0].numpy()), atol=1e-6)
    np.testing.assert_allclose(float(fit.scale), other.scale, rtol=1e-6)


def test_fit_equals_complex_least_squares_on_ten_thousand_cases() -> None:
    driven, reference, visible = random_poses(1, 10_000)
    hidden = ~visible[..., None]
    fit = fit_similarity(driven.masked_fill(hidden, torch.nan), reference.masked_fill(hidden, torch.nan))
    # A similarity without reflection is z -> alpha z + beta; least squares over complex numbers has its own solution.
    weight = visible.numpy()
    d = driven.numpy()[..., 0] + 1j * driven.numpy()[..., 1]
    r = reference.numpy()[..., 0] + 1j * reference.numpy()[..., 1]
    count = weight.sum(1)
    mean_d, mean_r = (d * weight).sum(1) / count, (r * weight).sum(1) / count
    x_d, x_r = (d - mean_d[:, None]) * weight, (r - mean_r[:, None]) * weight
    alpha = (x_d.conj() * x_r).sum(1) / (np.abs(x_d) ** 2).sum(1)
    beta = mean_r - alpha * mean_d
    np.testing.assert_allclose(fit.scale.numpy(), np.abs(alpha), atol=1e-6)
    turn = np.stack([np.cos(np.angle(alpha)), np.sin(np.angle(alpha))], -1)
    np.testing.assert_allclose(fit.rotation.numpy()[..., 0], turn, atol=1e-6)
    np.testing.assert_allclose(fit.translation.numpy(), np.stack([beta.real, beta.imag], -1), atol=1e-6)


@given(seed=seeds)
@settings(max_examples=50)
def test_rotation_equals_the_papers_svd(seed: int) -> None:
    k = torch.from_numpy(np.random.default_rng(seed).normal(size=(20, 2, 2)))
    for allow_reflection in (False, True):
        rotation = best_rotation(k, allow_reflection)
        torch.testing.assert_close(rotation, paper_rotation(k, not allow_reflection), atol=1e-8, rtol=0)


def test_literal_rotation_equals_scipys_orthogonal_procrustes() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        driven, reference = rng.normal(size=(2, 7, 2))
        rotation = best_rotation(correlation(torch.from_numpy(driven), torch.from_numpy(reference)), True)
        expected, _ = scipy.linalg.orthogonal_procrustes(driven, reference)
        np.testing.assert_allclose(rotation.numpy().T, expected, atol=1e-9)


def test_each_equation_on_a_worked_example() -> None:
    # A unit square, of which the reference is twice the size, a quarter turn (x to y), at (5, 6).
    driven = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1], [9, 9]])
    reference = torch.tensor([[5.0, 6], [5, 8], [3, 8], [3, 6], [0, 0]])
    visible = torch.tensor([True, True, True, True, False])
    x_d, x_r = centre(driven, visible), centre(reference, visible)
    assert_same(x_d, np.float32([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5], [0, 0]]))
    k = correlation(x_d, x_r)
    assert_same(k, np.float32([[0, 2], [-2, 0]]))
    rotation = best_rotation(k)
    assert_same(rotation, np.float32([[0, -1], [1, 0]]))
    scale = best_scale(rotation, k, x_d)
    assert float(scale) == pytest.approx(2, rel=1e-5)
    translation = best_translation(rotation, scale, torch.tensor([0.5, 0.5]), torch.tensor([4.0, 7]))
    assert_same(translation, np.float32([5, 6]))
    aligned = Similarity(rotation, scale, translation).apply(driven)
    assert_same(aligned[:4], reference[:4])
    assert_same(aligned[4], np.float32([5 - 18, 6 + 18]))


def test_a_mirrored_pose_is_mirrored_only_by_the_literal_equations() -> None:
    driven, _, _ = random_poses(5, 4)
    reference = driven * torch.tensor([-1.0, 1.0])
    literal = fit_similarity(driven, reference, allow_reflection=True)
    torch.testing.assert_close(literal.apply(driven), reference)
    torch.testing.assert_close(torch.linalg.det(literal.rotation), -torch.ones(4, dtype=torch.float64))
    proper = fit_similarity(driven, reference)
    torch.testing.assert_close(torch.linalg.det(proper.rotation), torch.ones(4, dtype=torch.float64))


def test_only_the_named_joints_are_fitted() -> None:
    driven, _, _ = random_poses(6, 3)
    truth = random_similarity(6, 3)
    reference = truth.apply(driven)
    reference[:, 4:] += 3
    fit = fit_similarity(driven, reference, joints=range(4))
    torch.testing.assert_close(fit.translation, truth.translation)
    torch.testing.assert_close(fit.rotation, truth.rotation)


@given(seed=seeds)
@settings(max_examples=30)
def test_compose_and_invert(seed: int) -> None:
    points = torch.from_numpy(np.random.default_rng(seed).normal(size=(5, 4, 2)))
    first, second = random_similarity(seed), random_similarity(seed + 1)
    torch.testing.assert_close(second.compose(first).apply(points), second.apply(first.apply(points)))
    torch.testing.assert_close(first.invert().apply(first.apply(points)), points)
    assert torch.equal(Similarity.identity((5,), torch.float64).apply(points), points)


def test_about_keeps_the_centre_but_for_the_translation() -> None:
    centre_point = torch.tensor([[2.0, 3.0]], dtype=torch.float64)
    quarter = Similarity.from_degrees(
        torch.tensor([90.0], dtype=torch.float64),
        torch.tensor([3.0], dtype=torch.float64),
        torch.tensor([[0.25, 0]], dtype=torch.float64),
    )
    moved = quarter.about(centre_point).apply(torch.tensor([[[2.0, 3.0], [3.0, 3.0]]], dtype=torch.float64))
    # The neighbour to the right goes below: a positive angle is clockwise on a screen.
    torch.testing.assert_close(moved, torch.tensor([[[2.25, 3.0], [2.25, 6.0]]], dtype=torch.float64))


NAN = float("nan")
DEGENERATE = {
    "no joint": ([[NAN, NAN], [NAN, NAN]], [[0.0, 0], [1, 1]], [0, 0]),
    "one joint": ([[1.0, 1], [NAN, NAN]], [[3.0, 4], [1, 1]], [2, 3]),
    "driven in one place": ([[1.0, 1], [1, 1]], [[3.0, 4], [5, 6]], [3, 4]),
    "reference in one place": ([[3.0, 4], [5, 6]], [[1.0, 1], [1, 1]], [-3, -4]),
    "infinite": ([[1.0, 1], [float("inf"), 0]], [[3.0, 4], [5, 6]], [2, 3]),
    "square and its mirror image": ([[0.0, 0], [1, 0], [1, 1], [0, 1]], [[1.0, 0], [0, 0], [0, 1], [1, 1]], [0, 0]),
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_input_gets_a_translation(case: str) -> None:
    driven, reference = (torch.tensor(points).requires_grad_() for points in DEGENERATE[case][:2])
    assert bool(is_degenerate(driven, reference))
    fit = fit_similarity(driven, reference)
    assert torch.equal(fit.rotation, torch.eye(2))
    assert fit.scale.item() == 1
    assert fit.translation.tolist() == DEGENERATE[case][2]
    fit.apply(torch.ones(3, 2)).sum().backward()
    for points in (driven, reference):
        assert points.grad is not None
        assert torch.isfinite(points.grad).all()


def test_joints_on_one_line_are_not_degenerate() -> None:
    driven = torch.tensor([[0.0, 0], [1, 0], [2, 0]])
    reference = torch.tensor([[0.0, 0], [0, 2], [0, 4]])
    assert not bool(is_degenerate(driven, reference))
    fit = fit_similarity(driven, reference)
    torch.testing.assert_close(fit.rotation, torch.tensor([[0.0, -1], [1, 0]]))
    assert float(fit.scale) == pytest.approx(2, rel=1e-5)


def test_a_missing_point_stays_missing_and_its_gradient_is_finite() -> None:
    points = torch.tensor([[1.0, 2], [NAN, NAN]])
    angle = torch.tensor(0.3, requires_grad=True)
    moved = Similarity(rotation_matrix(torch.cos(angle), torch.sin(angle)), torch.ones(()), torch.zeros(2)).apply(
        points
    )
    assert torch.isnan(moved[1]).all()
    moved[0].sum().backward()
    # d/dangle of (x cos - y sin) + (x sin + y cos) at (1, 2)
    expected = -np.sin(0.3) - 2 * np.cos(0.3) + np.cos(0.3) - 2 * np.sin(0.3)
    assert angle.grad is not None
    assert float(angle.grad) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("allow_reflection", [False, True])
def test_gradients_against_finite_differences(allow_reflection: bool) -> None:
    driven, reference, visible = random_poses(8, 2, joints=5)
    if allow_reflection:
        reference = reference * torch.tensor([-1.0, 1.0])

    def aligned(d: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        return fit_similarity(d, r, visible, allow_reflection).apply(d)

    assert torch.autograd.gradcheck(aligned, (driven.requires_grad_(), reference.clone().requires_grad_()))


def test_gradient_is_finite_where_an_svd_has_equal_singular_values() -> None:
    driven = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]], requires_grad=True)  # K is a multiple of the identity
    fit_similarity(driven, driven.detach() + 1).apply(driven).square().sum().backward()
    assert driven.grad is not None
    assert torch.isfinite(driven.grad).all()
