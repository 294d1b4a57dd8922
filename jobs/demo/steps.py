"""One verb, submitted by the command that users have: a line on the terminal, and everything it says in a log."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_GOING_ON = re.compile(r"\d\d:\d\d:\d\d (?:pipelines\.progress|train): (.*)")
_RESULT = re.compile(r"(?P<verb>\w+): (?P<said>.*) \(\d+ s\)")
_PAGE = re.compile(r"https?://\S+/#/experiments/\S+")
_RUN = re.compile(r"/runs/(?P<run>\w+)\?")


@dataclass(frozen=True, kw_only=True)
class Step:
    """What became of one verb."""

    verb: str
    seconds: float
    code: int
    said: str
    """Its last line, or the error."""
    page: str | None
    """Where MLflow shows it, which is a job's last line; None where it did not come to its end."""

    @property
    def run_id(self) -> str | None:
        """Of MLflow; None where the job did not come to its end, or has several."""
        found = _RUN.search(self.page or "")
        return found["run"] if found else None


@dataclass
class Line:
    """What is said of a step once it is over."""

    said: str = ""
    failed: bool = False


class Terminal:
    """A line for each step: what it does while it runs, what it did afterwards. Without a terminal only the latter."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<16}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[said]}", markup=False),
            console=console,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Terminal:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Line]:
        """A new line; what the block puts into it is there afterwards."""
        line, started = Line(), time.monotonic()
        self._task = self._progress.add_task(name, total=1, said="")
        try:
            yield line
        except BaseException:
            line.failed = True
            raise
        finally:
            self._progress.update(self._task, said=self._cut(line.said), completed=0 if line.failed else 1)
            if line.failed:
                self._progress.stop_task(self._task)
            if not self._console.is_terminal:
                mark, seconds = "✗" if line.failed else "✓", time.monotonic() - started
                self._console.print(f"{mark} {name:<16} {seconds:4.0f} s  {line.said}", markup=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """What the step is about, on its line."""
        assert self._task is not None
        self._progress.update(self._task, said=self._cut(text))

    def _cut(self, text: str) -> str:
        room = max(20, self._console.width - 36)
        return text if len(text) <= room else text[: room - 1] + "…"


def run_step(verb: str, arguments: Sequence[str], log: IO[str], terminal: Terminal) -> Step:
    """Submit a verb with `python -m jobs.submit`, wait for it, and write everything that it says into `log`."""
    command = [sys.executable, "-m", "jobs.submit", verb, *arguments]
    started, page = time.monotonic(), None
    with (
        terminal.step(verb) as shown,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
        contextlib.ExitStack() as stack,
    ):
        assert process.stdout is not None
        stack.callback(process.terminate)  # of one that a stop finds at work; nothing of one that has ended
        for line in process.stdout:
            log.write(line)
            log.flush()
            text = _COLOURS.sub("", line).strip()
            if going_on := _GOING_ON.fullmatch(text):
                terminal.say(going_on[1])
            elif (result := _RESULT.fullmatch(text)) and result["verb"] == verb:
                shown.said = result["said"]
            elif _PAGE.fullmatch(text):
                page = text
            elif text.startswith("error: "):
                shown.said = text
        code = process.wait()
        shown.failed = code != 0
        if shown.failed and not shown.said:
            shown.said = f"failed; the log says why: {log.name}"
    return Step(verb=verb, seconds=time.monotonic() - started, code=code, said=shown.said, page=page)
