"""A fault each: what is prepared, what happens at the moment, and what is put right before the next run."""

from __future__ import annotations

import contextlib
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.chaos import mounts
from benchmarks.chaos.contents import contents
from benchmarks.chaos.plan import Fault, Kind
from benchmarks.chaos.world import Run, World

STALL_S = 30.0
SLOW_S = 15.0
_STOPPED_S, _GOING_S = 0.45, 0.05
_JUMP = 7200
"""Seconds."""
_FLIPPED = 64
"""Bits of a damaged file."""


def _nothing() -> None:
    return


@dataclass(frozen=True, kw_only=True)
class Injection:
    """A fault that is ready."""

    act: Callable[[Run], bool]
    """At its moment; whether it struck, which it does not where the run has ended before."""
    heal: Callable[[], None] = _nothing
    """Once the run has ended."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the run."""


Make = Callable[[World, Fault], AbstractContextManager[Injection]]


def _processes_named(world: World, run: Run, named: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """Those of the run that are so named, waited for as long as it runs."""
    while run.process.poll() is None:
        found = []
        for process in world.processes():
            with contextlib.suppress(psutil.Error):
                if named(process):
                    found.append(process)
        if found:
            return sorted(found, key=lambda process: process.pid)
        time.sleep(0.05)
    return []


def _kills(named: Callable[[psutil.Process], bool]) -> Make:
    """One of the processes so named is killed with SIGKILL."""

    @contextmanager
    def make(world: World, fault: Fault) -> Iterator[Injection]:
        def act(run: Run) -> bool:
            found = _processes_named(world, run, named)
            if not found:
                return False
            with contextlib.suppress(psutil.NoSuchProcess):
                found[int(fault.random().integers(len(found)))].kill()
                return True
            return False

        yield Injection(act=act)

    return make


def _is_actor(process: psutil.Process) -> bool:
    title = " ".join(process.cmdline())
    return title.startswith("ray::") and not title.startswith(("ray::IDLE", "ray::Dashboard", "ray::RuntimeEnv"))


def _signals(number: signal.Signals) -> Make:
    """The driver gets a signal."""

    @contextmanager
    def make(world: World, fault: Fault) -> Iterator[Injection]:
        def act(run: Run) -> bool:
            if run.process.poll() is not None:
                return False
            run.process.send_signal(number)
            return True

        yield Injection(act=act)

    return make


@contextmanager
def _disk_full(world: World, fault: Fault) -> Iterator[Injection]:
    with mounts.small_disk(world.root):
        world.reset(fault.verb)

        def act(run: Run) -> bool:
            mounts.fill(world.root)
            return run.process.poll() is None

        yield Injection(act=act, heal=lambda: mounts.empty(world.root))


@contextmanager
def _tracker_down(world: World, fault: Fault) -> Iterator[Injection]:
    """Down from some moment on, or from the start; back some seconds later, or only for the next run."""
    random = fault.random()
    at_start, back_after = random.random() < 0.25, float(random.uniform(2, 30))
    if at_start:
        world.tracker.down()

    def act(run: Run) -> bool:
        world.tracker.down()
        with contextlib.suppress(Exception):
            run.process.wait(back_after)
            return not at_start or back_after > 0
        world.tracker.up()
        return True

    try:
        yield Injection(act=act, heal=world.tracker.up)
    finally:
        world.tracker.up()


@contextmanager
def _root_stalled(world: World, fault: Fault) -> Iterator[Injection]:
    with mounts.passed_on(world.root, world.folder / "behind") as passing:
        world.reset(fault.verb)

        def act(run: Run) -> bool:
            going = run.process.poll() is None
            passing.suspend()
            time.sleep(STALL_S)
            passing.resume()
            return going

        yield Injection(act=act)


@contextmanager
def _slow_node(world: World, fault: Fault) -> Iterator[Injection]:
    """All processes of the run get a tenth of the processor for a while."""

    def act(run: Run) -> bool:
        struck, until = False, time.monotonic() + SLOW_S
        while run.process.poll() is None and time.monotonic() < until:
            stopped = world.processes()
            for order, pause in (("suspend", _STOPPED_S), ("resume", _GOING_S)):
                for process in stopped:
                    with contextlib.suppress(psutil.Error):
                        getattr(process, order)()
                time.sleep(pause)
            struck = True
        return struck

    yield Injection(act=act)


@contextmanager
def _clock_jump(world: World, fault: Fault) -> Iterator[Injection]:
    """The clock on the wall jumps by hours, forwards or back; the monotonic one goes on."""
    offset, library = world.folder / "offset", world.folder / "wall_clock.so"
    if not library.exists():
        source = Path(__file__).with_name("wall_clock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True)
    offset.write_bytes(struct.pack("=q", 0))
    jump = _JUMP if fault.random().random() < 0.5 else -_JUMP

    def act(run: Run) -> bool:
        with open(offset, "r+b") as file:  # in place: processes have it mapped
            file.write(struct.pack("=q", jump))
        return run.process.poll() is None

    yield Injection(act=act, environment={"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(offset)})


@contextmanager
def _bit_flip(world: World, fault: Fault) -> Iterator[Injection]:
    """Bits of some stored file are others, from a moment on; it is brought back from a copy for the next run."""
    random = fault.random()
    there = sorted(contents(world.root)) or sorted(contents(world.after(fault.verb)))
    path = world.root / there[int(random.integers(len(there)))]
    kept = world.folder / "kept"

    def act(run: Run) -> bool:
        if not path.is_file():
            return False
        shutil.copy2(path, kept)
        whole = bytearray(path.read_bytes())
        for place in random.integers(0, len(whole), _FLIPPED):
            whole[place] ^= 1 << int(random.integers(8))
        path.write_bytes(whole)
        return run.process.poll() is None

    def heal() -> None:
        if kept.exists() and path.is_file():
            shutil.copy2(kept, path)
        kept.unlink(missing_ok=True)

    yield Injection(act=act, heal=heal)


@contextmanager
def _two_at_once(world: World, fault: Fault) -> Iterator[Injection]:
    """Somebody starts the same again, while it runs."""
    second: list[Run] = []

    def act(run: Run) -> bool:
        second.append(world.start(fault.verb))
        return run.process.poll() is None

    def heal() -> None:
        for each in second:
            each.wait()

    yield Injection(act=act, heal=heal)


INJECTIONS: dict[Kind, Make] = {
    "actor_killed": _kills(_is_actor),
    "driver_killed": _signals(signal.SIGKILL),
    "raylet_killed": _kills(lambda process: process.name() == "raylet"),
    "head_killed": _kills(lambda process: process.name() == "gcs_server"),
    "terminated": _signals(signal.SIGTERM),
    "disk_full": _disk_full,
    "tracker_down": _tracker_down,
    "root_stalled": _root_stalled,
    "slow_node": _slow_node,
    "clock_jump": _clock_jump,
    "bit_flip": _bit_flip,
    "two_at_once": _two_at_once,
}


def impossible() -> dict[Kind, str]:
    """Faults that this machine cannot have, and why."""
    found: dict[Kind, str] = {}
    if not mounts.can_mount():
        found["disk_full"] = "only root mounts a small disk"
    if not mounts.can_stall():
        found["root_stalled"] = "needs root, /dev/fuse and bindfs"
    if shutil.which("cc") is None or sys.platform != "linux":
        found["clock_jump"] = "needs Linux and a C compiler"
    return found
