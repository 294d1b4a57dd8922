"""Similarity transforms of the plane and their closed-form fit (StableAnimator++, Eq. 2-8 and 11).

Points are rows: what the paper writes as a 2xN matrix is [..., N, 2] here, with any leading dimensions. Everything is
differentiable. Sums of products stand where a matrix product could: TF32 and autocast would shorten those.

    ... any leading dimensions, the same for all arguments (or broadcasting)   N joints
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

SMALLEST_SPREAD = 1e-5
"""Image heights. Joints whose root-mean-square distance from their mean is below it (a hundredth of a pixel at 1000
pixels) lie in one place: they have no direction and no size that rounding has not made."""


class Similarity(NamedTuple):
    """p -> scale * (rotation @ p) + translation (Eq. 8, 11).

    A positive angle turns x towards y, that is clockwise on a screen, where y points down.
    """

    rotation: Tensor
    """[..., 2, 2] orthogonal; its determinant is -1 only where a reflection was allowed."""
    scale: Tensor
    """[...] above 0."""
    translation: Tensor
    """[..., 2] in the unit of the points."""

    @classmethod
    def identity(
        cls, shape: Sequence[int] = (), dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> Similarity:
        """Identity transforms with the leading dimensions `shape`."""
        rotation = torch.eye(2, dtype=dtype, device=device).expand(*shape, 2, 2)
        ones = torch.ones(tuple(shape), dtype=dtype, device=device)
        return cls(rotation, ones, torch.zeros(*shape, 2, dtype=dtype, device=device))

    @classmethod
    def from_degrees(cls, degrees: Tensor, scale: Tensor, translation: Tensor) -> Similarity:
        """From an angle in degrees [...], a scale [...] and a translation [..., 2]."""
        angle = degrees * (math.pi / 180)
        return cls(rotation_matrix(torch.cos(angle), torch.sin(angle)), scale, translation)

    def apply(self, points: Tensor) -> Tensor:
        """Eq. 8: move points [..., N, 2]. A missing point (NaN) stays missing."""
        # Through a NaN a gradient of 0 becomes NaN, so missing points are taken out and put back.
        missing = torch.isnan(points).any(-1, keepdim=True)
        kept = torch.where(missing, 0, points)
        turned = (self.rotation[..., None, :, :] * kept[..., None, :]).sum(-1)
        moved = self.scale[..., None, None] * turned + self.translation[..., None, :]
        return torch.where(missing, torch.nan, moved)

    def compose(self, first: Similarity) -> Similarity:
        """The transform that does `first` and then this one."""
        return Similarity(
            _product(self.rotation, first.rotation),
            self.scale * first.scale,
            self.apply(first.translation[..., None, :])[..., 0, :],
        )

    def invert(self) -> Similarity:
        """The transform that undoes this one."""
        back = Similarity(self.rotation.mT, 1 / self.scale, torch.zeros_like(self.translation))
        return back._replace(translation=-back.apply(self.translation[..., None, :])[..., 0, :])

    def about(self, centre: Tensor) -> Similarity:
        """The same transform with `centre` [..., 2] in the role of the origin: p -> S R (p - centre) + centre + t."""
        fixed = self._replace(translation=torch.zeros_like(self.translation))
        moved = fixed.apply(centre[..., None, :])[..., 0, :]
        return self._replace(translation=centre + self.translation - moved)

    def where(self, condition: Tensor, other: Similarity) -> Similarity:
        """This transform where `condition` [...] holds, and `other` elsewhere."""
        return Similarity(
            torch.where(condition[..., None, None], self.rotation, other.rotation),
            torch.where(condition, self.scale, other.scale),
            torch.where(condition[..., None], self.translation, other.translation),
        )


def rotation_matrix(cosine: Tensor, sine: Tensor) -> Tensor:
    """[[cos, -sin], [sin, cos]]: [..., 2, 2] from cosines and sines [...]."""
    return torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2)


def common_joints(driven: Tensor, reference: Tensor, visible: Tensor | None, joints: Sequence[int] | None) -> Tensor:
    """Mask [..., N] of what a fit may use: visible, finite in both poses [..., N, 2], and in the subset `joints`."""
    common = torch.isfinite(driven).all(-1) & torch.isfinite(reference).all(-1)
    if visible is not None:
        common = common & visible
    if joints is not None:
        subset = torch.zeros(common.shape[-1], dtype=torch.bool, device=common.device)
        subset[list(joints)] = True
        common = common & subset
    return common


def mean_point(points: Tensor, visible: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean [..., 2] of the points [..., N, 2] that `visible` [..., N] names, weighted by `weights` [..., N] above 0;
    the origin where it names none."""
    # A masked NaN is replaced and not multiplied by 0: NaN * 0 is NaN, in the value and in the gradient.
    kept = torch.where(visible[..., None], points, 0)
    if weights is None:
        return kept.sum(-2) / visible.sum(-1, keepdim=True).clamp(min=1)
    counted = torch.where(visible, weights, 0)
    total = counted.sum(-1, keepdim=True)
    return (counted[..., None] * kept).sum(-2) / torch.where(total > 0, total, 1)


def centre(points: Tensor, visible: Tensor, weights: Tensor | None = None) -> Tensor:
    """Eq. 2: X = P - mean_i P_i over the visible joints [..., N, 2], the mean weighted; zero at the others."""
    return torch.where(visible[..., None], points - mean_point(points, visible, weights)[..., None, :], 0)


def correlation(x_driven: Tensor, x_reference: Tensor) -> Tensor:
    """Eq. 3: K = X_d X_r^T, [..., 2, 2] from centred points [..., N, 2]."""
    return (x_driven[..., :, None] * x_reference[..., None, :]).sum(-3)


def best_rotation(k: Tensor, allow_reflection: bool = False) -> Tensor:
    """Eq. 4-5: R = V U^T of K = U s V^T, [..., 2, 2].

    R is the orthogonal matrix of the largest trace(R K). In the plane that is a normalised vector, so no SVD is run:
    the value is the same, and the gradient stays finite where two singular values meet, which an SVD's does not.
    Without `allow_reflection` R = V diag(1, det(V U^T)) U^T, the best proper rotation. K = 0 gives the identity.
    """
    # trace(R K) = c a + s b over rotations [[c, -s], [s, c]], and c p + s q over reflections [[c, s], [s, -c]].
    a, b = k[..., 0, 0] + k[..., 1, 1], k[..., 0, 1] - k[..., 1, 0]
    proper = rotation_matrix(*_unit(a, b))
    if not allow_reflection:
        return proper
    p, q = k[..., 0, 0] - k[..., 1, 1], k[..., 0, 1] + k[..., 1, 0]
    c, s = _unit(p, q)
    mirrored = torch.stack([torch.stack([c, s], -1), torch.stack([s, -c], -1)], -2)
    return torch.where((torch.linalg.det(k) < 0)[..., None, None], mirrored, proper)


def best_scale(rotation: Tensor, k: Tensor, x_driven: Tensor) -> Tensor:
    """Eq. 6: S = trace(R K) / sum_i ||X_d^i||^2, [...]; 1 where the driven joints lie in one place."""
    spread = x_driven.square().sum((-1, -2))
    one_place = spread == 0
    trace = (rotation * k.mT).sum((-1, -2))
    return torch.where(one_place, 1, trace / torch.where(one_place, 1, spread))


def best_translation(rotation: Tensor, scale: Tensor, mean_driven: Tensor, mean_reference: Tensor) -> Tensor:
    """Eq. 7: t = mean(P_r) - S * (R mean(P_d)), [..., 2]."""
    return mean_reference - scale[..., None] * (rotation * mean_driven[..., None, :]).sum(-1)


def fit_similarity(
    driven: Tensor,
    reference: Tensor,
    visible: Tensor | None = None,
    allow_reflection: bool = False,
    joints: Sequence[int] | None = None,
    weights: Tensor | None = None,
) -> Similarity:
    """Eq. 2-7: the similarity that brings `driven` nearest to `reference` in least squares.

    Args:
        driven, reference: points [..., N, 2] in image heights; NaN is missing.
        visible: joints [..., N] that both poses show; by default those finite in both.
        allow_reflection: True is Eq. 5 to the letter, which mirrors a person who turned round.
        joints: indices of the joints to fit by; by default all.
        weights: of the joints' squared distances [..., N], above 0; by default all 1, as in the paper.

    Where `is_degenerate` says that the joints fix no rotation or scale, the answer is the translation between the
    means of the common joints, and the identity where there is no common joint.
    """
    common = common_joints(driven, reference, visible, joints)
    x_driven, x_reference = centre(driven, common, weights), centre(reference, common, weights)
    if weights is not None:  # sums of squares and products are weighted where the points are by the root
        root = weights.sqrt()[..., None]
        x_driven, x_reference = root * x_driven, root * x_reference
    k = correlation(x_driven, x_reference)
    undetermined = _undetermined(x_driven, x_reference, common, allow_reflection)
    # The degenerate rows are replaced before the divisions, so that their gradients are finite as well.
    k = torch.where(undetermined[..., None, None], 0, k)
    x_driven = torch.where(undetermined[..., None, None], 0, x_driven)
    rotation = best_rotation(k, allow_reflection)
    scale = best_scale(rotation, k, x_driven)
    means = mean_point(driven, common, weights), mean_point(reference, common, weights)
    translation = best_translation(rotation, scale, *means)
    return Similarity(rotation, scale, translation)


def is_degenerate(
    driven: Tensor,
    reference: Tensor,
    visible: Tensor | None = None,
    allow_reflection: bool = False,
    joints: Sequence[int] | None = None,
) -> Tensor:
    """Where `fit_similarity` of the same arguments can find a translation at most: bool [...].

    That is: fewer than two common joints; all of them in one place in either pose; or two poses of which no rotation is
    better than another, such as a pose and its mirror image with equal extent in all directions. Joints on one line are
    not degenerate: they fix a rotation and a scale.
    """
    common = common_joints(driven, reference, visible, joints)
    return _undetermined(centre(driven, common), centre(reference, common), common, allow_reflection)


def _undetermined(x_driven: Tensor, x_reference: Tensor, common: Tensor, allow_reflection: bool) -> Tensor:
    count = common.sum(-1)
    spread_driven, spread_reference = x_driven.square().sum((-1, -2)), x_reference.square().sum((-1, -2))
    smallest = count * SMALLEST_SPREAD**2
    one_place = (spread_driven <= smallest) | (spread_reference <= smallest)
    k = correlation(x_driven, x_reference)
    agreement = (best_rotation(k, allow_reflection) * k.mT).sum((-1, -2))
    rounding = 16 * torch.finfo(k.dtype).eps
    return (count < 2) | one_place | (agreement <= rounding * (spread_driven * spread_reference).sqrt())


def _unit(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(x, y) at length 1; (1, 0) for the zero vector, with a zero gradient."""
    zero = (x == 0) & (y == 0)
    x = torch.where(zero, 1, x)
    length = torch.hypot(x, y)
    return x / length, y / length


def _product(left: Tensor, right: Tensor) -> Tensor:
    return (left[..., :, :, None] * right[..., None, :, :]).sum(-2)
