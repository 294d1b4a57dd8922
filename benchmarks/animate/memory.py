"""Peak memory and processor time of a frame of long drives over short ones, each in a process of its own."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.animate.world import bench, loops
from benchmarks.harness import Figure, half_range, ratio
from stableanimator.animate import sampled
from stableanimator.media.video import write_mp4

SHORT, LONG, REPEATS = 64, 512, 3
_BAR = 1.1


def figures(seed: int) -> list[Figure]:
    """From drive to mp4."""
    runs = [{frames: _run(frames, seed) for frames in (SHORT, LONG)} for _ in range(REPEATS)]
    peaks, seconds = ([[run[frames][what] for run in runs] for frames in (LONG, SHORT)] for what in ("peak", "seconds"))
    memory, memory_spread = ratio(*peaks)
    value, spread = ratio(*seconds)
    what = f"{LONG} frames over {SHORT}"
    return [
        Figure(
            f"peak memory of the process, {what}", memory, _BAR, "lower", spread=memory_spread,
            note=f"{peaks[1][0] / 2**20:.0f} MiB and {peaks[0][0] / 2**20:.0f} MiB; range {half_range(peaks[0])}",
        ),
        Figure(f"processor time of a frame, {what}", value, _BAR, "lower", spread=spread),
    ]  # fmt: skip


def _run(frames: int, seed: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.animate.memory", str(frames), "--seed", str(seed)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def measured(frames: int, seed: int) -> dict[str, float]:
    """Bytes and seconds of a frame, in this process, whose networks are warm."""
    (loop,) = loops(1, seed)
    settings, reference = bench().settings, loop.person.reference
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "clip.mp4"
        clip = sampled(bench().models, reference, loop.driven(settings.window), settings)
        write_mp4(target, clip.frames(), 8.0)
        started = time.process_time()
        clip = sampled(bench().models, reference, loop.driven(frames), settings)
        write_mp4(target, clip.frames(), 8.0)
        seconds = time.process_time() - started
    return {"peak": 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "seconds": seconds / frames}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("frames", type=int)
    parser.add_argument("--seed", type=int, required=True)
    chosen = parser.parse_args()
    print(json.dumps(measured(chosen.frames, chosen.seed)))
