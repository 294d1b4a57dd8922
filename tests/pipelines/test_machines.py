from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.actor_pool import require_resources
from pipelines.machines import Need, room
from stableanimator.errors import ConfigError

pytestmark = pytest.mark.usefixtures("cluster")  # one machine with three cores

SPOT = {"resources": {"CPU": 96, "GPU": 8}, "labels": {"market": "spot"}, "max_workers": 4}


def _to_come(monkeypatch: pytest.MonkeyPatch, folder: Path, **types: dict[str, Any]) -> None:
    path = folder / "cluster.yaml"
    path.write_text(json.dumps({"available_node_types": types}))
    monkeypatch.setenv("SA_NODE_TYPES", str(path))


def test_without_an_autoscaler_a_cluster_is_what_is_there() -> None:
    assert room(Need(cpus=0.5)) == 6
    assert room(Need(cpus=1, gpus=1)) == 0
    assert room(Need(cpus=1, labels={"market": "spot"})) == 0


def test_machines_that_may_come_have_room_as_far_as_their_labels_fit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    head = {"resources": {"CPU": 8}, "max_workers": 0}
    _to_come(monkeypatch, tmp_path, head=head, spot=SPOT, bought=SPOT | {"labels": {}, "max_workers": 1})
    assert room(Need(cpus=4, gpus=0.5)) == 5 * 16
    assert room(Need(cpus=4, gpus=0.5, labels={"market": "spot"})) == 4 * 16
    assert room(Need(cpus=100)) == 0
    assert room(Need(cpus=1, labels={"market": "on_demand"})) == 0


def test_what_no_machine_can_hold_is_refused_with_what_the_largest_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _to_come(monkeypatch, tmp_path, spot=SPOT)
    require_resources("encode", 8, 1, labels={"market": "spot"})
    with pytest.raises(ConfigError, match=r"needs 8 CPU cores and 9 GPUs, and .* at most 96 CPU cores and 8 GPUs"):
        require_resources("encode", 8, 9)
    with pytest.raises(ConfigError, match="on a machine labelled market: on_demand"):
        require_resources("encode", 8, 1, labels={"market": "on_demand"})


def test_a_file_without_node_types_is_the_users_mistake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SA_NODE_TYPES", str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match="SA_NODE_TYPES"):
        room(Need(cpus=100))
