"""A training's folder: what it was started with, and its checkpoints.

    <root>/models/<name>/run.json                 what decides the result; a different one is refused
    <root>/models/<name>/step_500/*.safetensors, config.json, deepspeed/, state.json
    <root>/models/<id>/manifest.json              a finished training as a collection: where its last checkpoint is

`state.json` is written last, whole or not at all: a checkpoint without one was interrupted and does not exist.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.storage.store import Collection, Store, canonical_json, file_sha256, fingerprint
from stableanimator.errors import ConfigError, InputError
from stableanimator.paths import own_file

STATE = "state.json"
_SHOWN = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A complete checkpoint."""

    folder: Path
    step: int
    """Optimiser steps done."""
    state: dict[str, Any]
    """Contents of state.json."""

    @property
    def finished(self) -> bool:
        """Whether it is the training's last."""
        return bool(self.state["step"] == self.state["total_steps"])


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one training, on a filesystem that all machines of the cluster share."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def step_folder(self, step: int) -> Path:
        """Where the checkpoint after `step` steps lies."""
        return self.path / f"step_{step}"

    def checkpoints(self) -> list[Checkpoint]:
        """Complete ones, oldest first."""
        found = []
        for folder in self.path.glob("step_*"):
            if (folder / STATE).exists():
                state = json.loads((folder / STATE).read_text())
                found.append(Checkpoint(folder=folder, step=state["step"], state=state))
        return sorted(found, key=lambda checkpoint: checkpoint.step)

    def newest(self) -> Checkpoint | None:
        """The complete checkpoint of most steps."""
        checkpoints = self.checkpoints()
        return checkpoints[-1] if checkpoints else None

    def begin(self, step: int) -> Path:
        """An empty folder for a checkpoint; what an interrupted one left there is removed."""
        folder = self.step_folder(step)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def complete(self, state: dict[str, Any], keep_last: int) -> None:
        """Declare the checkpoint of `state["step"]` complete, then delete all but the newest `keep_last`, and what
        interrupted ones left."""
        _write_json(self.step_folder(state["step"]) / STATE, state)
        kept = {checkpoint.folder for checkpoint in self.checkpoints()[-keep_last:]}
        for folder in self.path.glob("step_*"):
            if folder not in kept:
                (folder / STATE).unlink(missing_ok=True)  # first, so that a deletion cut short leaves no checkpoint
                shutil.rmtree(folder)


def claim(root: str, kind: str, name: str | None, content: dict[str, Any]) -> RunFolder:
    """The folder of the training that `content` decides, made if it is new.

    Args:
        root: the dataset's root; so far a folder that all machines share.
        kind: `models` or `aligners`.
        name: the user's, or None for the first 12 characters of the content's fingerprint.
        content: settings and inputs that decide the result, JSON-like.

    Raises:
        ConfigError: the root is a URI, or the name belongs to a training of other content.
    """
    if "://" in root:
        raise ConfigError(
            f"root: checkpoints cannot be written to {root} yet; train with a root that is a folder shared by all "
            "machines, and copy the finished model"
        )
    content = json.loads(canonical_json(content))
    run = RunFolder(Path(root) / kind / (name or fingerprint(content)[:12]))
    described = run.path / "run.json"
    if described.exists():
        differing = _differences(json.loads(described.read_text()), content)
        if differing:
            shown = "; ".join(differing[:_SHOWN]) + ("; …" if len(differing) > _SHOWN else "")
            raise ConfigError(f"name {run.name!r} belongs to another training ({shown}); choose another name")
    else:
        run.path.mkdir(parents=True, exist_ok=True)
        _write_json(described, content)
    return run


def commit(store: Store, kind: str, run: RunFolder, content: dict[str, Any], build: dict[str, Any]) -> Collection:
    """Make a finished training a collection: `folder` (below the root), checksums of its weights, its lineage.

    Raises:
        InputError: there is no complete checkpoint.
    """
    newest = run.newest()
    if newest is None:
        raise InputError(f"{run.path} has no complete checkpoint")
    weights = {
        str(path.relative_to(newest.folder)): file_sha256(path) for path in sorted(newest.folder.rglob("*.safetensors"))
    }
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
        ConfigError: the root is a URI.
    """
    if "://" in store.root:
        raise ConfigError(f"root: models cannot be read from {store.root} yet; use a root that is a folder")
    collection = store.open(kind, which)
    folder = Path(store.root) / collection.manifest["folder"]
    if not (folder / STATE).exists():
        raise InputError(f"{collection.uri} names the checkpoint {folder}, which is gone; train again")
    return collection, folder


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
