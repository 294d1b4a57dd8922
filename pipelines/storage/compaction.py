"""Merging parts: the rows of thousands of small files into a few large ones, by the first characters of their ids.

    parts/<family>/<key>/<video_id>/<sha256>.parquet     before: one for each video
    parts/<family>/<key>/merged/3f-<sha256>.parquet      after: the rows whose ids begin with 3f, sorted

New parts are written and read back before an old one is deleted, and rows that lie in both are taken once, so a merge
that is broken off at any moment loses nothing and doubles nothing. Two merges may run at once: each deletes only what
it has merged itself.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipelines.progress import track
from pipelines.storage.parquet_files import parquet_bytes
from pipelines.storage.part_rows import MERGED, DamagedPart, merged_prefix, rows_beginning, while_others_merge
from pipelines.storage.store import Store, StoredFile
from pipelines.storage.tables import MEASURES, SHOTS, SOURCES, THUMBNAILS
from stableanimator.errors import StableAnimatorError

log = logging.getLogger(__name__)

ENOUGH = 64
"""Parts of single videos from which `settle` merges the parts of a key."""

_PART_BYTES = 128 << 20  # of a merged part, about
_ROWS_PER_GROUP = 64  # of a merged part: what is read at least to get one row
_MOST_DIGITS = 3
_WORKERS = 4  # each holds the rows of one merged part

_SCHEMAS = {
    "sources": SOURCES,
    "shots": SHOTS,
    "thumbnails": THUMBNAILS,
    **{f"measures-{name}": schema for name, schema in MEASURES.items()},
}
"""Families that can be merged, with their rows' schemas; the first column is the id. Shards are named by manifests, and
the rest has one part a key."""


@dataclass(frozen=True, slots=True)
class Merge:
    """What was merged of one key."""

    family: str
    key: str
    before: int
    """Parts."""
    after: int
    rows: int
    bytes: int
    """Of the merged parts."""


def settle(store: Store, keys: Iterable[tuple[str, str]]) -> list[Merge]:
    """Merge the parts of single videos of those keys that have many. What was merged before is left as it is."""
    merges = []

    def loose(family: str, key: str) -> list[StoredFile]:
        found = [part for part in store.parts(family, key) if not _is_merged(part)]
        return found if len(found) >= ENOUGH else []

    for family, key in keys:
        merges += _merged(store, family, key, loose)
    return merges


def compact(store: Store, *, keys: Iterable[tuple[str, str]] | None = None) -> list[Merge]:
    """Merge all parts of every key, or of these, that are more than there need to be."""
    merges = []

    def many(family: str, key: str) -> list[StoredFile]:
        parts = store.parts(family, key)
        enough = len(parts) <= 16 ** _digits(family, parts) and all(_is_merged(part) for part in parts)
        return [] if enough else parts

    for family, key in store.part_keys() if keys is None else keys:
        if family in _SCHEMAS:
            merges += _merged(store, family, key, many)
    return merges


def _merged(store: Store, family: str, key: str, listed: Callable[[str, str], list[StoredFile]]) -> list[Merge]:
    def merge() -> list[Merge]:
        parts = listed(family, key)
        return [_merge(store, family, key, parts)] if parts else []

    return while_others_merge(merge)


def mend_part(store: Store, path: str) -> None:
    """Take a damaged part away; what can be read of it is kept. Its other rows are missing afterwards, and made again.

    Raises:
        StableAnimatorError: the part is not damaged.
    """
    _, family, key, *_ = path.split("/")
    found = [part for part in store.parts(family, key) if part.path == path]
    if not found:
        return
    if store.is_whole(path):
        raise StableAnimatorError(f"{store.uri(path)} is not damaged")
    merge = _merge(store, family, key, found)
    log.warning("%s is damaged: %d of its rows are kept, the others are made again", store.uri(path), merge.rows)


def _is_merged(part: StoredFile) -> bool:
    return part.path.split("/")[-2] == MERGED


def _digits(family: str, parts: list[StoredFile]) -> int:
    """How many characters of the ids a merged part's name needs for its size to be about right."""
    if family == "sources":  # their ids are URLs, and a million rows are about as much as one merged part
        return 0
    size = sum(part.bytes for part in parts)
    return next((digits for digits in range(_MOST_DIGITS) if size <= _PART_BYTES * 16**digits), _MOST_DIGITS)


def _merge(store: Store, family: str, key: str, parts: list[StoredFile]) -> Merge:
    """Write the rows of these parts into merged ones, then delete the parts."""
    digits = _digits(family, parts)
    prefixes = ["".join(letters) for letters in itertools.product("0123456789abcdef", repeat=digits)]
    parts = sorted(parts, key=lambda part: (not _is_merged(part), part.path))
    if family == "sources":
        parts.reverse()  # of a source that was fetched twice, the last row is taken (pipelines.crawling.crawl)
    with ThreadPoolExecutor(_WORKERS) as pool:
        done = pool.map(lambda prefix: _merge_prefix(store, family, key, parts, prefix), prefixes)
        made = [one for one in track(done, f"merging {family}", len(prefixes)) if one is not None]
    new = {path for path, _, _ in made}
    for part in parts:
        if part.path not in new:
            store.delete(part.path)
    rows, size = sum(rows for _, rows, _ in made), sum(size for _, _, size in made)
    return Merge(family, key, len(parts), len(new), rows, size)


def _merge_prefix(
    store: Store, family: str, key: str, parts: list[StoredFile], prefix: str
) -> tuple[str, int, int] | None:
    """Write the rows whose group begins with `prefix`. Returns path, rows and bytes, or None where there are none."""
    fitting = [part for part in parts if _may_have(part, prefix)]
    table = rows_beginning(store, fitting, _SCHEMAS[family], prefix)
    if not table.num_rows:
        return None
    data = parquet_bytes(table, rows_per_group=_ROWS_PER_GROUP)
    digest = hashlib.sha256(data).hexdigest()
    path = f"parts/{family}/{key}/{MERGED}/{f'{prefix}-' if prefix else ''}{digest}.parquet"
    store.write_bytes(path, data)
    if not store.is_whole(path):
        raise DamagedPart(path)
    return path, table.num_rows, len(data)


def _may_have(part: StoredFile, prefix: str) -> bool:
    beginning = merged_prefix(part.path) if _is_merged(part) else part.path.split("/")[-2]
    return beginning.startswith(prefix) or prefix.startswith(beginning)
