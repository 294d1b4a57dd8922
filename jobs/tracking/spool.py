"""What a run logs, on disk before anything of it is sent.

    <root>/tracking/<time>-<id>/run.json            what the run is: tracker, experiment, name, tags
    <root>/tracking/<time>-<id>/<time>-<id>.jsonl   records of one process, a line each, in their order
    <root>/tracking/<time>-<id>/files/…             files that records name
    <root>/tracking/<time>-<id>/sent.json           the sender's: MLflow's id of the run, and how far each file is sent
    <root>/tracking/<time>-<id>/lock                held by whoever sends it
    <root>/tracking/refused/…                       spools of runs that the tracker does not take

Each process writes a file of its own and only appends to it, so that a kill cuts short its last line alone, which is no
record then. What is sent is deleted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

_RUN, _SENT, _LOCK, _FILES, _REFUSED = "run.json", "sent.json", "lock", "files", "refused"

DAMAGED = "damaged"
Record = dict[str, Any]
"""`kind`, and what belongs to it: `jobs.tracking.delivery` says what becomes of each."""


def spools_folder(root: str) -> Path:
    """Where runs of jobs on this root are spooled: below it, or among this user's state files where it is no folder."""
    if root and "://" not in root:
        return Path(root, "tracking")
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state, "stableanimator", "tracking")


@dataclass(frozen=True, slots=True)
class Spool:
    """One run's."""

    folder: Path

    @property
    def name(self) -> str:
        """Nothing else is called so: a tag of the run in MLflow, by which it is found again."""
        return self.folder.name

    def described(self) -> Record:
        """`uri` of its tracker, `experiment`, `name`, `started` (ms since 1970), `job` and `tags`."""
        described: Record = json.loads((self.folder / _RUN).read_text())
        return described

    def file(self, name: str) -> Path:
        """One that a record names."""
        return self.folder / _FILES / name

    def sent(self) -> Record:
        """What was noted last: `run` (its id in MLflow, or None), `step` (where its system metrics go on), and `upto`
        (bytes of each file)."""
        try:
            noted: Record = json.loads((self.folder / _SENT).read_text())
            return noted
        except (FileNotFoundError, ValueError):  # a damaged one costs time: what is sent twice is there once
            return {"run": None, "step": 0, "upto": {}}

    def note_sent(self, noted: Record) -> None:
        """Whole or not at all."""
        partial = self.folder / f"{_SENT}.partial"
        partial.write_text(json.dumps(noted))
        os.replace(partial, self.folder / _SENT)

    def records(self, upto: Mapping[str, int]) -> Iterator[tuple[str, int, Record]]:
        """Whole records after those: their file, the byte where each ends, and itself; of each process in order."""
        for path in sorted(self.folder.glob("*.jsonl")):
            end = upto.get(path.name, 0)
            with path.open("rb") as lines:
                lines.seek(end)
                for line in lines:
                    if not line.endswith(b"\n"):  # not whole yet, or never
                        break
                    end += len(line)
                    yield path.name, end, _read(path, line)

    def lock(self) -> FileLock | None:
        """The right to send it, until released or until this process ends; None while somebody else has it."""
        lock = FileLock(self.folder / _LOCK, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except (Timeout, OSError, NotImplementedError):
            return None
        if not (self.folder / _RUN).exists():  # sent and deleted in between
            lock.release()
            self.delete()
            return None
        return lock

    def delete(self) -> None:
        """What was sent is not kept."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def set_aside(self) -> Path:
        """What the tracker does not take is not tried again. Returns where it lies."""
        refused = self.folder.parent / _REFUSED / self.name
        refused.parent.mkdir(exist_ok=True)
        return self.folder.rename(refused)


def new_spool(folder: Path, described: Record) -> tuple[Spool, FileLock | None]:
    """It appears whole and locked, since an unlocked one's job has died; in the order of time among the others."""
    spool = Spool(folder / _stamped())
    hidden = Spool(folder / f".{spool.name}")
    (hidden.folder / _FILES).mkdir(parents=True)
    (hidden.folder / _RUN).write_text(json.dumps(described))
    lock = hidden.lock()
    hidden.folder.rename(spool.folder)
    return spool, lock


def spools(folder: Path) -> list[Spool]:
    """All that are there, oldest first."""
    return [Spool(path.parent) for path in sorted(folder.glob(f"[0-9]*/{_RUN}"))]


class Writer:
    """Appends the records of one process to a spool, from any thread.

    Logging neither fails nor ends what it tells of: where the disk refuses, a line says so, once.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._told = False

    def append(self, record: Record) -> None:
        """Add a record."""
        line = json.dumps(record).encode() + b"\n"
        with self._lock, self._forgiving():
            if self._path is None:
                self._path = self._spool.folder / f"{_stamped()}.jsonl"
            path, self._path = self._path, None  # what a full disk cut short is the end of a file
            with path.open("ab") as lines:
                lines.write(line)
            self._path = path

    def keep(self, data: bytes | Path, record: Record) -> None:
        """Add a record with a file, which it gets the name of as `file`."""
        name = uuid.uuid4().hex
        with self._forgiving():
            if isinstance(data, Path):
                shutil.copyfile(data, self._spool.file(name))
            else:
                self._spool.file(name).write_bytes(data)
            self.append({**record, "file": name})

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._told:
                log.warning("%s cannot be written (%s): MLflow will miss some of it", self._spool.folder, error)
            self._told = True


def _read(path: Path, line: bytes) -> Record:
    try:
        record: Record = json.loads(line)
        return record
    except ValueError:
        log.warning("%s has a damaged line, which MLflow will miss", path)
        return {"kind": DAMAGED}


def _stamped() -> str:
    return f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}"
