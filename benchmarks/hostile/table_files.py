"""Tables that nobody should send, by name: how each is written to a path."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PAIR = {"pair_id": ["a"], "reference_uri": ["/none/a.png"], "driving_uri": ["/none/a.mp4"]}
"""Of a table that could be read."""
_MANY = 1 << 20
_PLAIN: dict[str, Any] = {
    "compression": "none",
    "write_page_checksum": True,
    "use_dictionary": False,
    "write_statistics": False,
}


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _csv(text: str) -> Callable[[Path], object]:
    return _bytes(text.encode())


def _parquet(columns: Mapping[str, Any], **options: Any) -> Callable[[Path], object]:
    return lambda path: pq.write_table(pa.table({**columns}), path, **options)


def _changed(change: Callable[[bytearray], bytes | bytearray]) -> Callable[[Path], object]:
    """A table that could be read, with other bytes."""

    def write(path: Path) -> None:
        pq.write_table(pa.table(PAIR), path, **_PLAIN)
        path.write_bytes(change(bytearray(path.read_bytes())))

    return write


def _flipped(place: int) -> Callable[[bytearray], bytearray]:
    def change(data: bytearray) -> bytearray:
        data[place] ^= 0xFF
        return data

    return change


def _page(data: bytearray) -> bytearray:
    data[data.index(b"/none/a.png")] ^= 0xFF
    return data


def _long_footer(data: bytearray) -> bytearray:
    data[-8:-4] = (0x7FFFFFFF).to_bytes(4, "little")
    return data


def _repeated(value: str, groups: int) -> Callable[[Path], None]:
    """Of one value, so often that a file of kilobytes stands for gigabytes."""
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(_MANY, np.int8)), [value])
    table = pa.table(dict.fromkeys(PAIR, column))

    def write(path: Path) -> None:
        with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
            for _ in range(groups):
                writer.write_table(table)

    return write


def _long_list(path: Path) -> None:
    """One row, whose list is of a sixty million numbers."""
    ones = pa.array(np.ones(60_000_000, np.int8)).cast(pa.int32())
    offsets = pa.array([0, len(ones)], pa.int32())
    pq.write_table(pa.table({**PAIR, "person_map": pa.ListArray.from_arrays(offsets, ones)}), path, compression="zstd")


def _deep(levels: int) -> Callable[[Path], object]:
    kind: pa.DataType = pa.string()
    for _ in range(levels):
        kind = pa.list_(kind)
    return _parquet({**PAIR, "truth_uri": pa.array([[]], kind)})


def _twice(path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([*map(pa.array, PAIR.values()), pa.array(["b"])], [*PAIR, "pair_id"]), path)


def _sparse(path: Path) -> None:
    """Of a terabyte, without a byte."""
    with path.open("wb") as file:
        file.truncate(1 << 40)


def _folder_with_text(path: Path) -> None:
    path.mkdir()
    (path / "b.parquet").write_text("x")


def _to(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


HEAD = "pair_id,reference_uri,driving_uri\n"

PAIRS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a flipped bit in a page's head": ("a.parquet", _changed(_flipped(8))),
    "a flipped bit in a page": ("a.parquet", _changed(_page)),
    "a footer longer than the file": ("a.parquet", _changed(_long_footer)),
    "half a file": ("a.parquet", _changed(lambda data: data[: len(data) // 2])),
    "a footer of zeros": ("a.parquet", _changed(lambda data: data[:-200] + bytes(192) + data[-8:])),
    "a name in its metadata that is no text": (
        "a.parquet",
        _changed(lambda data: data.replace(b"pair_id", b"pair\xff\xfed")),
    ),
    "a number as a picture": ("a.parquet", _parquet({**PAIR, "reference_uri": [1.5]})),
    "NaN as a rotation": ("a.parquet", _parquet({**PAIR, "rotation": [float("nan")]})),
    "infinity as a scale": ("a.parquet", _parquet({**PAIR, "scale": [float("inf")]})),
    "a frame beyond 32 bits": ("a.parquet", _parquet({**PAIR, "start": [1 << 40]})),
    "a date as a name": ("a.parquet", _parquet({**PAIR, "pair_id": pa.array([1 << 60], pa.date64())})),
    "bytes that are no text": ("a.parquet", _parquet({**PAIR, "pair_id": pa.array([b"\xff\xfe"])})),
    "a struct as a picture": ("a.parquet", _parquet({**PAIR, "reference_uri": [{"uri": "/a.png"}]})),
    "a list as a name": ("a.parquet", _parquet({**PAIR, "pair_id": [["a"]]})),
    "a map as a name": ("a.parquet", _parquet({**PAIR, "pair_id": pa.array([[("a", 1)]], pa.map_("string", "int32"))})),
    "lists in lists, 60 levels": ("a.parquet", _deep(60)),
    "a list of null": ("a.parquet", _parquet({**PAIR, "person_map": [[None]]})),
    "a column twice": ("a.parquet", _twice),
    "a column nearly twice": ("a.parquet", _parquet({**PAIR, "drivng_uri": ["x"], "referense_uri": ["x"], "sed": [1]})),
    "an id twice": ("a.parquet", _parquet({name: value * 2 for name, value in PAIR.items()})),
    "no row": ("a.parquet", _parquet({name: pa.array([], pa.string()) for name in PAIR})),
    "no column": ("a.parquet", _parquet({})),
    "20,000 columns": ("a.parquet", _parquet({**PAIR, **{f"c{number}": [1] for number in range(20_000)}})),
    "a column's name of a megabyte": ("a.parquet", _parquet({"x" * 1_000_000: [1]})),
    "30 million rows of one value": ("a.parquet", _repeated("/none/a.png", 30)),
    "a million rows of one value of a megabyte": ("a.parquet", _repeated("x" * 1_000_000, 1)),
    "a value of 260 megabytes that packs well": (
        "a.parquet",
        lambda path: _parquet(
            {**PAIR, "truth_uri": ["x" * 270_000_000]}, compression="zstd", use_dictionary=False, write_statistics=False
        )(path),
    ),
    "a list of sixty million": ("a.parquet", _long_list),
    "an empty Parquet file": ("a.parquet", _bytes(b"")),
    "a folder without a table": ("a.parquet", Path.mkdir),
    "a folder with a text": ("a.parquet", _folder_with_text),
    "a terabyte of Parquet": ("a.parquet", _sparse),
    "a terabyte of CSV": ("a.csv", _sparse),
    "a link to /dev/zero": ("a.csv", _to("/dev/zero")),
    "a link to /dev/zero as Parquet": ("a.parquet", _to("/dev/zero")),
    "a link to itself": ("a.csv", lambda path: path.symlink_to(path)),
    "a pipe": ("a.csv", os.mkfifo),
    "a pipe as Parquet": ("a.parquet", os.mkfifo),
    "NUL in the path": ("a\0.csv", lambda path: None),
    "a line break in the path": ("a\nb.csv", _csv("x\n")),
    "an empty CSV file": ("a.csv", _bytes(b"")),
    "UTF-16": ("a.csv", _bytes(HEAD.encode("utf-16") + "a,/a.png,/a.mp4\n".encode("utf-16-le"))),
    "Latin-1": ("a.csv", _bytes(f"{HEAD}\xe4,/a.png,/a.mp4\n".encode("latin-1"))),
    "BOM and nothing": ("a.csv", _bytes(b"\xef\xbb\xbf")),
    "semicolons": ("a.csv", _csv(f"{HEAD}a,/a.png,/a.mp4\n".replace(",", ";"))),
    "an open quotation mark": ("a.csv", _csv(f'{HEAD}a,"/a.png,/a.mp4\nb,/b.png,/b.mp4\n')),
    "rows of other lengths": ("a.csv", _csv(f"{HEAD}a,/a.png\nb,/b.png,/b.mp4,x,y\n")),
    "quotation marks over two columns": ("a.csv", _csv(f'{HEAD}"a","/a.png,/a.mp4"\n')),
    "a name twice in the header": ("a.csv", _csv("pair_id,reference_uri,pair_id\na,/a.png,b\n")),
    "400,000 columns": ("a.csv", _csv(",".join(f"c{number}" for number in range(400_000)) + "\n")),
    "a field of 20 megabytes": ("a.csv", _csv(f"{HEAD}a,{'x' * 20_000_000},/a.mp4\n")),
    "NUL in a cell of numbers": ("a.csv", _csv("pair_id,reference_uri,start\na,/a.png,\0\n")),
    "a formula as a number": ("a.csv", _csv("pair_id,reference_uri,start\na,/a.png,=1+1\n")),
    "NaN as text": ("a.csv", _csv("pair_id,reference_uri,scale\na,/a.png,nan\n")),
    "a number of 5,000 digits": ("a.csv", _csv(f"pair_id,reference_uri,seed\na,/a.png,{'9' * 5000}\n")),
    "gzip called CSV": ("a.csv", _bytes(zlib.compress(HEAD.encode()))),
    "credentials in a picture's URI": ("a.csv", _csv(f"{HEAD}a,https://name:secret@host.test/a.png,/a.mp4\n")),
    "a signed URL": ("a.csv", _csv(f"{HEAD}a,https://n:p@host.test/a?X-Amz-Signature=ab,/a.mp4\n")),
}
"""As pairs: a file's name and how it is written."""

RESULT = {"pair_id": ["a"], "variant": ["theirs"], "uri": ["/none/a.mp4"]}

RESULTS: dict[str, dict[str, Any]] = {
    "a name with a path": {"variant": ["../x"]},
    "a name of two lines": {"variant": ["x\ny"]},
    "a name with NUL": {"variant": ["x\0"]},
    "an unknown pair": {"pair_id": ["b"]},
    "frames of a negative rate": {"fps": [-1.0]},
    "frames of a rate that is no number": {"fps": [float("nan")]},
    "every 0th frame": {"every": [0]},
    "a cut outside the picture": {"cut_x": [7.0]},
    "30 frames before the first": {"skip": [-30]},
    "no place": {"uri": [""]},
}
"""As results of another system: what is other than in RESULT."""

LISTS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "30 million rows of one value": ("a.parquet", lambda path: _parquet_list(path, "/none/a.mp4", 30)),
    "a million rows of one value of a megabyte": ("a.parquet", lambda path: _parquet_list(path, "x" * 1_000_000, 1)),
    "a flipped bit in a page": ("a.parquet", lambda path: _damaged_list(path)),
    "20,000 columns": ("a.parquet", _parquet({f"c{number}": [1] for number in range(20_000)})),
    "a terabyte": ("a.csv", _sparse),
    "a terabyte of Parquet": ("a.parquet", _sparse),
    "a link to /dev/zero": ("a.csv", _to("/dev/zero")),
    "a pipe": ("a.jsonl", os.mkfifo),
    "a link to itself": ("a.csv", lambda path: path.symlink_to(path)),
}
"""As lists of sources."""


def _parquet_list(path: Path, value: str, groups: int) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(_MANY, np.int8)), [value])
    table = pa.table({"url": column})
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for _ in range(groups):
            writer.write_table(table)


def _damaged_list(path: Path) -> None:
    pq.write_table(pa.table({"url": ["/none/a.mp4"]}), path, **_PLAIN)
    data = bytearray(path.read_bytes())
    data[data.index(b"/none/a.mp4")] ^= 0xFF
    path.write_bytes(data)


POINTS = [[0.5] * 399]

POSES: dict[str, dict[str, Any]] = {
    "398 numbers of a person": {"keypoints": [[[0.5] * 398]]},
    "no person measured": {"keypoints": pa.nulls(1, pa.list_(pa.list_(pa.float32(), 399)))},
    "a time that is no number": {"time": [float("nan")]},
    "a frame before the first": {"frame_index": [-1]},
    "no size": {},
    "text as points": {"keypoints": [["x"]]},
}
"""As poses that drive: what is other than in a table of one frame."""
SIZES = (b"[1e400, 1]", b"[-1, 1]", b"[" * 100_000, b"7", b"[1, 2, 3]", json.dumps([10**9, 10**9]).encode())
"""As the metadata `frame_size` of such a table."""
