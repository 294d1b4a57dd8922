from __future__ import annotations

import numpy as np
import pytest

from stableanimator.synthetic.figure import palette
from stableanimator.synthetic.figure.actor import draw_actor
from stableanimator.synthetic.figure.identity import GENES, HAIR_STYLES, draw_identity, traits_of


def genes(**values: float) -> np.ndarray:
    vector = np.zeros(len(GENES))
    for name, value in values.items():
        vector[GENES.index(name)] = value
    return vector


def test_ends_of_the_colour_rows_are_reached() -> None:
    assert traits_of(genes(skin=-1)).skin == palette.SKINS[0]
    assert traits_of(genes(skin=1)).skin == palette.SKINS[-1]
    assert traits_of(genes(hair_colour=1)).hair == palette.HAIRS[-1]


def test_styles_share_the_range_of_their_gene() -> None:
    middles = np.linspace(-1, 1, 2 * len(HAIR_STYLES) + 1)[1::2]
    assert [traits_of(genes(hair_style=value)).hair_style for value in middles] == list(HAIR_STYLES)
    assert traits_of(genes(hair_style=1)).hair_style == HAIR_STYLES[-1]


def test_beards_and_painted_lips_do_not_meet() -> None:
    for adornment in np.linspace(-1, 0, 9):
        assert traits_of(genes(adornment=adornment)).beard == "none"
    assert traits_of(genes(adornment=1)).beard == "full"
    assert traits_of(genes(adornment=-1, lip_colour=-1)).lip_colour == palette.LIPS[0]


def test_someone_of_a_given_identity_has_that_face_and_other_clothes() -> None:
    identity = draw_identity(np.random.default_rng(5))
    first, second = (draw_actor(np.random.default_rng(seed), identity) for seed in (1, 2))
    assert first.traits == second.traits == traits_of(identity)
    assert first.outfit != second.outfit
    assert first.body != second.body


def test_the_same_seed_draws_the_same_person() -> None:
    first, second = (draw_actor(np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first.identity, second.identity)
    assert (first.traits, first.body, first.outfit) == (second.traits, second.body, second.outfit)


@pytest.mark.parametrize("wrong", [np.zeros(3), np.full(len(GENES), 1.5), np.full(len(GENES), np.nan)])
def test_what_is_no_identity_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="an identity has 32 numbers"):
        traits_of(wrong)
