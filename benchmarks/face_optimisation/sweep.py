"""How the preset `effective` is chosen: settings beside each other on the small base model, in 25 steps.

Judged by the recogniser that is optimised and by PSNR alone; the held-out one judges the chosen setting, once, on
people of another seed (the benchmark without `--sweep`). From a first setting one number at a time is changed to each
of its other values; the best is the first setting of a second round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmarks.face_optimisation.base_model import Task, optimised, results_of, samplers
from benchmarks.face_optimisation.gains import gain_of
from benchmarks.face_optimisation.people import Case, Seen
from benchmarks.harness import Figure
from benchmarks.processes import spread
from stableanimator.diffusion.sampler import karras_sigmas
from stableanimator.diffusion.settings import FaceOptimisationSettings
from stableanimator.metrics.intervals import Interval

GRID = (
    [{"sigma_max": high, "sigma_min": low} for high, low in ((1000, 0.1), (25, 0.1), (10, 0.1), (5, 0.1), (25, 0.5))],
    [{"optimisation_steps": steps} for steps in (1, 3, 5)],
    [{"learning_rate": rate} for rate in (0.05, 0.1, 0.2)],
    [{"correction": name} for name in ("carried", "euler")],
    [{"face_margin": margin} for margin in (0.1, 0.3, 0.6)],
)
"""Values of each number; those of a noise window go together."""
MOST_PSNR_LOST = 0.1
"""dB in the person's box that a setting may cost."""
NEARLY = 0.95
"""Share of the best gain with which a setting that computes less is preferred."""
_ROUNDS = 2


def neighbours(first: FaceOptimisationSettings) -> list[FaceOptimisationSettings]:
    """The setting itself, and every one that differs from it in one number or window of the grid."""
    found = [first]
    for values in GRID:
        for value in values:
            other = replace(first, **value)
            if other not in found:
                found.append(other)
    return found


def updates_of(settings: FaceOptimisationSettings) -> int:
    """Adam's steps in a run of 25 steps."""
    sampler = samplers()["25 steps"]
    levels = karras_sigmas(sampler.steps, sampler.sigma_min, sampler.sigma_max, sampler.rho)[:-1].tolist()
    return settings.optimisation_steps * sum(settings.sigma_min <= level <= settings.sigma_max for level in levels)


def chosen_of(
    gains: Mapping[FaceOptimisationSettings, tuple[float, float]], updates: Mapping[FaceOptimisationSettings, int]
) -> FaceOptimisationSettings:
    """Of the settings that lose no more than `MOST_PSNR_LOST`: the one of fewest updates among those whose gain is
    nearly the best; of equals the one of the larger gain.

    Args:
        gains: of the optimised recogniser's cosine, and of PSNR in dB.
        updates: Adam's steps in a run.
    """
    kept = {each: gain for each, (gain, psnr) in gains.items() if psnr >= -MOST_PSNR_LOST} or {
        max(gains, key=lambda each: gains[each][1]): 0.0
    }
    best = max(kept.values())
    return min((each for each in kept if kept[each] >= NEARLY * best), key=lambda each: (updates[each], -kept[each]))


def figures(cases: Sequence[Case], workers: int) -> list[Figure]:
    """Gains of all settings that were tried, and which is chosen."""
    tried: dict[FaceOptimisationSettings, tuple[Interval, Interval]] = {}
    first = FaceOptimisationSettings()
    for turn in range(_ROUNDS):
        tried |= _gains(cases, [each for each in neighbours(first) if each not in tried], workers)
        chosen = chosen_of(
            {each: (gain.value, psnr.value) for each, (gain, psnr) in tried.items()},
            {each: updates_of(each) for each in tried},
        )
        print(f"round {turn + 1}: {_name(chosen)} of {len(tried)}", flush=True)
        if chosen == first:
            break
        first = chosen
    found = []
    for each, (gain, psnr) in sorted(tried.items(), key=lambda one: -one[1][0].value):
        note = f"PSNR {psnr.value:+.2f} dB; {updates_of(each)} updates{'; chosen' if each == first else ''}"
        found.append(Figure(_name(each), gain.value, None, "higher", spread=(gain.high - gain.low) / 2, note=note))
    return found


def _gains(
    cases: Sequence[Case], settings: Sequence[FaceOptimisationSettings], workers: int
) -> dict[FaceOptimisationSettings, tuple[Interval, Interval]]:
    sampler = samplers()["25 steps"]
    variants = {_name(each): optimised(each, sampler) for each in settings}
    tasks = [Task(number, case.far, sampler, variants) for number, case in enumerate(cases)]
    people: list[dict[str, Seen]] = list(spread(results_of, tasks, f"{len(settings)} settings", workers))
    gains = {
        each: (gain_of(people, _name(each), "optimised"), gain_of(people, _name(each), "psnr")) for each in settings
    }
    for each, (gain, psnr) in gains.items():
        print(f"{_name(each)}: cosine {gain.value:+.3f}, PSNR {psnr.value:+.2f} dB", flush=True)
    return gains


def _name(each: FaceOptimisationSettings) -> str:
    return (
        f"sigma {each.sigma_max:g} to {each.sigma_min:g}, {each.optimisation_steps} updates at {each.learning_rate:g}, "
        f"{each.correction}, margin {each.face_margin:g}"
    )
