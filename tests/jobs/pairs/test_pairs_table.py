"""Pairs tables as people and their tools write them: what is exact is read, anything else is one line or one row."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import uuid
from pathlib import Path
from typing import Any

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from jobs.pairs.pairs_table import check_pair, misalignment, read_pairs
from pipelines.storage.pair_tables import PAIRS
from stableanimator.errors import InputError, RowError

EMPTY: dict[str, Any] = dict.fromkeys(PAIRS.names)
NAN, INF = math.nan, math.inf


def _write(path: Path, **columns: Any) -> str:
    """Three rows; a column that is given replaces or joins those that must be there, one value stands for all rows."""
    known: dict[str, Any] = {"pair_id": ["a", "b", "c"], "reference_uri": "/r.png", "driving_uri": "/d.mp4"} | columns
    arrays = [
        value if isinstance(value, pa.Array) else pa.array(value if isinstance(value, list) else [value] * 3)
        for value in known.values()
    ]
    pq.write_table(pa.Table.from_arrays(arrays, names=list(known)), path)
    return str(path)


EXACT = [
    ("start", pa.array([1.0, None, 7.0]), [1, None, 7]),
    ("start", pa.array([1, 2, 3], pa.int8()), [1, 2, 3]),
    ("start", pa.array([1, 2, 3], pa.uint64()), [1, 2, 3]),
    ("start", pa.array([decimal.Decimal("3.00")] * 3), [3, 3, 3]),
    ("end", pa.array([None] * 3), [None] * 3),
    ("end", pa.array([4, 4, 9]).dictionary_encode(), [4, 4, 9]),
    ("seed", pa.array([-1, 2**62, 0]), [-1, 2**62, 0]),
    ("rotation", pa.array([10, -3, None]), [10.0, -3.0, None]),
    ("rotation", pa.array([0.5, 2.0, 1.0], pa.float16()), [0.5, 2.0, 1.0]),
    ("scale", pa.array([decimal.Decimal("1.25")] * 3), [1.25] * 3),
    ("person_map", pa.array([[1, 0], None, [0]], pa.list_(pa.int64())), [[1, 0], None, [0]]),
    ("person_map", pa.array([[1.0, 0.0], [2.0], []]), [[1, 0], [2], []]),
    ("person_map", pa.array([[1, 0]] * 3, pa.large_list(pa.uint8())), [[1, 0]] * 3),
    ("person_map", pa.array([[1, 0]] * 3, pa.list_(pa.int32(), 2)), [[1, 0]] * 3),
    ("pair_id", pa.array([0, 1, 2]), ["0", "1", "2"]),
    ("pair_id", pa.array(["x", "y", "z"], pa.large_string()), ["x", "y", "z"]),
    ("pair_id", pa.array(["x", "y", "z"], pa.string_view()), ["x", "y", "z"]),
    ("pair_id", pa.array([b"x", b"y", "é".encode()], pa.binary()), ["x", "y", "é"]),
    ("pair_id", pa.array(["人 1", "a/b\\c", "🕺\n"]), ["人 1", "a/b\\c", "🕺\n"]),
    ("truth_uri", pa.array(["", "  ", "/t.mp4"]), [None, None, "/t.mp4"]),
    ("consent", pa.array(["yes"] * 3).dictionary_encode(), ["yes"] * 3),
]


@pytest.mark.parametrize(("name", "column", "expected"), EXACT)
def test_what_loses_nothing_is_read(tmp_path: Path, name: str, column: pa.Array, expected: list[Any]) -> None:
    table = read_pairs(_write(tmp_path / "p.parquet", **{name: column}, remarks="of somebody's own"), "animate.pairs")
    assert table.schema == PAIRS
    assert table[name].to_pylist() == expected


def test_a_table_of_pandas_with_an_empty_cell_is_read(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"pair_id": [10, 11], "reference_uri": ["/a", "/b"], "start": [4, None], "end": [9, 8]})
    frame.to_parquet(tmp_path / "p.parquet")
    assert str(pq.read_schema(tmp_path / "p.parquet").field("start").type) == "double"
    rows = read_pairs(str(tmp_path / "p.parquet"), "animate.pairs").to_pylist()
    assert [(row["pair_id"], row["start"], row["end"]) for row in rows] == [("10", 4, 9), ("11", None, 8)]


def test_the_same_rows_are_the_same_table_whatever_wrote_them(tmp_path: Path) -> None:
    one = read_pairs(_write(tmp_path / "a.parquet", start=pa.array([1, 2, 3], pa.int64()), note="x"), "animate.pairs")
    other = read_pairs(_write(tmp_path / "b.parquet", start=pa.array([1.0, 2.0, 3.0])), "animate.pairs")
    assert one.equals(other, check_metadata=True)


def test_a_csv_file_is_a_table(tmp_path: Path) -> None:
    """Ids keep their zeros, numbers are numbers, and an empty cell is null."""
    path = tmp_path / "pairs.csv"
    path.write_text(
        "\ufeffpair_id,reference_uri,driving_uri,start,scale,licence,note\n"
        '007,"/a, b.png",/d.mp4,3,1e-1,,mine\n8,/r.png,/d.mp4,,2,NA,\n',
        "utf-8",
    )
    first, second = read_pairs(str(path), "animate.pairs").to_pylist()
    wanted = {"pair_id": "007", "reference_uri": "/a, b.png", "start": 3, "scale": 0.1, "licence": None}
    assert wanted.items() <= first.items()
    assert {"pair_id": "8", "start": None, "scale": 2.0, "licence": "NA"}.items() <= second.items()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"pair_id,reference_uri,start\na,/r.png,later\n", "row 1, column 'start': 'later' is no whole number"),
        (b"pair_id,reference_uri,scale\na,/r.png,nan\n", "row 1, column 'scale': nan is no finite number"),
        (b"pair_id,reference_uri,person_map\na,/r.png,0 1\n", "column 'person_map': '0 1' is no list"),
        (b"pair_id,reference_uri\na,/r.png,more\n", "no readable CSV table"),
        (b"pair_id,reference_uri\n\xe9,/r.png\n", "no readable CSV table"),
        (b"", "no readable CSV table"),
        (b"pair_id;reference_uri\na;/r.png\n", "lacks the column"),
    ],
)
def test_a_csv_file_that_cannot_be_used_is_one_line(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "pairs.CSV"
    path.write_bytes(text)
    with pytest.raises(InputError, match=message) as caught:
        read_pairs(str(path), "animate.pairs")
    assert "\n" not in str(caught.value)


def test_a_folder_of_parquet_files_is_one_table(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    _write(tmp_path / "p/part-0.parquet")
    _write(tmp_path / "p/part-1.parquet", pair_id=["d", "e", "f"])
    assert read_pairs(str(tmp_path / "p"), "animate.pairs")["pair_id"].to_pylist() == list("abcdef")


CELLS = [
    ("start", [1.0, 1.5, 2.0], "1.5 is no whole number"),
    ("start", [1.0, NAN, 2.0], "nan is no whole number"),
    ("start", [1.0, INF, 2.0], "inf is no whole number"),
    ("start", [1, 2**31, 3], "2147483648 is no whole number of 32 bits"),
    ("start", [1, -(2**40), 3], "-1099511627776 is no whole number of 32 bits"),
    ("start", ["1", "2", "3"], "'1' is no whole number"),
    ("start", [True, False, True], "True is no whole number"),
    ("start", [datetime.datetime(2026, 1, 1)] * 3, "is no whole number"),
    ("start", [datetime.timedelta(seconds=1)] * 3, "is no whole number"),
    ("start", [[1], [2], [3]], r"\[1\] is no whole number"),
    ("start", [{"a": 1}] * 3, "is no whole number"),
    ("end", [decimal.Decimal("1.50")] * 3, "is no whole number"),
    ("end", [1e300, 1.0, 1.0], "is no whole number of 32 bits"),
    ("seed", [0.5, 1.0, 2.0], "0.5 is no whole number of 64 bits"),
    ("seed", pa.array([1, 2**63, 2], pa.uint64()), "9223372036854775808 is no whole number of 64 bits"),
    ("seed", [1e30, 1.0, 2.0], "1e[+]30 is no whole number"),
    ("rotation", [10.0, NAN, None], "nan is no finite number"),
    ("rotation", [10.0, INF, None], "inf is no finite number"),
    ("rotation", ["10°", "0", "0"], "'10°' is no finite number"),
    ("rotation", [True, False, None], "True is no finite number"),
    ("scale", [1.0, NAN, 1.0], "nan is no finite number"),
    ("scale", [1.0, -INF, 1.0], "-inf is no finite number"),
    ("scale", [[1.0], [1.0], [1.0]], "is no finite number"),
    ("tx", [NAN, 0.0, 0.0], "nan is no finite number"),
    ("ty", [0, 2**60, 0], "is no finite number"),
    ("person_map", ["[1, 0]", "", ""], r"'\[1, 0\]' is no list"),
    ("person_map", [1, 0, 1], "1 is no list"),
    ("person_map", [[0, None], [0], [0]], r"\[0, None\] is no list"),
    ("person_map", [[0.5], [0.0], [0.0]], r"\[0.5\] is no list"),
    ("person_map", [["0"], ["1"], ["0"]], r"\['0'\] is no list"),
    ("person_map", [[[0]], [[0]], [[0]]], r"\[\[0\]\] is no list"),
    ("person_map", [[NAN], [0.0], [0.0]], r"\[nan\] is no list"),
    ("pair_id", ["a", None, "c"], "row 2, column 'pair_id' is empty"),
    ("pair_id", ["a", "b", " "], "row 3, column 'pair_id' is empty"),
    ("pair_id", [0.5, 1.5, 2.5], "0.5 is no text"),
    ("pair_id", [True, False, None], "True is no text"),
    ("pair_id", [datetime.date(2026, 1, 1)] * 3, "is no text"),
    ("pair_id", ["a", "b", "a"], "the pair_id 'a' occurs more than once"),
    ("pair_id", [7, 8, 7], "the pair_id '7' occurs more than once"),
    ("pair_id", pa.array([uuid.uuid4().bytes for _ in range(3)], pa.uuid()), "is no text"),
    ("reference_uri", ["/a", None, "/b"], "row 2, column 'reference_uri' is empty"),
    ("reference_uri", [["/a"], ["/b"], ["/c"]], "is no text"),
    ("reference_uri", pa.array([b"/\xff", b"/b", b"/c"], pa.binary()), "is no text"),
    ("driving_uri", [{"path": "/a"}] * 3, "is no text"),
    ("licence", [1.0, None, None], "1.0 is no text"),
    ("pair_id", ["x" * 999, "b", None], "row 3, column 'pair_id' is empty"),
    ("start", ["x" * 999, "1", "2"], r"'x{59}… is no whole number"),
    ("rotatoin", [1.0, 2.0, 3.0], "the column 'rotatoin' is unknown; did you mean 'rotation'[?]"),
    ("person-map", [[0], [0], [0]], "did you mean 'person_map'[?]"),
]


@pytest.mark.parametrize(("name", "column", "message"), CELLS)
def test_what_a_column_cannot_hold_is_one_line(tmp_path: Path, name: str, column: Any, message: str) -> None:
    uri = _write(tmp_path / "p.parquet", **{name: column})
    with pytest.raises(InputError, match=message) as caught:
        read_pairs(uri, "animate.pairs")
    line = str(caught.value)
    assert line.startswith(f"animate.pairs: {uri}: ")
    assert "\n" not in line
    assert len(line) < 400
    if "is no " in line:
        assert f"column '{name}'" in line
        assert line.endswith(("write one", "or leave the cell empty (null)"))


def _named(path: Path, *names: str) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * len(names), list(names)), path)


def _no_utf8(path: Path) -> None:
    """Text that is not UTF-8, as a tool writes it that does not look."""
    bad = pa.array([b"\xff\xfe", b"b", b"c"], pa.binary()).view(pa.string())
    _write(path, pair_id=bad)


def _half(path: Path) -> None:
    path.write_bytes(Path(_write(path)).read_bytes()[:-200])


def _changed(path: Path) -> None:
    pq.write_table(pa.table({"pair_id": ["aaaa"], "reference_uri": ["/rrrr"]}), path, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    data[data.index(b"aaaa")] ^= 1
    path.write_bytes(data)


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "a.mp4").write_bytes(b"no table")


FILES = {
    "missing": (lambda path: None, "no readable Parquet table"),
    "empty": (lambda path: path.write_bytes(b""), "no readable Parquet table"),
    "CSV": (lambda path: path.write_text("pair_id,reference_uri\na,/r.png\n"), "no readable Parquet table"),
    "CSV with BOM": (lambda path: path.write_text("pair_id\na\n", "utf-8-sig"), "no readable Parquet table"),
    "CSV in Latin-1": (lambda path: path.write_bytes(b"pair_id\n\xe9\n"), "no readable Parquet table"),
    "JSONL": (lambda path: path.write_text(json.dumps({"pair_id": "a"})), "no readable Parquet table"),
    "cut short": (_half, "no readable Parquet table"),
    "a changed byte": (_changed, "no readable Parquet table"),
    "a folder of something else": (_folder, "no readable Parquet table"),
    "an empty folder": (lambda path: path.mkdir(), "the folder holds no file"),
    "not UTF-8": (_no_utf8, "column 'pair_id' cannot be read"),
    "no row": (lambda path: pq.write_table(PAIRS.empty_table(), path), "it has no row"),
    "no column": (lambda path: pq.write_table(pa.table({}), path), "lacks the column 'pair_id'"),
    "no pair_id": (
        lambda path: _named(path, "reference_uri", "x"),
        "lacks the column 'pair_id'; .* 'reference_uri', 'x'",
    ),
    "no reference": (lambda path: _named(path, "pair_id"), "lacks the column 'reference_uri'"),
    "a column twice": (lambda path: _named(path, "pair_id", "reference_uri", "pair_id"), "'pair_id' more than once"),
}


@pytest.mark.parametrize("name", list(FILES))
def test_a_table_that_cannot_be_used_is_one_line(tmp_path: Path, name: str) -> None:
    make, message = FILES[name]
    make(tmp_path / "p.parquet")
    with pytest.raises(InputError, match=message) as caught:
        read_pairs(str(tmp_path / "p.parquet"), "animate.pairs")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "p.parquet") in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1/p.parquet", "nowhere://p", "file:///gone.parquet", "/a\0b", "/" + "a" * 5000]
)
def test_a_place_without_a_table_is_one_line(uri: str) -> None:
    with pytest.raises(InputError, match="no readable Parquet table"):
        read_pairs(uri, "animate.pairs")


ROWS = [
    ({"start": -1}, "no_driving_frames"),
    ({"end": 0}, "no_driving_frames"),
    ({"end": -5}, "no_driving_frames"),
    ({"start": 8, "end": 8}, "no_driving_frames"),
    ({"start": 9, "end": 8}, "no_driving_frames"),
    ({"driving_uri": None}, "no_driving"),
    ({"reference_uri": "r.png"}, "relative_path"),
    ({"reference_uri": "../r.mp4#frame=0"}, "relative_path"),
    ({"reference_uri": "~/r.png"}, "relative_path"),
    ({"reference_uri": "C:\\r.png"}, "relative_path"),
    ({"driving_uri": "d.mp4"}, "relative_path"),
    ({"driving_keypoints_uri": "k.parquet"}, "relative_path"),
    ({"truth_uri": "t.mp4"}, "relative_path"),
    ({"person_map": []}, "bad_person_map"),
    ({"person_map": [0, -1]}, "bad_person_map"),
    ({"scale": 0.0}, "bad_misalignment"),
    ({"scale": -1.0}, "bad_misalignment"),
    ({"scale": 1e-9}, "bad_misalignment"),
    ({"scale": 1e9}, "bad_misalignment"),
    ({"rotation": 1e30}, "bad_misalignment"),
    ({"tx": -1e30}, "bad_misalignment"),
    ({"ty": 101.0}, "bad_misalignment"),
]


@pytest.mark.parametrize(("columns", "reason"), ROWS)
def test_a_row_that_no_file_could_mend_says_why(columns: dict[str, Any], reason: str) -> None:
    good = EMPTY | {"pair_id": "a", "reference_uri": "/r.png", "driving_uri": "file:///d.mp4"}
    check_pair(good)
    with pytest.raises(RowError) as caught:
        check_pair(good | columns)
    assert caught.value.reason == reason
    assert caught.value.detail


def test_misalignment_is_in_degrees_and_image_heights_and_null_is_none() -> None:
    assert misalignment(EMPTY) is None
    assert misalignment(EMPTY | {"rotation": 0.0, "scale": 1.0, "tx": 0.0, "ty": 0.0}) is None
    moved = misalignment(EMPTY | {"rotation": 90.0, "tx": 0.25})
    assert moved is not None
    # On a screen, 90 degrees turn x (right) into y (down).
    point = moved.apply(torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(point, torch.tensor([[0.25, 1.0]]), atol=1e-6, rtol=0)


def test_a_table_that_names_files_with_a_key_is_refused_without_telling_it(tmp_path: Path) -> None:
    uri = _write(tmp_path / "p.parquet", driving_uri=["/d.mp4", "s3://AKID:hush@b/d.mp4", "/d.mp4"])
    with pytest.raises(InputError, match=r"row 2, column 'driving_uri': s3://\*\*\*@b/d.mp4 holds credentials") as told:
        read_pairs(uri, "animate.pairs")
    assert "hush" not in str(told.value)


def test_a_row_names_no_host_for_a_stores_files(tmp_path: Path) -> None:
    asked = "s3://b/d.mp4?region=x&endpoint_override=http%3A%2F%2F169.254.169.254"
    uri = _write(tmp_path / "p.parquet", driving_uri=["/d.mp4", asked, "/d.mp4"])
    with pytest.raises(InputError, match=r"row 2, column 'driving_uri': .* has the option endpoint_override"):
        read_pairs(uri, "animate.pairs")
    harmless = ["https://h/d.mp4?endpoint_override=x", "s3://b/d.mp4?region=x", "/what?endpoint_override=x"]
    assert read_pairs(_write(tmp_path / "q.parquet", driving_uri=harmless), "animate.pairs").num_rows == 3
