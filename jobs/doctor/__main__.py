"""`python -m jobs.doctor --config <yaml>`: what is missing for the jobs of a configuration, and what to do about it.

Run so it looks at this machine, as a cluster of one; `python -m jobs.submit doctor --config <yaml>` runs it as a job,
where it looks at every machine of the cluster. Ends with 0, or 2 where something is wrong.
"""

from __future__ import annotations

from jobs.running import ending, entry

if __name__ == "__main__":
    ending.until_begun()

import argparse
import os
import sys
from collections.abc import Iterator, Sequence

from jobs.doctor.findings import Finding
from jobs.doctor.preflight import cluster_line, fit_findings, own_versions, version_findings
from jobs.running.config import Config, load
from jobs.running.environment import variables
from jobs.running.job_server import SUBMITTER, Versions
from stableanimator.errors import ConfigError


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    result = argparse.ArgumentParser(prog="python -m jobs.doctor", description=__doc__.splitlines()[0])
    result.add_argument("--config", required=True, help="a YAML file; see jobs/configs")
    result.add_argument("overrides", nargs="*", metavar="a.b=value", help="settings that replace those of the file")
    return result.parse_intermixed_args(argv)


def examine(config: Config) -> Iterator[Finding]:
    """Look at the cluster that Ray is connected to, and at this process."""
    import ray

    from jobs.doctor.machines import look_at_machines, uses_folder
    from jobs.running.files import needed_files
    from pipelines.machines import may_grow

    verbs = config.doctor.verbs
    ours = own_versions()
    yield from version_findings(_submitter() or ours, ours)
    alive = [node for node in ray.nodes() if node["Alive"]]
    machines = [node["Resources"] for node in alive]
    yield Finding("ok", cluster_line(machines))
    yield from fit_findings(verbs, config, machines, may_grow=may_grow())
    if config.perception is None and {"animate", "evaluate"} & set(verbs):
        yield Finding("wrong", "perception: animate and evaluate need it", "set perception.faces and perception.pose")
    yield from uses_folder(config, verbs)
    yield from look_at_machines(config, needed_files(config, verbs), alive)
    yield from _tracker(len(alive))


def _submitter() -> Versions | None:
    """Of whoever submitted this as a job."""
    ray_version, _, python = os.environ.get(SUBMITTER, "").partition(" ")
    return Versions(ray=ray_version, python=python or None) if ray_version else None


def _tracker(machines: int) -> Iterator[Finding]:
    from jobs.tracking.tracker import IMPATIENT, is_file, tracker_answers, tracking_uri, users_mistake

    uri = ""
    try:
        uri = tracking_uri()
        with variables(IMPATIENT):
            shown = tracker_answers()
    except ConfigError as error:
        what, _, way = str(error).partition("; ")
        if isinstance(error.__cause__, Exception) and users_mistake(uri, error.__cause__) is None:
            yield Finding("note", what, f"jobs run, and what they log waits on disk until it does; {way}")
        else:
            yield Finding("wrong", what, way)
        return
    if is_file(uri) and machines > 1:
        way = "start `mlflow server --host 0.0.0.0` and name it in MLFLOW_TRACKING_URI where you submit"
        yield Finding("note", f"runs go to the file {shown}, which several machines cannot write well", way)
    else:
        yield Finding("ok", f"the tracking server {shown} answers")


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each finding. Returns 0, 2 where something is wrong, or as `jobs.running.ending` says."""
    arguments = _arguments(argv)
    return ending.ended(lambda: _look(load(arguments.config, arguments.overrides)), kept="it has changed nothing")


def _look(config: Config) -> int:
    wrong, count = [], 0
    # The address of a job server, as submissions want it, is none that a process can join.
    here = os.environ.get("RAY_ADDRESS", "").startswith("http")
    with entry.connected("local" if here else None):
        for finding in examine(config):
            count += 1
            wrong += [finding] if finding.state == "wrong" else []
            print(finding, flush=True)
    if wrong:
        print(f"error: {len(wrong)} of {count} things are wrong; the lines above say what to do", file=sys.stderr)
        return ending.EXIT_USER
    print(f"doctor: nothing is wrong of {count} things that {', '.join(config.doctor.verbs)} need")
    return ending.EXIT_OK


if __name__ == "__main__":
    ending.leave(main())
