"""What is said of versions and of room, on clusters that are written down here."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from jobs.doctor.findings import Finding, require_none_wrong
from jobs.doctor.preflight import PYTHONS, RAYS, fit_findings, version_findings
from jobs.running.config import Config, load
from jobs.running.job_server import Versions
from stableanimator.errors import ConfigError

HERE = Versions(ray="2.60.0", python="3.11.7")
GIB = 2.0**30


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"experiment: e\nroot: {tmp_path}\n"
        "curate: {actors: 4, cpus_per_actor: 4, gpus_per_actor: 0.5, memory_gb_per_actor: 8}\n"
        "train: {loop: {batch_size: 8, engine: {workers: 8, cpus_per_worker: 8, gpus_per_worker: 1}}}\n"
    )
    return load(str(path))


@pytest.mark.parametrize(
    ("there", "states"),
    [
        (HERE, ["ok", "ok"]),
        (Versions(ray="2.60.1", python="3.12.1"), ["note", "note"]),
        (Versions(ray="2.59.0", python="3.10.14"), ["wrong", "wrong"]),
        (Versions(ray="2.60.0", python=None), ["ok", "note"]),
    ],
)
def test_versions(there: Versions, states: list[str]) -> None:
    assert [finding.state for finding in version_findings(HERE, there)] == states


def test_the_versions_that_are_wanted_are_those_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == str(PYTHONS) or set(project["requires-python"].split(",")) == set(
        str(PYTHONS).split(",")
    )
    (ray,) = [each for each in project["dependencies"] if each.startswith("ray[")]
    assert set(ray.partition("]")[2].split(",")) == set(str(RAYS).split(","))


def _machine(cpus: float, gpus: float, gib: float = 100) -> dict[str, float]:
    return {"CPU": cpus, "GPU": gpus, "memory": gib * GIB}


@pytest.mark.parametrize(
    ("verb", "machines", "may_grow", "state", "places"),
    [
        ("curate", [_machine(16, 2)], False, "ok", 4),
        ("curate", [_machine(8, 2), _machine(8, 2)], False, "ok", 4),  # two on each by the cores
        ("curate", [_machine(16, 1)], False, "note", 2),  # fewer will run
        ("curate", [_machine(16, 2, gib=16)], False, "note", 2),  # 8 GB are 7.45 GiB
        ("curate", [_machine(3, 8), _machine(3, 8)], False, "wrong", 0),  # no machine has four cores
        ("curate", [_machine(64, 0)], None, "note", 0),
        ("train", [_machine(64, 8)], False, "ok", 8),
        ("train", [_machine(60, 8)], False, "wrong", 7),  # its workers wait for each other
        ("train", [_machine(60, 8)], True, "note", 7),
    ],
)
def test_room_by_count(
    config: Config, verb: str, machines: list[dict[str, float]], may_grow: bool | None, state: str, places: int
) -> None:
    (finding,) = fit_findings([verb], config, machines, may_grow=may_grow)
    assert finding.state == state
    assert f"the cluster has places for {places}" in finding.what


def test_a_table_in_the_driver_needs_no_room(config: Config) -> None:
    (finding,) = fit_findings(["alignment_table"], config, [], may_grow=False)
    assert str(finding) == "ok     alignment_table reserves nothing: it runs in the driver"


def test_all_that_is_wrong_is_one_line() -> None:
    findings = [Finding("ok", "a"), Finding("wrong", "b is off", "mend b"), Finding("wrong", "c is off", "mend c")]
    with pytest.raises(ConfigError, match=r"^b is off; mend b\. c is off; mend c$"):
        require_none_wrong(findings)
    require_none_wrong(findings[:1])
    with pytest.raises(ValueError, match="no way out"):
        Finding("wrong", "d")
