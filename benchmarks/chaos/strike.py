"""One fault from its beginning to its verdict: reset, run, strike, run again, compare what is stored and tracked."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from dataclasses import dataclass

from benchmarks.chaos.contents import Difference, differences
from benchmarks.chaos.injections import INJECTIONS, Injection
from benchmarks.chaos.plan import Fault
from benchmarks.chaos.world import Run, World

PATIENCE_S = 60.0
"""After which nothing of a run may be there: Ray's own processes take some seconds to see that their driver is gone."""
_TRACEBACK = "Traceback (most recent call last)"
_TERMINATED = 128 + signal.SIGTERM


@dataclass(frozen=True, kw_only=True, slots=True)
class Struck:
    """What became of a fault."""

    fault: Fault
    hit: bool
    """Whether the run was still going."""
    code: int | None
    """Exit code of the disturbed run; None: it hung."""
    again: int | None
    """Of the run after it."""
    difference: Difference
    untold: int
    """Losses of steps that the tracker lacks, or has otherwise."""
    left: list[str]
    """Processes that outlived a run."""
    tracebacks: int
    """In what the disturbed run said."""
    said: str
    """Its last line."""
    seconds: float

    @property
    def mute(self) -> bool:
        """Whether it was asked to end, or told that the disk is full, and did not answer in one line and a code."""
        if self.fault.kind == "terminated":
            return self.hit and (self.code not in (0, _TERMINATED) or self.tracebacks > 0)
        if self.fault.kind == "disk_full":
            return self.code not in (0, 2) or self.tracebacks > 0
        return False

    @property
    def sound(self) -> bool:
        return self.again == 0 and not len(self.difference) and not (self.untold or self.left or self.mute)


def strike(world: World, fault: Fault) -> Struck:
    """Do it. The root is left as the last run left it."""
    started = time.monotonic()
    world.tracker.up()
    known = world.tracker.last_row()
    world.reset(fault.verb)
    with INJECTIONS[fault.kind](world, fault) as injection:
        run = world.start(fault.verb, injection.environment)
        hit, code, left = _disturb(world, fault, injection, run)
        said = run.said()
        again = world.start(fault.verb)
        code_again = again.wait()
        left += world.left(PATIENCE_S)
        difference = differences(world.root, world.after(fault.verb))
    told = world.tracker.losses(fault.verb, known)
    return Struck(
        fault=fault, hit=hit, code=code, again=code_again, difference=difference,
        untold=len(told ^ world.losses[fault.verb]), left=left,
        tracebacks=sum(_TRACEBACK in line for line in said), said=said[-1] if said else "",
        seconds=time.monotonic() - started,
    )  # fmt: skip


def _disturb(world: World, fault: Fault, injection: Injection, run: Run) -> tuple[bool, int | None, list[str]]:
    """Whether it hit, with which code the run ended, and what it left."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.process.wait(fault.share * world.seconds[fault.verb])
        world.seconds[fault.verb] = time.monotonic() - run.started  # it had ended: later faults strike earlier
    hit = injection.act(run)
    code = run.wait()
    injection.heal()
    if code is None:
        run.process.kill()
    return hit, code, world.left(PATIENCE_S)
