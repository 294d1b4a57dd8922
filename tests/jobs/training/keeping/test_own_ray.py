"""A training while somebody starts another Ray on the machine, which is the one that `ray` finds from then on."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ....infra.services import free_port, until

pytestmark = pytest.mark.slow

TRAINING = """
import pathlib, sys, time
import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from jobs.training.keeping.own_ray import asked_about_workers
from jobs.training.keeping.stopping import new_wish

dashboard = sys.argv[1] == "dashboard"
folder, port = pathlib.Path(sys.argv[2]), int(sys.argv[3])

def work():
    (folder / "works").touch()
    while not (folder / "other").exists():
        time.sleep(0.2)
    time.sleep(8)  # Ray Train asks each second

where = {} if dashboard else {"dashboard_port": port}  # where it would be
ray.init("local", num_cpus=2, include_dashboard=dashboard, log_to_driver=False, **where)
wish = new_wish()
one, there = ScalingConfig(num_workers=1), RunConfig(storage_path=str(folder))
trainer = TorchTrainer(work, scaling_config=one, run_config=there)
try:
    with asked_about_workers(wish):
        trainer.fit()
    print("ENDED trained")
except ray.train.TrainingFailedError as error:
    print("ENDED failed:", "placement group was removed" in str(error))
"""


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """Of a machine of its own, as far as `ray` finds out which Ray was started last."""
    folder = tempfile.mkdtemp(prefix="sa-own-", dir="/tmp")  # Ray's socket paths must stay short
    there = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    yield there | {"RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0"}
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _another_ray(environment: dict[str, str], dashboard: int) -> Iterator[None]:
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=1",
        f"--port={free_port()}", f"--dashboard-agent-listen-port={free_port()}", f"--dashboard-port={dashboard}",
    ]  # fmt: skip
    log = Path(environment["RAY_TMPDIR"]) / "head.log"
    with open(log, "w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        until(lambda: "Ray runtime started" in log.read_text(), 120, lambda: log.read_text()[-3000:], process)
        yield
    finally:
        process.terminate()
        process.wait(60)


def _ended(environment: dict[str, str], folder: Path, dashboard: str) -> str:
    port = free_port()
    command = [sys.executable, "-c", TRAINING, dashboard, str(folder), str(port)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as training:  # type: ignore[call-overload]
        until(lambda: (folder / "works").exists(), 120, lambda: "it does not begin", training)
        with _another_ray(environment, port):
            (folder / "other").touch()
            said: str = training.communicate(timeout=240)[0]
    (line,) = [line for line in said.splitlines() if line.startswith("ENDED")] or [said[-3000:]]
    return line


@pytest.mark.parametrize("dashboard", ["dashboard", "none"])
def test_a_training_is_let_be(dashboard: str, environment: dict[str, str], tmp_path: Path) -> None:
    assert _ended(environment, tmp_path, dashboard) == "ENDED trained"
