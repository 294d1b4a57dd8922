"""A cluster that has no machine but its head, and the types of the launcher's file: work makes machines come.

The autoscaler is Ray's own, of the version that the launcher starts; its machines are raylets on this one, which say
that they have the cores and cards of the types.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID, FAKE_HEAD_NODE_TYPE

from .services import free_port, until

COVERS = ("aws/cluster.yaml",)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
REPOSITORY = Path(__file__).resolve().parents[2]

WORK = """
import json, ray
ray.init()
from pipelines.actor_pool import require_resources, run_actors
from pipelines.machines import Need, room
from stableanimator.errors import ConfigError

class Where:
    def __call__(self, row):
        return {"labels": ray.get_runtime_context().get_node_labels()}

def labels(market):
    return {"market": market}

here = [node["Labels"]["market"] for node in ray.nodes()]
require_resources("curate", 4, 0.5, labels=labels("spot"))
try:
    require_resources("curate", 4, 9)
    refused = False
except ConfigError:
    refused = True
rows = run_actors([{}] * 2, Where, (), lost=lambda row, error: {"lost": str(error)}, what="looking", actors=2, cpus=4,
                  gpus=0.5, labels=labels("spot"))
pool = [row["labels"]["market"] if "labels" in row else row for row in rows]

from ray.train import ScalingConfig, RunConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
def worker():
    open(f"{STORE}/{ray.get_runtime_context().get_node_labels()['market']}", "w").close()
size = ScalingConfig(
    num_workers=8, use_gpu=True, resources_per_worker={"CPU": 8, "GPU": 1}, label_selector=labels("on-demand")
)
DataParallelTrainer(worker, scaling_config=size, run_config=RunConfig(storage_path=STORE, name="x")).fit()
print("FOUND", json.dumps({"here": here, "refused": refused, "pool": pool, "room": room(Need(cpus=8, gpus=1))}))
"""


@pytest.fixture
def head(infra: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """Address of a head with the file's types, and the path of its configuration."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    folder = Path(tempfile.mkdtemp(prefix="sa-grow-", dir="/tmp"))
    port, agent, client = (free_port() for _ in range(3))
    launcher = yaml.safe_load((infra / "aws" / "cluster.yaml").read_text())
    types = {name: {**each, "node_config": {}} for name, each in launcher["available_node_types"].items()}
    types[FAKE_HEAD_NODE_TYPE] = types.pop("head") | {"max_workers": 0}
    provider = {
        # Ray's own of this kind, named as an external one: the default settings of its own name are not in the package.
        "type": "external", "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "launch_multiple": True, "head_node_id": FAKE_HEAD_NODE_ID,
        "gcs_address": f"127.0.0.1:{port}",
    }  # fmt: skip
    config = {
        "cluster_name": "grows", "provider": provider, "max_workers": launcher["max_workers"], "docker": {}, "auth": {},
        "available_node_types": types, "head_node_type": FAKE_HEAD_NODE_TYPE, "idle_timeout_minutes": 1,
        "upscaling_speed": 1.0,
        "file_mounts": {}, "cluster_synced_files": [], "initialization_commands": [], "setup_commands": [],
        "head_setup_commands": [], "worker_setup_commands": [], "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
    }  # fmt: skip
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    environment = os.environ | {
        "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID, "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
        "RAY_NODE_TYPE_NAME": FAKE_HEAD_NODE_TYPE, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(REPOSITORY),
    }  # fmt: skip
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}",
        f"--autoscaling-config={path}", "--include-dashboard=false", f"--ray-client-server-port={client}",
        f"--dashboard-agent-listen-port={agent}", "--node-ip-address=127.0.0.1", f"--temp-dir={folder}", "--num-cpus=4",
        "--num-gpus=0", "--labels=market=head",
    ]  # fmt: skip
    log = folder / "head.log"
    with open(log, "w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        until(lambda: "Ray runtime started" in log.read_text(), 300, lambda: log.read_text()[-3000:], process)
        yield f"127.0.0.1:{port}", path
    finally:
        for each in [psutil.Process(process.pid), *_of(folder)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _of(folder: Path) -> list[psutil.Process]:
    """The processes of this head and of its machines, which all are told its folder."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(folder) in " ".join(each.cmdline()):
                found += [each, *each.children(recursive=True)]
    return found


def test_work_on_a_head_alone_makes_machines_of_its_market_come(head: tuple[str, Path], tmp_path: Path) -> None:
    address, config = head
    environment = os.environ | {"RAY_ADDRESS": address, "SA_NODE_TYPES": str(config), "PYTHONPATH": str(REPOSITORY)}
    code = f"STORE = {str(tmp_path)!r}\n{WORK}"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=1200)
    said = [line for line in run.stdout.splitlines() if line.startswith("FOUND")]
    assert said, run.stdout[-3000:] + run.stderr[-3000:]
    found = json.loads(said[0].removeprefix("FOUND"))
    assert found["here"] == ["head"]
    assert found["refused"] is True
    assert found["pool"] == ["spot", "spot"]
    assert found["room"] == 6 * 8  # cards of four spot machines and two that stay
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"on-demand"}
