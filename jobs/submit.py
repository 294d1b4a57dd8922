"""`python -m jobs.submit <verb> --config <yaml> a.b=value …`: `ray job submit` with the care that people forget.

It checks the configuration before anything is sent, and the cluster before the job is; packs a small working directory
(the three packages and the resolved settings), passes the git commit and the tracking URI, follows the log through
dropped connections, and returns an exit code that a script can trust: 0 succeeded, 2 the user's mistake, 1 anything
else, a stopped job included. The same command again follows the same job while it runs, and resumes it afterwards.
"""

from __future__ import annotations

from jobs.running import ending, entry

if __name__ == "__main__":
    ending.until_begun()

import argparse
import secrets
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from jobs.doctor.findings import require_none_wrong
from jobs.doctor.preflight import own_versions, preflight
from jobs.running.addresses import job_server_address, named_address
from jobs.running.config import Config, load, resolved
from jobs.running.job_server import SUBMITTER, job_client, short_reason
from jobs.running.package_files import copy_packages
from pipelines.storage.store import file_sha256, fingerprint
from stableanimator.errors import ConfigError, UserError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

LINE = ("curate", "encode", "align", "alignment_table", "train", "animate", "evaluate")
"""What leads from a list of videos to rows in MLflow, in order."""
VERBS = (*LINE, "benchmark", "pretrain_encoders", "distill_decoder", "latency", "rebuild", "doctor")
"""Every job that can be submitted."""
_SENDS = 3
"""Times that a job is sent at most, where the connection drops before the answer."""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    result = argparse.ArgumentParser(prog="python -m jobs.submit", description=__doc__.splitlines()[0])
    result.add_argument("verb", choices=VERBS)
    result.add_argument("--config", required=True, help="a YAML file; see jobs/configs")
    result.add_argument(
        "--address",
        help="http(s)://host:8265, host:6379, ray://host:10001 or auto; default RAY_API_SERVER_ADDRESS, RAY_ADDRESS, "
        "else the head on this machine",
    )
    result.add_argument("--no-wait", action="store_true", help="return once the job is accepted")
    result.add_argument(
        "--dry-run", action="store_true", help="check and print the settings, and what a named cluster has for them"
    )
    entry.add_short_forms(result)
    result.add_argument("overrides", nargs="*", metavar="a.b=value", help="settings that replace those of the file")
    return result.parse_intermixed_args(argv)


@contextmanager
def working_directory(config: Config) -> Iterator[Path]:
    """A folder with what a job needs and nothing else: the packages, and the resolved settings as `settings.yaml`."""
    source = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory(prefix="sa-submit-") as temporary:
        folder = Path(temporary)
        copy_packages(source, folder)
        (folder / "settings.yaml").write_text(yaml.safe_dump(resolved(config), sort_keys=False, allow_unicode=True))
        yield folder


def environment() -> dict[str, str]:
    """What the job's driver and workers get to know of the submitter: commit, root and tracking server. Ray shows it to
    all who may list jobs, so it holds no password."""
    from jobs.tracking.pages import without_password
    from jobs.tracking.tracker import default_root, git_commit, tracking_uri

    ours = own_versions()
    return {
        "SA_GIT_COMMIT": git_commit(),
        "SA_ROOT": default_root(),
        "MLFLOW_TRACKING_URI": without_password(tracking_uri()),
        SUBMITTER: f"{ours.ray} {ours.python}",
    }


def job_key(verb: str, folder: Path, variables: dict[str, str]) -> str:
    """What a job is: equal for two submissions of the same verb, files and variables."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    content = {str(path.relative_to(folder)): file_sha256(path) for path in files}
    return fingerprint({"verb": verb, "files": content, "variables": variables})


def _connected(address: str) -> JobSubmissionClient:
    try:
        return job_client(address)
    except (OSError, RuntimeError) as error:  # it answered a moment ago
        raise ConfigError(f"{address} does not answer any more ({short_reason(error)}); try again") from error


def _running(client: JobSubmissionClient, key: str) -> str | None:
    """The id of a job of this key that waits or runs, so that a submitter that was lost is replaced and not doubled."""
    jobs = [job for job in client.list_jobs() if job.metadata and job.metadata.get("key") == key]
    return next((job.submission_id for job in jobs if not job.status.is_terminal()), None)


def _send(client: JobSubmissionClient, job_id: str, request: dict[str, Any]) -> None:
    """Submit under an id of our own, so that a lost answer is told from a lost request.

    Raises:
        ConfigError: the server refuses the job, or goes on dropping the connection.
    """
    for attempt in range(_SENDS):
        try:
            client.submit_job(submission_id=job_id, **request)
            return
        except OSError as error:
            if attempt == _SENDS - 1:
                reason = short_reason(error)
                raise ConfigError(
                    f"{client.get_address()} drops the connection while the job is sent ({reason})"
                ) from error
            time.sleep(2.0**attempt)
            try:
                client.get_job_info(job_id)
                return
            except (OSError, RuntimeError):
                continue  # it has not come
        except (RuntimeError, ValueError) as error:
            line = " ".join(str(error).split())[:300]
            raise ConfigError(f"{client.get_address()} refuses the job: {line}") from error


def submit(verb: str, config: Config, *, address: str, wait: bool = True) -> int:
    """Send one job and follow it. Returns its exit code (0 at once when not waiting).

    A job of the same verb, settings and sources that waits or runs there is followed instead.

    Args:
        address: of the job server, http(s)://host:port.

    Raises:
        ConfigError: no job server answers at `address` or takes our token, or the cluster cannot run the job.
    """
    from jobs.running.follow import follow  # here: it imports Ray, which takes seconds
    from jobs.tracking import credentials

    findings = preflight(_reserving(verb, config), config, address)
    for finding in findings:
        if finding.state == "note":
            print(finding, file=sys.stderr)
    require_none_wrong(findings)
    client, variables = _connected(address), environment()
    with working_directory(config) as folder:
        key = job_key(verb, folder, variables)
        credentials.send(folder)
        job_id = _running(client, key)
        if job_id is not None:
            print(f"{verb} with these settings is running as {job_id} on {address}; following it", flush=True)
        else:
            job_id = f"{verb}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
            request = {
                "entrypoint": shlex.join(["python", "-m", f"jobs.{verb}", "--config", "settings.yaml"]),
                "runtime_env": {"working_dir": str(folder), "env_vars": variables},
                "metadata": {"verb": verb, "experiment": config.experiment, "key": key},
            }
            _send(client, job_id, request)
            print(f"submitted {verb} as {job_id} to {address}", flush=True)
    if not wait:
        return ending.EXIT_OK
    try:
        return follow(client, job_id)
    except KeyboardInterrupt as stop:
        raise ending.Stopped(
            f"the job goes on, and the same command follows it again; ray job stop {job_id} stops it"
        ) from stop


def _reserving(verb: str, config: Config) -> Sequence[str]:
    """The jobs whose reservations count: those of a rebuild one after another."""
    return config.rebuild.verbs if verb == "rebuild" else [verb]


def _dry_run(verb: str, config: Config, address: str | None) -> int:
    """Settings, what the job would do, and, where a cluster is named, what it has for it. Returns 2 where that is too
    little."""
    try:
        if verb == "rebuild":
            from jobs.rebuild.plan import print_rebuild_plan  # here: it imports what measures and encodes

            print_rebuild_plan(config)
        else:
            entry.print_plan(verb, config)
    except UserError as error:  # what the cluster has need not be here
        print(f"what is missing cannot be told from this machine: {error}")
    if named_address(address) is None:
        print("no cluster is named (--address, RAY_ADDRESS), so nothing is compared with what it has")
        return ending.EXIT_OK
    findings = preflight(_reserving(verb, config), config, job_server_address(address))
    for finding in findings:
        print(finding)
    require_none_wrong(findings)
    return ending.EXIT_OK


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code (`jobs.running.ending`), of a job that was followed the job's."""
    arguments = _arguments(argv)

    def send() -> int:
        if arguments.preview and arguments.verb != "animate":
            raise ConfigError(f"--preview looks at what animate would make; {arguments.verb} has no such thing")
        config = load(arguments.config, entry.overrides(arguments))
        if arguments.dry_run:
            return _dry_run(arguments.verb, config, arguments.address)
        address = job_server_address(arguments.address)
        return submit(arguments.verb, config, address=address, wait=not arguments.no_wait)

    return ending.ended(send, kept="nothing was sent, or it runs there already: the same command goes on")


if __name__ == "__main__":
    ending.leave(main())
