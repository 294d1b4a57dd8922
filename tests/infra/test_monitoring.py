"""Jobs that are sent with a token to a head, while Prometheus scrapes it as compose.yaml says; the board is asked."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from jobs.running.config import load
from jobs.running.local_ray import local_head
from jobs.submit import working_directory

from .services import free_port, program, service, until
from .test_compose import compose, queries

COVERS = ("compose/prometheus.yaml", "kubernetes/monitoring/board.json")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
CONFIG = Path(__file__).resolve().parents[2] / "jobs" / "configs" / "tiny.yaml"
REPOSITORY = CONFIG.parents[2]
SHORT = (
    "curate.actors=1", "curate.select.heldout_share=0.0", "align.steps=20", "align.validation_pairs=20",
    "align.engine.workers=1", "align.engine.log_every=5", "align.engine.validate_every=10",
    "align.engine.checkpoint_every=20", "align.engine.zero_stage=0",
)  # fmt: skip
WITHOUT = {
    # What one machine without a card, and these two jobs, have not.
    "GPU utilisation A", "GPU memory A", "GPU memory B", "Training rows encoded A",
    # The drawn clips of these kinds are all accepted, and nothing is held out.
    "Shots that each rule rejected A", "Loss B", "Failures by reason A",
}  # fmt: skip


@dataclass(frozen=True)
class Watched:
    """A head, and the Prometheus that scrapes it."""

    head: str
    prometheus: str

    def ask(self, query: str) -> list[dict[str, Any]]:
        """What Prometheus answers to a query for the last quarter of an hour: series of [time, value]."""
        now = time.time()
        params: dict[str, Any] = {"query": query, "start": now - 900, "end": now, "step": 5}
        answer = requests.get(f"{self.prometheus}/api/v1/query_range", params=params).json()
        assert answer["status"] == "success", (query, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


@pytest.fixture(scope="module")
def watched(infra: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    binary, folder, port = program("prometheus", "prometheus"), tmp_path_factory.mktemp("prometheus"), free_port()
    with local_head(4) as head:
        (folder / "token").write_text(os.environ["RAY_AUTH_TOKEN"])
        config = (infra / "compose" / "prometheus.yaml").read_text()
        for old, new in {
            "http://127.0.0.1:8265": head, "/run/secrets/ray_token": str(folder / "token"), ": 15s": ": 5s",
        }.items():  # fmt: skip
            assert old in config
            config = config.replace(old, new)
        (folder / "prometheus.yaml").write_text(config)
        there = {
            "/etc/prometheus/prometheus.yaml": str(folder / "prometheus.yaml"),
            "=/prometheus": f"={folder}/data", "127.0.0.1:9090": f"127.0.0.1:{port}",
        }  # fmt: skip
        command = [binary]
        for word in compose(infra)["services"]["prometheus"]["command"]:
            for old, new in there.items():
                word = word.replace(old, new) if word.endswith(old) else word
            command.append(word)
        url = f"http://127.0.0.1:{port}"
        ready = lambda: requests.get(f"{url}/-/ready").status_code == 200  # noqa: E731
        with service(command, ready, folder / "prometheus.log"):
            watched = Watched(head, url)
            # Nodes are named some seconds after a head answers, and only then does it take jobs.
            until(lambda: bool(watched.ask("up == 1")), 180, lambda: (folder / "prometheus.log").read_text()[-2000:])
            yield watched


def _submit(watched: Watched, verb: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`ray job submit`, as somebody who has the packages and the settings in a folder."""
    runtime = json.dumps({"env_vars": {"SA_ROOT": environment["SA_ROOT"]}})
    command = [
        str(Path(sys.executable).with_name("ray")), "job", "submit", "--address", watched.head, "--working-dir",
        str(folder), "--runtime-env-json", runtime, "--", "python", "-m", f"jobs.{verb}", "--config", "settings.yaml",
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)


@pytest.fixture(scope="module")
def done(watched: Watched, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Two jobs that ran, and what the board's queries answered while or after they did, by title and letter."""
    root = tmp_path_factory.mktemp("root")
    draw = [sys.executable, "-m", "stableanimator.synthetic.render", "--count", "2", "--seed", "11"]
    sources = root / "tiny" / "sources"
    subprocess.run([*draw, "--kinds", "dance,walk", "--out", str(sources)], cwd=REPOSITORY, check=True)
    (sources / "no video.mp4").write_bytes(b"words")
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("SA_ROOT", str(root))
        folder = stack.enter_context(working_directory(load(str(CONFIG), SHORT)))
        for verb in ("curate", "align"):
            result = _submit(watched, verb, folder, dict(os.environ))
            assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
        asked = queries(CONFIG.parents[2] / "infra")
        yield {name: watched.ask(query) for name, query in asked.items()}


def test_without_the_token_no_job_is_taken(watched: Watched, tmp_path: Path) -> None:
    names = ("RAY_AUTH_TOKEN", "RAY_AUTH_MODE", "RAY_ADDRESS", "HOME")
    stranger = {name: value for name, value in os.environ.items() if name not in names}
    refused = _submit(watched, "curate", tmp_path, stranger | {"HOME": str(tmp_path), "SA_ROOT": "/"})
    assert refused.returncode != 0
    assert "token" in (refused.stdout + refused.stderr).lower()
    assert requests.get(f"{watched.head}/api/prometheus/sd").status_code == 401


def test_every_panel_of_the_board_has_something_to_show(done: dict[str, list[dict[str, Any]]]) -> None:
    assert {name for name, series in done.items() if not series} <= WITHOUT


def test_what_prometheus_saw_is_what_the_jobs_did(watched: Watched, done: dict[str, list[dict[str, Any]]]) -> None:
    def by(name: str, tag: str) -> dict[str, float]:
        return {each["metric"].get(tag, ""): float(each["values"][-1][1]) for each in done[name]}

    # Beside each drawn clip lie two files that say what is in it.
    assert by("Videos A", "status") == {"fetched": 2, "failed": 1, "passed_over": 4}
    assert by("Failures by reason B", "reason") == {"not_a_video": 1}
    assert sum(by("Shots A", "verdict").values()) >= 2
    assert by("Rows that wait A", "step")["measuring videos"] == 0
    assert by("Training steps A", "training") == by("Training steps B", "training")
    assert list(by("Training steps A", "training").values()) == [20]
    assert all(0 < value < 10 for value in by("Loss A", "training").values())
    assert set(by("Jobs that run A", "verb")) == {"curate", "align"}
    [rows] = watched.ask('ray_sa_rows_total{step="measuring videos"}')
    assert float(rows["values"][-1][1]) == 2
