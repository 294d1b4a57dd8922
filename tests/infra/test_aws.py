"""The cluster launcher's file: by Ray's own checks, and as far as EC2 gets, which moto plays on this machine."""

from __future__ import annotations

import copy
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.loaders
import botocore.model
import botocore.validate
import pytest
import yaml
from moto.server import ThreadedMotoServer

from jobs.running.config import load

COVERS = ("aws/cluster.yaml",)
REGION = "us-east-1"
GIVEN = {
    "SA_REGION": REGION,
    "SA_AMI": "ami-12c6146b",  # one that moto knows
    "SA_IMAGE_CPU": "registry.example/stableanimator:cpu",
    "SA_IMAGE_CUDA": "registry.example/stableanimator:cuda",
    "SA_FILES": "fs-0123456789abcdef0.efs.us-east-1.amazonaws.com",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home with what the file mounts from it."""
    for name in (".ray/auth_token", ".mlflow/credentials", ".ssh/known_hosts"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("made by a test\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def cluster_yaml(infra: Path) -> dict[str, Any]:
    text = (infra / "aws" / "cluster.yaml").read_text()
    # Of the other variables ($RAY_HEAD_IP) nothing is replaced, as `envsubst` with a list does.
    filled = string.Template(text).safe_substitute(GIVEN)
    assert "${" not in filled
    cluster: dict[str, Any] = yaml.safe_load(filled)
    return cluster


@pytest.fixture
def ec2(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """EC2 and IAM as moto plays them, on the loopback address."""
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": REGION, "NO_PROXY": "127.0.0.1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    yield boto3.client("ec2")
    server.stop()


def test_the_variables_are_those_that_the_comment_and_the_docs_name(infra: Path) -> None:
    text = (infra / "aws" / "cluster.yaml").read_text()
    used = set(re.findall(r"\$\{(\w+)\}", text))
    docs = (infra.parent / "docs" / "cluster.md").read_text()
    assert used == set(GIVEN)
    for said in (text, docs):
        assert set(re.search(r"envsubst '([^']+)'", said)[1].replace("$", "").split()) == used  # type: ignore[index]
    assert used <= set(re.findall(r"export (\w+)=", docs))


def test_ray_accepts_it_and_fills_in_what_aws_decides(cluster_yaml: dict[str, Any], home: Path, ec2: Any) -> None:
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(copy.deepcopy(cluster_yaml))
    validate_config(prepared)  # against ray-schema.json, and what it cannot say
    filled = AWSNodeProvider.fillout_available_node_types_resources(prepared)
    booted = bootstrap_aws(filled)
    types = booted["available_node_types"]
    for name, each in types.items():
        # The shape of EC2's request: an unknown or misspelt key is an error.
        request = {key: value for key, value in each["node_config"].items() if key != "SubnetIds"}
        request |= {"MinCount": 1, "MaxCount": 1, "SubnetId": each["node_config"]["SubnetIds"][0]}
        errors = botocore.validate.ParamValidator().validate(request, _shape("RunInstances"))
        assert not errors.has_errors(), errors.generate_report()
        started = ec2.run_instances(**request)["Instances"][0]
        assert started["InstanceType"] == each["node_config"]["InstanceType"]
        assert started.get("InstanceLifecycle") == ("spot" if name == "spot" else None)
    # What EC2 says of the machines is at least what the file says that they have.
    for name, each in types.items():
        instance = ec2.describe_instance_types(InstanceTypes=[each["node_config"]["InstanceType"]])["InstanceTypes"][0]
        gpus = sum(card["Count"] for card in instance.get("GpuInfo", {}).get("Gpus", []))
        assert each["resources"]["CPU"] <= instance["VCpuInfo"]["DefaultVCpus"], name
        assert each["resources"]["GPU"] == gpus, name
        models = {card["Name"] for card in instance.get("GpuInfo", {}).get("Gpus", [])}
        assert models == (set() if name == "head" else {"A100"}), name
        assert name == "head" or instance["InstanceStorageInfo"]["TotalSizeInGB"] >= 8000


def _shape(operation: str) -> Any:
    service = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("ec2", "service-2"))
    return service.operation_model(operation).input_shape


def test_it_grows_from_nothing_and_each_job_has_machines_of_its_market(
    cluster_yaml: dict[str, Any], infra: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SA_WEIGHTS", str(tmp_path))
    types = cluster_yaml["available_node_types"]
    workers = {name: each for name, each in types.items() if name != cluster_yaml["head_node_type"]}
    assert {each["min_workers"] for each in workers.values()} == {0}
    assert sum(each["max_workers"] for each in workers.values()) <= cluster_yaml["max_workers"]
    assert types[cluster_yaml["head_node_type"]]["resources"]["GPU"] == 0
    config = load(str(infra / "settings.yaml"))
    markets = {each["labels"]["market"]: each for each in workers.values()}
    assert config.curate is not None
    assert "InstanceMarketOptions" in markets[config.curate.node_labels["market"]]["node_config"]
    assert "InstanceMarketOptions" not in markets[config.train.loop.engine.node_labels["market"]]["node_config"]
    engine = config.train.loop.engine
    machine = markets["on-demand"]["resources"]
    assert engine.workers * engine.gpus_per_worker <= machine["GPU"]
    assert engine.workers * engine.cpus_per_worker <= machine["CPU"]


def test_workers_spill_to_their_own_disks_and_drivers_know_what_may_come(cluster_yaml: dict[str, Any]) -> None:
    docker, [_, worker] = cluster_yaml["docker"], cluster_yaml["worker_start_ray_commands"]
    assert "--object-spilling-directory=/spill" in worker
    assert "--volume /opt/dlami/nvme:/spill" in docker["worker_run_options"]
    [types] = [option for option in docker["run_options"] if "SA_NODE_TYPES" in option]
    [_, head] = cluster_yaml["head_start_ray_commands"]
    # Ray copies the launcher's file to the head under this name.
    assert types.partition("=")[2] == "/home/ray/ray_bootstrap_config.yaml"
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in head
