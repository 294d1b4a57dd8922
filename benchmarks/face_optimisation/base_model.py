"""The small base model of the package, with and without face optimisation, on people that no training saw.

A reference from afar and a close-up drive, where the face is what the model does worst; and a reference and a drive of
one shot, where it is right already. The model's layers over time are the identity, so each frame is made on its own,
and people say more than frames.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from benchmarks.embedded.__main__ import models_of, settings_of
from benchmarks.embedded.judge import Judge, Pictures
from benchmarks.embedded.people import Person
from benchmarks.face_optimisation.gains import PLAIN, gain_figures, time_figures, values_of
from benchmarks.face_optimisation.people import Case, Seen, seen_in
from benchmarks.harness import Figure
from benchmarks.processes import spread
from stableanimator.animate import Models, aligned, animate
from stableanimator.animate_settings import AnimateSettings
from stableanimator.diffusion.settings import FACE_OPTIMISATION_PRESETS, FaceOptimisationSettings, SamplerSettings
from stableanimator.metrics.intervals import bootstrap

_BARS = {"effective": (0.10, 0.05)}
_SAME = 0.995


@dataclass(frozen=True)
class Bench:
    """What a process needs: the networks, the settings of tiny.yaml and the judge."""

    models: Models
    settings: AnimateSettings
    judge: Judge


_bench: list[Bench] = []  # of this process


def bench() -> Bench:
    """This process's own, made when it is first asked for."""
    if not _bench:
        torch.set_num_threads(1)
        # Without checkpoints the same values come sooner, and a picture this small needs no memory.
        config = settings_of(["encoders.checkpoint_decoder=false"])
        settings = replace(config.animate.variants[PLAIN], alignment="none", face_optimisation=False)
        _bench.append(Bench(models_of(config), settings, Judge()))
    return _bench[0]


def samplers() -> dict[str, SamplerSettings]:
    """The paper's 25 steps, and those of the small model, with what tiny.yaml says of the noise of both."""
    own = bench().settings.sampler
    return {"25 steps": SamplerSettings(noise=own.noise), f"{own.steps} steps": own}


def optimised(hjb: FaceOptimisationSettings, sampler: SamplerSettings) -> AnimateSettings:
    """Settings of an animation with face optimisation."""
    return replace(bench().settings, sampler=sampler, face_optimisation=True, hjb=hjb)


def variants_of(sampler: SamplerSettings) -> dict[str, AnimateSettings]:
    """The presets, and what else comes near them: where the sampler is of second order, Euler's steps alone, which is
    half of what `released` changes; beside few steps as many updates as tiny.yaml asks for there."""
    presets = {name: optimised(hjb, sampler) for name, hjb in FACE_OPTIMISATION_PRESETS.items()}
    if sampler == bench().settings.sampler:
        return presets | {"tiny.yaml": optimised(bench().settings.hjb, sampler)}
    return presets | {"Euler, not optimised": replace(bench().settings, sampler=replace(sampler, second_order=False))}


@dataclass(frozen=True)
class Task:
    """One person, animated in variants that differ in nothing but their settings."""

    number: int
    person: Person
    sampler: SamplerSettings
    """Of plain sampling."""
    variants: Mapping[str, AnimateSettings]
    right_already: bool = False
    """Faces are then held against the reference's, and not against the truth's, which the drive may repeat."""


@dataclass(frozen=True)
class Made:
    """Frames of one variant, and the processor's seconds that they took."""

    frames: Pictures
    seconds: float


def animated(task: Task) -> tuple[dict[str, Made], Pictures]:
    """By variant, `PLAIN` among them; and the truth."""
    plain = replace(bench().settings, sampler=task.sampler)
    driven = aligned(task.person.reference, task.person.driving, plain)
    made = {}
    for name, settings in ({PLAIN: plain} | dict(task.variants)).items():
        started = time.process_time()
        frames = animate(bench().models, task.person.reference, driven, settings, seed=task.number).frames
        made[name] = Made(frames, time.process_time() - started)
    return made, driven.framing.pictures(task.person.truth)


def results_of(task: Task) -> dict[str, Seen]:
    """What is seen of a person by variant, `PLAIN` among them."""
    judge = bench().judge
    every, truth = animated(task)
    true = judge(truth)
    who = judge(task.person.reference.picture[None], poses=False) if task.right_already else true
    return {
        name: replace(seen_in(made.frames, truth, judge, true, who), seconds=made.seconds)
        for name, made in every.items()
    }


def figures(cases: Sequence[Case], workers: int) -> list[Figure]:
    """Gains from afar by both samplers, and what becomes of a face that is right already."""
    found = []
    tasks = {
        name: [Task(number, case.far, sampler, variants_of(sampler)) for number, case in enumerate(cases)]
        for name, sampler in samplers().items()
    }
    every = [task for of_sampler in tasks.values() for task in of_sampler]
    results = iter(list(spread(results_of, every, "animating from afar", workers)))
    for name, of_sampler in tasks.items():
        people = [next(results) for _ in of_sampler]
        found += gain_figures(f"from afar, {name}", people, list(of_sampler[0].variants), _BARS)
        found += time_figures(f"from afar, {name}", people, list(FACE_OPTIMISATION_PRESETS))
    own = bench().settings.sampler
    effective = {"effective": optimised(FACE_OPTIMISATION_PRESETS["effective"], own)}
    same = [Task(number, case.near, own, effective, right_already=True) for number, case in enumerate(cases)]
    found.append(same_person(f"{own.steps} steps", list(spread(results_of, same, "animating the same", workers))))
    return found


def same_person(what: str, people: Sequence[Mapping[str, Seen]]) -> Figure:
    """Held-out cosine with over without, where the face is right already."""
    before, after = (values_of(people, name, "held_out") for name in (PLAIN, "effective"))
    ratio = bootstrap(lambda a, b: a / b, after, before)
    return Figure(
        f"same person, {what}: held-out cosine, with over without", ratio.value, _SAME, "higher",
        spread=(ratio.high - ratio.low) / 2,
        note=f"{before.mean():.3f} to {after.mean():.3f}; {len(people)} people",
    )  # fmt: skip


def sheet(cases: Sequence[Case], workers: int) -> Pictures:
    """A row for each person: reference, truth, and what comes of it without and with each preset, in 25 steps."""
    sampler = samplers()["25 steps"]
    names = (PLAIN, *FACE_OPTIMISATION_PRESETS)
    tasks = [
        Task(number, case.far, sampler, {name: variants_of(sampler)[name] for name in FACE_OPTIMISATION_PRESETS})
        for number, case in enumerate(cases)
    ]
    rows = []
    for task, (made, truth) in zip(tasks, spread(animated, tasks, "the sheet", workers), strict=True):
        reference = np.asarray(
            cv2.resize(task.person.reference.picture, truth.shape[2:0:-1], interpolation=cv2.INTER_AREA)
        )
        rows.append(np.hstack([reference, truth[0], *(made[name].frames[0] for name in names)]))
    return np.vstack(rows)
