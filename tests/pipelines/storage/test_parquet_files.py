from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.storage.parquet_files import DAMAGE, open_parquet, parquet_bytes, stream_parquet
from pipelines.storage.tables import PEOPLE

ROWS = [
    {
        "shot_id": f"{number:04}:0-2",
        "error": "odd" if number % 5 == 0 else None,
        "frame_index": [0, 1],
        "time": [0.0, number / 8],
        "people_median": float(number),
        "person_boxes": [[[1.0, 2.0, 3.0, number]], []],
        "person_scores": [[0.5], []],
    }
    for number in range(40)
]
TABLE = pa.Table.from_pylist(ROWS, schema=PEOPLE)


def test_a_streamed_file_holds_the_rows_and_knows_its_checksum():
    file = stream_parquet([TABLE.slice(0, 7), TABLE.slice(7)], PEOPLE)
    data = b"".join(file.chunks())
    assert pq.read_table(pa.BufferReader(data)).equals(TABLE)
    assert (file.rows, file.size, file.sha256) == (40, len(data), hashlib.sha256(data).hexdigest())
    again = stream_parquet([TABLE.slice(0, 7), TABLE.slice(7)], PEOPLE)
    assert b"".join(again.chunks()) == data


def test_rows_of_a_file_larger_than_memory_is_meant_to_hold_go_to_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("pipelines.storage.parquet_files._IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = stream_parquet([TABLE], PEOPLE)
    assert pq.read_table(pa.BufferReader(b"".join(file.chunks()))).equals(TABLE)
    file.close()


def test_no_changed_byte_changes_a_row_without_an_error():
    """Of every tenth byte one bit is turned; what is still read must be what was written."""
    data = parquet_bytes(TABLE, rows_per_group=16)
    noticed = 0
    for position in range(0, len(data), 10):
        changed = bytearray(data)
        changed[position] ^= 1 << int(np.random.default_rng(position).integers(8))
        try:
            file = open_parquet(pa.BufferReader(bytes(changed)))
            read = pa.concat_tables(file.read_row_group(number) for number in range(file.num_row_groups))
            assert read.cast(PEOPLE).equals(TABLE)
        except DAMAGE:
            noticed += 1
    assert noticed > 200  # about half of the bytes are names, statistics and the like
