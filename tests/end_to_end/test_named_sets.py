"""MisAlign100 from a user's videos to metrics, by three commands and by one, at the smallest size."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.storage.store import Store

REPOSITORY = Path(__file__).resolve().parents[2]
TRAINED = (
    "rebuild.verbs=[curate,encode,train]", "curate.select.heldout_share=0.4", "train.loop.steps=2",
    "train.loop.engine.workers=1", "train.loop.engine.checkpoint_every=2", "train.loop.engine.validate_every=2",
    "train.loop.engine.warmup_steps=1", "train.validation_rows=1", "train.aligner=null",
)  # fmt: skip
SHORT = ("animate.settings.max_frames=4", "animate.settings.alignment=svd")
SET = ("benchmark.pairs=2", "benchmark.seconds=0.5")


def _run(root: Path, module: str, *overrides: str) -> str:
    command = [sys.executable, "-m", module, "--config", "jobs/configs/tiny.yaml", *overrides]
    environment = os.environ | {"SA_ROOT": str(root)}
    for name in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        environment.pop(name, None)
    run = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return run.stdout


def _draw(folder: Path, count: int, seed: int) -> None:
    draw = [sys.executable, "-m", "stableanimator.synthetic.render", "--count", f"{count}", "--seed", f"{seed}"]
    subprocess.run([*draw, "--kinds", "wave,gesture", "--out", str(folder)], cwd=REPOSITORY, check=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_misalign100_by_three_commands_and_by_one(tmp_path: Path) -> None:
    _draw(tmp_path / "tiny" / "sources", 4, 11)
    _draw(tmp_path / "mine", 2, 12)
    _run(tmp_path, "jobs.rebuild", *TRAINED)
    videos = (*SET, f"benchmark.crawl.sources=[{tmp_path}/mine]", *SHORT)

    assert "MisAlign100: 2 pairs of 2 files" in _run(tmp_path, "jobs.benchmark", *videos)
    store = Store(str(tmp_path / "tiny"))
    made = store.open("benchmarks")
    assert made.manifest["name"] == "MisAlign100"
    _run(tmp_path, "jobs.animate", *videos)
    _run(tmp_path, "jobs.evaluate", *videos)
    predictions, metrics = store.open("predictions"), store.open("metrics")
    assert predictions.manifest["pairs"]["sha256"] == made.id
    assert metrics.manifest["predictions"] == predictions.id
    pairs = set(made.table("pairs")["pair_id"].to_pylist())
    measured = [row for row in metrics.table("metrics").to_pylist() if row["standard/ssim"] is not None]
    assert {row["pair_id"] for row in measured} == pairs

    one = _run(tmp_path, "jobs.rebuild", "rebuild.verbs=[benchmark,animate,evaluate]", *videos)
    assert "rebuild: benchmark, animate, evaluate had work" in one  # no receipt is left by the jobs themselves
    assert [store.open(kind).id for kind in ("benchmarks", "predictions", "metrics")] == [
        made.id,
        predictions.id,
        metrics.id,
    ]
    assert "nothing was to be done" in _run(
        tmp_path, "jobs.rebuild", "rebuild.verbs=[benchmark,animate,evaluate]", *videos
    )
