"""Copies of one another among shots, by the hashes of their frames: encoded again, cropped a little, mirrored, trimmed.

Two shots are compared frame by frame at every offset that leaves half of the shorter one. Their distance is the least
share of bits that differ at an offset at which they also change together: two takes in one place look alike in every
frame, and only a copy moves at the same moments.

    n shots   F frames of a shot   V views of a frame: whole, and without a margin at five places
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.measures.shots import video_of

Array = npt.NDArray[np.float32]

ALIKE = 0.1
"""Share of the bits that differ between copies at most, 6.4 of 64. Drawn copies (benchmarks/evaluate/duplicates.py, on
other clips than those judged): 0.02 at most when encoded again, mirrored, trimmed or cropped around the middle, 0.104
when 5 % are cut off at one side; the nearest of 19,900 pairs of other clips 0.114."""

_TOGETHER = 0.3
"""Correlation of the changes of two shots from which on they change together: drawn copies have 0.34 (cropped at one
side) to 1, two halves of one clip mostly less."""
_STILL = 0.5 / 64
"""Mean square of the changes below which a shot stands still, so that nothing can be said of them: half a bit."""
_FOUND = 0.8
"""Cosine of the means of two shots' hashes over time from which on they are compared frame by frame."""
_BLOCK = 256  # shots whose means are compared with those of all others at a time
_MOST_FRAMES = 2048  # of a shot that are compared; of longer ones every second, third, ...


@dataclass(frozen=True, slots=True)
class ShotHashes:
    """The hashes of one shot as uint64."""

    shot_id: str
    plain: npt.NDArray[np.uint64]
    """[F]"""
    mirrored: npt.NDArray[np.uint64]
    """[F]"""
    cuts: npt.NDArray[np.uint64]
    """[F, V - 1]"""

    @property
    def video_id(self) -> str:
        return video_of(self.shot_id)

    @property
    def forms(self) -> Array:
        """[2, F, 64] of -1 and 1: as it is, and as its mirror image shows it."""
        return _bits(np.stack([self.plain, self.mirrored]))

    @property
    def views(self) -> Array:
        """[V, F, 64] of -1 and 1."""
        return _bits(np.concatenate([self.plain[None], self.cuts.T]))


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two shots of different videos that may be copies of one another."""

    first: str
    """Shot ids, the smaller first."""
    second: str
    distance: float
    """0 to 1."""


def near_pairs(shots: Sequence[ShotHashes]) -> list[NearPair]:
    """All pairs of shots of different videos that look alike and change together, however far apart, sorted by their
    ids.

    Shots of one video are other moments of it, so they are none.
    """
    shots = [shot for shot in sorted(shots, key=lambda shot: shot.shot_id) if len(shot.plain)]
    least: dict[tuple[int, int], float] = {}
    for first, form, second, view in _candidates(shots):
        pair = (min(first, second), max(first, second))
        found = distance(shots[first].forms[form], shots[second].views[view])
        least[pair] = min(found, least.get(pair, 1.0))
    return [
        NearPair(shots[first].shot_id, shots[second].shot_id, found)
        for (first, second), found in sorted(least.items())
        if found < 1
    ]


def _candidates(shots: Sequence[ShotHashes]) -> Iterator[tuple[int, int, int, int]]:
    """(shot, its form, other shot, its view) wherever their means over time are alike."""
    if not shots:
        return
    forms = np.stack([_directions(shot.forms) for shot in shots])
    views = np.stack([_directions(shot.views) for shot in shots])
    videos = np.unique([shot.video_id for shot in shots], return_inverse=True)[1]
    each = views.reshape(-1, views.shape[-1]).T
    for start in range(0, len(shots), _BLOCK):
        of_other_videos = videos[start : start + _BLOCK, None] != np.repeat(videos, views.shape[1])
        for form in range(forms.shape[1]):
            alike = (forms[start : start + _BLOCK, form] @ each >= _FOUND) & of_other_videos
            for first, place in np.argwhere(alike).tolist():
                yield start + first, form, *divmod(place, views.shape[1])


def _directions(bits: Array) -> Array:
    """[K, 64], of length 1: the means over time of K times [F, 64]."""
    means = bits.mean(1)
    return np.asarray(means / np.maximum(np.linalg.norm(means, axis=-1, keepdims=True), 1e-6), np.float32)


def distance(one: Array, other: Array) -> float:
    """Share of bits that differ, 0 to 1, between hashes [F, 64] and [G, 64] of -1 and 1; 1 where they never change
    together."""
    shorter, longer = (one, other) if len(one) <= len(other) else (other, one)
    step = -(-len(longer) // _MOST_FRAMES)
    shorter, longer = shorter[::step], longer[::step]
    products = shorter @ longer.T / shorter.shape[1]
    needed = -(-len(shorter) // 2)
    least = 1.0
    for offset in range(needed - len(shorter), len(longer) - needed + 1):
        agreement = float(np.diagonal(products, offset).mean())
        found = (1 - agreement) / 2
        if found < least:
            start, end = max(0, -offset), min(len(shorter), len(longer) - offset)
            if _change_together(shorter[start:end], longer[start + offset : end + offset]):
                least = found
    return least


def _change_together(one: Array, other: Array) -> bool:
    """Whether hashes [F, 64] of the same moments leave their means in the same way, or hardly leave them at all."""
    one, other = one - one.mean(0), other - other.mean(0)
    squares = float((one**2).mean()), float((other**2).mean())
    if max(squares) < _STILL:
        return True
    return float((one * other).mean()) >= _TOGETHER * np.sqrt(squares[0] * squares[1])


def _bits(hashes: npt.NDArray[np.uint64]) -> Array:
    """[K, F, 64] of -1 and 1, of [K, F]."""
    octets = np.ascontiguousarray(hashes.astype(">u8")).view(np.uint8)
    return (np.unpackbits(octets, axis=1).reshape(*hashes.shape, 64) * np.float32(2)) - 1


def nearest_kept(
    in_order: Sequence[str], pairs: Sequence[NearPair], least: float
) -> dict[str, tuple[str | None, float]]:
    """For each shot the kept one that it is most like, with their distance; (None, 1) where it is like none.

    A shot is kept unless its distance from one that was kept before is below `least`.

    Args:
        in_order: shot ids, those first that are rather kept.
    """
    near: dict[str, dict[str, float]] = {}
    for pair in pairs:
        near.setdefault(pair.first, {})[pair.second] = pair.distance
        near.setdefault(pair.second, {})[pair.first] = pair.distance
    kept: set[str] = set()
    found: dict[str, tuple[str | None, float]] = {}
    for shot in in_order:
        of_kept = [(apart, other) for other, apart in near.get(shot, {}).items() if other in kept]
        apart, other = min(of_kept, default=(1.0, None))
        found[shot] = other, apart
        if apart >= least:
            kept.add(shot)
    return found
