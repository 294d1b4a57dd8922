"""What a rebuild would do, told before anything is: nothing is fetched, decoded, encoded or written to the root.

Where no video lacks a measure, the release that would come of the thresholds is made in a temporary folder, so that its
id, what differs from the last one and the rows to encode are exact.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from jobs.rebuild import receipts
from jobs.rebuild.costs import encoding_hours, hours_text, measuring_hours, training_hours
from jobs.rebuild.differences import last_release
from jobs.rebuild.line import LINKS, pinned
from jobs.rebuild.receipts import Outputs
from jobs.releases import summary
from jobs.running.config import Config, dump
from jobs.running.plans.curate import READ_AT_MOST, curate_plan
from jobs.running.resources import resources
from pipelines.crawling.containers import container_seconds
from pipelines.crawling.crawl import foresee, plan_crawl
from pipelines.measuring.measure import Measured
from pipelines.measuring.measure_cache import measure_keys, missing_of, read_numbers
from pipelines.releases.diff import diff_releases
from pipelines.releases.select import make_release
from pipelines.shards.encode import missing_amount
from pipelines.storage.store import Collection, Store, file_sha256
from stableanimator.errors import InputError


class _ReadOnly(Store):
    """Reads below the root; what would be committed goes to a scratch folder, and media nowhere."""

    def __init__(self, root: str, scratch: str) -> None:
        super().__init__(root)
        self._scratch = Store(scratch)

    def commit(self, *arguments: Any, **options: Any) -> Collection:
        return self._scratch.commit(*arguments, **options)

    def put_media(self, local_file: str | Path, extension: str) -> tuple[str, bool]:
        return file_sha256(local_file), False


def print_rebuild_plan(config: Config) -> None:
    """What --dry-run prints: settings, what each job reserves, and what it would do.

    Raises:
        UserError: what would be done cannot be told.
    """
    print(yaml.safe_dump(dump(config), sort_keys=False, allow_unicode=True))
    for verb in config.rebuild.verbs:
        print(resources(verb, config))
    for line in rebuild_plan(config):
        print(line)


def rebuild_plan(config: Config) -> Iterator[str]:
    """Lines for each job: that it is as before, or what it would do."""
    store, made, pending = Store(config.root), Outputs(), set[str]()
    foreseen: Collection | None = None
    with tempfile.TemporaryDirectory(prefix="sa-plan-") as scratch:
        for verb in config.rebuild.verbs:
            waits = [name for key, name in LINKS[verb] if name in pending and _is_latest(config, key)]
            of_verb, read = pinned(config, verb, made, store)
            key = None if waits else receipts.inputs_key(verb, of_verb, store, read)
            outputs = receipts.find(store, verb, key) if key else None
            if outputs is not None:
                made |= outputs
                yield f"{verb}: as before ({', '.join(f'{name} {one[:12]}' for name, one in outputs.items())})"
                continue
            pending |= set(_MAKES[verb])
            if verb == "curate":
                foreseen = _foreseen_release(config, scratch)
                yield from _curate_lines(config, store, foreseen)
            elif verb == "encode":
                release = foreseen if "release" in waits else _opened(store, of_verb.release)
                yield _encode_line(of_verb, store, release)
            else:
                yield f"{verb}: runs{f' on the new {waits[0]}' if waits else ''}{_hours(verb, config, store)}"


_MAKES: dict[str, tuple[str, ...]] = {
    "curate": ("release", "benchmark"), "encode": ("shards",), "align": ("aligner",), "alignment_table": (),
    "benchmark": ("benchmark",), "train": ("model",), "animate": ("predictions",), "evaluate": ("metrics",),
}  # fmt: skip


def _is_latest(config: Config, key: str) -> bool:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return bool(value == "latest")


def _opened(store: Store, release: str) -> Collection | None:
    try:
        return store.open("releases", release)
    except InputError:
        return None


def _foreseen_release(config: Config, scratch: str) -> Collection | None:
    """The release that curate would make; None where something has to be fetched or measured first."""
    settings = config.curate
    if settings is None:
        return None
    store = _ReadOnly(config.root, scratch)
    if plan_crawl(settings.crawl, store).to_fetch:
        return None
    sources = foresee(settings.crawl, store)
    videos = [row["video_id"] for row in sources.to_pylist() if row["status"] == "fetched"]
    keys = measure_keys(settings, config.perception)
    cached = read_numbers(store, keys, videos)
    if missing_of(cached, keys, videos):
        return None
    return make_release(store, sources, Measured(keys=keys, cached=cached, failures=[]), settings, {})


def _curate_lines(config: Config, store: Store, foreseen: Collection | None) -> Iterator[str]:
    lines = curate_plan(config).splitlines()
    yield f"curate: {lines[0]}{hours_text(_measuring(config, store))}"
    yield from (f"  {line}" for line in lines[1:])
    if foreseen is None:
        yield "  which shots are accepted is known when these videos are measured"
        return
    shots = foreseen.manifest["counts"]["shots"]
    known = any(one.id == foreseen.id for one in store.collections("releases", foreseen.id))
    what = "is there already" if known else "is new"
    yield f"  release {foreseen.id[:12]} {what}: {shots['accept']} of {shots['total']} shots accepted"
    last = last_release(store, config.experiment, foreseen.id)
    if last is not None and last.id != foreseen.id:
        yield f"  against the last release, {last.id[:12]}: {summary(diff_releases(last, foreseen))}"


def _encode_line(config: Config, store: Store, release: Collection | None) -> str:
    if release is None:
        return "encode: runs on the new release; its rows are known when that is made"
    whole, missing, videos = missing_amount(release, store, config.encode, config.encoders)
    if missing is None:
        todo = (
            f"at most {whole.rows} rows, {whole.bytes / 2**30:.3f} GiB; what of it is encoded is told by the encoders"
        )
        return f"encode: {todo}{hours_text(encoding_hours(config, whole.rows))}"
    todo = f"{missing.rows} of {whole.rows} rows are to be encoded, of {videos} videos, {missing.bytes / 2**30:.3f} GiB"
    return f"encode: {todo}{hours_text(encoding_hours(config, missing.rows))}"


def _measuring(config: Config, store: Store) -> float | None:
    """GPU hours of local files that lack a measure; of what is fetched first nobody knows the length."""
    settings = config.curate
    if settings is None or not settings.gpus_per_actor:
        return None
    files = [path for path in map(Path, plan_crawl(settings.crawl, store).files) if path.is_file()]
    if sum(path.stat().st_size for path in files) > READ_AT_MOST:
        return None
    ids = {file_sha256(path): path for path in files}
    keys = measure_keys(settings, config.perception)
    missing = missing_of(read_numbers(store, keys, ids), keys, ids)
    return measuring_hours(config, sum(container_seconds(ids[one]) or 0.0 for one in missing))


def _hours(verb: str, config: Config, store: Store) -> str:
    if verb != "train":
        return ""
    shards = store.collections("shards")
    rows = max((one.manifest["counts"]["rows"] for one in shards), default=0)
    return hours_text(training_hours(config, rows))
