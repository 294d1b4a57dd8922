from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from stableanimator.errors import DecodeTimeout
from stableanimator.media.prefetch import Prefetch


def _ahead(items: Iterator[int], depth: int = 2, timeout_s: float = 5.0) -> Prefetch[int]:
    return Prefetch(items, depth=depth, timeout_s=timeout_s, what="numbers")


def test_items_come_in_order_and_end():
    items = _ahead(iter(range(100)))
    assert list(items) == list(range(100))
    assert list(items) == []


def test_no_more_are_made_ahead_than_was_asked_for():
    made: list[int] = []
    items = _ahead((made.append(item) or item for item in itertools.count()), depth=3)
    assert next(items) == 0
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        assert len(made) <= 1 + 3 + 1  # given, waiting, and the one in hand
    assert len(made) == 5
    assert items.close()
    assert list(items) == []


def test_an_error_comes_after_the_items_before_it():
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    items = _ahead(failing())
    assert next(items) == 1
    with pytest.raises(ValueError, match="no more"):
        next(items)
    assert list(items) == []
    assert items.close()


def test_what_hangs_is_given_up_and_said_to_be_in_use():
    go_on = threading.Event()

    def hanging() -> Iterator[int]:
        yield 1
        go_on.wait()
        yield 2

    items = _ahead(hanging(), timeout_s=0.5)
    assert next(items) == 1
    with pytest.raises(DecodeTimeout, match=r"numbers: nothing came within 0\.5 s"):
        next(items)
    assert not items.close()
    assert list(items) == []
    go_on.set()
