"""Which variants are compared, and over which pairs."""

from __future__ import annotations

from typing import Any

from jobs.evaluation.gains import COSINES, gains

PLAIN = {"face_optimisation": False, "alignment": "learned", "hjb": {"optimisation_steps": 3}}
VARIANTS: dict[str, dict[str, Any]] = {
    "align_none": PLAIN | {"alignment": "none"},
    "plain": PLAIN,
    "hjb": PLAIN | {"face_optimisation": True},
    "paper": PLAIN | {"face_optimisation": True, "hjb": {"optimisation_steps": 10}},
    "svd_hjb": PLAIN | {"face_optimisation": True, "alignment": "svd"},
}


def _row(pair: str, variant: str, held_out: float | None, csim: float | None = 0.5) -> dict[str, Any]:
    return dict.fromkeys(COSINES) | {"pair_id": pair, "variant": variant, "csim": csim, "csim_held_out": held_out}


def test_a_variant_is_compared_with_what_differs_in_nothing_else() -> None:
    rows = [
        _row("a", "plain", 0.1), _row("b", "plain", 0.3), _row("c", "plain", None), _row("d", "plain", 0.9),
        _row("a", "hjb", 0.4), _row("b", "hjb", 0.4), _row("c", "hjb", 0.8), _row("d", "hjb", None, None),
        _row("a", "paper", 0.0), _row("a", "align_none", 5.0), _row("a", "svd_hjb", 5.0),
    ]  # fmt: skip
    hjb, paper = gains(rows, VARIANTS)
    assert (hjb.variant, hjb.over, paper.variant, paper.over) == ("hjb", "plain", "paper", "plain")
    assert hjb.pairs == {"csim": 3, "csim_held_out": 2}  # of pairs with a face in both
    assert abs(hjb.of["csim_held_out"] - (0.3 + 0.1) / 2) < 1e-12
    assert abs(paper.of["csim_held_out"] + 0.1) < 1e-12
    assert "csim_held_out +0.200 (2)" in str(hjb)


def test_without_a_face_nothing_is_claimed() -> None:
    (one, _) = gains([_row("a", "plain", None, None), _row("a", "hjb", None, None)], VARIANTS)
    assert one.of == {}
    assert str(one).endswith("nobody has a face in both")
