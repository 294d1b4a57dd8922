"""Receipts: what a job made of which inputs. A job whose inputs have one is not started.

Inputs are the job's settings, the contents of the files that they name, the collections that it reads, and our own
code; where any of them differs the job runs, and does what is missing of it. A receipt is a cached part of the store:
one that was cut short does not exist.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from jobs.running.config import Config, dump
from jobs.running.files import needed_files
from jobs.running.parameters import SECTIONS
from jobs.running.plans.curate import READ_AT_MOST
from jobs.training.run_folder import STATE
from pipelines.crawling.crawl import plan_crawl
from pipelines.crawling.settings import CrawlSettings
from pipelines.crawling.source_lists import list_sources
from pipelines.storage.store import Collection, Store, file_sha256, fingerprint
from stableanimator.errors import UserError
from stableanimator.paths import local_path

FAMILY = "receipts"
_SCHEMA = pa.schema([("name", pa.string()), ("kind", pa.string()), ("id", pa.string())])
_PACKAGES = Path(__file__).resolve().parents[2]
_PASSING = {"unexpected_error", "worker_died", "decode_timeout"}
"""Reasons that the next run tries again, so that there is no receipt for what has them."""
UNKNOWN = ""
"""In place of the id of what has none."""
KINDS = {
    "release": "releases", "benchmark": "benchmarks", "shards": "shards", "aligner": "aligners", "model": "models",
    "predictions": "predictions", "metrics": "metrics",
}  # fmt: skip
"""Collections by the name under which jobs record them."""

Outputs = dict[str, str]
"""Ids of collections, by name."""


def inputs_key(verb: str, config: Config, store: Store, read: Outputs) -> str | None:
    """What the job depends on, as a fingerprint; None where that cannot be told without doing some of its work.

    Args:
        read: ids of the collections that it reads, by name.

    Raises:
        UserError: a list of sources does not exist.
    """
    if UNKNOWN in read.values():
        return None
    settings = dump(config)
    content: dict[str, Any] = {
        "verb": verb,
        "settings": {name: settings[name] for name in SECTIONS[verb]},
        "read": read,
        "code": _code(),
    }
    crawl = _crawl_of(verb, config)
    if crawl is not None:
        content["sources"] = _sources(crawl, store)
        if content["sources"] is None:
            return None
    if verb == "curate":
        content["follows"] = _newest_release(store)
    if verb == "benchmark" and config.benchmark is not None and (config.benchmark.frames or config.benchmark.pictures):
        return None  # reading them is most of its work
    try:
        content["files"] = {each.path: _content(each.path) for each in needed_files(config, [verb]) if each.everywhere}
    except (OSError, UserError):
        return None  # the job says what is missing
    return fingerprint(content)


def _crawl_of(verb: str, config: Config) -> CrawlSettings | None:
    """What the job fetches, if it does."""
    settings = {"curate": config.curate, "benchmark": config.benchmark}.get(verb)
    return None if settings is None else settings.crawl


def _sources(crawl: CrawlSettings, store: Store) -> Any:
    """Entries of the lists with their rights, and the contents of files; None where something is to be fetched."""
    plan = plan_crawl(crawl, store)
    if plan.to_fetch or crawl.retry_failed:
        return None
    files = [Path(path) for path in plan.files if Path(path).is_file()]
    if sum(path.stat().st_size for path in files) > READ_AT_MOST:
        return None
    listed = [[each.uri, each.key, list(each.rights), str(each.error)] for each in list_sources(crawl)]
    return [listed, sorted(plan.videos), {str(path): file_sha256(path) for path in files}]


def _newest_release(store: Store) -> str | None:
    """A release keeps the splits of earlier ones, so what came last is read too."""
    try:
        return store.open("releases").id
    except UserError:
        return None


def _content(path: str) -> Any:
    """SHA-256 of a file, or of each file of a folder (not of folders in it)."""
    place = local_path(path)
    if place.is_dir():
        return {each.name: file_sha256(each) for each in sorted(place.iterdir()) if each.is_file()}
    if place.name == "config.json" and place.is_file():  # of a folder of networks: their weights lie beside it
        return _content(str(place.parent))
    return file_sha256(place)


@lru_cache
def _code() -> str:
    """Of our own sources, wherever they lie."""
    digest = hashlib.sha256()
    for package in ("jobs", "pipelines", "stableanimator"):
        for path in sorted((_PACKAGES / package).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(f"{path.relative_to(_PACKAGES)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def find(store: Store, verb: str, key: str) -> Outputs | None:
    """What was made of these inputs, where all of it is still there."""
    for path in store.part_paths(FAMILY, key, verb):
        receipt = store.read_part(path)
        if receipt is not None and all(_is_whole(store, row["kind"], row["id"]) for row in receipt.to_pylist()):
            return {row["name"]: row["id"] for row in receipt.to_pylist()}
    return None


def _is_whole(store: Store, kind: str, collection_id: str) -> bool:
    """Whether a collection is there with all of its files and parts; their bytes are checked by who reads them."""
    try:
        found = store.open(kind, collection_id)
    except UserError:
        return False
    tables = [file for table in found.manifest["tables"].values() for file in table["files"]]
    paths = [f"{found.folder}/{file['name']}" for file in tables] + [
        part["path"] for part in found.manifest.get("parts", ())
    ]
    if "folder" in found.manifest:  # of a training's checkpoint
        paths.append(f"{found.manifest['folder']}/{STATE}")
    return all(store.exists(path) for path in paths)


def write(store: Store, verb: str, key: str, outputs: Outputs) -> None:
    """Remember what was made, unless some of it shall be tried again."""
    made = [store.open(KINDS[name], collection_id) for name, collection_id in outputs.items()]
    if any(_has_passing(each) for each in made):
        return
    rows = [{"name": name, "kind": KINDS[name], "id": collection_id} for name, collection_id in sorted(outputs.items())]
    store.write_part(FAMILY, key, verb, pa.Table.from_pylist(rows, schema=_SCHEMA))


def _has_passing(collection: Collection) -> bool:
    reasons: set[str] = set()
    if collection.kind == "shards":
        reasons = set(collection.manifest["counts"]["reasons"])
    elif collection.kind == "releases":
        for failures in collection.table("verdicts")["failed_rules"].to_pylist():
            reasons |= {str(failure["error"]) for failure in failures if failure["error"] is not None}
        reasons |= set(collection.manifest["counts"]["undecodable_videos"])
    elif collection.kind == "predictions":
        reasons = {str(reason) for reason in collection.table("predictions")["reason"].to_pylist()}
    return bool(reasons & _PASSING) or "not_measured" in reasons
