"""What a command takes is counted with what it starts; the loop and the job make the same videos."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.animate import whole_jobs
from benchmarks.animate.whole_jobs import processor_seconds, run
from stableanimator.errors import StableAnimatorError

_BURN = "import time\nwhile time.process_time() < 1.5: pass"


def test_processor_time_of_children_counts() -> None:
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_BURN!r}])"
    assert 1.2 < processor_seconds([sys.executable, "-c", parent], look=0.1) < 4


def test_a_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(StableAnimatorError, match=r"ended with 3:\n.*no room"):
        run([sys.executable, "-c", "print('no room'); raise SystemExit(3)"])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_whole_drives_are_animated_and_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_jobs, "SCORED", 1)
    monkeypatch.setattr(whole_jobs, "SECONDS", 3.0)
    monkeypatch.setattr(whole_jobs, "DRAWN", "3-4")
    animated, scored = whole_jobs.coverage(tmp_path)
    assert animated.value == pytest.approx(1, abs=0.05)
    assert scored.value > 0.9
