"""The services beside a cluster: compose file, secrets, provisioning, the board; parsed by what knows their formats."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grafana_foundation_sdk.models.dashboard as grafana
import promql_parser
import yaml
from compose_spec import PyCompose
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from pipelines import telemetry

from .services import program

COVERS = (
    "compose/compose.yaml",
    "compose/prometheus.yaml",
    "compose/secrets.sh",
    "kubernetes/monitoring/board.json",
    "kubernetes/monitoring/grafana-*.yaml",
)
Compose = dict[str, Any]


_VARIABLE = re.compile(r"\$\{(\w+):([?-])([^}]*)\}")


def compose(infra: Path, values: Mapping[str, str] | None = None) -> Compose:
    """As Compose reads it: what it merges (`<<`) merged, variables as `values` or the file's defaults say; what must be
    given and is not stands as its name."""
    text = (infra / "compose" / "compose.yaml").read_text()
    text = _VARIABLE.sub(lambda each: (values or {}).get(each[1]) or (each[1] if each[2] == "?" else each[3]), text)
    file = PyCompose.from_yaml(yaml.safe_dump(yaml.safe_load(text), sort_keys=False))
    file.validate()
    file.to_spec()
    return file.to_dict()


def test_compose_reads_it_and_what_it_mounts_is_there(infra: Path) -> None:
    services = compose(infra)["services"]
    assert set(services) == {"postgres", "objects", "mlflow", "prometheus", "grafana"}
    mounted = []
    for service in services.values():
        assert re.search(r":.*[0-9]", service["image"]) or "build" in service, "a version stands behind each image"
        for volume in service.get("volumes", []):
            source, target, *_ = volume.split(":")
            if source.startswith("."):
                assert (infra / "compose" / source).is_file(), volume
                mounted.append(target)
    said = json.dumps(services)
    assert all(said.count(target) > 1 or "/etc/grafana" in target for target in mounted), "what is mounted is named too"
    assert (infra / "compose" / services["mlflow"]["build"]["context"] / "infra" / "docker").is_dir()


def test_only_mlflow_is_reached_from_other_machines(infra: Path) -> None:
    services = compose(infra)["services"]
    assert [name for name, service in services.items() if service.get("ports")] == ["mlflow"]
    assert "--app-name=basic-auth" in services["mlflow"]["command"]
    assert "--web.listen-address=127.0.0.1:9090" in services["prometheus"]["command"]
    assert services["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"


def test_every_secret_that_is_used_is_made_and_is_asked_for(infra: Path, secrets: dict[str, str]) -> None:
    text = (infra / "compose" / "compose.yaml").read_text()
    asked = set(re.findall(r"\$\{(\w+):\?\}", text)) | {"RAY_AUTH_TOKEN"}
    assert asked == set(secrets) - {"auth_token"}
    assert compose(infra)["secrets"] == {"ray_token": {"environment": "RAY_AUTH_TOKEN"}}
    # Whatever else may be set has a value where it is not.
    assert set(re.findall(r"\$\{(\w+)\}", text)) == set()


def test_secrets_are_random_made_once_and_for_one_pair_of_eyes(infra: Path, tmp_path: Path) -> None:
    make, files = infra / "compose" / "secrets.sh", [tmp_path / "a", tmp_path / "b"]
    for file in files:
        subprocess.run([make, file], check=True)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    one, other = (dict(line.split("=") for line in file.read_text().splitlines()) for file in files)
    assert [name for name in one if one[name] == other[name]] == ["MLFLOW_AUTH_ADMIN_USERNAME"]
    assert one["auth_token"] == one["RAY_AUTH_TOKEN"]
    assert min(len(value) for name, value in one.items() if name != "MLFLOW_AUTH_ADMIN_USERNAME") >= 20
    before = files[0].read_text()
    subprocess.run([make, files[0]], check=True)
    assert files[0].read_text() == before
    subprocess.run(["shellcheck", make], check=True)


def test_prometheus_accepts_what_it_is_to_scrape(infra: Path, tmp_path: Path) -> None:
    promtool = program("promtool", "prometheus")
    token = tmp_path / "token"
    token.write_text("x")
    for file in (infra / "compose" / "prometheus.yaml", infra / "kubernetes" / "monitoring" / "prometheus.yaml"):
        there = tmp_path / file.parent.name
        config = yaml.safe_load(file.read_text())
        [job] = config["scrape_configs"]
        if "kubernetes_sd_configs" in job:
            # Debian leaves this discovery out of its Prometheus, so its few keys are held against their names alone.
            [found] = job.pop("kubernetes_sd_configs")
            assert found == {
                "role": "pod", "namespaces": {"own_namespace": True},
                "selectors": [{"role": "pod", "label": "ray.io/is-ray-node=yes"}],
            }  # fmt: skip
            job["file_sd_configs"] = [{"files": [str(tmp_path / "pods.json")]}]
        # The token lies in a container, which this machine is not.
        there.write_text(yaml.safe_dump(config).replace("/run/secrets/ray_token", str(token)))
        check = subprocess.run([promtool, "check", "config", str(there)], capture_output=True, text=True)
        assert check.returncode == 0, check.stdout + check.stderr


def test_grafana_finds_its_source_and_its_board(infra: Path) -> None:
    monitoring, grafana_service = infra / "kubernetes" / "monitoring", compose(infra)["services"]["grafana"]
    [source] = yaml.safe_load((monitoring / "grafana-source.yaml").read_text())["datasources"]
    [provider] = yaml.safe_load((monitoring / "grafana-boards.yaml").read_text())["providers"]
    assert source["url"].removeprefix("$") in grafana_service["environment"]
    folders = [os.path.dirname(volume.split(":")[1]) for volume in grafana_service["volumes"] if "board.json" in volume]
    assert folders == [provider["options"]["path"]]
    uids = {panel["datasource"]["uid"] for panel in board(infra)["panels"]}
    assert uids == {source["uid"]}


def board(infra: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((infra / "kubernetes" / "monitoring" / "board.json").read_text())
    return content


def queries(infra: Path) -> dict[str, str]:
    """Of the board's panels, by title and letter, with Grafana's variables as for the last quarter of an hour."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        .replace("$__rate_interval", "1m")
        .replace("$__range", "15m")
        for panel in board(infra)["panels"]
        for target in panel["targets"]
    }


def test_the_board_is_one_that_grafana_reads_and_its_panels_do_not_overlap(infra: Path) -> None:
    written = board(infra)
    read = json.loads(JSONEncoder(sort_keys=True).encode(grafana.Dashboard.from_json(written)))
    assert [panel["title"] for panel in read["panels"]] == [panel["title"] for panel in written["panels"]]
    assert all(set(panel) <= set(there) for panel, there in zip(written["panels"], read["panels"], strict=True))
    cells = [
        (x, y)
        for panel in written["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_the_board_shows_everything_that_the_flow_counts_and_nothing_else_of_it(infra: Path) -> None:
    asked: dict[str, set[str]] = {}
    for query in queries(infra).values():
        promql_parser.parse(query)
        for name in re.findall(r"ray_(sa_\w+)", query):
            asked.setdefault(name.removesuffix("_total"), set()).update(
                *re.findall(r"by \(([^)]+)\)", query)[:1]
                and [{tag.strip() for tag in re.findall(r"by \(([^)]+)\)", query)[0].split(",")}]
            )
    known = {name: set(tags) for name, (_, tags) in (telemetry.COUNTED | telemetry.SHOWN).items()}
    assert set(asked) == set(known)
    assert {name: tags for name, tags in asked.items() if not tags <= known[name]} == {}
