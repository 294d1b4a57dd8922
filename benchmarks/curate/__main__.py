"""Curation beside the public workflow, beside a pool of processes, and against itself at other sizes.

    python -m benchmarks.curate                    # about 40 minutes on two idle cores
    python -m benchmarks.curate --quick            # a minute, to see that it runs; its numbers mean nothing
    python -m benchmarks.curate --only select

All variants see the same clips, networks, sampled frames and detector sizes, with one ONNX thread a process, and run
in turns in fresh processes. benchmarks.curate.variants says what each of them does. "Steady" is from when every worker
has ended two videos to when the first has none left, in every variant with workers.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import harness
from benchmarks.curate.variants import (
    Outcome,
    Samples,
    Steady,
    Work,
    end_times,
    in_new_process,
    run_bare,
    run_memory,
    run_pool,
    run_public,
    run_ray,
    sampled_frames,
    steady_state,
)
from benchmarks.curate.world import World, choose_world, endless_clip, filled_store
from benchmarks.harness import Figure, half_range, ratio, report
from benchmarks.reselect import KEYS, write_measures
from benchmarks.reselect import select as select_again
from pipelines.curation import CurateSettings, MeasureName
from pipelines.storage.compaction import settle
from pipelines.storage.store import Store
from stableanimator.errors import InputError, UserError

WORKERS = 2
MODELS: tuple[MeasureName, ...] = ("people", "face_quality", "keypoints")
"""The measures that the public workflow has too."""
PARTS = ("throughput", "pool", "select", "memory")
MINUTES = 3.0
"""Of steady state that the comparison with a pool needs at least."""
_MARGIN = 1.1  # by which the first run is made longer, so that the others are long enough too
SHOT_SECONDS = 4
"""Of a stored shot that is selected again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How much is measured."""

    repeats: int
    minutes: float
    clips: int | None
    copies: int
    """Of the clips, to begin with."""
    shots: int
    clip_seconds: tuple[float, float]
    sample_fps: float


FULL = Size(repeats=2, minutes=MINUTES, clips=None, copies=3, shots=10_000, clip_seconds=(60.0, 600.0), sample_fps=8.0)
QUICK = Size(repeats=1, minutes=0.0, clips=2, copies=5, shots=40, clip_seconds=(2.0, 4.0), sample_fps=0.5)


class Bench:
    """The parts of the benchmark, each a list of figures."""

    def __init__(self, world: World, size: Size, work: Path) -> None:
        self._world, self._size, self._work = world, size, work
        self._clips = list(world.clips[: size.clips])
        self._settings = CurateSettings(actors=WORKERS, sample_fps=size.sample_fps)
        self._stores = 0

    def _new(self, clips: Sequence[Path], copies: int, measures: tuple[MeasureName, ...] | None = None) -> Work:
        """Work on a store of its own."""
        self._stores += 1
        store, videos = filled_store(self._work / f"store{self._stores}", clips, copies)
        settings = self._settings if measures is None else replace(self._settings, measures=measures)
        return Work(root=store.root, videos=videos, settings=settings, perception=self._world.perception)

    def _run(self, variant: Callable[..., Outcome], work: Work, *arguments: object) -> Outcome:
        outcome = in_new_process(variant, work, *arguments)
        steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in outcome.steps.items())
        print(f"  {variant.__name__} on {len(work.videos)} videos: {outcome.whole:.1f} s ({steps})", flush=True)
        return outcome

    def _run_steady(self, variant: Callable[..., Outcome], work: Work) -> tuple[Steady, Outcome, Samples]:
        """A run with workers, its steady part, and the frames that were looked at."""
        with end_times(work) as ended:
            outcome = self._run(variant, work)
        samples = sampled_frames(work)
        state = steady_state(work, ended, samples)
        print(f"    steady: {state.frames} frames in {state.seconds:.1f} s", flush=True)
        return state, outcome, samples

    def throughput(self) -> list[Figure]:
        """Ours over the public workflow, and how near it comes to what decoding and networks alone would allow."""
        seconds: dict[str, list[float]] = {
            name: [] for name in ("ours", "ours whole", "public", "bare", "trimmed", "threads")
        }
        for _ in range(self._size.repeats):
            ours = self._new(self._clips, self._size.copies, MODELS)
            state, outcome, samples = self._run_steady(run_ray, ours)
            seconds["ours"].append(state.seconds_per_frame)
            seconds["ours whole"].append(outcome.whole / sum(map(len, samples.values())))
            one = self._new(self._clips, 1, MODELS)
            frames = sum(len(samples[video.video_id]) for video in one.videos)
            for name, variant, arguments in (
                ("public", run_public, (samples, 1)),
                ("bare", run_bare, (samples, True)),
                ("trimmed", run_bare, (samples, False)),
                ("threads", run_public, (samples, 0)),
            ):
                seconds[name].append(self._run(variant, one, *arguments).work / frames)
        ceiling = [each / WORKERS for each in seconds["bare"]]
        trimmed = [each / WORKERS for each in seconds["trimmed"]]
        share, share_spread = ratio(ceiling, seconds["ours"])
        return [
            Figure("throughput, share of the ceiling", share, 0.8, "higher", spread=share_spread,
                   note="ceiling: decoding and networks alone, in one process, divided by two cores"),
            _told("the same, of a ceiling with our smaller face detector inputs", ratio(trimmed, seconds["ours"]),
                  "what is left: two processes slow each other, cut detection, Ray"),
            _told("throughput over the public workflow", ratio(seconds["public"], seconds["ours"]),
                  "one process, one ONNX thread; steady"),
            _told("ceiling over the public workflow", ratio(seconds["public"], ceiling)),
            _told("throughput over the public workflow, start-up included",
                  ratio(seconds["public"], seconds["ours whole"]), "start-up of Ray and models on our side alone"),
            _told("throughput over the public workflow, all cores", ratio(seconds["threads"], seconds["ours"]),
                  "one process, onnxruntime's own number of threads; steady"),
        ]  # fmt: skip

    def pool(self) -> list[Figure]:
        """Ours beside multiprocessing.Pool(2) on all measures."""
        variants = {"ray": run_ray, "pool": run_pool}
        states: dict[str, list[Steady]] = {name: [] for name in variants}
        whole: dict[str, list[float]] = {name: [] for name in variants}
        copies = self._size.copies
        for turn in range(self._size.repeats):
            for name in list(variants) if turn % 2 == 0 else reversed(variants):
                state, outcome, _ = self._run_steady(variants[name], self._new(self._clips, copies))
                while not states["ray"] and state.seconds < _MARGIN * 60 * self._size.minutes:
                    copies = math.ceil(copies * _MARGIN**2 * 60 * self._size.minutes / state.seconds)
                    state, outcome, _ = self._run_steady(variants[name], self._new(self._clips, copies))
                states[name].append(state)
                whole[name].append(outcome.whole)
        value, spread = ratio(*([state.seconds_per_frame for state in states[name]] for name in variants))
        whole_value, whole_spread = ratio(whole["ray"], whole["pool"])
        shortest = min(state.seconds for name in variants for state in states[name])
        return [
            Figure("wall time over multiprocessing.Pool(2), steady", value, 1.1, "lower", spread=spread,
                   note=f"{copies * len(self._clips)} videos, all measures, at least {shortest:.0f} s steady"),
            Figure("wall time over multiprocessing.Pool(2), start-up included", whole_value, None, "lower",
                   spread=whole_spread, note="Ray's own start and stop included"),
        ]  # fmt: skip

    def select(self) -> list[Figure]:
        """Another threshold on stored measures, in this process; benchmarks.reselect tells more of it."""
        store, shots = Store(str(self._work / "stored")), self._size.shots
        sources = write_measures(store, videos=shots // 2, shots=shots, frames=round(SHOT_SECONDS * 8))
        settle(store, KEYS.families())
        accepted = iter((0.5, 0.51, 0.52, 0.53))
        select_again(store, sources, next(accepted))  # the release that somebody has
        again = {"select": lambda: select_again(store, sources, next(accepted))}
        seconds = harness.interleave(again, 3)["select"]
        return [
            Figure(f"re-select of {shots:,} stored shots", statistics.median(seconds), 5.0, "lower", "s",
                   half_range(seconds), f"half accepted, {SHOT_SECONDS} s each; no media, so nothing can be decoded"),
        ]  # fmt: skip

    def memory(self) -> list[Figure]:
        """Peak memory of a process on a long clip over that on a short one."""
        outcomes = {}
        with ThreadPoolExecutor(2) as both:  # at the same time: they share nothing but the machine
            for seconds in self._size.clip_seconds:
                clip = endless_clip(self._clips[0], self._work / f"{seconds:g}s.mp4", seconds)
                outcomes[seconds] = both.submit(self._run, run_memory, self._new([clip], 1))
        short, long = (outcomes[seconds].result().megabytes for seconds in self._size.clip_seconds)
        first, second = self._size.clip_seconds
        return [
            Figure(f"peak memory, {second:g} s clip over {first:g} s clip", long / short, 1.2, "lower",
                   note=f"{long:.0f} over {short:.0f} MiB; one shot, all measures"),
        ]  # fmt: skip


def _told(name: str, measured: tuple[float, float | None], note: str = "") -> Figure:
    """A ratio that is told and has no bar."""
    value, spread = measured
    return Figure(name, value, None, "higher", spread=spread, note=note)


def _parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python -m benchmarks.curate", description=__doc__.splitlines()[0])
    result.add_argument("--quick", action="store_true", help="small sizes, nothing written: to see that it runs")
    result.add_argument("--only", metavar="A,B", help=f"of: {', '.join(PARTS)}; nothing is written")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark. Returns 0, 1 where a bar is missed, or 2 for the user's mistake."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING)
    os.environ["OMP_NUM_THREADS"] = "1"
    work = Path(tempfile.mkdtemp(prefix="bench-curate-"))
    try:
        parts = _parts(arguments.only)
        busy = os.getloadavg()[0]
        if busy > 0.5:
            print(f"warning: the machine is not idle (load {busy:.1f}); its figures will be worse than they are")
        world = choose_world(work)
        print(f"{len(world.clips)} {world.what}")
        bench = Bench(world, QUICK if arguments.quick else FULL, work)
        figures = []
        for part in parts:
            print(f"{part}:", flush=True)
            figures += getattr(bench, part)()
        partial = arguments.quick or arguments.only
        return report("curate", figures, folder=None if partial else harness.RESULTS)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(work)


def _parts(only: str | None) -> list[str]:
    parts = list(PARTS) if only is None else [name.strip() for name in only.split(",")]
    for part in parts:
        if part not in PARTS:
            raise InputError(f"--only: {part!r} is no part; choose from {', '.join(PARTS)}")
    return parts


if __name__ == "__main__":
    sys.exit(main())
