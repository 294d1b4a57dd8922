"""How a command answers a hostile input, as its user sees it, and what is wrong with that."""

from __future__ import annotations

import contextlib
import io
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jobs.running import ending


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """To one input: by a line and an exit code, or by a row."""

    case: str
    code: int | None = None
    """The exit code; None where the answer is a row."""
    told: str = ""
    """What stderr got, or what the row says."""
    rows: int = 0
    """That came of it."""
    asked: int = 0
    """Requests that came to an address inside, none of which may."""
    ran: bool = False
    """Whether what the input holds was run, or wrote where it may not."""
    seconds: float = 0.0
    """Until it was there."""

    @property
    def traceback(self) -> bool:
        """Whether a user would read one."""
        return "Traceback" in self.told

    @property
    def named(self) -> bool:
        """Whether it is one line as those of mistakes are, with their code; or one row with a reason."""
        if self.code is None:
            return self.rows == 1 and bool(self.told)
        lines = self.told.strip().splitlines()
        return self.code == 2 and len(lines) == 1 and lines[0].startswith("error: ") and len(lines[0]) < 700


def by_command(case: str, main: Callable[[Sequence[str]], int], argv: Sequence[str]) -> Answer:
    """How the entry point of a command answers, called in this process; what it raises is what a user would read."""
    errors, began = io.StringIO(), time.monotonic()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            code: object = main(argv)
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
            code = 1
    code, seconds = code if isinstance(code, int) else 1, time.monotonic() - began
    return Answer(case=case, code=code, told=errors.getvalue(), seconds=seconds)


def by_reading(case: str, read: Callable[[], object]) -> Answer:
    """How a command answers that begins with `read`, which a job would do after minutes of other work."""

    def main(_: Sequence[str]) -> int:
        return ending.ended(lambda: (read(), ending.EXIT_OK)[1])

    return by_command(case, main, ())


def by_row(case: str, crawl: Callable[[], Sequence[tuple[str | None, str | None]]]) -> Answer:
    """How a table answers: `crawl` gives reason and detail of every row that came of the input."""
    began = time.monotonic()
    try:
        rows = crawl()
    except BaseException:
        return Answer(case=case, told=traceback.format_exc())
    told = "; ".join(f"{reason}: {detail}" for reason, detail in rows if reason)
    return Answer(case=case, told=told, rows=len(rows), seconds=time.monotonic() - began)


def with_requests(answer: Answer, asked: int) -> Answer:
    """The same with so many requests to an address inside."""
    return replace(answer, asked=asked)


def with_canary(answer: Answer, canary: Path) -> Answer:
    """The same, and whether a file is there that only the input's own code, or a path out of its folder, makes."""
    return replace(answer, ran=canary.exists())
