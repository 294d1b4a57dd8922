"""The table of pairs that `animate` and `evaluate` read, and what can be said of a row before any file is opened."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.storage.inputs import is_reference
from pipelines.storage.pair_tables import PAIRS
from pipelines.storage.store import Store, parquet_bytes
from pipelines.storage.user_tables import read_user_table
from stableanimator.errors import InputError, RowError
from stableanimator.paths import is_absolute

if TYPE_CHECKING:
    from stableanimator.alignment.similarity import Similarity

Pair = dict[str, Any]
"""A row of the PAIRS table."""

URIS = ("reference_uri", "driving_uri", "driving_keypoints_uri", "truth_uri")

_SCALES = (0.01, 100.0)
"""Beyond these a person is a dot, or a limb fills the picture."""
_MOST = {"rotation": 3600.0, "tx": 100.0, "ty": 100.0}
"""Degrees and image heights beyond which float32 no longer tells joints apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedPairs:
    """A pairs table and what names it."""

    rows: list[Pair]
    uri: str
    """Of the table, or of the benchmark set: below the root."""
    sha256: str
    """Of the benchmark's manifest, or of the table."""


def named_pairs(store: Store, which: str, setting: str) -> NamedPairs:
    """A benchmark set by id or `latest`, or a table by path or URI; `setting` is who names it, for messages.

    Raises:
        InputError: there is no such set, it has no pair, or as `read_pairs`.
    """
    if "/" in which:
        table = read_pairs(which, setting)
        return NamedPairs(rows=table.to_pylist(), uri=which, sha256=hashlib.sha256(parquet_bytes(table)).hexdigest())
    benchmark = store.open("benchmarks", which)
    table = benchmark.table("pairs")
    if table.num_rows == 0:
        raise InputError(f"{benchmark.uri} has no pair; raise curate.select.heldout_share and run curate again")
    return NamedPairs(rows=table.to_pylist(), uri=benchmark.folder, sha256=benchmark.id)


def read_pairs(uri: str, setting: str) -> pa.Table:
    """A pairs table by path or URI, with the schema PAIRS; `setting` is who names it, for messages.

    Raises:
        InputError: it cannot be read; it has no row; a column is missing, or holds in some row what it cannot hold; a
            `pair_id` occurs twice.
    """
    try:
        table = read_user_table(uri, PAIRS, required=("pair_id", "reference_uri")).replace_schema_metadata(None)
        if table.num_rows == 0:
            raise InputError("it has no row")
        repeated = [name for name, count in Counter(table["pair_id"].to_pylist()).items() if count > 1]
        if repeated:
            raise InputError(f"the pair_id {repeated[0]!r} occurs more than once; every pair needs its own")
    except InputError as error:
        raise InputError(f"{setting}: {uri}: {error}") from error
    return table


def check_pair(pair: Pair) -> None:
    """Refuse what no file could mend.

    Raises:
        RowError: `relative_path`, `no_driving`, `no_driving_frames`, `bad_person_map`, `bad_misalignment`.
    """
    for name in URIS:
        if pair[name] is not None and not is_absolute(pair[name]) and not is_reference(pair[name]):
            raise RowError("relative_path", f"{name} is {pair[name]!r}; give an absolute path or a URI")
    if pair["driving_uri"] is None and pair["driving_keypoints_uri"] is None:
        raise RowError("no_driving", "neither driving_uri nor driving_keypoints_uri is given")
    start, end = pair["start"] or 0, pair["end"]
    if start < 0 or (end is not None and end <= start):
        raise RowError("no_driving_frames", f"start is {start} and end {end}; 0 <= start < end is wanted")
    wanted = pair["person_map"]
    if wanted is not None and (not wanted or min(wanted) < 0):
        raise RowError("bad_person_map", f"{wanted}: give a driving person, counted from 0, for each of the reference")
    misalignment(pair)


def misalignment(pair: Pair) -> Similarity | None:
    """What a pair's rotation (degrees), scale, tx and ty (image heights) do to the driven poses; None: nothing.

    Null is the identity's value of each.

    Raises:
        RowError: `bad_misalignment`.
    """
    degrees, scale = pair["rotation"] or 0.0, 1.0 if pair["scale"] is None else pair["scale"]
    shift = [pair["tx"] or 0.0, pair["ty"] or 0.0]
    if (degrees, scale, *shift) == (0.0, 1.0, 0.0, 0.0):
        return None
    for name, most in _MOST.items():
        if abs(pair[name] or 0.0) > most:
            raise RowError("bad_misalignment", f"{name} is {pair[name]}; it must lie in {-most:g} to {most:g}")
    if not _SCALES[0] <= scale <= _SCALES[1]:
        raise RowError("bad_misalignment", f"scale is {scale}; it must lie in {_SCALES[0]:g} to {_SCALES[1]:g}")
    import torch  # here: it takes seconds, and whoever reads a table of pairs needs none

    from stableanimator.alignment.similarity import Similarity

    return Similarity.from_degrees(torch.tensor(degrees), torch.tensor(scale), torch.tensor(shift))
