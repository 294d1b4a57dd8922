"""Tables that people write, by hand or with whatever tool, brought to the columns and types of a schema.

A cell becomes what the schema says where that loses nothing: 1.0 is 1, an integer of any width is one, text may be
large, a dictionary, or an id that is a number. Anything else is named by row (counted from 1), column and value.
"""

from __future__ import annotations

import contextlib
import difflib
import math
from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.fs as pafs

from pipelines.storage.user_files import open_file, read_parquet, require_names
from stableanimator.errors import InputError
from stableanimator.redaction import WAY_OUT, holds_credentials, redacted

_HARMLESS_OPTIONS = ("region", "anonymous")
_SHOWN = 60
"""Characters of a value that a message shows."""
_HEAD = 1 << 20
"""Bytes in which a CSV file's line of names must end: pyarrow's own block."""
_EXACT = 2**53
"""Up to here every integer is a float64."""


def read_user_table(uri: str, schema: pa.Schema, required: Collection[str]) -> pa.Table:
    """A Parquet file, or a folder of them, or a CSV file (`.csv`, with a line of names), by path or URI, as a table of
    `schema` with the file's metadata.

    Columns that the schema does not know are left out, those that the table lacks are null.

    Args:
        required: columns that must be there, and whose cells must not be empty.

    Raises:
        InputError: one line without the table's name: it cannot be read; a column is missing, or nearly spelt as one
            that is missing; a cell is not what its column holds.
    """
    text = uri.partition("?")[0].lower().endswith(".csv")
    try:
        filesystem, path = pafs.FileSystem.from_uri(uri) if "://" in uri else (pafs.LocalFileSystem(), uri)
        names, table = (_read_csv if text else _read_parquet)(filesystem, path, schema.names)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        kind = "CSV" if text else "Parquet"
        raise InputError(f"no readable {kind} table: {' '.join(redacted(str(error)).split())[:300]}") from error
    _check_names(names, schema.names, required)
    columns = [
        pa.array(_cells(table.column(field.name), field, field.name in required, text), field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema.with_metadata(table.schema.metadata))


def _read_parquet(filesystem: pafs.FileSystem, path: str, known: Collection[str]) -> tuple[list[str], pa.Table]:
    """Names of all columns, and those that are known."""
    paths = [path]
    if filesystem.get_file_info(path).type == pafs.FileType.Directory:
        inside = filesystem.get_file_info(pafs.FileSelector(path, recursive=True))
        shown = [each for each in inside if each.is_file and not each.base_name.startswith((".", "_"))]
        paths = sorted(each.path for each in shown)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open_file(filesystem, each)) for each in paths]
        return read_parquet(files, lambda name: name in known)


def _read_csv(filesystem: pafs.FileSystem, path: str, known: Collection[str]) -> tuple[list[str], pa.Table]:
    """The same; all columns as text, so that an id keeps its zeros."""
    with open_file(filesystem, path) as source:
        require_names(source.read(_HEAD).partition(b"\n")[0].split(b","))
        source.seek(0)
        names = pacsv.open_csv(source).schema.names
    require_names(names)
    text = pacsv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        include_columns=[name for name in names if name in known],
        strings_can_be_null=True,
        null_values=[""],
    )
    with open_file(filesystem, path) as source:
        return names, pacsv.read_csv(source, convert_options=text)


def _literal(text: str | None) -> Any:
    """The number that a cell of a CSV file states; the text itself where it states none."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return None if text is None else kind(text)
    return text


def _check_names(found: list[str], known: list[str], required: Collection[str]) -> None:
    absent = [name for name in known if name not in found]
    for name in found:
        near = difflib.get_close_matches(name, absent, n=1, cutoff=0.8) if name not in known else []
        if near:
            raise InputError(f"the column {name!r} is unknown; did you mean {near[0]!r}? Rename it, or take it out")
    lacking = [name for name in required if name not in found]
    if lacking:
        raise InputError(
            f"it lacks the column {lacking[0]!r}; its columns: {', '.join(map(repr, found)) or 'none'}"[:300]
        )


def _cells(column: pa.ChunkedArray, field: pa.Field, required: bool, text: bool) -> Iterator[Any]:
    """The cells of a column as values of the field's type; `text`: whether all of them come as text."""
    try:
        values = column.to_pylist()
        if text and not pa.types.is_string(field.type):
            values = [_literal(value) for value in values]
    except (ValueError, OverflowError, pa.ArrowException) as error:  # text that is not UTF-8, dates beyond Python's
        raise InputError(f"column {field.name!r} cannot be read: {' '.join(str(error).split())[:200]}") from error
    for number, value in enumerate(values, start=1):
        try:
            cell = _cell(value, field.type)
        except (ValueError, OverflowError):
            shown = repr(value) if len(repr(value)) <= _SHOWN else f"{repr(value)[:_SHOWN]}…"
            what = f"row {number}, column {field.name!r}: {shown} is no {_words(field.type)}"
            raise InputError(f"{what}; write one{'' if required else ', or leave the cell empty (null)'}") from None
        if field.name.endswith("uri") and isinstance(cell, str) and holds_credentials(cell):
            raise InputError(f"row {number}, column {field.name!r}: {cell} holds credentials, {WAY_OUT}")
        if field.name.endswith("uri") and isinstance(cell, str) and (option := _option_of(cell)) is not None:
            raise InputError(
                f"row {number}, column {field.name!r}: {cell} has the option {option}, by which a row might ask any "
                "host; AWS_ENDPOINT_URL names one for all, or name the file by its path below the root"
            )
        if cell is None and required:
            raise InputError(f"row {number}, column {field.name!r} is empty; every row needs a value there")
        yield cell


def _option_of(uri: str) -> str | None:
    """An option of a URI, behind its `?`, that may lead its filesystem elsewhere; a web server reads its own."""
    if "://" not in uri or uri.lower().startswith(("http://", "https://")):
        return None
    options = parse_qsl(urlsplit(uri).query, keep_blank_values=True)
    return next((name for name, _ in options if name not in _HARMLESS_OPTIONS), None)


def _cell(value: Any, kind: pa.DataType, missing: bool = False) -> Any:
    """One value of a type of the schemas; None stays, and text without a character is None.

    `missing`: whether NaN is one of the numbers; inside a list it is a missing point's.

    Raises:
        ValueError, OverflowError: it cannot be one without a loss.
    """
    if value is None:
        return None
    if pa.types.is_string(kind):
        return _text(value)
    if pa.types.is_floating(kind):
        return _real(value, missing)
    if pa.types.is_integer(kind):
        return pa.scalar(_whole(value), kind).as_py()  # raises where it is out of range
    length = kind.list_size if pa.types.is_fixed_size_list(kind) else None
    if not isinstance(value, list) or None in value or length not in (None, len(value)):
        raise ValueError
    return [_cell(each, kind.value_type, missing=True) for each in value]


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError
    return value if value.strip() else None


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or value != int(value):
        raise ValueError
    return int(value)


def _real(value: Any, missing: bool) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError
    if (isinstance(value, int) and abs(value) > _EXACT) or not (math.isfinite(value) or (missing and value != value)):
        raise ValueError
    return float(value)


def _words(kind: pa.DataType) -> str:
    if pa.types.is_fixed_size_list(kind):
        return f"list of {kind.list_size} numbers"
    if pa.types.is_list(kind):
        return f"list; each item a {_words(kind.value_type)}"
    if pa.types.is_integer(kind):
        return f"whole number of {kind.bit_width} bits"
    return "finite number" if pa.types.is_floating(kind) else "text"
