from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.storage import part_rows
from pipelines.storage.part_rows import DamagedPart, RowReader, find_rows
from pipelines.storage.store import Store
from pipelines.storage.tables import PEOPLE

COLUMNS = ["shot_id", "people_median"]


def _rows(video: str, *medians: float) -> pa.Table:
    rows: list[dict[str, Any]] = [
        {
            "shot_id": f"{video}:{number}-{number + 1}",
            "frame_index": [number],
            "time": [0.0],
            "people_median": median,
            "person_boxes": [[[number, 2.0, 3.0, 4.0]]],
            "person_scores": [[0.5]],
        }
        for number, median in enumerate(medians)
    ]
    return pa.Table.from_pylist(rows, schema=PEOPLE)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Videos a (two shots), b and c (one each), each in a part of its own."""
    store = Store(str(tmp_path))
    for video, medians in (("b", (3.0,)), ("a", (1.0, 2.0)), ("c", (4.0,))):
        store.write_part("measures-people", "k", video, _rows(video, *medians))
    return store


def _find(store: Store, videos: list[str] | None = None) -> part_rows.PartRows:
    return find_rows(store, "measures-people", "k", PEOPLE, COLUMNS, videos)


def test_the_columns_that_are_asked_for_come_sorted_by_id(store: Store):
    rows = _find(store)
    assert rows.table.to_pylist() == [
        {"shot_id": "a:0-1", "people_median": 1},
        {"shot_id": "a:1-2", "people_median": 2},
        {"shot_id": "b:0-1", "people_median": 3},
        {"shot_id": "c:0-1", "people_median": 4},
    ]
    assert rows.bytes == sum(part.bytes for part in store.parts("measures-people", "k"))
    assert find_rows(store, "measures-people", "other", PEOPLE, COLUMNS).table.num_rows == 0


def test_a_few_videos_are_found_without_the_others(store: Store):
    rows = _find(store, ["a"])
    assert rows.table["shot_id"].to_pylist() == ["a:0-1", "a:1-2"]
    assert len(rows.paths) == 1


def test_other_columns_are_read_later_and_in_the_order_that_is_asked_for(store: Store):
    rows = _find(store)
    taken = RowReader(store, rows, ["person_boxes", "frame_index"]).take(np.array([3, 1, 0]))
    assert taken["frame_index"].to_pylist() == [[0], [1], [0]]
    assert taken["person_boxes"].to_pylist()[1] == [[[1, 2, 3, 4]]]
    assert taken.column_names == ["person_boxes", "frame_index"]


def test_a_part_that_is_damaged_before_it_is_looked_at_is_as_good_as_absent(
    store: Store, caplog: pytest.LogCaptureFixture
):
    path = Path(store.root, store.part_paths("measures-people", "k", "a")[0])
    path.write_bytes(path.read_bytes()[:-9])
    assert _find(store).table["shot_id"].to_pylist() == ["b:0-1", "c:0-1"]
    assert "is damaged" in caplog.text


def test_damage_to_what_is_read_later_is_told_with_the_parts_name(store: Store):
    rows = _find(store)
    (part,) = store.part_paths("measures-people", "k", "a")
    reader = RowReader(store, rows, ["person_boxes"])
    path = Path(store.root, part)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedPart) as caught:
        reader.take(np.array([1]))
    assert caught.value.path == part
    assert reader.take(np.array([2])).num_rows == 1  # of another part
    path.unlink()
    with pytest.raises(DamagedPart):
        RowReader(store, rows, ["person_boxes"]).take(np.array([1]))


def test_an_error_of_a_sound_part_is_not_taken_for_damage(store: Store):
    with pytest.raises((KeyError, ValueError)):
        find_rows(store, "measures-people", "k", PEOPLE, ["shot_id", "keypoint_coverage"])


def test_a_part_that_is_merged_away_while_it_is_looked_for_is_looked_for_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    listed = part_rows._parts

    def late(*arguments: Any) -> Any:
        parts = listed(*arguments)
        monkeypatch.setattr(part_rows, "_parts", listed)
        store.delete(parts[0].path)
        store.write_part("measures-people", "k", "merged", _rows("a", 1.0, 2.0))
        return parts

    monkeypatch.setattr(part_rows, "_parts", late)
    assert _find(store).table.num_rows == 4
