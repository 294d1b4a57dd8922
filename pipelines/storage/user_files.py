"""Files of tables that people name, opened within bounds: a few kilobytes of Parquet may stand for terabytes, a pipe
for a wait, and a device for no end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

MOST_BYTES = 256 << 20
"""Of a file without compression, and of what is read of a table: what a million pairs have."""
MOST_COLUMNS = 2_000
MOST_ROWS = 2_000_000
_MOST_VALUES = 50_000_000
"""Numbers and texts of all columns that are read, those in lists too: ten people in 12,000 frames."""
_MOST_PARTS = 100_000
"""Of what a footer lists; Parquet's own default is ten times as many."""

Wanted = Callable[[str], bool]
"""Whether a column is read, by its name."""


def open_file(filesystem: pafs.FileSystem, path: str) -> pa.NativeFile:
    """A file for reading, no longer than `MOST_BYTES`; neither pipe nor device.

    Raises:
        ValueError, OSError: it is not there, no file, or too long.
    """
    info = filesystem.get_file_info(path)
    if info.type == pafs.FileType.NotFound:
        raise FileNotFoundError(f"{path} does not exist")
    if info.type != pafs.FileType.File:
        raise ValueError("it is no regular file; give the path of one")
    if info.size is not None and info.size > MOST_BYTES:
        raise ValueError(f"it has {info.size >> 20:,} MB; {MOST_BYTES >> 20} at most are read of a table")
    return filesystem.open_input_file(path)


def read_parquet(sources: Sequence[pa.NativeFile], wanted: Wanted) -> tuple[list[str], pa.Table]:
    """The wanted columns of Parquet files, one after the other, and the names of all columns; every page is held
    against its checksum, where it has one.

    Raises:
        ValueError, OSError, pa.ArrowException: a file cannot be read, has a column twice, or stands for more than the
            limits of this module.
    """
    names, tables = list[str](), list[pa.Table]()
    for source in sources:
        found, table = _read(source, wanted)
        names += [name for name in found if name not in names]
        tables.append(table)
        if sum(each.num_rows for each in tables) > MOST_ROWS:
            raise _too_large(f"more than {MOST_ROWS:,} rows")
    if not tables:
        raise ValueError("the folder holds no file")
    return names, pa.concat_tables(tables, promote_options="permissive")


def _read(source: pa.NativeFile, wanted: Wanted) -> tuple[list[str], pa.Table]:
    footer = pq.ParquetFile(source, thrift_container_size_limit=_MOST_PARTS, thrift_string_size_limit=MOST_BYTES >> 3)
    names = footer.schema_arrow.names
    require_names(names)
    columns = [name for name in names if wanted(name)]
    _check_footer(footer.metadata, columns)
    texts = [field.name for field in footer.schema_arrow if field.name in columns and _is_text(field.type)]
    # Read as dictionaries, what is repeated takes no room until it is known how much it takes.
    file = pq.ParquetFile(
        source, metadata=footer.metadata, read_dictionary=texts, page_checksum_verification=True, pre_buffer=False
    )
    table = file.read(columns=columns, use_threads=False)
    if sum(_decoded_bytes(column) for column in table.columns) > MOST_BYTES:
        raise _too_large(f"more than {MOST_BYTES >> 20} MB of text")
    plain = pa.schema([(name, _plain(table.schema.field(name).type)) for name in table.column_names])
    return names, table.cast(plain).replace_schema_metadata(table.schema.metadata)


def require_names(names: Sequence[str]) -> None:
    """Refuse more columns than anybody has, and a name that occurs twice.

    Raises:
        ValueError: one line.
    """
    if len(names) > MOST_COLUMNS:
        raise _too_large(f"{len(names):,} columns")
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise ValueError(f"it has the column {twice[:60]!r} more than once; keep one")


def _check_footer(metadata: pq.FileMetaData, columns: Sequence[str]) -> None:
    if metadata.num_rows > MOST_ROWS:
        raise _too_large(f"{metadata.num_rows:,} rows")
    size = values = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            if column.path_in_schema.partition(".")[0] in columns:
                size, values = size + column.total_uncompressed_size, values + column.num_values
    if size > MOST_BYTES:
        raise _too_large(f"{size >> 20:,} MB")
    if values > _MOST_VALUES:
        raise _too_large(f"{values:,} values")


def _too_large(what: str) -> ValueError:
    return ValueError(f"it stands for {what}, which no table of this kind has; make it smaller, or several of it")


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_binary(kind)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _decoded_bytes(column: pa.ChunkedArray) -> int:
    """Of a column without dictionaries."""
    if not pa.types.is_dictionary(column.type) or not _is_text(column.type.value_type):
        return int(column.nbytes)
    lengths = (pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() for chunk in column.chunks)
    return sum(length or 0 for length in lengths)
