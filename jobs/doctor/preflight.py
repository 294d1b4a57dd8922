"""What can be told of a cluster from outside: versions, and whether the configuration fits it by count.

Every submission begins with this; `jobs.doctor` on the cluster begins with the same and looks further.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version

from packaging.specifiers import SpecifierSet

from jobs.doctor.findings import Finding
from jobs.running.config import Config
from jobs.running.job_server import Versions, nodes, versions
from jobs.running.resources import Demand, demand
from pipelines.node_places import most, needs_text, places
from stableanimator.errors import ConfigError

PYTHONS = SpecifierSet(">=3.11,<3.14")  # as pyproject.toml has it, which does not travel with a job
RAYS = SpecifierSet(">=2.60,<2.61")


def own_versions() -> Versions:
    """Of this process."""
    return Versions(ray=version("ray"), python=platform.python_version())


def version_findings(here: Versions, there: Versions, name: str = "the cluster") -> Iterator[Finding]:
    """Whether our code runs there, and whether both sides are the same."""
    for what, allowed, ours, theirs in (
        ("Ray", RAYS, here.ray, there.ray),
        ("Python", PYTHONS, here.python, there.python),
    ):
        if theirs is None:
            yield Finding("note", f"{name} does not say which {what} it runs", f"ours is {ours}; see to it there")
        elif theirs not in allowed:
            way = f"install {what} {allowed} there, or use a commit of this project that fits"
            yield Finding("wrong", f"{name} runs {what} {theirs}, and this project needs {allowed}", way)
        elif theirs != ours:
            way = "jobs run with the cluster's; ids may differ from those made here"
            yield Finding("note", f"{name} runs {what} {theirs}, and {ours} is here", way)
        else:
            yield Finding("ok", f"{what} {ours} here and on {name}")


def fit_findings(
    verbs: Sequence[str], config: Config, machines: Sequence[Mapping[str, float]], *, may_grow: bool | None
) -> Iterator[Finding]:
    """Whether what each job reserves has places on the machines, all of them or at least one.

    Args:
        machines: all that each has, by Ray's names.
        may_grow: whether an autoscaler may add machines; None where that is not known.
    """
    asked = [wanted for wanted in (demand(verb, config) for verb in verbs) if wanted is not None]
    for wanted in dict.fromkeys(asked):
        yield _fit(wanted, machines, may_grow)
    for verb in verbs:
        if demand(verb, config) is None:
            yield Finding("ok", f"{verb} reserves nothing: it runs in the driver")


def _fit(wanted: Demand, machines: Sequence[Mapping[str, float]], may_grow: bool | None) -> Finding:
    room = places(machines, wanted.needs)
    each = f"{wanted.what} of {needs_text(wanted.needs)}"
    what = f"{wanted.section} asks for {wanted.count} {each}, and the cluster has places for {room}"
    if room >= wanted.count:
        return Finding("ok", what)
    largest = needs_text(most(machines, ("CPU", "GPU")))
    suffix = "worker" if wanted.all_at_once else "actor"
    names = f"{wanted.section}.cpus_per_{suffix} and gpus_per_{suffix}"
    fewer = f"lower {names}{f' or {wanted.section}.workers' if wanted.all_at_once else ''}, or add machines"
    if room and not wanted.all_at_once:
        return Finding("note", what, f"{room} will run side by side, so it takes longer")
    what = f"{what} (the largest machine has {largest})"
    if may_grow is False:
        return Finding("wrong", what, fewer)
    growing = "an autoscaler must add machines" if may_grow else "unless an autoscaler adds machines, the job refuses"
    return Finding("note", what, f"{growing}; else {fewer}")


def cluster_line(machines: Iterable[Mapping[str, float]]) -> str:
    """`2 nodes with 16 CPU and 4 GPU together`."""
    rows = list(machines)
    cpus, gpus = (sum(row.get(name, 0) for row in rows) for name in ("CPU", "GPU"))
    return f"{len(rows)} node{'s' * (len(rows) != 1)} with {cpus:g} CPU and {gpus:g} GPU together"


def preflight(verbs: Sequence[str], config: Config, address: str) -> list[Finding]:
    """The short form of the doctor's: what a submission to this job server is told.

    Raises:
        ConfigError: no job server answers there, or it does not take our token.
    """
    found = list(version_findings(own_versions(), versions(address)))
    try:
        machines = [node.resources for node in nodes(address)]
    except ConfigError as error:  # a proxy may let jobs through and nothing else
        return [*found, Finding("note", str(error), "whether the jobs fit is seen when they run")]
    if not machines:
        return [*found, Finding("note", f"{address} lists no node that is alive", "look at its dashboard; jobs wait")]
    found.append(Finding("ok", f"{address}: {cluster_line(machines)}"))
    return [*found, *fit_findings(verbs, config, machines, may_grow=None)]
