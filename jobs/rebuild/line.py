"""The jobs of a rebuild one after another: each reads what the one before it made, or is passed over by its receipt."""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from jobs.rebuild import receipts
from jobs.rebuild.receipts import KINDS, Outputs
from jobs.running import entry
from jobs.running.config import Config
from pipelines.storage.store import Store
from stableanimator.errors import InputError, UserError

LINKS: dict[str, tuple[tuple[str, str], ...]] = {
    "curate": (),
    "encode": (("release", "release"),),
    "align": (("release", "release"),),
    "alignment_table": (("alignment_table.benchmark", "benchmark"), ("alignment_table.aligner", "aligner")),
    "benchmark": (),
    "train": (("train.shards", "shards"), ("train.aligner", "aligner")),
    "animate": (("animate.pairs", "benchmark"), ("animate.model", "model")),
    "evaluate": (("evaluate.predictions", "predictions"), ("evaluate.results", "results")),
}
"""For each job: the settings that name collections, and what they name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One job of a rebuild."""

    verb: str
    line: str
    """What it made, or that nothing had to be."""
    outputs: Outputs
    worked: bool
    """Whether it was started."""
    seconds: float


def pinned(config: Config, verb: str, made: Outputs, store: Store) -> tuple[Config, Outputs]:
    """The configuration with full ids in place of `latest` and of first characters, and these ids by name.

    What cannot be resolved stays as it is: the job says what is missing.
    """
    read: Outputs = {}
    for key, name in LINKS[verb]:
        which = _value(config, key)
        if which is None or which == "shipped":
            continue
        if "/" in which:
            read[name] = receipts.UNKNOWN  # what lies there may change
            continue
        with contextlib.suppress(InputError):
            found = made[name] if which == "latest" and name in made else store.open(KINDS[name], which).id
            config, read[name] = _replaced(config, key, found), found
    return config, read


def _value(settings: Any, key: str) -> Any:
    for part in key.split("."):
        settings = getattr(settings, part)
    return settings


def _replaced(config: Config, key: str, value: str) -> Config:
    section, _, field = key.partition(".")
    changed = replace(getattr(config, section), **{field: value}) if field else value
    return config.model_copy(update={section: changed})


def rebuild(config: Config, store: Store) -> Iterator[Step]:
    """Do what is missing, one job at a time. Ray is started, or joined, when the first of them has to work.

    Raises:
        UserError: of one of the jobs; what those before it made stays.
    """
    made: Outputs = {}
    with contextlib.ExitStack() as stack:
        for verb in config.rebuild.verbs:
            started = time.monotonic()
            of_verb, read = pinned(config, verb, made, store)
            key = receipts.inputs_key(verb, of_verb, store, read)
            outputs = receipts.find(store, verb, key) if key else None
            if outputs is not None:
                _make_newest(store, outputs)
                line = f"{verb}: as before, {_told(outputs)}"
            else:
                stack.enter_context(entry.connected())
                line, made_now = _work(verb, of_verb)
                # Anew: what was fetched meanwhile is among the inputs now.
                key = receipts.inputs_key(verb, of_verb, store, read)
                if key is not None:
                    receipts.write(store, verb, key, made_now)
            ended = made_now if outputs is None else outputs
            made |= ended
            seconds = time.monotonic() - started
            yield Step(verb=verb, line=line, outputs=ended, worked=outputs is None, seconds=seconds)


def _work(verb: str, config: Config) -> tuple[str, Outputs]:
    work = importlib.import_module(f"jobs.{verb}").run
    outputs: Outputs = {}

    def noted(config: Config, run: Any) -> str:
        line: str = work(config, run)
        outputs.update(run.outputs)
        return line

    return entry.run_job(verb, noted, config), outputs


def _told(outputs: Outputs) -> str:
    return ", ".join(f"{name} {collection_id[:12]}" for name, collection_id in outputs.items()) or "nothing to make"


def _make_newest(store: Store, outputs: Outputs) -> None:
    """What a rebuild ends with is `latest` afterwards, also where it was made long ago."""
    for name, collection_id in outputs.items():
        with contextlib.suppress(UserError):
            if store.open(KINDS[name]).id != collection_id:
                found = store.open(KINDS[name], collection_id)
                store.stamp(found, found.build())
