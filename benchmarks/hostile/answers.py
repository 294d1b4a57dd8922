"""How a command answers a hostile input, as its user sees it, and what is wrong with that."""

from __future__ import annotations

import contextlib
import io
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace


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
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            code: object = main(argv)
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
            code = 1
    return Answer(case=case, code=code if isinstance(code, int) else 1, told=errors.getvalue())


def by_row(case: str, crawl: Callable[[], Sequence[tuple[str | None, str | None]]]) -> Answer:
    """How a table answers: `crawl` gives reason and detail of every row that came of the input."""
    try:
        rows = crawl()
    except BaseException:
        return Answer(case=case, told=traceback.format_exc())
    told = "; ".join(f"{reason}: {detail}" for reason, detail in rows if reason)
    return Answer(case=case, told=told, rows=len(rows))


def with_requests(answer: Answer, asked: int) -> Answer:
    """The same with so many requests to an address inside."""
    return replace(answer, asked=asked)
