"""Shard rows written through the real schema and store, read back by number."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.shards.reader import ShardRows, ShardShapes
from pipelines.shards.settings import VERSION
from pipelines.storage.parquet_files import stream_parquet
from pipelines.storage.store import Collection, Store
from pipelines.storage.tables import SHARDS
from stableanimator.errors import InputError

FRAMES, PEOPLE, CANDIDATES, CHANNELS, FACTOR = 3, 2, 2, 4, 8


def _row(number: int, split: str, height: int, width: int) -> dict[str, Any]:
    """Every array counts upwards from `number`, so that each value says where it belongs."""
    h, w = height // FACTOR, width // FACTOR

    def counting(*shape: int) -> np.ndarray:
        return (number + np.arange(np.prod(shape)) % 1000).astype(np.float32)

    keypoints = counting(FRAMES, PEOPLE, 133, 3).reshape(FRAMES, PEOPLE, 133, 3)
    keypoints[1, 1] = (np.nan, np.nan, 0)
    return {
        "shot_id": f"v{number}:0-9",
        "video_id": f"v{number}",
        "split": split,
        "bucket": f"{height}x{width}",
        "crop": "centre",
        "stride": 1,
        "fps": float(number),
        "frame_index": [0, 2, 4],
        "latents": counting(FRAMES, CHANNELS, h, w).astype(np.float16),
        "reference_shot_id": ["a", "b"],
        "reference_crop": ["centre"] * 2,
        "reference_index": [6, 8],
        "reference_latent": counting(CANDIDATES, CHANNELS, h, w).astype(np.float16),
        "clip_embedding": counting(CANDIDATES, 1, 5).astype(np.float16),
        "face_embedding": counting(CANDIDATES, 7).astype(np.float16),
        "reference_keypoints": counting(CANDIDATES, 133, 3),
        "face_present": [True, False, True],
        "face_mask": (np.arange(FRAMES * h * w) % 2).astype(np.uint8),
        "people": PEOPLE,
        "keypoints": keypoints.ravel(),
        "encoders": "e",
    }


@pytest.fixture
def shards(tmp_path: Path) -> Collection:
    store = Store(str(tmp_path))
    layout = [
        ("train", (16, 32), [10, 20]),
        ("heldout", (16, 32), [30]),
        ("train", (16, 16), [40]),
        ("train", (16, 32), [50]),
    ]
    parts = []
    for number, (split, (height, width), rows) in enumerate(layout):
        table = pa.Table.from_pylist([_row(row, split, height, width) for row in rows], schema=SHARDS)
        part = store.write_part("shards", "key", f"v{number}", table)
        parts.append({**part, "split": split, "bucket": f"{height}x{width}"})
    rates = [{"split": split, "fps": fps} for split, fps in (("heldout", 9.0), ("train", 4.0), ("train", 8.0))]
    content = {"parts": parts, "rates": rates, "settings": {"reference_noise": 0.03}, "version": VERSION}
    return store.commit("shards", content=content, tables={}, build={})


def test_rows_of_a_split_are_numbered_and_grouped_by_picture_size(shards: Collection) -> None:
    rows = ShardRows(shards, "train")
    assert len(rows) == 4
    assert [row.face_embedding[0, 0] for row in (rows[i] for i in range(4))] == [10, 20, 40, 50]
    assert [group.tolist() for group in rows.groups] == [[2], [0, 1, 3]]  # 16x16, then 16x32
    assert [rows[i].size for i in range(4)] == [(16, 32), (16, 32), (16, 16), (16, 32)]
    held_out = ShardRows(shards, "heldout")
    assert (len(held_out), held_out[0].face_embedding[0, 0]) == (1, 30)
    with pytest.raises(IndexError):
        rows[4]


def test_arrays_have_the_shapes_of_the_schema(shards: Collection) -> None:
    row = ShardRows(shards, "train")[1]
    assert row.latents.shape == (3, 4, 2, 4)
    assert row.latents.dtype == np.float32
    assert row.latents[2, 3, 1, 3] == 20 + 3 * 4 * 2 * 4 - 1
    assert row.reference_latent[1, 0, 0, 0] == 20 + 4 * 2 * 4
    assert row.clip_embedding.shape == (2, 1, 5)
    assert row.clip_embedding[1, 0, 0] == 25
    assert row.face_embedding[1].tolist() == list(range(27, 34))
    assert row.reference_keypoints[1, 0].tolist() == [419, 420, 421]
    assert row.keypoints[0, 1, 0].tolist() == [419, 420, 421]
    assert np.isnan(row.keypoints[1, 1, :, :2]).all()
    assert row.face_mask[0].tolist() == [[0, 1, 0, 1], [0, 1, 0, 1]]
    assert (row.fps, row.reference_noise) == (20.0, 0.03)


def test_shapes_are_what_a_model_must_fit(shards: Collection) -> None:
    shapes = ShardRows(shards, "train").shapes()
    assert shapes == ShardShapes(frames=3, latent_channels=4, factor=8, image_width=5, face_width=7)
    with pytest.raises(InputError, match="no rows of the split 'test'"):
        ShardRows(shards, "test").shapes()


def test_the_rates_of_a_split_are_listed_from_the_densest(shards: Collection) -> None:
    assert ShardRows(shards, "train").rates == (8.0, 4.0)
    assert ShardRows(shards, "heldout").rates == (9.0,)


def test_a_reader_travels_to_other_processes(shards: Collection) -> None:
    rows = ShardRows(shards, "train")
    first = rows[0].latents
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(rows))[0].latents, first)


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _change_a_latent(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[pq.ParquetFile(path).metadata.row_group(0).column(8).data_page_offset + 100] ^= 0x10
    path.write_bytes(data)


def _rename_a_column(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(b"latemts".join(data.rsplit(b"latents", 1)))  # in the footer, which no page's checksum covers


@pytest.mark.parametrize("damage", [_cut_short, _change_a_latent, _rename_a_column, Path.unlink])
def test_a_changed_part_is_refused(shards: Collection, damage: Callable[[Path], None]) -> None:
    damage(Path(shards.store.root) / shards.manifest["parts"][0]["path"])
    with pytest.raises(InputError, match="is not what was committed"):
        ShardRows(shards, "train")[0]
    assert ShardRows(shards, "train")[2].size == (16, 16)  # of another part


def test_a_part_of_many_row_groups_is_read_a_group_at_a_time(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    tables = [pa.Table.from_pylist([_row(10 * number, "train", 16, 16)], schema=SHARDS) for number in range(6)]
    with contextlib.closing(stream_parquet(tables, SHARDS)) as file:
        part = store.write_part_file("shards", "key", "v", file)
    assert part["rows"] == 6
    listed = [{**part, "split": "train", "bucket": "16x16"}]
    content = {"parts": listed, "settings": {"reference_noise": 0.0}, "version": VERSION}
    rows = ShardRows(store.commit("shards", content=content, tables={}, build={}), "train")
    path = Path(tmp_path, part["path"])
    assert rows[4].face_embedding[0, 0] == 40
    # What is damaged after the part was looked at is noticed where it is read.
    data = bytearray(path.read_bytes())
    data[pq.ParquetFile(path).metadata.row_group(2).column(8).data_page_offset + 100] ^= 0x10
    path.write_bytes(data)
    assert [rows[index].face_embedding[0, 0] for index in (5, 0, 3)] == [50, 0, 30]
    with pytest.raises(InputError, match="is not what was committed"):
        rows[2]
    with pytest.raises(InputError, match="is not what was committed"):
        ShardRows(rows.shards, "train")[5]


def test_rows_of_another_version_are_refused(shards: Collection) -> None:
    """Their columns may have the same names and mean something else."""
    content = {name: shards.manifest[name] for name in ("parts", "settings")}
    for version in ({}, {"version": VERSION - 1}):
        older = shards.store.commit("shards", content=content | version, tables={}, build={})
        with pytest.raises(InputError, match="another version of encode; run encode again"):
            ShardRows(older, "train")
