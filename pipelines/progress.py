"""How far a long step is: a bar on a terminal, a line now and then in a log, and afterwards how long it took.

with recorded() as stages:                                  # list[Stage], filled as the steps end
    for row in track(rows, "measuring videos", len(rows)):
        ...
build["stages"] = [asdict(stage) for stage in stages]       # with rows_per_second
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from pipelines import telemetry

log = logging.getLogger(__name__)

Item = TypeVar("Item")

_SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True, slots=True)
class Stage:
    """A step that has ended, whether it came to its end or was broken off."""

    what: str
    """As it was called in the bar."""
    rows: int
    """How many came."""
    total: int
    """How many were expected."""
    seconds: float
    rows_per_second: float
    """0 where none came."""


_recorded: contextvars.ContextVar[list[Stage] | None] = contextvars.ContextVar("stages", default=None)


@contextlib.contextmanager
def recorded() -> Iterator[list[Stage]]:
    """Collect the stages of every `track` in this block and in what it calls (in this thread), as they end."""
    stages: list[Stage] = []
    token = _recorded.set(stages)
    try:
        yield stages
    finally:
        _recorded.reset(token)


def track(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """Pass `items` on and show how many of `total` have come; `what` names the step ("measuring videos").

    On a terminal a bar with rate and time left; in a log a line every ten seconds, also while nothing comes.
    """
    with counter(what, total) as advance:
        for rows, item in enumerate(items, 1):
            yield item
            advance(rows)


@contextlib.contextmanager
def counter(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """As `track`, where what comes is no iterable: the block calls what it is handed with the count so far."""
    shown: _Bar | _Lines = _Bar(what, total) if sys.stderr.isatty() else _Lines(what, total)
    stages = _recorded.get()
    started, rows = time.monotonic(), 0
    counted = started

    def count_more(more: int) -> None:
        nonlocal counted
        now = time.monotonic()
        telemetry.add("sa_rows", more, step=what)
        telemetry.add("sa_step_seconds", now - counted, step=what)
        telemetry.show("sa_rows_waiting", total - rows, step=what)
        counted = now

    def advance(count: int) -> None:
        nonlocal rows
        more, rows = count - rows, count
        shown.advance(rows)
        count_more(more)

    try:
        with shown:
            count_more(0)
            yield advance
    finally:
        telemetry.show("sa_rows_waiting", 0, step=what)
        seconds = time.monotonic() - started
        if stages is not None:
            stages.append(Stage(what, rows, total, seconds, rows / seconds if rows and seconds else 0.0))


class _Rate(ProgressColumn):
    """Rows a second, or seconds a row where that is more telling."""

    def render(self, task: Task) -> Text:
        return Text(_rate_text(task.finished_speed or task.speed or 0.0))


class _Bar:
    """A bar on the terminal."""

    def __init__(self, what: str, total: int) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task(what, total=total)

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, rows: int) -> None:
        self._progress.update(self._task, completed=rows)


class _Lines:
    """A line in the log every few seconds, from a thread of its own: one row may take minutes."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._rows = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"progress of {what}")

    def __enter__(self) -> None:
        self._started = time.monotonic()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._say()

    def advance(self, rows: int) -> None:
        self._rows = rows

    def _run(self) -> None:
        while not self._ended.wait(_SECONDS_BETWEEN_LINES):
            self._say()

    def _say(self) -> None:
        log.info("%s", progress_line(self._what, self._rows, self._total, time.monotonic() - self._started))


def progress_line(what: str, rows: int, total: int, seconds: float) -> str:
    """What is said of a step after so many seconds: count, total, rate, and the time left or taken."""
    line = f"{what}: {rows} of {total}"
    if not rows or not seconds:
        return f"{line}, {duration_text(seconds)}"
    line += f", {_rate_text(rows / seconds)}"
    if rows >= total:
        return f"{line}, done in {duration_text(seconds)}"
    return f"{line}, {duration_text((total - rows) * seconds / rows)} left"


def _rate_text(rate: float) -> str:
    if rate <= 0:
        return ""
    return f"{rate:.1f} a second" if rate >= 0.5 else f"{1 / rate:.1f} s each"


def duration_text(seconds: float) -> str:
    """Seconds as a person says them: 8 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
