"""Work spread over processes. Imports little: what a process does not need it need not load."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

from pipelines.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    what: str,
    workers: int,
    prepare: Callable[[], object] | None = None,
) -> Iterable[Result]:
    """`work` done to all items, in their order, in processes of their own where there is more than one worker.

    `prepare` runs first in each process. What goes wrong in any of them is raised here.
    """
    if workers == 1 or len(items) < 2:
        if prepare is not None and items:
            prepare()
        yield from track(map(work, items), what, len(items))
        return
    # A fork would copy the threads' locks of the libraries that are loaded by now.
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from track(pool.map(partial(_prepared, prepare, work), items), what, len(items))


_ready: list[bool] = []  # whether this process is


def _prepared(prepare: Callable[[], object] | None, work: Callable[[Item], Result], item: Item) -> Result:
    """`work`, with `prepare` before the first item; as an initializer of the pool it would hide its errors."""
    if prepare is not None and not _ready:
        prepare()
        _ready.append(True)
    return work(item)
