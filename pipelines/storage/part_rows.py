"""Rows of one key by their id: which there are, and some of their columns, without reading the rest.

    rows = find_rows(store, "measures-people", key, PEOPLE, ["shot_id", "people_median"])
    rows.table                                    # sorted by shot_id, one row for each
    RowReader(store, rows, ["person_boxes"]).take(numpy.array([3, 4, 9]))

A part is the rows of one video, or those of many that pipelines.storage.compaction merged. Where both hold a row the
merged one is taken; rows of one key are equal wherever they lie. What is damaged is as good as absent.
"""

from __future__ import annotations

import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.storage.parquet_files import DAMAGE, open_parquet
from pipelines.storage.store import Store, StoredFile
from stableanimator.errors import StableAnimatorError

log = logging.getLogger(__name__)

_T = TypeVar("_T")

MERGED = "merged"
"""The group of parts that hold many videos; a name there begins with the characters that their ids begin with."""

_FEW = 16  # videos up to which parts are looked for by name, and row groups passed over
_READERS = 8  # threads; they wait for the disk, or decode without Python's lock
_TRIES = 3  # to list parts while another process merges them
_KEPT_FILES, _KEPT_GROUPS = 4, 3  # by a RowReader


class DamagedPart(StableAnimatorError):
    """A part was damaged after it was committed: its rows have to be made again
    (pipelines.storage.compaction.mend_part)."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass(frozen=True, slots=True)
class PartRows:
    """Which rows a key has, one for each id, and where each lies."""

    table: pa.Table
    """The columns that were asked for, sorted by the first of them, the id."""
    paths: list[str]
    """Parts that hold rows."""
    where: NDArray[np.int64]
    """[rows, 3]: number of the path, row group in it, row in that."""
    bytes: int
    """Of all parts that were looked at."""


def find_rows(
    store: Store,
    family: str,
    key: str,
    schema: pa.Schema,
    columns: Sequence[str],
    videos: Collection[str] | None = None,
) -> PartRows:
    """Read some columns of a key; the first is the id, whose first characters are the video's.

    Args:
        columns: of `schema`; the rest is not read.
        videos: look for the rows of these alone; others may come as well. None: all.
    """
    wanted = _may_hold(videos) if videos is not None and len(videos) <= _FEW else _always

    def read() -> PartRows:
        parts = _parts(store, family, key, videos)
        with ThreadPoolExecutor(min(_READERS, max(1, len(parts)))) as pool:
            groups = partial(_read_groups, store, columns=columns, wanted=wanted)
            found = list(pool.map(groups, [part.path for part in parts]))
        return _sorted_once(schema, columns, parts, found)

    return while_others_merge(read)


def while_others_merge(work: Callable[[], _T]) -> _T:
    """Work that lists parts and reads them: again where another process merged one away in between."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(FileNotFoundError):
            return work()
    return work()


def _parts(store: Store, family: str, key: str, videos: Collection[str] | None) -> list[StoredFile]:
    """Merged parts first: of rows that lie twice, the first is taken."""
    if videos is None or len(videos) > _FEW:
        return sorted(store.parts(family, key), key=lambda part: (part.path.split("/")[-2] != MERGED, part.path))
    merged = store.parts(family, key, MERGED)
    fitting = [part for part in merged if any(video.startswith(merged_prefix(part.path)) for video in videos)]
    return fitting + [part for video in sorted(videos) for part in store.parts(family, key, video)]


def merged_prefix(path: str) -> str:
    """What the ids in a merged part begin with."""
    prefix, dash, _ = Path(path).stem.rpartition("-")
    return prefix if dash else ""


def rows_beginning(store: Store, parts: list[StoredFile], schema: pa.Schema, prefix: str) -> pa.Table:
    """All columns of the rows of these parts whose id (the first column) begins so, one for each id, sorted."""
    name = schema.names[0]

    def wanted(parquet: Any, number: int) -> bool:
        return not prefix or bool(pc.any(pc.starts_with(_read_group(parquet, number, [name])[name], prefix)).as_py())

    found = [_read_groups(store, part.path, schema.names, wanted) for part in parts]
    table = _sorted_once(schema, schema.names, parts, found).table
    return table.filter(pc.starts_with(table[name], prefix)) if prefix else table


_Group = tuple[int, pa.Table]
_Wanted = Callable[[Any, int], bool]


def _read_groups(store: Store, path: str, columns: Sequence[str], wanted: _Wanted) -> list[_Group]:
    """Row groups of one part as far as they are sound, by their number."""
    with store.open_file(path) as source:
        parquet = _or_none(store, path, lambda: open_parquet(source))
        if parquet is None:
            return []
        groups = []
        for number in range(parquet.num_row_groups):
            table = _or_none(store, path, partial(_read_wanted, parquet, number, columns, wanted))
            if table is not None:
                groups.append((number, table))
        return groups


def _or_none(store: Store, path: str, read: Callable[[], Any]) -> Any:
    """What was read; None with a warning where the part is damaged. An error of a sound part is raised."""
    try:
        return read()
    except DAMAGE:
        if store.is_whole(path):
            raise
        log.warning("%s is damaged: what cannot be read of it is made again", store.uri(path))
        return None


def _read_wanted(parquet: Any, number: int, columns: Sequence[str], wanted: _Wanted) -> pa.Table | None:
    return _read_group(parquet, number, columns) if wanted(parquet, number) else None


def _read_group(parquet: Any, number: int, columns: Sequence[str]) -> pa.Table:
    return parquet.read_row_group(number, columns=list(columns), use_threads=False).select(list(columns))


def _always(parquet: Any, number: int) -> bool:
    return True


def _may_hold(videos: Collection[str]) -> _Wanted:
    """By the least and greatest id of a row group. Damaged bounds hide rows from one video's reader, which makes them
    again; readers of many videos do not ask."""

    def wanted(parquet: Any, number: int) -> bool:
        bounds = parquet.metadata.row_group(number).column(0).statistics
        if bounds is None or not bounds.has_min_max:
            return True
        return any(bounds.min[: len(video)] <= video <= bounds.max for video in videos)

    return wanted


def _sorted_once(
    schema: pa.Schema, columns: Sequence[str], parts: list[StoredFile], found: list[list[_Group]]
) -> PartRows:
    """All rows by id; of equal ids the first."""
    wanted = pa.schema([schema.field(name) for name in columns])
    tables, where = [wanted.empty_table()], [np.zeros((0, 3), np.int64)]
    for number, groups in enumerate(found):
        for group, table in groups:
            tables.append(table.cast(wanted))
            place = np.empty((table.num_rows, 3), np.int64)
            place[:, 0], place[:, 1], place[:, 2] = number, group, np.arange(table.num_rows)
            where.append(place)
    table, places = pa.concat_tables(tables).combine_chunks(), np.concatenate(where)
    order = pc.sort_indices(table, sort_keys=[(columns[0], "ascending")])  # equal ids stay in order
    ids = table[columns[0]].take(order).combine_chunks()
    first = np.ones(len(ids), bool)
    if len(ids) > 1:
        first[1:] = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    chosen = order.to_numpy()[first]
    size = sum(part.bytes for part in parts)
    return PartRows(table.take(pa.array(chosen)), [part.path for part in parts], places[chosen], size)


class RowReader:
    """Reads other columns of rows that were found. Not for several threads at once.

    Rows should be asked for in order: the last files and row groups are kept, and the rest is read again.
    """

    def __init__(self, store: Store, rows: PartRows, columns: Sequence[str]) -> None:
        self._store = store
        self._rows = rows
        self._columns = list(columns)
        self._files: OrderedDict[int, Any] = OrderedDict()
        self._groups: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()

    def take(self, numbers: NDArray[np.int64]) -> pa.Table:
        """The rows with these numbers in `PartRows.table`, in that order; at least one.

        Raises:
            DamagedPart: what is asked for cannot be read any more.
        """
        where = self._rows.where[numbers]
        groups, of_group = np.unique(where[:, :2], axis=0, return_inverse=True)
        of_group = of_group.reshape(-1)
        tables, order = [], []
        for number, (part, group) in enumerate(groups.tolist()):
            at = np.flatnonzero(of_group == number)
            tables.append(_take(self._group(part, group), where[at, 2]))
            order.append(at)
        return _take(pa.concat_tables(tables).combine_chunks(), np.argsort(np.concatenate(order)))

    def _group(self, part: int, group: int) -> pa.Table:
        if (part, group) not in self._groups:
            path = self._rows.paths[part]
            try:
                self._groups[part, group] = _read_group(self._file(part, path), group, self._columns)
            except DAMAGE as error:
                if isinstance(error, FileNotFoundError) or not self._store.is_whole(path):
                    raise DamagedPart(path) from error
                raise
            if len(self._groups) > _KEPT_GROUPS:
                self._groups.popitem(last=False)
        return self._groups[part, group]

    def _file(self, part: int, path: str) -> Any:
        if part not in self._files:
            self._files[part] = open_parquet(self._store.open_file(path))
            if len(self._files) > _KEPT_FILES:
                self._files.popitem(last=False)[1].close(force=True)
        return self._files[part]


def _take(table: pa.Table, numbers: NDArray[np.int64]) -> pa.Table:
    """Rows by number; neighbours are not copied."""
    if (np.diff(numbers) == 1).all():
        return table.slice(int(numbers[0]), len(numbers))
    return table.take(pa.array(numbers))
