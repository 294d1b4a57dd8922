"""Rebuilding beside building: how long a rebuild takes of the first build's time, and what kills of its driver change.

    python -m benchmarks.rebuild                          # 60 drawn videos, ten kills: half an hour on two idle cores
    python -m benchmarks.rebuild --videos 3 --kills 1     # to see that it runs; its numbers mean nothing

Rebuilds are submitted to a Ray head of this machine, as a user submits them, and timed from the command to its end.
First build, nothing changed, one threshold changed, one source added: all below one root. Then the end of it is built
anew at the same place, below a root that holds nothing, by a driver that is killed (kill -9) at random moments and
submitted again: its ids must be those of the rebuilds, and nothing may have been made twice.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import yaml

import jobs
from benchmarks.drawn import clips as drawn_clips
from benchmarks.harness import RESULTS, Figure, half_range, report
from jobs.rebuild.differences import KIND
from jobs.running.environment import variables
from jobs.running.local_ray import local_head
from pipelines.storage.store import Collection, Store
from stableanimator.errors import StableAnimatorError

KINDS = ("dance", "gesture", "wave", "walk")
"""Kinds of drawn clips that are accepted by default."""
STRICT_FACE_SIZE = 38.0
"""Pixels; docs/curation.md has how large the faces of drawn clips are: from 36 on, half of them below 39."""
ADDED_SHOTS = 3
"""That the other threshold accepts."""
SECONDS = (6.0, 12.0)
"""Of the videos; real ones are longer, and what a submission itself takes then matters less."""
CPUS = 4
"""Logical, of the head."""
_WAIT_S = 900.0


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """A configuration, its folder of sources, and the head that rebuilds."""

    folder: Path
    address: str

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def sources(self) -> Path:
        return self.folder / "sources"

    def command(self, *overrides: str) -> list[str]:
        """What a user types."""
        config = str(self.folder / "config.yaml")
        base = [sys.executable, "-m", "jobs.submit", "rebuild", "--config", config, "--address", self.address]
        return [*base, *overrides]


def write_world(folder: Path, videos: Sequence[Path], address: str) -> World:
    """All settings are those of tiny.yaml, but frames are sampled at the default rate, faces begin larger, so that
    there is a threshold to lower, and there is no contact sheet, whose time does not depend on the videos."""
    world = World(folder=folder, address=address)
    world.sources.mkdir(parents=True)
    for video in videos:
        add_source(world, video)
    settings = {
        "extends": str(Path(jobs.__file__).parent / "configs" / "tiny.yaml"),
        "experiment": "rebuild",
        "root": str(world.root),
        "curate": {
            "crawl": {"sources": [str(world.sources)]},
            "sample_fps": 8.0,
            "select": {"min_face_size": STRICT_FACE_SIZE},
        },
        "encode": {"sheet_rows": 0},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return world


def add_source(world: World, video: Path) -> None:
    """Copy a drawn clip; what tells clips apart is the name of its folder."""
    shutil.copy(video, world.sources / f"{video.parent.name}.mp4")


def rebuild(world: World, *overrides: str) -> float:
    """Submit a rebuild, follow it to its end, and return the seconds that it took.

    Raises:
        StableAnimatorError: it did not end with 0.
    """
    started = time.perf_counter()
    done = subprocess.run(world.command(*overrides), capture_output=True, text=True)
    if done.returncode:
        raise StableAnimatorError(
            f"a rebuild ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-2000:]}"
        )
    return time.perf_counter() - started


def ended_with(world: World) -> Collection:
    """The newest rebuild; its manifest names what it ended with."""
    return Store(str(world.root)).open(KIND)


def threshold_that_adds(world: World, shots: int) -> str:
    """An override of one threshold that accepts so many more shots, of those that it alone keeps out.

    Raises:
        StableAnimatorError: it keeps out none.
    """
    verdicts = Store(str(world.root)).open("releases").table("verdicts").to_pylist()
    only = [row["face_size"] for row in verdicts if [each["rule"] for each in row["failed_rules"]] == ["min_face_size"]]
    sizes = sorted((size for size in only if size is not None), reverse=True)
    if not sizes:
        raise StableAnimatorError("no shot is kept out by min_face_size alone; draw more videos")
    return f"curate.select.min_face_size={sizes[min(shots, len(sizes)) - 1]!r}"


def driver() -> psutil.Process | None:
    """The process of the rebuild that runs on our head; None where there is none yet."""
    for process in psutil.Process().children(recursive=True):
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        # Not the shell that Ray starts it with.
        if "jobs.rebuild" in line and Path(line[0]).name.startswith("python"):
            return process
    return None


def killed_rebuild(world: World, delay: float, *overrides: str) -> bool:
    """Submit a rebuild and kill its driver so many seconds after it began. Whether it had not ended before."""
    command = subprocess.Popen(world.command(*overrides), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + _WAIT_S
    while (process := driver()) is None:
        if command.poll() is not None:
            return False
        if time.monotonic() > deadline:
            raise StableAnimatorError("no driver came up")
        time.sleep(0.02)
    try:
        process.wait(timeout=delay)
    except psutil.TimeoutExpired:
        process.kill()
    return command.wait(timeout=_WAIT_S) != 0


def made_twice(world: World) -> list[str]:
    """What lies in the root more than once: rows of measures, shards or receipts, and ends of jobs."""
    found: list[str] = []
    for family in sorted(path for path in (world.root / "parts").iterdir() if path.is_dir()):
        for key in family.iterdir():
            if family.name == "shards":
                continue  # named by their bytes, of which the reports count those that belong to a collection
            column = {"sources": "source_uri"}.get(family.name, "shot_id")
            names = [] if family.name in ("receipts", "encoder_fingerprints") else _values(key, column, family.name)
            found += [f"{family.name} {name}" for name, count in Counter(names).items() if count > 1]
    for kind in ("releases", "benchmarks", "shards", KIND):
        count = len(Store(str(world.root)).collections(kind))
        found += [f"{count} {kind}"] if count != 1 else []
    names = [path.name for path in (world.root / "media").rglob("*.mp4")]
    return found + [f"media {name}" for name, count in Counter(names).items() if count > 1]


def _values(folder: Path, column: str, family: str) -> list[str]:
    """Of all parts of a key; a line of encode's report is one of a shot, crop and stride."""
    names = ["shot_id", "crop", "stride"] if family == "encode_report" else [column]
    rows = [row for path in folder.rglob("*.parquet") for row in pq.read_table(path, columns=names).to_pylist()]
    return [" ".join(str(row[name]) for name in names) for row in rows]


@contextmanager
def fresh_root(world: World) -> Iterator[None]:
    """A root that holds nothing, at the same place: what names it by its path has equal ids."""
    kept = world.folder / "kept"
    world.root.rename(kept)
    try:
        yield
    finally:
        shutil.rmtree(world.root, ignore_errors=True)
        kept.rename(world.root)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kills:
    """What kills of the driver changed."""

    kills: int
    builds: int
    other_ids: int
    """Names of collections that are not those of the rebuilds."""
    twice: list[str]


def kill_often(world: World, wanted: Collection, kills: int, seconds: float, *overrides: str) -> Kills:
    """Build anew, killed at `kills` moments drawn from the time that an undisturbed build takes; where a build comes to
    its end before, another one begins."""
    random = np.random.default_rng()
    done, builds, other, twice = 0, 0, 0, list[str]()
    while done < kills:
        builds += 1
        with fresh_root(world):
            # A kill costs what its attempt had begun, so moments of a whole build would never let one come to its end.
            while done < kills and killed_rebuild(world, float(random.uniform(0, seconds / 2)), *overrides):
                done += 1
            rebuild(world, *overrides)
            outputs = ended_with(world).manifest["outputs"]
            other += sum(outputs.get(name) != one for name, one in wanted.manifest["outputs"].items())
            twice += made_twice(world)
    return Kills(kills=done, builds=builds, other_ids=other, twice=twice)


def measure(world: World, added: Path, kills: int, repeats: int) -> list[Figure]:
    """All figures, in the order in which a dataset lives.

    Args:
        added: the video that becomes one source more.
    """
    first = rebuild(world)
    begun = ended_with(world)
    same = [rebuild(world) / first for _ in range(repeats)]
    unchanged = ended_with(world).id == begun.id
    loose = threshold_that_adds(world, ADDED_SHOTS)
    threshold = rebuild(world, loose)
    accepted = [_accepted(world, one) for one in (begun, ended_with(world))]
    add_source(world, added)
    source = rebuild(world, loose)
    wanted = ended_with(world)
    videos = len(list(world.sources.iterdir()))
    what = f"first build: {first:.0f} s for {videos - 1} videos"
    figures = [
        Figure("nothing changed", float(np.median(same)), 0.05, "lower", spread=half_range(same), note=what),
        Figure("another end where nothing changed", float(not unchanged), 0, "lower", note="1 where ids differ"),
        Figure("one threshold changed", threshold / first, 0.1, "lower", note=f"{loose}: {accepted} shots accepted"),
        Figure("one source added", source / first, 0.15, "lower", note=f"{videos} videos then"),
    ]
    if not kills:
        return figures
    killed = kill_often(world, wanted, kills, first, loose)
    how = f"{killed.kills} kills -9 of the driver, {killed.builds} builds from nothing"
    return [
        *figures,
        Figure("ids other than those of builds from nothing", killed.other_ids, 0, "lower", note=how),
        Figure("made twice", len(killed.twice), 0, "lower", note="; ".join(killed.twice[:3]) or how),
    ]


def _accepted(world: World, ended: Collection) -> int:
    release = Store(str(world.root)).open("releases", ended.manifest["outputs"]["release"])
    return int(release.manifest["counts"]["shots"]["accept"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report. Returns 0, or 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rebuild", description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=60)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3, help="of the rebuild after nothing changed")
    parser.add_argument("--clips", type=Path, default=drawn_clips.default_folder(), help="where drawn clips are kept")
    options = parser.parse_args(arguments)
    clips = drawn_clips.draw(drawn_clips.unseen_clips(options.videos + 1, KINDS, SECONDS), options.clips, workers=2)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with (
        tempfile.TemporaryDirectory(prefix="sa-rebuild-") as folder,
        variables({"SA_ROOT": folder}),
        local_head(CPUS) as address,
    ):
        world = write_world(Path(folder) / "world", clips[:-1], address)
        figures = measure(world, clips[-1], options.kills, options.repeats)
    whole = options.videos >= parser.get_default("videos") and options.kills >= parser.get_default("kills")
    return report("rebuild", figures, folder=RESULTS if whole else None)


if __name__ == "__main__":
    sys.exit(main())
