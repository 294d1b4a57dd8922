"""What is read of a table, and what is refused before it takes memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from pipelines.storage import user_files
from pipelines.storage.checksums import uri_sha256
from pipelines.storage.user_files import MOST_COLUMNS, open_file, read_parquet
from stableanimator.errors import GoneError


def _read(path: Path, *columns: str) -> tuple[list[str], pa.Table]:
    with open_file(pafs.LocalFileSystem(), str(path)) as file:
        return read_parquet([file], lambda name: name in columns)


def test_the_wanted_columns_and_all_names(tmp_path: Path) -> None:
    table = pa.table({"a": ["x", "y", "x"], "b": [1, 2, None], "c": [0.5, 0.5, 0.5]}, metadata={"k": "v"})
    pq.write_table(table, tmp_path / "t.parquet")
    names, read = _read(tmp_path / "t.parquet", "a", "b")
    assert names == ["a", "b", "c"]
    assert read.to_pydict() == {"a": ["x", "y", "x"], "b": [1, 2, None]}
    assert read.schema.field("a").type == pa.string()
    assert read.schema.metadata[b"k"] == b"v"


@pytest.mark.parametrize(
    ("value", "rows", "message"), [("x", 2_000_001, "2,000,001 rows"), ("x" * 100_000, 5000, "256 MB of text")]
)
def test_kilobytes_that_stand_for_gigabytes(tmp_path: Path, value: str, rows: int, message: str) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), [value])
    pq.write_table(pa.table({"a": column}), tmp_path / "t.parquet", compression="zstd", row_group_size=rows)
    assert (tmp_path / "t.parquet").stat().st_size < 100_000
    with pytest.raises(ValueError, match=message):
        _read(tmp_path / "t.parquet", "a")


def test_more_columns_than_anybody_has(tmp_path: Path) -> None:
    pq.write_table(pa.table({f"c{number}": [1] for number in range(MOST_COLUMNS + 1)}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="2,001 columns"):
        _read(tmp_path / "t.parquet", "c1")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "t")
    with pytest.raises(ValueError, match="no regular file"):
        open_file(pafs.LocalFileSystem(), str(tmp_path / "t"))


def test_a_file_that_is_too_long(tmp_path: Path) -> None:
    with (tmp_path / "t").open("wb") as file:
        file.truncate(user_files.MOST_BYTES + 1)
    with pytest.raises(ValueError, match="256 at most"):
        open_file(pafs.LocalFileSystem(), str(tmp_path / "t"))


def test_a_device_has_no_checksum() -> None:
    with pytest.raises(GoneError, match="no regular file"):
        uri_sha256("/dev/zero")
