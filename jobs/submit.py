"""`python -m jobs.submit <verb> --config <yaml> a.b=value …`: `ray job submit` with the care that people forget.

It checks the configuration before anything is sent, packs a small working directory (the three packages and the
resolved settings), passes the git commit and the tracking URI, follows the log, and returns an exit code that a
script can trust: 0 succeeded, 2 the user's mistake, 1 anything else, a stopped job included.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from jobs.running import entry
from jobs.running.config import Config, dump, load
from jobs.running.local_ray import job_client
from stableanimator.errors import ConfigError, UserError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

LINE = ("curate", "encode", "align", "alignment_table", "train", "animate", "evaluate")
"""What leads from a list of videos to rows in MLflow, in order."""
VERBS = (*LINE, "pretrain_encoders")
"""Every job that can be submitted."""
PACKAGES = ("jobs", "pipelines", "stableanimator")
DEFAULT_ADDRESS = "http://127.0.0.1:8265"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    result = argparse.ArgumentParser(prog="python -m jobs.submit", description=__doc__.splitlines()[0])
    result.add_argument("verb", choices=VERBS)
    result.add_argument("--config", required=True, help="a YAML file; see jobs/configs")
    result.add_argument("--address", help=f"Ray's job server; default RAY_ADDRESS, else {DEFAULT_ADDRESS}")
    result.add_argument("--no-wait", action="store_true", help="return once the job is accepted")
    result.add_argument("--dry-run", action="store_true", help="check and print the settings; send nothing")
    result.add_argument("overrides", nargs="*", metavar="a.b=value", help="settings that replace those of the file")
    return result.parse_intermixed_args(argv)


@contextmanager
def working_directory(config: Config) -> Iterator[Path]:
    """A folder with what a job needs and nothing else: the packages, and the resolved settings as `settings.yaml`."""
    source = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory(prefix="sa-submit-") as temporary:
        folder = Path(temporary)
        for package in PACKAGES:
            shutil.copytree(source / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "settings.yaml").write_text(yaml.safe_dump(dump(config), sort_keys=False, allow_unicode=True))
        yield folder


def environment() -> dict[str, str]:
    """What the job's driver and workers get to know of the submitter: commit, root and tracking server."""
    from jobs.running.tracking import default_root, git_commit, tracking_uri

    return {"SA_GIT_COMMIT": git_commit(), "SA_ROOT": default_root(), "MLFLOW_TRACKING_URI": tracking_uri()}


def _client(address: str) -> JobSubmissionClient:
    try:
        return job_client(address)
    except (ConnectionError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"no Ray job server answers at {address} ({reason}); start one with "
            "`ray get-auth-token --generate` and `ray start --head`, or give --address"
        ) from error


async def _follow(client: JobSubmissionClient, job_id: str) -> None:
    async for lines in client.tail_job_logs(job_id):
        print(lines, end="", flush=True)


def _wait(client: JobSubmissionClient, job_id: str) -> int:
    from ray.job_submission import JobStatus

    while True:
        try:
            asyncio.run(_follow(client, job_id))
        except (ConnectionError, RuntimeError, OSError) as error:  # a dropped connection must not look like a failure
            print(f"\nlost the log ({error}); the job goes on, asking again", file=sys.stderr)
        details = client.get_job_info(job_id)
        if details.status.is_terminal():
            break
        time.sleep(1)
    if details.status == JobStatus.SUCCEEDED:
        return entry.EXIT_OK
    if details.driver_exit_code == entry.EXIT_USER:
        return entry.EXIT_USER
    print(f"job {job_id} {details.status.value.lower()}: {details.message or ''}".strip(), file=sys.stderr)
    return entry.EXIT_FAILED


def submit(verb: str, config: Config, *, address: str, wait: bool = True) -> int:
    """Send one job and follow it. Returns its exit code (0 at once when not waiting).

    Raises:
        ConfigError: no job server answers at `address`.
    """
    client = _client(address)
    command = ["python", "-m", f"jobs.{verb}", "--config", "settings.yaml"]
    with working_directory(config) as folder:
        job_id = client.submit_job(
            entrypoint=shlex.join(command),
            runtime_env={"working_dir": str(folder), "env_vars": environment()},
            metadata={"verb": verb, "experiment": config.experiment},
        )
    print(f"submitted {verb} as {job_id} to {address}", flush=True)
    if not wait:
        return entry.EXIT_OK
    try:
        return _wait(client, job_id)
    except KeyboardInterrupt:
        print(f"\nstopped following; the job goes on. To stop it: ray job stop {job_id}", file=sys.stderr)
        return 130


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    address = arguments.address or os.environ.get("RAY_ADDRESS", "")
    try:
        config = load(arguments.config, arguments.overrides)
        if arguments.dry_run:
            try:
                entry.print_plan(arguments.verb, config)
            except UserError as error:  # what the cluster has need not be here
                print(f"what is missing cannot be told from this machine: {error}")
            return entry.EXIT_OK
        return submit(
            arguments.verb,
            config,
            address=address if address.startswith("http") else DEFAULT_ADDRESS,
            wait=not arguments.no_wait,
        )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return entry.EXIT_USER


if __name__ == "__main__":
    sys.exit(main())
