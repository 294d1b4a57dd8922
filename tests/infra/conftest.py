"""What the checks of `infra/` share: where it lies, its chart as Helm renders it, the secrets of a deployment."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python.chart import Chart

ROOT = Path(__file__).resolve().parents[2]
Document = dict[str, Any]


@pytest.fixture(scope="session")
def infra() -> Path:
    """The folder `infra/`."""
    return ROOT / "infra"


@pytest.fixture(scope="session")
def rendered() -> Callable[..., list[Document]]:
    """What Helm makes of the chart: `rendered({"run": "curate"})` gives the documents of a release `flow`."""
    chart = Chart.load(ROOT / "infra" / "kubernetes")

    def render(values: Mapping[str, Any] | None = None, name: str = "flow") -> list[Document]:
        texts = chart.render(dict(values or {}), name=name, namespace="lab").values()
        return [document for text in texts for document in yaml.load_all(text, yaml.CSafeLoader) if document]

    return render


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `secrets.sh` makes."""
    file = tmp_path_factory.mktemp("secrets") / "flow.env"
    subprocess.run([ROOT / "infra" / "compose" / "secrets.sh", file], check=True)
    return dict(line.split("=", 1) for line in file.read_text().splitlines())
