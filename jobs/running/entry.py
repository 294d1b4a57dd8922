"""What every job does around its own work: parse, start Ray, open the MLflow run, end with a line and an exit code.

A verb's module imports this first, calls `answer_first`, and then imports what its work needs.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from jobs.running.config import Config, dump, load
from jobs.running.parameters import parameters
from jobs.running.resources import resources
from pipelines import telemetry
from pipelines.storage.store import Store, fingerprint
from stableanimator.errors import UserError, WeightsError

if TYPE_CHECKING:
    from jobs.tracking.runs import Job

Work = Callable[[Config, Any], str]
"""A job's own work: reads the settings, logs into a `Run` or into several of a `JobRuns`, and says what it made."""

EXIT_OK, EXIT_FAILED, EXIT_USER = 0, 1, 2
_PREVIEW = "animate.preview=true"
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


def user_error(error: BaseException | None) -> UserError | None:
    """The user's mistake inside an error that Ray, Ray Data or Ray Train wrapped, if it is one."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        # Ray's wrapper of a task's error is also of the error's own class, with a traceback for a message.
        if isinstance(current, UserError) and getattr(current, "cause", None) is None:
            return current
        seen.add(id(current))
        pending += [current.__cause__, current.__context__, getattr(current, "cause", None)]
        pending += list(getattr(current, "worker_failures", {}).values())
    return None


def one_line(mistake: UserError) -> str:
    """What is wrong, where, what to do; of weights that should lie below SA_WEIGHTS also how they get there."""
    folder = os.environ.get("SA_WEIGHTS")
    if isinstance(mistake, WeightsError) and folder and os.path.abspath(folder) in str(mistake):
        return f"{mistake}; python -m jobs.weights list shows what belongs where, fetch brings it"
    return str(mistake)


def main(verb: str, work: Work, argv: Sequence[str] | None = None) -> int:
    """Run one job. Returns 0, 2 for the user's mistake (one line on stderr), or 1 (with a traceback)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    try:
        config = _asked(verb, argv)
        if config is not None:
            print(run_job(verb, work, config))
        return EXIT_OK
    except Exception as error:
        return failed(error)


def answer_first(verb: str) -> None:
    """End the process where a dry run is asked for, or where a setting is wrong: before a verb's module imports what
    takes seconds (tests/jobs/running/test_dry_run.py)."""
    try:
        if _asked(verb, None) is not None:
            return
    except Exception as error:
        sys.exit(failed(error))
    sys.exit(EXIT_OK)


def _asked(verb: str, argv: Sequence[str] | None) -> Config | None:
    """The configuration of a job that is to be run; None where only its plan was asked for, which is printed."""
    arguments = parser(verb).parse_intermixed_args(argv)
    config = load(arguments.config, overrides(arguments))
    if not arguments.dry_run:
        return config
    print_plan(verb, config, costs=getattr(arguments, "costs", False))
    return None


def failed(error: Exception) -> int:
    """Say what went wrong and return the exit code: a line and 2 for the user's mistake, else a traceback and 1."""
    mistake = user_error(error)
    if mistake is None:
        traceback.print_exception(error)
        return EXIT_FAILED
    print(f"error: {one_line(mistake)}", file=sys.stderr)
    return EXIT_USER


def print_plan(verb: str, config: Config, *, costs: bool = False) -> None:
    """What --dry-run prints: the settings, what the job reserves, and, for some, what it would do, and with `costs`
    what face optimisation takes.

    Raises:
        UserError: what would be done cannot be told.
    """
    print(yaml.safe_dump(dump(config), sort_keys=False, allow_unicode=True))
    print(resources(verb, config))
    if verb == "animate":
        from jobs.running.animate_plan import animate_plan

        print(animate_plan(config, costs))
    if verb == "curate":
        from jobs.running.curate_plan import curate_plan  # here: the measures' libraries take a second

        print(curate_plan(config))
    if verb == "encode":
        from jobs.running.encode_plan import encode_plan

        print(encode_plan(config))


@contextlib.contextmanager
def connected() -> Iterator[None]:
    """Ray, started or joined where this process has not done so yet, and left again then."""
    import ray  # here: a typo in a configuration must be answered at once, and it takes seconds

    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init(logging_level=logging.WARNING)
    try:
        yield
    finally:
        ray.shutdown()


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
    with job_runs(described(verb, config)) as runs, connected():
        telemetry.show("sa_job_running", 1, verb=verb, experiment=config.experiment)
        try:
            last_line = work(config, runs if verb in _OF_SEVERAL_RUNS else runs.open())
        finally:
            telemetry.show("sa_job_running", 0, verb=verb, experiment=config.experiment)
        return f"{verb}: {last_line} ({time.monotonic() - started:.0f} s)\n{runs.page}"


def described(verb: str, config: Config) -> Job:
    """A job as the tracker knows it."""
    from jobs.tracking.runs import Job

    settings = dump(config)
    return Job(
        verb=verb,
        experiment=config.experiment,
        line=config.line,
        key=fingerprint([verb, settings])[:12],
        params=parameters(verb, config),
        settings=settings,
    )
