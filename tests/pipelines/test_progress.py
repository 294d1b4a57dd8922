from __future__ import annotations

import contextlib
import logging
import os
import pty
import subprocess
import sys
import time

import pytest

from pipelines import progress
from pipelines.progress import counter, duration_text, progress_line, recorded, track


def test_items_pass_through_and_the_stage_is_recorded():
    with recorded() as stages:
        assert list(track(iter("abc"), "reading", 3)) == ["a", "b", "c"]
        time.sleep(0.01)  # outside of the stage
        assert list(track([], "writing", 0)) == []
    assert [(stage.what, stage.rows, stage.total) for stage in stages] == [("reading", 3, 3), ("writing", 0, 0)]
    assert stages[0].rows_per_second == pytest.approx(3 / stages[0].seconds)
    assert stages[1].rows_per_second == 0


def test_a_stage_that_is_broken_off_is_recorded_with_what_was_done():
    def items():
        yield 1
        time.sleep(0.02)
        raise RuntimeError("gone")

    with recorded() as stages, pytest.raises(RuntimeError, match="gone"):
        list(track(items(), "reading", 9))
    assert [(stage.rows, stage.total) for stage in stages] == [(1, 9)]
    assert 0.02 <= stages[0].seconds < 1


def test_what_is_counted_without_an_iterable_is_recorded_as_far_as_it_came(caplog: pytest.LogCaptureFixture):
    with (
        caplog.at_level(logging.INFO, "pipelines.progress"),
        recorded() as stages,
        counter("fetching", 9) as advance,
    ):
        advance(4)
        advance(7)
    assert [(stage.what, stage.rows, stage.total) for stage in stages] == [("fetching", 7, 9)]
    assert caplog.messages[-1].startswith("fetching: 7 of 9, ")


def test_nothing_is_recorded_outside_of_the_block():
    with recorded() as stages:
        pass
    list(track([1], "reading", 1))
    assert stages == []


def test_a_log_hears_of_a_step_also_while_nothing_comes(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.02)
    with caplog.at_level(logging.INFO, "pipelines.progress"):
        for _ in track([1], "measuring", 1):
            time.sleep(0.07)
    assert len(caplog.messages) >= 3
    assert caplog.messages[0] == "measuring: 0 of 1, 0 s"
    assert caplog.messages[-1].startswith("measuring: 1 of 1, ")


def test_a_quick_step_is_one_line(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "pipelines.progress"):
        list(track(range(5), "reading", 5))
    assert len(caplog.messages) == 1


@pytest.mark.parametrize(
    ("rows", "seconds", "line"),
    [
        (0, 30, "reading: 0 of 100, 30 s"),
        (20, 10, "reading: 20 of 100, 2.0 a second, 40 s left"),
        (5, 60, "reading: 5 of 100, 12.0 s each, 19 min 0 s left"),
        (100, 400, "reading: 100 of 100, 4.0 s each, done in 6 min 40 s"),
    ],
)
def test_a_line_says_count_rate_and_time(rows: int, seconds: float, line: str):
    assert progress_line("reading", rows, 100, seconds) == line


def test_durations_are_said_as_people_say_them():
    assert [duration_text(seconds) for seconds in (0.2, 59.4, 60, 3599, 3600, 7500)] == [
        *("0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "2 h 5 min")
    ]


def test_a_terminal_shows_a_bar_with_the_rate():
    ours, theirs = pty.openpty()
    code = "import time\nfrom pipelines.progress import track\nfor _ in track(range(4), 'reading', 4): time.sleep(0.05)"
    subprocess.run([sys.executable, "-c", code], stderr=theirs, check=True, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # which is how a terminal ends
        while piece := os.read(ours, 1 << 16):
            written += piece
    os.close(ours)
    shown = written.decode()
    assert "reading" in shown
    assert "4/4" in shown
    assert "a second" in shown
