"""One verb, submitted by the command that users have: a line on the terminal, and everything it says in a log."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_GOING_ON = re.compile(r"\d\d:\d\d:\d\d (?:pipelines\.progress|train): (.*)")
_RESULT = re.compile(r"(?P<verb>\w+): (?P<said>.*) \(\d+ s; MLflow run (?P<run>\w+)\)")


@dataclass(frozen=True, kw_only=True)
class Step:
    """What became of one verb."""

    verb: str
    seconds: float
    code: int
    said: str
    """Its last line, or the error."""
    run_id: str | None
    """Of MLflow; None where the job did not come to its end."""


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

    def begin(self, name: str) -> None:
        """A new line."""
        self._task = self._progress.add_task(name, total=1, said="")

    def say(self, text: str) -> None:
        """What the step is about, on its line."""
        assert self._task is not None
        self._progress.update(self._task, said=self._cut(text))

    def end(self, name: str, said: str, seconds: float, failed: bool = False) -> None:
        """The step is over."""
        assert self._task is not None
        self._progress.update(self._task, said=self._cut(said), completed=0 if failed else 1)
        if not self._console.is_terminal:
            self._console.print(
                f"{'✗' if failed else '✓'} {name:<16} {seconds:4.0f} s  {said}", markup=False, soft_wrap=True
            )

    def _cut(self, text: str) -> str:
        room = max(20, self._console.width - 36)
        return text if len(text) <= room else text[: room - 1] + "…"


def run_step(verb: str, arguments: Sequence[str], log: IO[str], terminal: Terminal) -> Step:
    """Submit a verb with `python -m jobs.submit`, wait for it, and write everything that it says into `log`."""
    terminal.begin(verb)
    started = time.monotonic()
    command = [sys.executable, "-m", "jobs.submit", verb, *arguments]
    said, run_id = "", None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            log.flush()
            text = _COLOURS.sub("", line).strip()
            if going_on := _GOING_ON.fullmatch(text):
                terminal.say(going_on[1])
            elif (result := _RESULT.fullmatch(text)) and result["verb"] == verb:
                said, run_id = result["said"], result["run"]
            elif text.startswith("error: "):
                said = text
    seconds = time.monotonic() - started
    if process.returncode and not said:
        said = f"failed; the log says why: {Path(log.name)}"
    terminal.end(verb, said, seconds, failed=process.returncode != 0)
    return Step(verb=verb, seconds=seconds, code=process.returncode, said=said, run_id=run_id)
