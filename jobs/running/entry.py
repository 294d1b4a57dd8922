"""What every job does around its own work: parse, start Ray, open the MLflow run; `ending` does the rest.

A verb's module imports this first, calls `answer_first`, and then imports what its work needs.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from jobs.running import ending
from jobs.running.config import Config, dump, load
from jobs.running.parameters import parameters
from jobs.running.resources import resources
from pipelines import telemetry
from pipelines.storage.store import Store, fingerprint
from stableanimator.redaction import log_to_stderr

if TYPE_CHECKING:
    from jobs.tracking.runs import Job

Work = Callable[[Config, Any], str]
"""A job's own work: reads the settings, logs into a `Run` or into several of a `JobRuns`, and says what it made."""

_LOOK_S = 0.005
"""For so long at most a signal may go unheard."""
_PREVIEW = "animate.preview=true"
_WITH_RAY_TRAIN = {"align", "train"}
"""Verbs that need a dashboard: Ray Train asks it each second, and warns where there is none. To others it is two
seconds of the start."""
_OF_SEVERAL_RUNS = {"evaluate"}
"""Verbs whose work is given a `JobRuns` and begins its runs itself; that of others is given a `Run`."""


def parser(verb: str) -> argparse.ArgumentParser:
    """The arguments that every verb takes."""
    result = argparse.ArgumentParser(prog=f"python -m jobs.{verb}", description=f"Run the {verb} job.")
    result.add_argument("--config", required=True, help="a YAML file; see jobs/configs")
    result.add_argument("--dry-run", action="store_true", help="print the resolved settings and resources, then stop")
    if verb == "animate":
        add_short_forms(result)
        result.add_argument("--costs", action="store_true", help="with --dry-run: count what face optimisation takes")
    result.add_argument("overrides", nargs="*", metavar="a.b=value", help="settings that replace those of the file")
    return result


def add_short_forms(parser: argparse.ArgumentParser) -> None:
    """Options that stand for settings."""
    parser.add_argument("--preview", action="store_true", help=f"animate only looks at the pairs: {_PREVIEW} for short")


def overrides(arguments: argparse.Namespace) -> list[str]:
    """Of a command line: those that its options stand for, and those that it spells out."""
    return [*([_PREVIEW] if getattr(arguments, "preview", False) else []), *arguments.overrides]


def main(verb: str, work: Work, argv: Sequence[str] | None = None) -> int:
    """Run one job. Returns its exit code (`jobs.running.ending`)."""
    log_to_stderr()

    def job() -> int:
        config = _asked(verb, argv)
        if config is not None:
            print(run_job(verb, work, config))
        return ending.EXIT_OK

    return ending.ended(job)


def answer_first(verb: str) -> None:
    """End the process where a dry run is asked for, or where a setting is wrong: before a verb's module imports what
    takes seconds (tests/jobs/running/test_dry_run.py). While it does, a signal ends it in a line too."""
    asked: list[Config | None] = []

    def answer() -> int:
        asked.append(_asked(verb, None))
        return ending.EXIT_OK

    code = ending.ended(answer)
    if not asked or asked == [None]:
        ending.leave(code)
    ending.until_begun()


def _asked(verb: str, argv: Sequence[str] | None) -> Config | None:
    """The configuration of a job that is to be run; None where only its plan was asked for, which is printed."""
    arguments = parser(verb).parse_intermixed_args(argv)
    config = load(arguments.config, overrides(arguments))
    if not arguments.dry_run:
        return config
    print_plan(verb, config, costs=getattr(arguments, "costs", False))
    return None


def print_plan(verb: str, config: Config, *, costs: bool = False) -> None:
    """What --dry-run prints: the settings, what the job reserves, and, for some, what it would do, and with `costs`
    what face optimisation takes.

    Raises:
        UserError: what would be done cannot be told.
    """
    print(yaml.safe_dump(dump(config), sort_keys=False, allow_unicode=True))
    print(resources(verb, config))
    if verb == "animate":
        from jobs.running.plans.animate import animate_plan

        print(animate_plan(config, costs))
    if verb == "curate":
        from jobs.running.plans.curate import curate_plan  # here: the measures' libraries take a second

        print(curate_plan(config))
    if verb == "encode":
        from jobs.running.plans.encode import encode_plan

        print(encode_plan(config))


@contextlib.contextmanager
def connected(address: str | None = None, *, dashboard: bool = True) -> Iterator[None]:
    """Ray, started or joined where this process has not done so yet, and left again then.

    Args:
        address: of Ray; None: RAY_ADDRESS, else a Ray of this process's own.
        dashboard: of a Ray of this process's own; one that is joined has what it has.
    """
    import ray  # here: a typo in a configuration must be answered at once, and it takes seconds

    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray.init(address, include_dashboard=dashboard, logging_level=logging.WARNING)
    except SystemExit as error:  # how Ray answers SIGTERM until it is connected
        _kill_ray()
        raise ending.Stopped(ending.KEPT, signal.SIGTERM) from error
    ending.arm()  # from then on Ray's own handler would abort
    stopped = False
    try:
        yield
    except KeyboardInterrupt:
        stopped = True
        raise
    finally:
        if stopped:  # no shutdown: work that was interrupted would abort under it
            _kill_ray()
        else:
            _leave_ray()


def _kill_ray() -> None:
    """End what a Ray of this process's own runs. Its raylet would go with this process, and leave agents behind that
    take from half a minute to more than one to end."""
    import psutil

    with contextlib.suppress(psutil.Error):
        own = [each for each in psutil.Process().children() if each.name() == "raylet"]
        for process in [below for raylet in own for below in (*raylet.children(recursive=True), raylet)]:
            with contextlib.suppress(psutil.Error):
                process.kill()


def _leave_ray() -> None:
    """Ray's core gives signals back to the system, by which they kill a process without a word, a second before it is
    shut down: so that happens beside the main thread, which takes them again at once."""
    import ray

    leaving = threading.Thread(target=ray.shutdown, name="leaving Ray", daemon=True)
    leaving.start()
    while leaving.is_alive():
        leaving.join(_LOOK_S)
        ending.arm()


def run_job(verb: str, work: Work, config: Config) -> str:
    """Do a job's work in MLflow runs of its own; returns its last lines: what was made, and the page that shows it.

    Raises:
        WeightsError: what the job would read is damaged.
    """
    from jobs.running.files import needed_files  # here for the same reason
    from jobs.tracking.runs import job_runs
    from jobs.weights.check import require_right

    started = time.monotonic()
    require_right(Store(config.root), [each.path for each in needed_files(config, [verb])])
    with job_runs(described(verb, config)) as runs, connected(dashboard=verb in _WITH_RAY_TRAIN):
        telemetry.show("sa_job_running", 1, verb=verb, experiment=config.experiment)
        try:
            last_line = work(config, runs if verb in _OF_SEVERAL_RUNS else runs.open())
        finally:
            telemetry.show("sa_job_running", 0, verb=verb, experiment=config.experiment)
        seconds = time.monotonic() - started
    return f"{verb}: {last_line} ({seconds:.0f} s)\n{runs.page}"  # after the end, when it is known what was sent


def described(verb: str, config: Config) -> Job:
    """A job as the tracker knows it."""
    from jobs.tracking.runs import Job

    settings = dump(config)
    return Job(
        verb=verb,
        experiment=config.experiment,
        root=config.root,
        line=config.line,
        key=fingerprint([verb, settings])[:12],
        params=parameters(verb, config),
        settings=settings,
    )
