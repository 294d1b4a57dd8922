from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.storage import compaction
from pipelines.storage.compaction import Merge, compact, mend_part, settle
from pipelines.storage.part_rows import RowReader, find_rows
from pipelines.storage.store import Store, StoredFile
from pipelines.storage.tables import PEOPLE, SOURCES
from stableanimator.errors import StableAnimatorError

FAMILY, KEY = "measures-people", "k"
VIDEOS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(40)]


def _rows(video: str, shots: int = 2) -> pa.Table:
    rows = [
        {"shot_id": f"{video}:{n}-{n + 1}", "frame_index": [n], "people_median": n + int(video[:6], 16)}
        for n in range(shots)
    ]
    return pa.Table.from_pylist(rows, schema=PEOPLE)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path))
    for video in VIDEOS:
        store.write_part(FAMILY, KEY, video, _rows(video))
    return store


def _everything(store: Store) -> list[dict[str, Any]]:
    return find_rows(store, FAMILY, KEY, PEOPLE, PEOPLE.names).table.to_pylist()


def _files(store: Store) -> list[Path]:
    return [path for path in Path(store.root).rglob("*") if path.is_file()]


@pytest.fixture(params=[1 << 30, 20_000])
def part_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """One merged part, and one for each first character of the ids."""
    monkeypatch.setattr(compaction, "_PART_BYTES", request.param)
    return int(request.param)


def test_merged_rows_are_the_same_in_fewer_files(store: Store, part_bytes: int):
    before = _everything(store)
    assert len(before) == 80
    (merge,) = compact(store)
    firsts = len({video[0] for video in VIDEOS})
    assert (merge.before, merge.after, merge.rows) == (40, 1 if part_bytes > 1e6 else firsts, 80)
    assert _everything(store) == before
    assert len(_files(store)) == merge.after
    assert [path.name for path in (Path(store.root) / "parts" / FAMILY / KEY).iterdir()] == ["merged"]
    one = find_rows(store, FAMILY, KEY, PEOPLE, ["shot_id"], [VIDEOS[3]])
    assert f"{VIDEOS[3]}:1-2" in one.table["shot_id"].to_pylist()
    assert compact(store) == []  # nothing is left to do


def test_new_rows_are_merged_with_the_old(store: Store, part_bytes: int):
    compact(store)
    for number in range(3):
        store.write_part(FAMILY, KEY, f"{number:064}", _rows(f"{number:064}"))
    before = _everything(store)
    compact(store)
    assert _everything(store) == before
    assert len(before) == 86
    assert all(path.parent.name == "merged" for path in _files(store))


def test_other_columns_are_read_from_merged_parts(store: Store, part_bytes: int):
    compact(store)
    rows = find_rows(store, FAMILY, KEY, PEOPLE, ["shot_id"])
    taken = RowReader(store, rows, ["people_median"]).take(np.arange(80))["people_median"].to_pylist()
    expected = [n + int(video[:6], 16) for video in sorted(VIDEOS) for n in range(2)]
    assert taken == expected


class _Broken(Exception):
    pass


@pytest.mark.parametrize("deletions", [0, 1, 25])
def test_a_merge_that_is_broken_off_loses_and_doubles_nothing(
    store: Store, part_bytes: int, monkeypatch: pytest.MonkeyPatch, deletions: int
):
    before, left, delete = _everything(store), [deletions], Store.delete

    def breaks(self: Store, path: str) -> None:
        if not left[0]:
            raise _Broken
        left[0] -= 1
        delete(self, path)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "delete", breaks)
        with pytest.raises(_Broken):
            compact(store)
    assert _everything(store) == before
    compact(store)
    assert _everything(store) == before
    assert all(path.parent.name == "merged" for path in _files(store))


def test_a_merged_part_that_was_cut_short_while_written_is_not_there(store: Store, monkeypatch: pytest.MonkeyPatch):
    before, write = _everything(store), Store.write_bytes

    def dies(self: Store, path: str, data: bytes) -> None:
        write(self, path, data[:100])
        raise _Broken

    with monkeypatch.context() as patched:
        patched.setattr(Store, "write_bytes", dies)
        with pytest.raises(_Broken):
            compact(store)
    assert _everything(store) == before
    compact(store)
    assert _everything(store) == before
    assert len(_files(store)) == 1


@pytest.mark.parametrize("merge", [compact, lambda store: settle(store, [(FAMILY, KEY)])])
def test_two_merges_at_once_lose_and_double_nothing(
    store: Store, merge: Callable[[Store], list[Merge]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compaction, "ENOUGH", 40)
    before = _everything(store)

    class Overtaken(Store):
        """Another process merges everything between this one's listing and its reading, once."""

        overtaken = False

        def parts(self, family: str, key: str, group: str = "") -> list[StoredFile]:
            listed = super().parts(family, key, group)
            if not self.overtaken:
                self.overtaken = True
                compact(Store(self.root))
            return listed

    assert merge(Overtaken(store.root)) == []
    assert _everything(store) == before
    assert len(_files(store)) == 1


def test_only_keys_with_many_loose_parts_are_settled(store: Store, monkeypatch: pytest.MonkeyPatch):
    store.write_part("shots", KEY, VIDEOS[0], pa.table({"shot_id": ["x"]}))
    keys = [(FAMILY, KEY), ("shots", KEY)]
    assert settle(store, keys) == []
    monkeypatch.setattr(compaction, "ENOUGH", 40)
    before = _everything(store)
    assert [merge.family for merge in settle(store, keys)] == [FAMILY]
    assert _everything(store) == before
    assert settle(store, keys) == []


def test_what_a_manifest_names_is_not_touched(store: Store):
    for number in range(3):
        store.write_part("shards", KEY, f"v{number}", pa.table({"x": [number]}))
    compact(store)
    assert len(store.parts("shards", KEY)) == 3


def test_sources_are_merged_as_their_reader_reads_them(tmp_path: Path):
    store = Store(str(tmp_path))
    for number, detail in ((1, "first"), (1, "second"), (2, "only")):
        row = {"source_uri": f"https://a.test/{number}", "status": "failed", "detail": detail}
        store.write_part("sources", KEY, f"{number}" * 64, pa.Table.from_pylist([row], schema=SOURCES))

    def read() -> dict[str, str]:
        return {row["source_uri"]: row["detail"] for row in store.read_parts("sources", KEY, SOURCES).to_pylist()}

    before = read()
    (merge,) = compact(store)
    assert (merge.before, merge.after, merge.rows) == (3, 1, 2)
    assert read() == before


def test_of_a_damaged_part_what_can_be_read_is_kept(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compaction, "_ROWS_PER_GROUP", 8)
    compact(store)
    (part,) = store.parts(FAMILY, KEY)
    with pytest.raises(StableAnimatorError, match="is not damaged"):
        mend_part(store, part.path)
    path = Path(store.root, part.path)
    data = bytearray(path.read_bytes())
    data[10] ^= 1  # a page of the first row group
    path.write_bytes(bytes(data))
    mend_part(store, part.path)
    assert not path.exists()
    ids = find_rows(store, FAMILY, KEY, PEOPLE, ["shot_id"]).table["shot_id"].to_pylist()
    assert len(ids) == 72
    assert ids == [f"{video}:{n}-{n + 1}" for video in sorted(VIDEOS) for n in range(2)][8:]
    mend_part(store, part.path)  # gone already: another process was faster


def test_the_names_of_merged_parts_grow_with_what_they_hold():
    def digits(megabytes: float) -> int:
        return compaction._digits(FAMILY, [StoredFile("x", int(megabytes * 2**20))])

    assert [digits(size) for size in (1, 128, 129, 2048, 2049, 1e6, 1e9)] == [0, 0, 1, 1, 2, 3, 3]
    assert compaction._digits("sources", [StoredFile("x", 1 << 40)]) == 0
