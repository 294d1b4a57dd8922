"""A training's folder: what it was started with, and its checkpoints.

    <root>/models/<name>/run.json                 what decides the result; a different one is refused
    <root>/models/<name>/lease/                   the job at work there (pipelines.storage.lease)
    <root>/models/<name>/step_500/*.safetensors, config.json, deepspeed/, state.json
    <root>/models/<id>/manifest.json              a finished training as a collection: where its last checkpoint is

`state.json` is written last, whole or not at all: a checkpoint without one was interrupted and does not exist. It has
the checksums of all other files, and one of itself: where they do not hold, a checkpoint is damaged, and the one before
counts.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jobs.training.keeping.checksums import checksums, damage
from jobs.weights.check import require_committed
from pipelines.storage.lease import Lease, held
from pipelines.storage.store import Collection, Store, canonical_json, file_sha256, fingerprint
from stableanimator.errors import CheckpointError, ConfigError, InputError
from stableanimator.paths import own_file

log = logging.getLogger(__name__)

STATE = "state.json"
_DESCRIBED = "run.json"
_SHOWN = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A checkpoint that was completed."""

    folder: Path
    step: int
    """Optimiser steps done."""
    state: dict[str, Any]
    """Contents of state.json; nothing where it is damaged."""

    @property
    def finished(self) -> bool:
        """Whether it is the training's last."""
        return bool(self.state and self.state["step"] == self.state["total_steps"])

    def damage(self) -> str | None:
        """What is not as it was written, in words; None of a whole one. Of a finished training, which nobody resumes,
        what it made is asked for alone."""
        if not self.state:
            return f"{STATE} is damaged, or of an earlier version that kept no checksums"
        return damage(self.folder, self.state["files"], resume=not self.finished)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one training, on a filesystem that all machines of the cluster share."""

    path: Path
    lease: Lease | None = None
    """The right to write here, of a folder that was claimed."""

    @property
    def name(self) -> str:
        return self.path.name

    def step_folder(self, step: int) -> Path:
        """Where the checkpoint after `step` steps lies."""
        return self.path / f"step_{step}"

    def checkpoints(self) -> list[Checkpoint]:
        """Complete ones, damaged or not, oldest first."""
        found = []
        for folder in self.path.glob("step_*"):
            step = folder.name.removeprefix("step_")
            if step.isdecimal() and (folder / STATE).exists():
                found.append(Checkpoint(folder=folder, step=int(step), state=_read_state(folder / STATE, int(step))))
        return sorted(found, key=lambda checkpoint: checkpoint.step)

    def newest(self) -> Checkpoint | None:
        """The whole checkpoint of most steps; None where there is none at all. The log has a line for each damaged one
        that is passed over.

        Raises:
            CheckpointError: all are damaged.
        """
        passed = ""
        for checkpoint in reversed(self.checkpoints()):
            found = checkpoint.damage()
            if found is None:
                return checkpoint
            log.warning("%s is damaged (%s); the checkpoint before it counts", checkpoint.folder, found)
            passed = passed or f"{checkpoint.folder} is damaged ({found})"
        if passed:
            raise CheckpointError(
                f"{passed}, and so is every checkpoint before it; bring it back from a copy, or delete {self.path} to "
                "begin anew"
            )
        return None

    def kept(self) -> str:
        """What a training that ends before its time leaves, in words."""
        kept = self.checkpoints()[-1:]
        return f"{kept[0].folder} is kept" if kept else f"{self.path} has no checkpoint yet"

    def require(self) -> None:
        """Raises LeaseLost once another job has taken the training over."""
        if self.lease is not None:
            self.lease.require()

    def begin(self, step: int) -> Path:
        """An empty folder for a checkpoint; what an interrupted one left there is removed.

        Raises:
            LeaseLost: another job has taken the training over.
        """
        self.require()
        folder = self.step_folder(step)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def complete(self, state: dict[str, Any], keep_last: int) -> None:
        """Declare the checkpoint of `state["step"]` complete, then delete all but the newest `keep_last`, and what
        interrupted and damaged ones left.

        Raises:
            LeaseLost: another job has taken the training over.
        """
        self.require()
        folder = self.step_folder(state["step"])
        state = {**state, "files": checksums(folder, left_out=STATE)}
        _write_json(folder / STATE, {**state, "sha256": fingerprint(state)})
        # One of more steps is damaged: else the training would have gone on from there.
        done = [checkpoint for checkpoint in self.checkpoints() if checkpoint.step <= state["step"]]
        kept = {checkpoint.folder for checkpoint in done[-keep_last:]}
        for folder in self.path.glob("step_*"):
            if folder not in kept:
                (folder / STATE).unlink(missing_ok=True)  # first, so that a deletion cut short leaves no checkpoint
                shutil.rmtree(folder)


@contextlib.contextmanager
def claim(root: str, kind: str, name: str | None, content: dict[str, Any]) -> Iterator[RunFolder]:
    """The folder of the training that `content` decides, made if it is new, and one job's while the block lasts.

    Args:
        root: the dataset's root; so far a folder that all machines share.
        kind: `models` or `aligners`.
        name: the user's, or None for the first 12 characters of the content's fingerprint.
        content: settings and inputs that decide the result, JSON-like.

    Raises:
        ConfigError: the root is a URI, the name belongs to a training of other content, or a job is at work there.
    """
    if "://" in root:
        raise ConfigError(
            f"root: checkpoints cannot be written to {root} yet; train with a root that is a folder shared by all "
            "machines, and copy the finished model"
        )
    content = json.loads(canonical_json(content))
    run = RunFolder(Path(root) / kind / (name or fingerprint(content)[:12]))
    _require_same(run, content)
    with held(run.path, _this_job()) as lease:
        if not _require_same(run, content):
            _write_json(run.path / _DESCRIBED, content)
        yield replace(run, lease=lease)


def _require_same(run: RunFolder, content: dict[str, Any]) -> bool:
    """Whether the folder is this training's already. Raises ConfigError where it is another's."""
    described = run.path / _DESCRIBED
    if not described.exists():
        return False
    differing = _differences(json.loads(described.read_text()), content)
    if differing:
        shown = "; ".join(differing[:_SHOWN]) + ("; …" if len(differing) > _SHOWN else "")
        raise ConfigError(f"name {run.name!r} belongs to another training ({shown}); choose another name")
    return True


def _this_job() -> str:
    """As Ray calls it, where it was submitted."""
    told = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    return f"job {told.get('metadata', {}).get('job_submission_id', 'without a job server')}"


def commit(store: Store, kind: str, run: RunFolder, content: dict[str, Any], build: dict[str, Any]) -> Collection:
    """Make a finished training a collection: `folder` (below the root), checksums of its weights and of the settings
    beside them, its lineage.

    Raises:
        InputError: there is no complete checkpoint, or the training has not come to its end.
        CheckpointError: it is damaged.
        DivergedError: its weights are no finite numbers.
        LeaseLost: another job has taken the training over.
    """
    from jobs.training.keeping.soundness import require_finite  # here: torch takes seconds

    run.require()
    newest = run.newest()
    if newest is None:
        raise InputError(f"{run.path} has no complete checkpoint")
    if not newest.finished:
        raise InputError(
            f"{newest.folder} is of a training that has not come to its end ({newest.state['total_steps']} steps); run "
            "the same command again, which goes on from there"
        )
    files = sorted([*newest.folder.rglob("*.safetensors"), *newest.folder.rglob("config.json")])
    for path in files:
        if path.suffix == ".safetensors":
            require_finite(path)
    weights = {str(path.relative_to(newest.folder)): file_sha256(path) for path in files}
    described = {
        "name": run.name,
        "folder": f"{kind}/{run.name}/{newest.folder.name}",
        "steps": newest.step,
        "weights": weights,
        "run": content,
    }
    return store.commit(kind, content=json.loads(canonical_json(described)), tables={}, build=build)


def trained_folder(store: Store, kind: str, which: str) -> tuple[Collection, Path]:
    """A finished training by its collection's id, the id's first characters, or `latest`; and its weights' folder.

    Raises:
        InputError: there is none, several fit, or its folder was deleted.
        WeightsError: a file is not what was committed; all of them are read.
        ConfigError: the root is a URI.
    """
    if "://" in store.root:
        raise ConfigError(f"root: models cannot be read from {store.root} yet; use a root that is a folder")
    collection = store.open(kind, which)
    folder = Path(store.root) / collection.manifest["folder"]
    if not (folder / STATE).exists():
        raise InputError(f"{collection.uri} names the checkpoint {folder}, which is gone; train again")
    require_committed(collection)
    return collection, folder


def _read_state(path: Path, step: int) -> dict[str, Any]:
    """Nothing where it is not what was written."""
    try:
        state = json.loads(path.read_bytes())
        whole = state.pop("sha256") == fingerprint(state) and state["step"] == step
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return state if whole else {}


def _write_json(path: Path, value: Any) -> None:
    partial = own_file(path.with_name(path.name + ".partial"))
    partial.write_text(json.dumps(value, indent=1, sort_keys=True))
    os.replace(partial, path)


def _differences(old: Any, new: Any, key: str = "") -> list[str]:
    """Keys whose values differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            difference
            for name in sorted({*old, *new})
            for difference in _differences(old.get(name), new.get(name), f"{key}.{name}".lstrip("."))
        ]
    return [] if old == new else [f"{key} {old!r} there, {new!r} here"]
