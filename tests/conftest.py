"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real clips and small weights: the folder that SA_REAL_DATA names, or `../shared` beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("SA_REAL_DATA") or beside)
    for part in ("media", "weights"):
        if not (folder / part).is_dir():
            pytest.skip(f"no real clips and weights: {folder / part} is missing; name their folder in SA_REAL_DATA")
    return folder


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """Address of a local Ray cluster with three logical CPUs, the same for all tests of a session."""
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    # Workers' logs stay in their files: without a dashboard Ray Train repeats a warning every second.
    context = ray.init("local", num_cpus=3, include_dashboard=False, logging_level="WARNING", log_to_driver=False)
    yield context.address_info["address"]
    ray.shutdown()
