"""Parquet with fixed writer settings: equal tables give equal bytes, and a damaged page is noticed when it is read.

Every page carries its checksum, so that a reader who wants three columns of a large file need not read the rest to
know that they are what was written.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from stableanimator.errors import FULL, StorageError

ROWS_PER_GROUP = 4096
"""Of a table whose rows are small."""

DAMAGE = (OSError, ValueError, KeyError, pa.ArrowException)
"""What reading a Parquet file whose bytes were changed may raise; some of it an unreadable disk raises too."""

_IN_MEMORY = 64 << 20  # bytes of a streamed file that are kept in memory; more goes to the machine's temporary folder
_CHUNK = 1 << 20


def _options(schema: pa.Schema) -> dict[str, Any]:
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    return {
        "compression": "lz4",  # zstd makes numbers 11 % smaller, and reading them takes half as long again
        "use_dictionary": texts,  # numbers seldom repeat
        "version": "2.6",
        "data_page_version": "1.0",
        "store_schema": True,
        "write_page_checksum": True,
    }


def parquet_bytes(table: pa.Table, *, rows_per_group: int = ROWS_PER_GROUP) -> bytes:
    """The table as a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table.combine_chunks(), sink, row_group_size=rows_per_group, **_options(table.schema))
    return sink.getvalue()


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """A Parquet file that was written piece by piece and has no place yet. It is gone when it is closed."""

    rows: int
    size: int
    """Bytes."""
    sha256: str
    _data: IO[bytes]

    def chunks(self) -> Iterator[bytes]:
        """Its bytes, about a megabyte at a time."""
        self._data.seek(0)
        while chunk := self._data.read(_CHUNK):
            yield chunk

    def close(self) -> None:
        self._data.close()


def stream_parquet(tables: Iterable[pa.Table], schema: pa.Schema) -> ParquetFile:
    """Write tables one after another into one file, each in row groups of its own. Only one is in memory at a time.

    Raises:
        StorageError: the machine's temporary folder is full.
    """
    # Closed by whoever gets the file.
    data = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, prefix="stableanimator-table-")  # noqa: SIM115
    sink, rows = _Hashed(data), 0
    with temporary_folder_named():
        with pq.ParquetWriter(sink, schema, **_options(schema)) as writer:
            for table in tables:
                writer.write_table(table.combine_chunks(), row_group_size=ROWS_PER_GROUP)
                rows += table.num_rows
        data.flush()
    return ParquetFile(rows, data.tell(), sink.digest.hexdigest(), data)


@contextlib.contextmanager
def temporary_folder_named() -> Iterator[None]:
    """Around what writes to the machine's temporary folder.

    Raises:
        StorageError: in place of an error that says that the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        folder = tempfile.gettempdir()
        raise StorageError(
            f"{folder} is full ({error.strerror}); free some space, or set TMPDIR, and run again"
        ) from error


class _Hashed(io.RawIOBase):
    """Passes bytes on and takes their SHA-256."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, chunk: Any) -> int:
        self.digest.update(chunk)
        return int(self._data.write(chunk))


def open_parquet(source: Any) -> pq.ParquetFile:
    """A file for reading in parts; a page that does not match its checksum raises OSError."""
    return pq.ParquetFile(source, page_checksum_verification=True)


def named_files(tables: Mapping[str, pa.Table | Sequence[ParquetFile]]) -> dict[tuple[str, str], ParquetFile]:
    """Files by table and name: `<table>.parquet`, and `<table>-00000.parquet` … of one that was streamed."""
    named = {}
    for table, rows in tables.items():
        if isinstance(rows, pa.Table):
            named[table, f"{table}.parquet"] = stream_parquet([rows], rows.schema)
        else:
            named |= {(table, f"{table}-{number:05}.parquet"): file for number, file in enumerate(rows)}
    return named
