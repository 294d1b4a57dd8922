"""Drawn videos, settings, a tracker and a root; a run of a verb, and the processes that belong to it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import yaml

import jobs
from benchmarks.chaos.plan import VERBS, Verb
from stableanimator.errors import StableAnimatorError

MARK = "SA_CHAOS_WORLD"
"""In the environment of all processes of a world, by which they are found."""
LIMIT_S = 600.0
"""Of a run: then it hangs."""
_SERVER_S = 120.0
_SEED = 71
_NO_SIDE_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""A dozen processes that serve nothing that is asked here."""

SETTINGS: dict[str, Any] = {
    "experiment": "chaos",
    "curate": {"actors": 2, "select": {"heldout_share": 0.4}, "benchmark": {"pairs": 2, "seconds": 0.5}},
    "encode": {"sheet_rows": 0, "free_gib": 0},  # the small disk has not as much
    "align": {
        "steps": 20,
        "evaluation": {"drives_per_clip": 2, "worst": 1},
        "engine": {"workers": 1, "warmup_steps": 2, "checkpoint_every": 5, "validate_every": 10, "log_every": 1},
    },
    "train": {
        "validation_rows": 2,
        "aligner": None,
        "loop": {
            "steps": 6,
            "engine": {"workers": 1, "warmup_steps": 1, "checkpoint_every": 2, "validate_every": 3, "log_every": 1},
        },
    },
    "animate": {"actors": 2, "settings": {"max_frames": 4, "alignment": "svd"}},
    "evaluate": {"videos": 2},
}
"""The smallest line with rows enough for several actors: what differs from tiny.yaml."""


Losses = set[tuple[str, int, float]]
"""Name, step and value."""


@dataclass(kw_only=True)
class Tracker:
    """An MLflow server that can be taken away and come back."""

    folder: Path
    environment: Mapping[str, str]
    port: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> None:
        """Start it where it is not up, at the same address as before.

        Raises:
            StableAnimatorError: it did not answer within two minutes.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.port = self.port or _free_port()
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", f"{self.port}"]
        stored = ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db", "--artifacts-destination"]
        with open(self.folder / "mlflow.log", "ab") as log:
            self._process = subprocess.Popen(
                [*command, *stored, str(self.folder / "artifacts"), "--workers", "1"],
                stdout=log, stderr=log, env=dict(self.environment) | _NO_SIDE_JOBS, start_new_session=True,
            )  # fmt: skip
        _wait_for(f"{self.uri}/health")

    def down(self) -> None:
        """Kill it, with all that belongs to it."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def last_row(self) -> int:
        """The number of the last figure that it has got."""
        return int(self._asked("SELECT COALESCE(MAX(rowid), 0) FROM metrics")[0][0])

    def losses(self, verb: Verb, after: int) -> Losses:
        """What runs of a verb have told since a row: each value that a step has, once."""
        asked = """
            SELECT DISTINCT metrics.key, metrics.step, metrics.value
            FROM metrics JOIN tags ON tags.run_uuid = metrics.run_uuid
            WHERE tags.key = 'verb' AND tags.value = ? AND metrics.rowid > ?
            AND metrics.key IN ('loss', 'validation_loss')
        """
        return {(key, step, value) for key, step, value in self._asked(asked, verb, after)}

    def _asked(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.folder / "mlflow.db", timeout=60)) as database:
            return database.execute(query, values).fetchall()


@dataclass(kw_only=True)
class Run:
    """A verb at work."""

    verb: Verb
    process: subprocess.Popen[bytes]
    output: Path
    started: float = field(default_factory=time.monotonic)

    def wait(self) -> int | None:
        """Its exit code; None where it hangs."""
        try:
            return self.process.wait(max(1.0, LIMIT_S - (time.monotonic() - self.started)))
        except subprocess.TimeoutExpired:
            return None

    def said(self) -> list[str]:
        """Lines of its output that are not empty."""
        return [line for line in self.output.read_text(errors="replace").splitlines() if line.strip()]


@dataclass(kw_only=True)
class World:
    """All that the runs of a suite share. Its root lies at one place, whichever fault strikes."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    seconds: dict[Verb, float] = field(default_factory=dict)
    """That each verb takes undisturbed."""
    losses: dict[Verb, Losses] = field(default_factory=dict)
    """What the tracker knows of each verb undisturbed: empty but for trainings."""
    _runs: int = 0

    def __post_init__(self) -> None:
        self.tracker = Tracker(folder=self.folder, environment=self._environment())

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def before(self, verb: Verb) -> Path:
        """A copy of the root as the verb finds it."""
        return self.folder / "before" / verb

    def write(self) -> None:
        """Draw the videos and write the settings."""
        draw = [sys.executable, "-m", "stableanimator.synthetic.render", "--out", str(self.folder / "sources")]
        more = ["--count", "5", "--seed", f"{_SEED}", "--kinds", "wave,gesture", "--seconds", "2-3"]
        subprocess.run([*draw, *more], check=True, capture_output=True)
        settings = dict(SETTINGS)
        settings["curate"] = settings["curate"] | {"crawl": {"sources": [str(self.folder / "sources")]}}
        tiny = Path(jobs.__file__).parent / "configs" / "tiny.yaml"
        written = {"extends": str(tiny), "root": str(self.root), **settings}
        (self.folder / "config.yaml").write_text(yaml.safe_dump(written))

    def start(self, verb: Verb, environment: Mapping[str, str] | None = None) -> Run:
        """Start a verb as its users do, in a process and a Ray of its own."""
        self._runs += 1
        output = self.folder / f"run-{self._runs}-{verb}.log"
        with open(output, "wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"jobs.{verb}", "--config", str(self.folder / "config.yaml")],
                stdout=log, stderr=log, env=self._environment() | dict(environment or {}), start_new_session=True,
                preexec_fn=_as_from_a_terminal,
            )  # fmt: skip
        return Run(verb=verb, process=process, output=output)

    def undisturbed(self) -> None:
        """The whole line, with a copy of the root before each verb.

        Raises:
            StableAnimatorError: a verb did not end with 0.
        """
        self.root.mkdir()
        for verb in VERBS:
            shutil.copytree(self.root, self.before(verb), symlinks=True)
            known, run = self.tracker.last_row(), self.start(verb)
            if run.wait() != 0:
                raise StableAnimatorError(f"{verb} fails undisturbed:\n" + "\n".join(run.said()[-20:]))
            self.seconds[verb] = time.monotonic() - run.started
            self.losses[verb] = self.tracker.losses(verb, known)
        shutil.copytree(self.root, self.after(VERBS[-1]), symlinks=True)

    def after(self, verb: Verb) -> Path:
        """A copy of the root as the verb leaves it."""
        place = VERBS.index(verb) + 1
        return self.before(VERBS[place]) if place < len(VERBS) else self.folder / "end"

    def reset(self, verb: Verb) -> None:
        """The root as the verb finds it, also where it is a mount."""
        for each in list(self.root.iterdir()):
            shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
        shutil.copytree(self.before(verb), self.root, symlinks=True, dirs_exist_ok=True)

    def processes(self) -> list[psutil.Process]:
        """All that are alive and belong to runs: drivers, Ray's own, actors; not the tracker."""
        found = []
        tracker = self.tracker._process.pid if self.tracker._process is not None else -1
        for process in psutil.process_iter():
            try:
                ours = process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE
                if ours and os.getsid(process.pid) != tracker:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def left(self, patience: float) -> list[str]:
        """Names of processes that are there so many seconds after a run has ended; they are killed."""
        deadline = time.monotonic() + patience
        while (there := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.5)
        names = []
        for process in there:
            try:
                names.append(f"{process.name()} {' '.join(process.cmdline()[:3])}"[:80])
                process.kill()
            except psutil.Error:
                continue
        return names

    def _environment(self) -> dict[str, str]:
        tracker = getattr(self, "tracker", None)
        added = {MARK: self.mark, "SA_ROOT": str(self.folder), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        if tracker is not None:
            added["MLFLOW_TRACKING_URI"] = tracker.uri
        there = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        return there | added


def _as_from_a_terminal() -> None:
    """A shell's background processes ignore SIGINT, and so would all below them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + _SERVER_S
    while time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise StableAnimatorError(f"no answer from {url} within {_SERVER_S:.0f} s")
