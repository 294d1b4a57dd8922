"""The whole line as one rebuild, at the smallest size: each job once, then none, then those that a setting concerns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.rebuild.differences import KIND
from jobs.rebuild.receipts import KINDS
from pipelines.storage.store import Store

REPOSITORY = Path(__file__).resolve().parents[3]
VERBS = ("curate", "encode", "align", "train", "animate", "evaluate")
SHORT = (
    f"rebuild.verbs=[{','.join(VERBS)}]", "curate.select.heldout_share=0.4", "curate.benchmark.pairs=1",
    "curate.benchmark.seconds=0.5", "align.steps=20", "align.validation_pairs=20", "align.engine.workers=1",
    "align.engine.checkpoint_every=20", "align.engine.validate_every=20", "train.loop.steps=2",
    "train.loop.engine.workers=1", "train.loop.engine.checkpoint_every=2", "train.loop.engine.validate_every=2",
    "train.loop.engine.warmup_steps=1", "train.validation_rows=1", "train.aligner=latest",
)  # fmt: skip


def _rebuild(root: Path, *overrides: str) -> str:
    command = [sys.executable, "-m", "jobs.rebuild", "--config", "jobs/configs/tiny.yaml", *SHORT, *overrides]
    environment = os.environ | {"SA_ROOT": str(root)}
    for name in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        environment.pop(name, None)
    run = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return run.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_job_runs_once_and_then_those_that_a_setting_concerns(tmp_path: Path) -> None:
    sources = tmp_path / "tiny" / "sources"
    draw = [sys.executable, "-m", "stableanimator.synthetic.render", "--count", "5", "--seed", "11"]
    subprocess.run([*draw, "--kinds", "dance,wave,walk", "--out", str(sources)], cwd=REPOSITORY, check=True)

    first = _rebuild(tmp_path)
    assert f"rebuild: {', '.join(VERBS)} had work" in first
    store = Store(str(tmp_path / "tiny"))
    outputs = store.open(KIND).manifest["outputs"]
    assert set(outputs) == set(KINDS)
    metrics = store.open("metrics", outputs["metrics"])
    assert metrics.manifest["predictions"] == outputs["predictions"]

    again = _rebuild(tmp_path)
    assert "rebuild: nothing was to be done" in again
    assert len(store.collections(KIND)) == 1

    other = _rebuild(tmp_path, "train.loop.learning_rate=2.0e-4")
    assert "rebuild: train, animate, evaluate had work" in other
    changed = store.open(KIND).manifest["outputs"]
    assert {name for name in outputs if outputs[name] != changed[name]} == {"model", "predictions", "metrics"}
