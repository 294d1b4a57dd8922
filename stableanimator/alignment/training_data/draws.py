"""Random numbers of which every row has a stream of its own, so that a row is the same in whatever batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

_BLOCK = 128


class RowDraws:
    """Streams for the rows [B] of a data set, given by (seed, purpose, row): ranks and resumed runs draw the same.

    draws = RowDraws(seed=0, purpose=1, rows=[7, 8])
    draws.uniform(3)     # [2, 3]; the second row is what rows=[8] alone would give
    """

    def __init__(self, seed: int, purpose: int, rows: NDArray[np.int64] | list[int]) -> None:
        # Philox counts upwards from its counter's low words; a row's number in the highest word keeps rows apart.
        key = (purpose << 64) | (seed & (2**64 - 1))
        self._generators = [np.random.Generator(np.random.Philox(key=key, counter=int(row) << 192)) for row in rows]
        self._block = np.empty((len(self._generators), 0))

    def __len__(self) -> int:
        return len(self._generators)

    def uniform(self, columns: int) -> NDArray[np.float64]:
        """[B, columns] in [0, 1)."""
        while self._block.shape[1] < columns:
            fresh = [generator.random(_BLOCK) for generator in self._generators]
            self._block = np.concatenate([self._block, np.reshape(fresh, (len(fresh), _BLOCK))], axis=1)
        taken, self._block = self._block[:, :columns], self._block[:, columns:]
        return taken

    def normal(self, columns: int) -> NDArray[np.float64]:
        """[B, columns] of the standard normal distribution."""
        smallest = np.finfo(np.float64).tiny  # a uniform 0 would be minus infinity
        return ndtri(np.maximum(self.uniform(columns), smallest))
