"""Whatever is killed, cut short, damaged or full: the next run of curate ends with the rows of an undisturbed one.

The job that is disturbed is a process of its own with a Ray of its own; the next run is made here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from jobs import curate
from jobs.running.config import load
from jobs.tracking.runs import Job, job_run
from pipelines.storage.compaction import compact
from pipelines.storage.store import Collection, Store
from stableanimator.media.video import write_mp4

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cluster")]

CLIPS = 8
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of two shots each, textures before a camera that stands or moves, and a file that was cut short."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(CLIPS):
        frames = []
        for shot in range(2):
            coarse = np.random.default_rng([number, shot]).integers(20, 235, (20, 40, 3), np.uint8)
            world = cv2.resize(coarse, (400, 200), interpolation=cv2.INTER_CUBIC)
            frames += [np.ascontiguousarray(world[:, at * (number % 3) : at * (number % 3) + 320]) for at in range(40)]
        write_mp4(folder / f"{number}.mp4", frames, 24.0)
    (folder / "cut.mp4").write_bytes((folder / "0.mp4").read_bytes()[:900])
    return folder


def _config(folder: Path, clips: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(
        f"experiment: failures\nroot: {folder}/root\ncurate:\n  measures: [camera_motion]\n  actors: 1\n"
        f"  cpus_per_actor: 0.5\n  crawl: {{sources: ['{clips}']}}\n"
        "  select: {min_seconds: 0.5, min_width: null, min_height: null, min_subject_motion: null}\n"
    )
    return path


def _run_here(config: Path) -> Collection:
    loaded = load(str(config))
    with job_run(Job(verb="curate", experiment=loaded.experiment, key="here")) as run:
        line = curate.run(loaded, run)
    return Store(loaded.root).open("releases", line.rsplit("/", 1)[1])


@pytest.fixture(scope="module")
def undisturbed(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """The release of a run that nothing happened to. MLflow writes to a file of this module."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        yield _run_here(_config(folder, clips))


def _start(config: Path) -> subprocess.Popen[str]:
    """curate as a process of its own; what it starts is in its process group."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-m", "jobs.curate", "--config", str(config)]
    log = (config.parent / "log").open("w")
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )


def _wait_for_parts(config: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Until so many videos have been measured."""
    folder = config.parent / "root" / "parts" / "measures-camera_motion"
    deadline = time.monotonic() + 300
    while len(list(folder.glob("*/*/*.parquet"))) < count:
        assert process.poll() is None, (config.parent / "log").read_text()[-3000:]
        assert time.monotonic() < deadline, "no part was written"
        time.sleep(0.005)


def _end(process: subprocess.Popen[str]) -> None:
    """Take away what a killed driver left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait(timeout=30)


def _kill(process: subprocess.Popen[str], name: str) -> None:
    """kill -9 of the driver itself, or of the children whose command or title begins so."""
    if name == "driver":
        process.kill()
        return
    found = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if name in " ".join(child.cmdline()[:1]).rsplit("/", 1)[-1]
    ]
    assert found
    found[0].kill()


@pytest.mark.parametrize("name", ["driver", "raylet"])
def test_after_a_kill_the_next_run_ends_with_the_same_rows(
    name: str, clips: Path, undisturbed: Collection, tmp_path: Path
):
    config = _config(tmp_path, clips)
    process = _start(config)
    try:
        _wait_for_parts(config, int(np.random.default_rng().integers(1, CLIPS // 2)), process)
        _kill(process, name)
        assert process.wait(timeout=120) != 0
    finally:
        _end(process)
    again = _run_here(config)
    assert again.id == undisturbed.id
    assert again.build()["videos_measured_now"] < CLIPS + 1  # what was committed was not made again


def test_a_stop_in_the_midst_of_work_is_one_line_and_its_code(
    clips: Path, undisturbed: Collection, tmp_path: Path
) -> None:
    config = _config(tmp_path, clips)
    process = _start(config)
    try:
        _wait_for_parts(config, 1, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 143
        log = (tmp_path / "log").read_text()
        (line,) = [line for line in log.splitlines() if line.startswith("stopped by ")]
        assert line == "stopped by SIGTERM; what is done is kept, and the same command goes on from there"
        assert "Traceback" not in log
        assert "*** SIGTERM" not in log  # Ray's own words
    finally:
        _end(process)
    assert _run_here(config).id == undisturbed.id


def test_a_killed_actor_costs_nothing(clips: Path, undisturbed: Collection, tmp_path: Path):
    config = _config(tmp_path, clips)
    process = _start(config)
    try:
        _wait_for_parts(config, 1, process)
        _kill(process, "ray::MapWorker")
        assert process.wait(timeout=300) == 0, (tmp_path / "log").read_text()[-3000:]
    finally:
        _end(process)
    assert Store(f"{tmp_path}/root").open("releases").id == undisturbed.id


@pytest.fixture
def small_disk(tmp_path: Path, clips: Path) -> Iterator[Path]:
    """A disk that holds the videos and a few parts."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = sum(path.stat().st_size // 4096 + 1 for path in clips.iterdir()) * 4096 + 30 * 4096
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small disk can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(small_disk: Path, clips: Path, undisturbed: Collection):
    config = _config(small_disk, clips)
    (small_disk.parent / "root").symlink_to(small_disk / "root")
    process = _start(_moved(config, small_disk.parent))
    try:
        code = process.wait(timeout=300)
    finally:
        _end(process)
    log = (small_disk.parent / "log").read_text()
    assert code == 2, log[-3000:]
    (line,) = [line for line in log.splitlines() if line.startswith("error: ")]
    assert "root is full (No space left on device" in line
    assert "Traceback" not in log
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    again = _run_here(config)
    assert again.id == undisturbed.id
    assert again.build()["fetched_now"] == 0


def _moved(config: Path, folder: Path) -> Path:
    """The same configuration in another folder: logs and MLflow must not share the small disk."""
    moved = folder / "config.yaml"
    moved.write_text(config.read_text())
    return moved


def test_damaged_parts_are_made_again(clips: Path, undisturbed: Collection, tmp_path: Path):
    config = _config(tmp_path, clips)
    assert _run_here(config).id == undisturbed.id
    random = np.random.default_rng()
    for family in ("shots", "thumbnails", "measures-camera_motion"):
        parts = sorted((tmp_path / "root" / "parts" / family).rglob("*.parquet"))
        for path, damage in zip(random.permutation(parts)[:3], (_change_a_byte, _cut_short, Path.unlink), strict=True):
            damage(path)
    assert _run_here(config).id == undisturbed.id
    store = Store(f"{tmp_path}/root")
    for damage in (_change_a_byte, _cut_short, Path.unlink):
        compact(store)
        for part in [part for family, key in store.part_keys() for part in store.parts(family, key)]:
            damage(Path(store.root, part.path))
        assert _run_here(config).id == undisturbed.id


def _change_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[int(np.random.default_rng().integers(len(data)))] ^= 0x10
    path.write_bytes(bytes(data))


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: int(np.random.default_rng().integers(path.stat().st_size))])
