"""What face optimisation does to final frames, by a recogniser that it never saw: the measurements of
`python -m benchmarks.face_optimisation`, on a few people; and what those rest on."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.drawn.clips import FIRST_SEED
from benchmarks.face_optimisation import analytic, base_model, confinement, sweep
from benchmarks.face_optimisation.gains import PLAIN, gain_figures
from benchmarks.face_optimisation.people import Seen, people
from benchmarks.harness import Figure
from stableanimator.diffusion.sampler import karras_sigmas, sample
from stableanimator.diffusion.settings import FACE_OPTIMISATION_PRESETS, FaceOptimisationSettings, SamplerSettings

PEOPLE = 4
SEED = FIRST_SEED + 1_200_000


def _values(figures: list[Figure]) -> dict[str, float]:
    return {figure.name: figure.value for figure in figures}


@pytest.mark.numeric
@pytest.mark.parametrize("sigma", [30.0, 3.0, 0.3])
def test_of_a_change_at_a_level_the_closed_form_is_left(sigma: float) -> None:
    """S / sqrt(S^2 + s^2), by the sampler itself in fine steps."""
    mean = torch.tensor([0.2, -0.5], dtype=torch.float64)
    denoise = analytic.Gaussian(mean, 0.3)
    sigmas, sampler = karras_sigmas(400, 1e-4, sigma), SamplerSettings()
    start = mean + 0.7
    ends = [sample(denoise, x, sigmas, sampler) for x in (start, start + 0.1)]
    left = ((ends[1] - ends[0]) / 0.1).tolist()
    assert left == pytest.approx([analytic.remaining(0.3, sigma)] * 2, rel=1e-3)
    assert analytic.remaining(0.3, 34.5) == pytest.approx(0.0087, abs=1e-4)


@pytest.mark.numeric
def test_a_changed_prediction_is_forgotten_as_its_level_says() -> None:
    """One step's prediction is moved by 1: x moves by 1 - s' / s, and of that S / sqrt(S^2 + s'^2) is left."""
    mean, levels = torch.zeros(1, dtype=torch.float64), karras_sigmas(25, 0.002, 700.0)

    def moved_at(step: int) -> float:
        def hook(x_pred: Tensor, i: int, steps: int, sigma: float) -> Tensor:
            return x_pred + 1 if i == step else x_pred

        denoise = analytic.Gaussian(mean, 0.3)
        return float(sample(denoise, mean, levels, SamplerSettings(), hook=hook, correction="euler"))

    for step in (2, 9, 15, 20):
        now, after = float(levels[step]), float(levels[step + 1])
        expected = (1 - after / now) * analytic.remaining(0.3, after)
        assert moved_at(step) == pytest.approx(expected, rel=0.1)
    assert moved_at(9) < 0.01 < 0.3 < moved_at(20)


def test_pixels_are_folded_and_unfolded() -> None:
    pictures = torch.rand(2, 3, 16, 24)
    latents = analytic.to_latents(pictures)
    assert latents.shape == (2, 192, 2, 3)
    assert (analytic.from_latents(latents) == pictures).all()
    one = torch.zeros(1, 3, 16, 24)
    one[0, 1, 9, 20] = 1  # lies in the cell of row 1, column 2
    assert analytic.to_latents(one).sum(1)[0].tolist() == [[0, 0, 0], [0, 0, 1]]


def test_the_sweep_prefers_less_work_among_those_that_are_nearly_best() -> None:
    few, many, best, harmful = (FaceOptimisationSettings(optimisation_steps=steps) for steps in (1, 2, 3, 4))
    updates = {each: each.optimisation_steps for each in (few, many, best, harmful)}
    gains = {few: (0.10, 0.0), many: (0.29, 0.0), best: (0.30, -0.05), harmful: (0.5, -0.2)}
    assert sweep.chosen_of(gains, updates) == many
    assert sweep.chosen_of({**gains, many: (0.28, 0.0)}, updates) == best
    assert sweep.chosen_of({harmful: (0.5, -0.2), few: (0.1, -0.15)}, updates) == few


def test_the_sweep_changes_one_thing_at_a_time() -> None:
    first = FaceOptimisationSettings()
    around = sweep.neighbours(first)
    assert around[0] == first
    assert len(set(around)) == len(around) == 1 + 4 + 2 + 2 + 1 + 2
    assert sweep.updates_of(replace(first, optimisation_steps=2, sigma_min=0.1, sigma_max=25.0)) == 2 * 10


def test_gains_are_of_the_same_people() -> None:
    def seen(value: float) -> Seen:
        return Seen(held_out=value, optimised=2 * value, psnr=20 + value, found=1.0)

    found = [{PLAIN: seen(a), "effective": seen(a + 0.2), "released": seen(a + 0.1)} for a in (0.1, 0.5, 0.3)]
    figures = gain_figures("x", found, ["effective", "released"], {"effective": (0.15, 0.05)})
    values = _values(figures)
    assert values["x, effective: gain of held-out cosine"] == pytest.approx(0.2)
    assert values["x, effective: lower end of the held-out gain"] == pytest.approx(0.2)
    assert values["x, effective: gain of optimised recogniser's cosine"] == pytest.approx(0.4)
    assert values["x, released: gain of PSNR in the person's box"] == pytest.approx(0.1)
    assert values["x: held-out cosine, effective less released"] == pytest.approx(0.1)
    assert [figure.name for figure in figures if figure.bar is not None] == [
        "x, effective: gain of held-out cosine",
        "x, effective: lower end of the held-out gain",
        "x: held-out cosine, effective less released",
    ]


@pytest.mark.slow
def test_the_held_out_recogniser_sees_what_effective_does_to_the_base_model() -> None:
    cases = people(PEOPLE, SEED, base_model.bench().judge, 1)
    sampler = SamplerSettings(noise="shared")
    variants = {"effective": base_model.optimised(FACE_OPTIMISATION_PRESETS["effective"], sampler)}
    found = [
        base_model.results_of(base_model.Task(number, case.far, sampler, variants)) for number, case in enumerate(cases)
    ]
    gain = np.array([person["effective"].held_out - person[PLAIN].held_out for person in found])
    assert gain.mean() > 0.05
    assert all(math.isfinite(person["effective"].psnr) for person in found)


@pytest.mark.slow
def test_around_an_analytic_denoiser_effective_changes_the_face_and_the_papers_steps_do_not() -> None:
    cases = people(PEOPLE, SEED + 10_000, base_model.bench().judge, 2)
    values = _values(analytic.figures(cases, 1))
    assert values["analytic denoiser, effective: gain of held-out cosine"] > 0.08
    assert abs(values["analytic denoiser, paper: gain of held-out cosine"]) < 0.01
    assert values["analytic denoiser: held-out cosine, effective less released"] > 0
    assert values["same person, analytic denoiser: held-out cosine, with over without"] > 0.99


@pytest.mark.slow
def test_only_the_face_moves_and_chunks_change_no_gradient() -> None:
    cases = people(2, SEED + 20_000, base_model.bench().judge, confinement.FRAMES)
    figures = confinement.figures(cases)
    assert [figure.name for figure in figures if figure.met is False] == []
    values = _values(figures)
    assert values["change of x_op outside over inside, nothing confined (paper, released)"] > 0.8
    assert values["change of final frames outside the widened boxes over inside"] < 0.3
