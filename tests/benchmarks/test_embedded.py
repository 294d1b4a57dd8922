"""What the parts of the animation do to the result, on the base model of the package and as the held-out judge sees it:
the same measurements as `python -m benchmarks.embedded`, on a few people."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.drawn.clips import FIRST_SEED
from benchmarks.embedded import far, misaligned
from benchmarks.embedded.__main__ import models_of, settings_of
from benchmarks.embedded.judge import Judge
from benchmarks.harness import Figure

PEOPLE = 6


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge()


def _values(figures: list[Figure]) -> dict[str, float]:
    return {figure.name: figure.value for figure in figures}


def test_alignment_brings_poses_back_to_where_the_judge_finds_them(judge: Judge) -> None:
    config = settings_of([])
    figures = misaligned.measure(
        models_of(config), config.animate.variants["plain"], judge, PEOPLE, FIRST_SEED + 700_000
    )
    values = _values(figures)
    assert values["misaligned: joints within 10 %, learned less none"] > 0.2
    assert values["misaligned: SSIM, learned less none"] > 0.02


def test_the_face_embedding_decides_who_is_seen_from_close_up(judge: Judge) -> None:
    config = settings_of([])
    settings = replace(config.animate.variants["plain"], face_optimisation=False)
    _, cases = far.measure(models_of(config), settings, judge, PEOPLE, FIRST_SEED + 710_000)
    own, none, stranger = (far.likeness(cases, name).mean() for name in ("own", "none", "stranger"))
    assert own > none + 0.05
    assert own > stranger + 0.05
