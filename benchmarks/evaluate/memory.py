"""Memory of the worker that evaluates: most at one time after 100 videos over after 10, 300 frames of 256x256 each.

Every video is a file of its own with its truth, of drawn people; the worker is that of `evaluate`, with the small
networks of the package.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from benchmarks.drawn.clips import drawn_perception
from benchmarks.harness import Figure
from jobs.evaluation.metrics import MeasurePairs
from pipelines.progress import track
from pipelines.storage.pair_tables import PREDICTIONS
from pipelines.storage.store import Store
from stableanimator.media.video import write_lossless
from stableanimator.metrics.settings import MetricNetworkSettings
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import ClipRenderer
from stableanimator.synthetic.script import ClipSettings

FEW, MANY = 10, 100
FRAMES, SIDE, FPS = 300, 256, 25.0
_PEOPLE = 4
"""Drawn once; the files are copies."""
_WEIGHTS = "package://stableanimator.synthetic/weights"


def figures(arguments: argparse.Namespace) -> list[Figure]:
    """The ratio and both peaks, each of a process of its own."""
    with tempfile.TemporaryDirectory(prefix="sa-memory-") as folder:
        sources = [_render(Path(folder), arguments.seed + number) for number in range(_PEOPLE)]
        peaks = {count: _peak_of(count, sources, Path(folder)) for count in (FEW, MANY)}
    told = ", ".join(f"{count} videos {peak / 2**20:.0f} MiB" for count, peak in peaks.items())
    name = f"peak memory of the evaluating worker, {MANY} over {FEW} videos of {FRAMES} frames"
    return [Figure(name, peaks[MANY] / peaks[FEW], 1.1, "lower", note=told)]


def _render(folder: Path, seed: int) -> Path:
    seconds = FRAMES / FPS
    clip = write_clip("talk", seed, ClipSettings(width=SIDE, height=SIDE, min_seconds=seconds, max_seconds=seconds))
    path = folder / f"{seed}.mp4"
    write_lossless(path, list(ClipRenderer(clip))[:FRAMES], FPS)
    return path


def _peak_of(count: int, sources: Sequence[Path], folder: Path) -> int:
    context = get_context("spawn")
    queue = context.SimpleQueue()
    worker = context.Process(target=_measure, args=(count, sources, folder, queue))
    worker.start()
    peak: int = queue.get()
    worker.join()
    return peak


def _measure(count: int, sources: Sequence[Path], folder: Path, queue: object) -> None:
    faces = replace(drawn_perception().faces, held_out=f"{_WEIGHTS}/held_out_recogniser.onnx")
    perception = replace(drawn_perception(), faces=faces)
    worker = MeasurePairs(Store("/"), perception, MetricNetworkSettings(), ("standard", "disco"), {})
    for number in track(range(count), f"measuring {count} videos", count):
        result = folder / f"result-{number}.mp4"
        shutil.copyfile(sources[number % len(sources)], result)
        truth = str(sources[(number + 1) % len(sources)])
        row = dict.fromkeys(PREDICTIONS.names) | {
            "pair_id": str(number), "status": "done", "variant": "plain", "fps": FPS, "cut_middle": [0.5, 0.5],
            "prediction_uri": str(result), "reference_uri": f"{truth}#frame=0", "truth_uri": truth,
            "frame_index": list(range(FRAMES)), "frames_left_out": 0,
        }  # fmt: skip
        worker({"predictions": [row], "repeat": True})
        result.unlink()
    queue.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)  # type: ignore[attr-defined]
