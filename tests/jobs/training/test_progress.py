from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.tracking.run import Run
from jobs.tracking.spool import Spool, new_spool
from jobs.training.progress import Progress
from jobs.training.settings import EngineSettings, LoopSettings

LOSSES = [8.0, 4.0, 6.0, 2.0, 1.0, 3.0, 5.0]


def _told(tmp_path: Path, first: int, last: int, kept: set[int]) -> dict[int, float]:
    """Loss by step of a run that takes the steps after `first` until `last`, three of them to a point."""
    spool, lock = new_spool(tmp_path / f"{time.time_ns()}", {"tags": {}})
    assert lock is not None
    engine = replace(EngineSettings(), workers=1, log_every=3)
    loop = LoopSettings(steps=len(LOSSES), batch_size=1, learning_rate=1e-3, engine=engine)
    progress = Progress(loop, len(LOSSES), first, Run(spool.folder).folder, "aligner")
    for step in range(first + 1, last + 1):
        progress.step(step, LOSSES[step - 1], 1e-3, 1.0, 0.1, tell=step in kept)
    lock.release()
    return _losses(spool)


def _losses(spool: Spool) -> dict[int, float]:
    records = [record for _, _, record in spool.records({})]
    return {record["step"]: record["values"]["loss"] for record in records if record["kind"] == "metrics"}


def test_a_point_is_the_mean_of_the_steps_since_the_last(tmp_path: Path) -> None:
    assert _told(tmp_path, 0, 7, {7}) == {3: 6.0, 6: 2.0, 7: 5.0}


def test_who_goes_on_from_a_checkpoint_tells_what_the_undisturbed_run_tells(tmp_path: Path) -> None:
    """Killed after step 5, and again after the checkpoint of step 4."""
    undisturbed = _told(tmp_path, 0, 7, {4, 7})
    assert undisturbed == pytest.approx({3: 6.0, 4: 2.0, 6: 2.0, 7: 5.0})
    assert _told(tmp_path, 0, 5, {4}) | _told(tmp_path, 4, 7, {7}) == undisturbed
