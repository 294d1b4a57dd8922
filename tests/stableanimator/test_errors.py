from __future__ import annotations

import contextlib
import pickle
import resource
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from stableanimator.errors import (
    DecodeError,
    DecodeTimeout,
    RowError,
    StorageError,
    WeightsError,
    row_error,
    storage_error,
)
from stableanimator.media.video import write_mp4


def test_what_goes_wrong_with_a_row_becomes_its_reason() -> None:
    odd = DecodeError("odd", "content")
    assert row_error(odd, "broke") is odd
    hung = row_error(DecodeTimeout("a.mp4: nothing came within 9 s"), "broke")
    assert (hung.reason, hung.detail) == ("decode_timeout", "DecodeTimeout: a.mp4: nothing came within 9 s")
    broken = row_error(KeyError("x\n" + 999 * "y"), "broke")
    assert broken.reason == "broke"
    assert broken.detail.startswith("KeyError: ")
    assert len(broken.detail) == 300
    assert "\n" not in broken.detail


def test_a_users_mistake_is_no_rows() -> None:
    with pytest.raises(WeightsError, match="missing"):
        row_error(WeightsError("missing"), "broke")


def test_reasons_travel_between_processes() -> None:
    travelled = pickle.loads(pickle.dumps(RowError("odd", "content")))
    assert (travelled.reason, travelled.detail, str(travelled)) == ("odd", "content", "odd: content")


def _sqlite(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("pragma max_page_count = 2")
        database.execute("create table rows (text)")
        database.execute("insert into rows values (?)", ["x" * 100_000])


@contextlib.contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """A disk that takes no more, for this process."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


BIG = torch.rand(1 << 18)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(bytes(1 << 20)),
        lambda path: torch.save(BIG, path),
        lambda path: torch.save(BIG, path, _use_new_zipfile_serialization=False),
        lambda path: save_file({"a": BIG}, path),
        lambda path: pq.write_table(pa.table({"a": BIG.numpy()}), path),
        lambda path: write_mp4(path, [np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)] * 8, 8.0),
        _sqlite,
    ],
    ids=["python", "torch", "torch as DeepSpeed", "safetensors", "parquet", "PyAV", "sqlite"],
)
def test_a_full_disk_is_known_by_whatever_a_library_makes_of_it(
    write: Callable[[Path], object], tmp_path: Path
) -> None:
    with pytest.raises(Exception) as caught, _files_of_at_most(4096):  # noqa: PT011 (each has its own)
        write(tmp_path / "file")
    told = storage_error(caught.value, "/data/a")
    assert str(told).startswith("a disk is full (while writing /data/a); free some space")
    assert "\n" not in str(storage_error(caught.value))
    with pytest.raises(StorageError):  # and so it is no row's
        row_error(caught.value, "broke")


def test_other_errors_are_no_full_disk() -> None:
    for error in (OSError(5, "Input/output error"), RuntimeError("size mismatch"), KeyError("a")):
        assert storage_error(error) is None
