"""The files that a row names: their checksums when a job is planned, and themselves when it reads them.

What was right when a job was planned and is gone or changed when it is read costs its row, and an earlier result counts
only for the very bytes that it was made of.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jobs.pairs.predicted_files import recorded
from pipelines.storage.checksums import Checksums
from pipelines.storage.inputs import Inputs
from pipelines.storage.store import Store
from stableanimator.errors import GoneError, RowError
from stableanimator.paths import frame_of, is_absolute

Row = Mapping[str, Any]

CHECKSUMS = "checksums"
"""Beside the columns of a planned row: SHA-256 by column, of files that people named and that were there."""

_READERS = 8  # threads; hashing lets go of Python's lock


def planned(store: Store, rows: Sequence[Row], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows with the checksums of what these columns name. Media have theirs in their names; of what cannot be read
    there is none, which is found out when it is needed."""
    named = {frame_of(row[column])[0] for row in rows for column in columns if _is_users(row.get(column))}
    with ThreadPoolExecutor(_READERS) as pool:
        found = dict(zip(named, pool.map(lambda name: _checksum(store.resolve(name)), named), strict=True))

    def checksums(row: Row) -> dict[str, str]:
        of_row = {column: found.get(frame_of(row[column])[0]) for column in columns if _is_users(row.get(column))}
        return {column: sha256 for column, sha256 in of_row.items() if sha256 is not None}

    return [{**row, CHECKSUMS: checksums(row)} for row in rows]


def _is_users(reference: str | None) -> bool:
    return reference is not None and is_absolute(reference)


def _checksum(place: str) -> str | None:
    try:
        return Checksums().sha256(place)
    except GoneError:
        return None


@contextlib.contextmanager
def opened(inputs: Inputs, row: Row, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The row with places that readers take in all of its columns `…_uri`, good while inside. What a RowError says of
    these is said of what the row names: equal work gives equal rows under every root.

    Args:
        columns: whose files are looked at; others are only located.

    Raises:
        RowError: a file is gone or changed, or as it is raised inside.
    """
    checksums = {**(row.get(CHECKSUMS) or {}), **recorded(row)}
    named = {column: value for column, value in row.items() if column.endswith("_uri") and value is not None}
    with contextlib.ExitStack() as stack:
        places = {
            column: stack.enter_context(inputs.opened(reference, checksums.get(column)))
            if column in columns
            else inputs.store.resolve(reference)
            for column, reference in named.items()
        }
        try:
            yield {**row, **places}
        except RowError as error:
            raise renamed(error, row, {**row, **places}) from error


def renamed(error: RowError, row: Row, there: Row) -> RowError:
    """An error that speaks of a row's files as the row names them; `there` is the row as `opened` gave it."""
    detail = error.detail
    for column, place in there.items():
        if column.endswith("_uri") and place is not None:
            detail = detail.replace(frame_of(place)[0], frame_of(row[column])[0])
    return type(error)(error.reason, detail)


def restored(there: Row, row: Row) -> dict[str, Any]:
    """A row that came of one that `opened` gave, with what `row` named in the place of places."""
    return {**there, **{name: value for name, value in row.items() if name.endswith("_uri")}}
