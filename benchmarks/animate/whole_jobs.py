"""The jobs themselves on a MisAlign set of 20 s clips: how much of its drives is animated and scored, and what
`jobs.animate` takes over a loop of library calls that makes the same videos.

Every run is a process of its own, from its start to its end, on one thread; the job starts a Ray of its own too.

    python -m benchmarks.animate.whole_jobs CONFIG OUT       # the loop alone
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
import yaml

import jobs
from benchmarks.drawn.clips import FIRST_SEED, WEIGHTS
from benchmarks.harness import Figure, interleave, ratio
from pipelines.storage.store import Store
from stableanimator.errors import StableAnimatorError

SECONDS, DRAWN = 20.0, "21-22"
"""Of the drives, and of the clips of which they are a part."""
SCORED, TIMED = 3, 12
"""Pairs of either part; those that are timed take the loop more than three minutes."""
_COVERAGE, _OVERHEAD = 0.98, 1.05
_LOOK_S = 2.0
"""Seconds between looks at all processes. They take time of the cores: five looks a second made the job 3 % slower."""
_SEED = FIRST_SEED + 900_000
_VARIANT = "plain"
_ALONE = f"animate.variants={{{_VARIANT}: {{face_optimisation: off}}}}"


def coverage(folder: Path | None = None) -> list[Figure]:
    """Of a set that is built, animated and evaluated by its three jobs."""
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        config = write_world(Path(inside), SCORED)
        for verb in ("benchmark", "animate", "evaluate"):
            run(_job(verb, config))
        store = Store(str(Path(inside) / "root"))
        made = store.open("predictions").table("predictions").to_pylist()
        scored = store.open("metrics").table("metrics").to_pylist()
    driven = sum(len(row["frame_index"]) / row["fps"] for row in made if row["status"] == "done")
    whole = SCORED * SECONDS
    judged = [row["coverage"] or 0.0 for row in scored if row["variant"] == _VARIANT]
    note = f"{len(made)} pairs, {driven:.0f} of {whole:.0f} s"
    return [
        Figure("seconds animated over those of the drives", driven / whole, _COVERAGE, "higher", note=note),
        Figure("frames scored over those of the drives", float(np.mean(judged)), _COVERAGE, "higher"),
    ]  # fmt: skip


def overhead(repeats: int, folder: Path | None = None) -> list[Figure]:
    """Wall time and processor time of the job over the loop, in turns."""
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        config, number = write_world(Path(inside), TIMED), iter(range(2 * repeats))
        run(_job("benchmark", config))
        work: dict[str, list[float]] = {"loop": [], "job": []}

        def loop() -> None:
            out = str(Path(inside) / f"loop-{next(number)}")
            work["loop"].append(
                processor_seconds([sys.executable, "-m", "benchmarks.animate.whole_jobs", str(config), out])
            )

        def job() -> None:
            # Another seed of the sampler's noise for each, so that no video is there already.
            noise = f"animate.settings.sampler.sigma_max={20 + next(number)}"
            work["job"].append(processor_seconds(_job("animate", config, noise)))

        variants: dict[str, Callable[[], object]] = {"loop": loop, "job": job}
        seconds = interleave(variants, repeats)
    value, spread = ratio(seconds["job"], seconds["loop"])
    busy, busy_spread = ratio(work["job"], work["loop"])
    note = f"{TIMED} clips of {SECONDS:.0f} s; the loop takes {min(seconds['loop']):.0f} s"
    return [
        Figure("wall time of the job over the library loop", value, _OVERHEAD, "lower", spread=spread, note=note),
        Figure("processor time of the job, Ray's own included, over the loop", busy, None, "lower", spread=busy_spread),
    ]


def write_world(folder: Path, videos: int) -> Path:
    """Drawn clips, and a configuration that animates a MisAlign set of them with the small base model."""
    drawn = [sys.executable, "-m", "stableanimator.synthetic.render", "--out", str(folder / "videos")]
    more = ["--count", f"{videos}", "--seed", f"{_SEED}", "--kinds", "gesture,wave,talk", "--seconds", DRAWN]
    run([*drawn, *more])
    settings = {
        "extends": str(Path(jobs.__file__).parent / "configs" / "tiny.yaml"),
        "experiment": "animate",
        "root": str(folder / "root"),
        "benchmark": {"pairs": videos, "seconds": SECONDS, "crawl": {"sources": [str(folder / "videos")]}},
        "animate": {
            "model": str(WEIGHTS / "base"),
            "actors": 1,
            "fps": 8.0,
            "settings": {"alignment": "svd"},
        },
        "evaluate": {"videos": videos},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def _job(verb: str, config: Path, *overrides: str) -> list[str]:
    return [sys.executable, "-m", f"jobs.{verb}", "--config", str(config), _ALONE, *overrides]


def library_loop(config_path: str, out: Path) -> None:
    """What somebody would write who has a table of pairs and no Ray: look, align, animate, write, one by one."""
    # Here: what is measured is a process that imports what it needs.
    import torch

    from jobs.pairs.files import opened
    from jobs.pairs.inputs import PairReader, assign
    from jobs.pairs.pairs_table import URIS, named_pairs
    from jobs.running.config import load
    from pipelines.storage.inputs import Inputs
    from stableanimator.animate import aligned, animate
    from stableanimator.inference.loading import load_models
    from stableanimator.media.video import write_mp4

    torch.set_num_threads(1)
    config = load(config_path, [_ALONE])
    assert config.perception is not None
    assert config.animate.fps is not None
    reader, settings = PairReader(config.perception.without_judge()), config.animate.variants[_VARIANT]
    models = load_models(config.animate.model, config.encoders, reader.faces, device="cpu", precision="float32",
                         face_optimisation=False)  # fmt: skip
    out.mkdir()
    store = Store(config.root)
    for pair in named_pairs(store, "latest", "animate.pairs").rows:
        with opened(Inputs(store), pair, URIS) as there:
            drive = reader.drive(there, config.animate.fps, settings.max_frames)
            reference = reader.reference(there["reference_uri"], settings.background)
        driven = aligned(*assign(pair, reference, drive), settings, models.aligner)
        animation = animate(models, reference, driven, settings, seed=pair["seed"] or 0)
        write_mp4(out / f"{len(list(out.iterdir()))}.mp4", animation.frames, driven.fps)


def run(command: Sequence[str]) -> None:
    """Do it, on one thread.

    Raises:
        StableAnimatorError: it did not end with 0.
    """
    processor_seconds(command)


def processor_seconds(command: Sequence[str], look: float = _LOOK_S) -> float:
    """Of a command and of all that it started; what ends between two looks counts as the last look saw it.

    Raises:
        StableAnimatorError: it did not end with 0.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    for name in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        environment.pop(name, None)
    used: dict[tuple[int, float], float] = {}
    with tempfile.TemporaryFile("w+") as output:
        process = psutil.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            with contextlib.suppress(psutil.Error):
                for each in (process, *process.children(recursive=True)):
                    times = each.cpu_times()
                    used[each.pid, each.create_time()] = times.user + times.system
            with contextlib.suppress(subprocess.TimeoutExpired, psutil.TimeoutExpired):
                process.wait(timeout=look)
        if process.returncode:
            output.seek(0)
            raise StableAnimatorError(f"{command[2]} ended with {process.returncode}:\n{output.read()[-3000:]}")
    return sum(used.values())


if __name__ == "__main__":
    library_loop(sys.argv[1], Path(sys.argv[2]))
