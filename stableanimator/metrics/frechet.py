"""Fréchet distance of two Gaussians that were fitted to features: what FID, FID-VID and FVD are.

    d² = |μ₁ - μ₂|² + tr(C₁ + C₂ - 2 (C₁ C₂)^½)       Heusel et al., NeurIPS 2017; Dowson and Landau 1982

with the mean μ and the unbiased covariance C of each. The scripts of DisCo and pytorch-fid take the matrix root of the
product by scipy, and add 1e-6 to the diagonals where that fails. Here each covariance is kept as a factor, C = Aᵀ A,
and tr (C₁ C₂)^½ is the sum of the singular values of A₁ A₂ᵀ: real and never negative however few the samples are, so
nothing is added. D dimensions
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]


class Gaussian:
    """Mean and covariance of rows that come in batches, exact, in memory that does not grow with their number.

    gaussian = Gaussian()
    gaussian.add(features)      # [N, D], as often as you like
    frechet_distance(gaussian, other)
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: npt.NDArray[np.float64] | None = None
        self._factor: npt.NDArray[np.float64] = np.zeros((0, 0))  # its square is the scatter, count - 1 covariances

    def add(self, rows: Array) -> None:
        """Rows [N, D] more.

        Raises:
            ValueError: they are of another width than those before.
        """
        if not len(rows):
            return
        new = np.asarray(rows, np.float64)
        own = new.mean(0)
        if self.mean is None:
            self.mean, self._factor = own, np.zeros((0, len(own)))
        if len(own) != len(self.mean):
            raise ValueError(f"rows are of {len(own)} numbers; those before were of {len(self.mean)}")
        # Scatter about the common mean: of both parts about their own, and one row for the way between these.
        between = np.sqrt(self.count * len(new) / (self.count + len(new))) * (own - self.mean)
        self._factor = np.concatenate([self._factor, new - own, between[None]])
        self.mean = self.mean + (own - self.mean) * (len(new) / (self.count + len(new)))
        self.count += len(new)
        if len(self._factor) > 2 * len(own):
            self._factor = np.asarray(np.linalg.qr(self._factor, mode="r"), np.float64)

    def factor(self) -> npt.NDArray[np.float64]:
        """A [r, D] with Aᵀ A the unbiased covariance.

        Raises:
            ValueError: of fewer than two rows there is none.
        """
        if self.count < 2:
            raise ValueError(f"a covariance takes two rows or more, not {self.count}")
        return self._factor / np.sqrt(self.count - 1)


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """The distance d², at least 0; in the square of the features' unit, and 0 for equal ones.

    Raises:
        ValueError: one has fewer than two rows, or their widths differ.
    """
    a, b = first.factor(), second.factor()
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"features of {a.shape[1]} and of {b.shape[1]} numbers cannot be compared")
    assert first.mean is not None
    assert second.mean is not None
    between = float(np.square(first.mean - second.mean).sum())
    shared = float(np.linalg.svd(a @ b.T, compute_uv=False).sum())
    return max(between + float(np.square(a).sum() + np.square(b).sum()) - 2 * shared, 0.0)
