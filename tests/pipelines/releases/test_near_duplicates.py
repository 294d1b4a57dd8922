from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipelines.measures.frames import Frame
from pipelines.measures.picture_hash import PictureHash, PictureHashSettings
from pipelines.releases import near_duplicates
from pipelines.releases.near_duplicates import ALIKE, NearPair, ShotHashes, distance, near_pairs, nearest_kept

Texture = Callable[..., np.ndarray]


def _signs(*hashes: int) -> np.ndarray:
    bits = [[hash_ >> place & 1 for place in range(63, -1, -1)] for hash_ in hashes]
    return np.array(bits, np.float32) * 2 - 1


def _moving(new_texture: Texture, seed: int, count: int = 24) -> list[np.ndarray]:
    """One picture that slides over another, to and fro, at a speed and phase of its own."""
    behind, before = new_texture(seed, 200, 320), new_texture(seed + 1000, 80, 80)
    rate, phase = np.random.default_rng(seed).uniform(0.3, 0.9), seed
    frames = []
    for number in range(count):
        frame = behind.copy()
        left = int(120 + 110 * np.sin(rate * number + phase))
        frame[60:140, left : left + 80] = before
        frames.append(frame)
    return frames


def _hashes(name: str, frames: list[np.ndarray]) -> ShotHashes:
    measure = PictureHash(PictureHashSettings())
    for number, image in enumerate(frames):
        measure.add(Frame(index=number, time=number / 8, image=np.ascontiguousarray(image)))
    columns = measure.columns()
    plain, mirrored, cuts = (
        np.array(columns[name], np.uint64) for name in ("plain_hash", "mirrored_hash", "cut_hashes")
    )
    return ShotHashes(f"{name}:0-{len(frames)}", plain, mirrored, cuts)


def test_the_distance_is_the_share_of_bits_that_differ_at_the_best_offset() -> None:
    words = [0b1, 0b11, 0b1111_0000, 0b1010, 0b0110_0110, 0b1000_0001]
    assert distance(_signs(*words), _signs(*words)) == 0
    assert distance(_signs(*words[2:]), _signs(*words)) == 0
    shifted = _signs(*(word ^ 1 << 40 for word in words))  # one bit of 64, in every frame
    assert distance(shifted, _signs(*words)) == pytest.approx(1 / 64)


def test_what_looks_alike_and_changes_at_other_moments_is_no_copy() -> None:
    base = 0x0123_4567_89AB_CDEF
    ones, others = [base ^ 1 << place for place in range(8)], [base ^ 1 << place for place in range(20, 28)]
    assert distance(_signs(*ones), _signs(*others)) == 1
    still = [base] * 8
    assert distance(_signs(*still), _signs(base ^ 1, *still[1:])) < 0.01  # where nothing changes nothing can be asked


@pytest.mark.parametrize(
    "copy",
    [
        lambda frames: [frame // 2 * 2 for frame in frames],
        lambda frames: [frame[:, ::-1] for frame in frames],
        lambda frames: [frame[5:195, 8:312] for frame in frames],
        lambda frames: [frame[10:, 16:] for frame in frames],
        lambda frames: frames[5:21],
        lambda frames: [frame[::2, ::2] for frame in frames],
    ],
    ids=["coarser", "mirrored", "cropped", "cropped at a corner", "trimmed", "half the size"],
)
def test_copies_are_found_among_others(
    new_texture: Texture, copy: Callable[[list[np.ndarray]], list[np.ndarray]]
) -> None:
    shots = [_hashes(f"v{seed}", _moving(new_texture, seed)) for seed in range(8)]
    made = _hashes("w", copy(_moving(new_texture, 3)))
    (pair,) = near_pairs([made, *shots])
    assert (pair.first, pair.second) == (shots[3].shot_id, made.shot_id)
    assert pair.distance < ALIKE
    assert near_pairs([*shots[::-1], made]) == [pair]


def test_shots_of_one_video_are_no_copies(new_texture: Texture) -> None:
    frames = _moving(new_texture, 1)
    one, two = _hashes("v", frames), _hashes("v", frames[:-1])
    assert near_pairs([one, two]) == []
    assert near_pairs([]) == []


def test_long_shots_are_thinned(new_texture: Texture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "_MOST_FRAMES", 10)
    frames = _moving(new_texture, 2)
    (pair,) = near_pairs([_hashes("a", frames), _hashes("b", frames)])
    assert pair.distance == 0


def test_of_copies_the_first_in_order_is_kept_and_a_copy_of_a_copy_is_kept_if_unlike_it() -> None:
    pairs = [NearPair("a", "b", 0.02), NearPair("b", "c", 0.03), NearPair("c", "d", 0.15)]
    assert nearest_kept(["a", "b", "c", "d"], pairs, 0.1) == {
        "a": (None, 1.0),
        "b": ("a", 0.02),
        "c": (None, 1.0),
        "d": ("c", 0.15),
    }
    assert nearest_kept(["b", "a", "c", "d"], pairs, 0.1)["d"] == (None, 1.0)
