"""`python -m jobs.rebuild --config <yaml>`: bring a dataset up to date, and say what became of the last release.

Reads lists of sources, thresholds, weights and settings; writes what curate, encode and the other jobs of
`rebuild.verbs` write, as far as it is missing, and `rebuilds/<id>`. Killed at any moment and started again it ends with
the same ids. `--dry-run` says what it would do.
"""

from __future__ import annotations

from jobs.running import ending, entry

if __name__ == "__main__":
    ending.until_begun()

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console

from jobs import releases
from jobs.rebuild.differences import difference, last_release, newest, record
from jobs.rebuild.line import Step, rebuild
from jobs.rebuild.receipts import KINDS, Outputs
from jobs.running.config import Config, load
from pipelines.releases.diff import ReleaseDiff
from pipelines.storage.store import Collection, Store
from stableanimator.redaction import log_to_stderr


def run(config: Config) -> str:
    """Do what is missing; returns a line that says what the dataset is now.

    Raises:
        UserError: of one of the jobs.
    """
    started, store = time.monotonic(), Store(config.root)
    steps: list[Step] = []
    for step in rebuild(config, store):
        print(step.line, flush=True)
        steps.append(step)
    outputs: Outputs = {name: one for step in steps for name, one in step.outputs.items()}
    seconds = {step.verb: round(step.seconds, 1) for step in steps}
    build = {"seconds": time.monotonic() - started, "steps": seconds}
    told, diff = _compare(config, store, outputs)
    before = newest(store)
    ended = record(store, config.experiment, config.rebuild.verbs, outputs, build)
    worth = any(step.worked for step in steps) or before != ended.id
    page = f"\n{_log(config, store, ended, diff)}" if worth else ""
    worked = [step.verb for step in steps if step.worked]
    what = f"{', '.join(worked)} had work" if worked else "nothing was to be done"
    return f"rebuild: {what}; {told}; {ended.uri} ({time.monotonic() - started:.0f} s){page}"


def _compare(config: Config, store: Store, outputs: Outputs) -> tuple[str, ReleaseDiff | None]:
    """What differs from the last release, in words, after its tables are printed."""
    release = outputs.get("release")
    if release is None:
        return "no release belongs to it", None
    last = last_release(store, config.experiment, release)
    diff = difference(store, last, release)
    if last is None:
        return f"{release[:12]} is the first release", None
    if diff is None:
        return f"the release is the last one, {release[:12]}", None
    releases.show_diff(diff, Console(width=None if sys.stdout.isatty() else 160))
    return f"against the last release, {last.id[:12]}: {releases.summary(diff)}", diff


def _log(config: Config, store: Store, ended: Collection, diff: ReleaseDiff | None) -> str:
    """A run in MLflow that names everything, beside those of the jobs; returns where the page shows it."""
    from jobs.tracking.runs import job_runs  # here: a rebuild without work needs no MLflow

    with job_runs(entry.described("rebuild", config)) as runs:
        run = runs.open()
        for name, collection_id in ended.manifest["outputs"].items():
            made = store.open(KINDS[name], collection_id)
            run.dataset(name, made.uri, made.id, context="output")
        run.tag("rebuild", ended.id[:12])
        if diff is not None:
            run.metrics({f"shots_{change}": count for change, count in diff.counts.items()})
            run.table("changed_shots", [asdict(shot) for shot in diff.shots[:1000]])
            changed = [{name: str(value) for name, value in asdict(one).items()} for one in diff.settings]
            run.table("changed_settings", changed)
    return runs.page


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    return entry.parser("rebuild").parse_intermixed_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code (`jobs.running.ending`)."""
    log_to_stderr()
    arguments = _arguments(argv)

    def job() -> int:
        config = load(arguments.config, arguments.overrides)
        if arguments.dry_run:
            from jobs.rebuild.plan import print_rebuild_plan  # here: it knows every job, which takes seconds to import

            print_rebuild_plan(config)
        else:
            print(run(config))
        return ending.EXIT_OK

    return ending.ended(job)


if __name__ == "__main__":
    ending.leave(main())
