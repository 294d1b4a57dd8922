"""The latency job with the small base model of the package, local Ray and MLflow on SQLite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from jobs import latency
from jobs.pairs.settings import LatencySettings
from jobs.running.config import Config, load
from jobs.tracking.runs import Job, job_run
from jobs.tracking.tracker import tracking_uri
from stableanimator.errors import CheckpointError
from stableanimator.paths import local_path

pytestmark = pytest.mark.usefixtures("cluster")
TINY = Path(__file__).resolve().parents[2] / "jobs" / "configs" / "tiny.yaml"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("SA_ROOT", str(tmp_path))
    model = local_path("package://stableanimator.synthetic/weights/base")
    overrides = [f"animate.model={model}", "animate.settings.alignment=svd", "animate.cpus_per_actor=0.5"]
    loaded = load(str(TINY), [*overrides, "animate.settings.sampler.steps=1"])
    return loaded.model_copy(update={"latency": LatencySettings(frames=2, size=(96, 96), repeats=2)})


def test_every_variant_is_timed_and_face_optimisation_costs_time(config: Config) -> None:
    with job_run(Job(verb="latency", experiment="test", key="key")) as run:
        told = latency.run(config, run)
    assert "2 frames of 96x96: " in told
    logged = MlflowClient(tracking_uri=tracking_uri()).get_run(run.run_id).data
    for name in ("plain", "hjb"):
        least, median, most = (logged.metrics[f"{name}/latency_seconds{end}"] for end in ("_low", "", "_high"))
        assert 0 < least <= median <= most
        assert 0.1 < logged.metrics[f"{name}/peak_gib"] < 8
        assert f"{name} " in told
    assert logged.metrics["hjb/latency_seconds_low"] > logged.metrics["plain/latency_seconds_low"]
    assert logged.params["machine"].endswith("cores")


def test_a_model_without_what_a_variant_needs_is_one_line(config: Config) -> None:
    variants = {"learned": replace(config.animate.settings, alignment="learned")}
    animate = replace(config.animate, variants=variants)
    with (
        job_run(Job(verb="latency", experiment="test", key="key")) as run,
        pytest.raises(CheckpointError, match="has no aligner"),
    ):
        latency.run(config.model_copy(update={"animate": animate}), run)
