"""Which machines a cluster has, and which its autoscaler may add: whether work has room, before it waits for ever.

An autoscaler adds machines only for work that waits, and Ray does not tell a job what it could add. So whoever starts a
head says it: `SA_NODE_TYPES` is the path of a YAML file with `available_node_types` as Ray's cluster launcher has them
(the launcher's own file on the head will do). Without it a cluster is what is there now.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray

from pipelines.node_places import needs_text, places
from pipelines.user_yaml import read_yaml
from stableanimator.errors import ConfigError

_NAMES = ("CPU", "GPU", "memory")


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """What one process reserves, and where it may run."""

    cpus: float
    gpus: float = 0.0
    memory: float = 0.0
    """Bytes."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Ray labels that its machine must have."""

    def __str__(self) -> str:
        text = needs_text(self.resources)
        where = ", ".join(f"{name}: {value}" for name, value in self.labels.items())
        return f"{text} on a machine labelled {where}" if where else text

    @property
    def resources(self) -> dict[str, float]:
        """By Ray's names, what is not 0."""
        return {name: each for name, each in zip(_NAMES, (self.cpus, self.gpus, self.memory), strict=True) if each}


def room(need: Need) -> int:
    """How many such processes the cluster holds when nothing else runs, its autoscaler's machines included."""
    now = [(node["Resources"], node.get("Labels", {}), 1) for node in ray.nodes() if node["Alive"]]
    # Machines that the autoscaler has added are among both, so they are not summed.
    return max(_places(now, need), _places(_to_come(), need))


def may_grow() -> bool:
    """Whether an autoscaler may add machines to the cluster, as far as a job is told."""
    return bool(os.environ.get("SA_NODE_TYPES"))


def largest(labels: Mapping[str, str]) -> Need:
    """The most of each resource that one machine with these labels has or could have."""
    machines = [(node["Resources"], node.get("Labels", {}), 1) for node in ray.nodes() if node["Alive"]] + _to_come()
    fit = [resources for resources, others, _ in machines if _matches(others, labels)]
    cpus, gpus, memory = (max((each.get(name, 0) for each in fit), default=0) for name in _NAMES)
    return Need(cpus=cpus, gpus=gpus, memory=memory, labels=labels)


_Machines = list[tuple[dict[str, float], dict[str, str], int]]


def _places(machines: _Machines, need: Need) -> int:
    return sum(
        count * places([resources], need.resources)
        for resources, labels, count in machines
        if _matches(labels, need.labels)
    )


def _matches(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in wanted.items())


def _to_come() -> _Machines:
    path = os.environ.get("SA_NODE_TYPES")
    if not path:
        return []
    try:
        types: dict[str, dict[str, Any]] = read_yaml(Path(os.path.expanduser(path)), "SA_NODE_TYPES")[
            "available_node_types"
        ]
        return [(each["resources"], each.get("labels", {}), each.get("max_workers", 0)) for each in types.values()]
    except (TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"SA_NODE_TYPES: {path} has no available_node_types with resources ({error!r}); name the launcher's file "
            "on the head, or unset the variable"
        ) from error
