from __future__ import annotations

from collections.abc import Callable

import imagehash
import numpy as np
import pytest
from PIL import Image

from pipelines.measures.frames import Frame
from pipelines.measures.picture_hash import PictureHash, PictureHashSettings, picture_hash

Texture = Callable[..., np.ndarray]


def _measured(*images: np.ndarray, margin: float = 0.05) -> dict[str, list]:
    measure = PictureHash(PictureHashSettings(margin=margin))
    for number, image in enumerate(images):
        measure.add(Frame(index=number, time=number / 8, image=image))
    return measure.columns()


def _apart(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def test_a_hash_is_that_of_imagehash(new_texture: Texture) -> None:
    """Which shrinks with another filter, so that a bit near the median may fall the other way."""
    for seed in range(5):
        picture = new_texture(seed)
        theirs = int(str(imagehash.phash(Image.fromarray(picture))), 16)
        assert _apart(picture_hash(picture), theirs) <= 2


def test_columns_have_an_entry_for_each_frame_and_each_cut(new_texture: Texture) -> None:
    columns = _measured(new_texture(1), new_texture(2))
    assert len(columns["plain_hash"]) == len(columns["mirrored_hash"]) == len(columns["cut_hashes"]) == 2
    assert all(len(cuts) == len(set(cuts)) == 5 for cuts in columns["cut_hashes"])


def test_the_mirrored_hash_is_the_hash_of_the_mirror_image(new_texture: Texture) -> None:
    picture = new_texture(1)
    turned = np.ascontiguousarray(picture[:, ::-1])
    ours, theirs = _measured(picture), _measured(turned)
    assert ours["mirrored_hash"] == theirs["plain_hash"]
    assert ours["plain_hash"] == theirs["mirrored_hash"]
    assert _apart(ours["plain_hash"][0], ours["mirrored_hash"][0]) > 16


@pytest.mark.parametrize(("place", "top", "left"), [(0, 0, 0), (1, 0, 16), (2, 10, 0), (3, 10, 16), (4, 5, 8)])
def test_what_is_left_of_a_cropped_picture_is_like_one_cut(
    new_texture: Texture, place: int, top: int, left: int
) -> None:
    """Of 200x320, 5 % of each side are 10 and 16 pixels."""
    picture = new_texture(3)
    cropped = np.ascontiguousarray(picture[top : top + 190, left : left + 304])
    distances = [_apart(cut, picture_hash(cropped)) for cut in _measured(picture)["cut_hashes"][0]]
    assert distances[place] == min(distances) <= 4


def test_the_margin_is_a_share() -> None:
    with pytest.raises(ValueError, match="margin"):
        PictureHashSettings(margin=0.5)
