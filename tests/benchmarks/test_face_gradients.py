"""Which way a face shall move, by cheaper decoders than the whole frame's; the package's networks, drawn people."""

from __future__ import annotations

import pytest

from benchmarks.face_optimisation.memory import MODES, arcface_of, encoders_of, gradient_cosine

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize(
    ("least", "mode"),
    [(0.95, "face"), (0.999, "face, statistics of the frame"), (0.85, "tiny"), (0.85, "face and tiny")],
)
def test_the_gradient_inside_the_face_is_nearly_that_of_whole_frames(least: float, mode: str) -> None:
    encoders, arcface = encoders_of(), arcface_of()
    assert min(gradient_cosine(encoders, arcface, seed, MODES[mode]) for seed in (900, 910)) > least
