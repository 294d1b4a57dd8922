"""How far a long step is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

log = logging.getLogger(__name__)

Item = TypeVar("Item")

_SECONDS_BETWEEN_LINES = 10.0


def track(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """Pass `items` on and show how many of `total` have come; `what` names the step ("measuring videos")."""
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        from rich.console import Console

        with Progress(*columns, console=Console(stderr=True)) as progress:
            yield from progress.track(items, total=total, description=what)
        return
    started = shown = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if count == total or now - shown >= _SECONDS_BETWEEN_LINES:
            shown = now
            log.info("%s: %d of %d, %.0f s", what, count, total, now - started)
