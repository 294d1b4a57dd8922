"""A stop reaches the worker, waits for it where it hears, and is not waited for where it does not."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest
import ray

from jobs.running import ending
from jobs.training.keeping import stopping
from jobs.training.keeping.stopping import Listener, new_wish, until_stopped

pytestmark = pytest.mark.usefixtures("cluster")


def _stopped(work: Callable[[], None], wish: object, begun: threading.Event) -> int:
    def stop() -> None:
        begun.wait()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop, daemon=True).start()

    def job() -> int:
        until_stopped(work, wish)
        return 0

    return ending.ended(job)


def test_a_stop_waits_for_who_hears_it_and_not_for_who_does_not() -> None:
    begun, saved = threading.Event(), threading.Event()
    wish = new_wish()
    listener = Listener(wish)
    assert not listener.stopped()

    def steps() -> None:
        time.sleep(0.3)  # the wish is heard by now
        begun.set()
        while not listener.stopped():
            time.sleep(0.01)
        time.sleep(0.3)
        saved.set()

    assert _stopped(steps, wish, begun) == 130
    assert saved.is_set()

    begun, waited = threading.Event(), time.monotonic()

    def starts() -> None:
        begun.set()
        time.sleep(30)

    assert _stopped(starts, new_wish(), begun) == 130
    assert time.monotonic() - waited < stopping._ANSWER_S + 5


def test_the_end_of_who_would_tell_is_no_wish_to_stop() -> None:
    wish = new_wish()
    listener = Listener(wish)
    assert not listener.stopped()
    ray.kill(wish)
    ray.wait([listener._answer], timeout=30)
    assert [listener.stopped() for _ in range(3)] == [False] * 3


def test_the_works_own_errors_are_raised() -> None:
    def fails() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        until_stopped(fails, new_wish())
    done: list[int] = []
    until_stopped(lambda: done.append(1), new_wish())
    assert done == [1]
