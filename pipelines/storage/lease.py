"""Who may work in a folder that machines share: one job at a time.

    with held(folder, "train small") as lease:    # ConfigError says who works there
        ...
        lease.require()                           # before each write: raises LeaseLost once another has taken over

    <folder>/lease/00000007.json     who took it: host, process, what, since when; the highest number has it
    <folder>/lease/00000007.beat     how often its holder has said since that it lives; `over` when it has left

A number is taken by making its file, which one process alone can do (a link to a whole file, on NFS too), and is never
given twice: whoever was taken for dead finds a higher one and ends. Clocks decide nothing. A holder is dead when its
process is gone, which its own machine can tell at once, or when an observer has looked `LOOKS` times, a second apart,
and found the same count of beats; a suspended observer looks no further.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from stableanimator.errors import ConfigError, UserError

log = logging.getLogger(__name__)

LOOKS = 60
"""Looks with an equal count after which a holder is taken for dead."""
_LOOK_S = 1.0
_BEAT_S = 3.0
_OVER = "over"
_FOLDER = "lease"


class LeaseLost(UserError):
    """Another job has taken the folder over, since this one was not heard of for too long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """Who took a lease."""

    what: str
    host: str
    machine: str
    """One boot and one process namespace: what process numbers are worth."""
    process: int
    began: str
    """When the process did, in its kernel's ticks, since numbers are given again."""
    since: str
    """UTC, by its own clock, for people."""

    def __str__(self) -> str:
        return f"{self.what}, process {self.process} on {self.host}, since {self.since}"


@dataclass(frozen=True, slots=True)
class Lease:
    """A number that was taken. Any process that shares the folder can ask whether it still counts."""

    folder: Path
    number: int

    def require(self) -> None:
        """Before a write that another job's files could suffer from.

        Raises:
            LeaseLost: the folder is another's by now.
        """
        newest = _newest(self.folder)
        if newest > self.number:
            raise LeaseLost(
                f"{self.folder.parent} was taken over by {_owner(self.folder, newest)}, since this job was not heard "
                f"of for {LOOKS} s; it ends without another write"
            )


@contextlib.contextmanager
def held(folder: str | Path, what: str) -> Iterator[Lease]:
    """The right to work in a folder, which is made where it is missing, for as long as the block lasts.

    Takes up to `LOOKS` seconds where a holder elsewhere died, and some seconds where one lives.

    Args:
        what: the job, as whoever comes second reads it.

    Raises:
        ConfigError: another job works there.
    """
    leases = Path(folder) / _FOLDER
    leases.mkdir(parents=True, exist_ok=True)
    lease = _take(leases, what)
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(lease, over), name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        over.set()
        thread.join()
        with contextlib.suppress(OSError):  # a full disk: the process is soon gone, which is as good
            _write(_beats(leases, lease.number), _OVER)


def _take(leases: Path, what: str) -> Lease:
    while True:
        newest = _newest(leases)
        if newest and not _is_free(leases, newest):
            raise ConfigError(
                f"{leases.parent} is in use by {_owner(leases, newest)}; wait for its end, stop it, or choose another "
                "name"
            )
        if _made(leases, newest + 1, what):
            if newest and _count(leases, newest) != _OVER:
                log.warning("%s: its last job ended without a word and is taken over", leases.parent)
            for old in leases.iterdir():
                if old.stem.isdigit() and int(old.stem) < newest + 1:
                    old.unlink(missing_ok=True)
            return Lease(leases, newest + 1)


def _made(leases: Path, number: int, what: str) -> bool:
    """Whether this process made the file of the number, with all that it says."""
    owner = Owner(
        what=what,
        host=platform.node(),
        machine=_machine(),
        process=os.getpid(),
        began=_began(os.getpid()) or "",
        since=datetime.datetime.now(datetime.UTC).isoformat(" ", "seconds"),
    )
    own = leases / f".{uuid.uuid4().hex}"
    own.write_text(json.dumps(asdict(owner)))
    try:
        os.link(own, leases / f"{number:08d}.json")
    except FileExistsError:
        return False
    finally:
        own.unlink()
    if _newest(leases) > number:  # it was given before, while this process was elsewhere, and tidied away
        (leases / f"{number:08d}.json").unlink(missing_ok=True)
        return False
    return True


def _is_free(leases: Path, number: int) -> bool:
    """Whether its holder has left or is dead, as far as can be seen from here."""
    count = _count(leases, number)
    owner = _owner(leases, number)
    for _ in range(LOOKS):
        if count == _OVER or _is_gone(owner) or _newest(leases) > number:  # if it was only followed, look again
            return True
        time.sleep(_LOOK_S)
        before, count = count, _count(leases, number)
        if count != before:
            return count == _OVER
    return True


def _is_gone(owner: Owner | None) -> bool:
    """Whether a process of this machine is no more. Of others nothing is known."""
    return owner is not None and owner.machine == _machine() and _began(owner.process) != owner.began


def _beat(lease: Lease, over: threading.Event) -> None:
    count = 0
    while not over.wait(_BEAT_S):
        count += 1
        with contextlib.suppress(OSError):  # a share that stalls: whoever takes over is seen by `require`
            _write(_beats(lease.folder, lease.number), str(count))


def _newest(leases: Path) -> int:
    return max((int(path.stem) for path in leases.glob("*.json") if path.stem.isdigit()), default=0)


def _owner(leases: Path, number: int) -> Owner | None:
    """None where its file was tidied away or damaged."""
    try:
        return Owner(**json.loads((leases / f"{number:08d}.json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _beats(leases: Path, number: int) -> Path:
    return leases / f"{number:08d}.beat"


def _count(leases: Path, number: int) -> str:
    try:
        return _beats(leases, number).read_text()
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{uuid.uuid4().hex}")
    partial.write_text(text)
    os.replace(partial, path)


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no Linux: nothing is told of processes
        return uuid.uuid4().hex


def _began(process: int) -> str | None:
    """None where there is no such process, or only what its parent has not asked for yet."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
