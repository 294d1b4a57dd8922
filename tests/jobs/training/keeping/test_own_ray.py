"""A training beside another Ray on the same machine, which is the one that `ray` finds when nobody says which."""

from __future__ import annotations

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
import contextlib, sys, time
import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from jobs.training.keeping.own_ray import asked_about_workers
from jobs.training.keeping.stopping import new_wish
from stableanimator.errors import ConfigError

mended, dashboard, folder = sys.argv[1] == "mended", sys.argv[2] == "dashboard", sys.argv[3]

def work():
    time.sleep(10)  # Ray Train asks each second

ray.init("local", num_cpus=2, include_dashboard=dashboard, log_to_driver=False)
wish = new_wish()
trainer = TorchTrainer(work, scaling_config=ScalingConfig(num_workers=1), run_config=RunConfig(storage_path=folder))
try:
    with asked_about_workers(wish) if mended else contextlib.nullcontext():
        trainer.fit()
    print("ENDED trained")
except ConfigError as error:
    print(f"ENDED refused: {error}")
except ray.train.TrainingFailedError as error:
    print(f"ENDED failed: {'placement group was removed' in str(error)}")
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[dict[str, str]]:
    """Environment of a machine on which somebody has started a Ray with `ray start`."""
    folder = tempfile.mkdtemp(prefix="sa-own-", dir="/tmp")  # Ray's socket paths must stay short
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0"}
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=1",
        f"--port={free_port()}", f"--dashboard-agent-listen-port={free_port()}",
    ]  # fmt: skip
    log = Path(folder) / "head.log"
    with open(log, "w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    until(lambda: "Ray runtime started" in log.read_text(), 120, lambda: log.read_text()[-3000:], process)
    yield environment
    process.terminate()
    process.wait(60)
    shutil.rmtree(folder, ignore_errors=True)


def _ended(machine: dict[str, str], tmp_path: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, *arguments, str(tmp_path)],
        env=machine, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("ENDED")]
    assert lines, done.stdout[-2000:] + done.stderr[-2000:]
    return lines[0]


def test_a_training_beside_a_newer_ray_is_let_be(machine: dict[str, str], tmp_path: Path) -> None:
    assert _ended(machine, tmp_path, "mended", "dashboard") == "ENDED trained"


def test_ray_train_alone_ends_it(machine: dict[str, str], tmp_path: Path) -> None:
    """Where this fails Ray has been mended, and what stands against it can go."""
    assert _ended(machine, tmp_path, "alone", "dashboard") == "ENDED failed: True"


def test_a_ray_without_a_dashboard_beside_one_with_it_is_refused(machine: dict[str, str], tmp_path: Path) -> None:
    assert "start this one with --include-dashboard=true" in _ended(machine, tmp_path, "mended", "none")
