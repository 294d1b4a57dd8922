"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real clips and small weights: the folder that SA_REAL_DATA names, or `../shared` beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("SA_REAL_DATA") or beside)
    for part in ("media", "weights"):
        if not (folder / part).is_dir():
            pytest.skip(f"no real clips and weights: {folder / part} is missing; name their folder in SA_REAL_DATA")
    return folder
