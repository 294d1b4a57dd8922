"""An iterator that works ahead on a thread of its own, and that is given up when it takes too long."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

from stableanimator.errors import DecodeTimeout

Item = TypeVar("Item")

_POLL_S = 0.1  # how soon the thread notices that nobody wants more


class Prefetch(Generic[Item]):
    """The items of an iterator, made on a thread while the caller works on the last one.

        frames = Prefetch(decode(), depth=2, timeout_s=60, what="dance.mp4")
        for frame in frames: ...
        if frames.close(): container.close()

    An error of the iterator is raised here. A thread that hangs cannot be ended: it is left behind.

    Args:
        depth: items that wait at most, beside the one that is being made.
        timeout_s: seconds that the next item may take.
        what: is named in the error.
    """

    def __init__(self, items: Iterator[Item], *, depth: int, timeout_s: float, what: str) -> None:
        self._items, self._timeout_s, self._what = items, timeout_s, what
        self._made: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._make, name=f"prefetch {what}", daemon=True)
        self._thread.start()

    def _make(self) -> None:
        try:
            for item in self._items:
                self._put((item,))
                if self._stopped.is_set():
                    return
            self._put(None)
        except BaseException as error:  # raised again where somebody sees it
            self._put(error)

    def _put(self, outcome: tuple[Item] | BaseException | None) -> None:
        waiting = True
        while waiting and not self._stopped.is_set():
            try:
                self._made.put(outcome, timeout=_POLL_S)
                waiting = False
            except queue.Full:
                pass

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        """The next item.

        Raises:
            DecodeTimeout: it took longer than `timeout_s`.
        """
        if self._stopped.is_set():
            raise StopIteration
        try:
            outcome = self._made.get(timeout=self._timeout_s)
        except queue.Empty:
            self._stopped.set()
            raise DecodeTimeout(f"{self._what}: nothing came within {self._timeout_s:g} s") from None
        if isinstance(outcome, tuple):
            return outcome[0]
        self._stopped.set()
        if outcome is None:
            raise StopIteration
        raise outcome

    def close(self) -> bool:
        """Ask for no more. False when the thread still uses the iterator after `timeout_s`: touch nothing of it."""
        running = not self._stopped.is_set()
        self._stopped.set()
        self._thread.join(self._timeout_s if running else _POLL_S)
        return not self._thread.is_alive()
