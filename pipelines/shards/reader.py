"""Rows of a `shards` collection for training, by number: no Ray, so that a data loader's processes can use it."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.shards.settings import VERSION
from pipelines.storage.checksums import require_whole
from pipelines.storage.parquet_files import DAMAGE, open_parquet
from pipelines.storage.store import Collection
from pipelines.storage.tables import KEYPOINT_COUNT
from stableanimator.errors import InputError
from stableanimator.training import ShardRow

_CACHE_BYTES = 1 << 29  # rows that a process keeps
_OPEN_FILES = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardShapes:
    """What a shard's rows were made by, as far as a model must fit it."""

    frames: int
    """Frames of a row."""
    latent_channels: int
    """C."""
    factor: int
    """Pixels a latent, along one side."""
    image_width: int
    """D, width of the CLIP embedding."""
    face_width: int
    """E, width of the face embedding."""


class ShardRows:
    """The rows of one split, numbered in the order of the manifest's parts.

        rows = ShardRows(store.open("shards"), "train")
        rows[0].latents        # [F, C, h, w]
        rows.groups            # numbers of the rows of each bucket: only these may share a batch

    A part holds the rows of one video in one bucket. When a process first opens one, its bytes are held against the
    manifest's SHA-256 (1 to 2 GB a second of a core); after that only the row group of the row that is asked for is
    read, and the checksums of its pages verified. The last ones stay in memory. Parts are opened in the process that
    asks, so the object travels to loader processes.

    Raises:
        InputError: the rows were made by another version of encode.
    """

    def __init__(self, shards: Collection, split: str) -> None:
        if shards.manifest.get("version") != VERSION:
            raise InputError(f"{shards.uri} was made by another version of encode; run encode again")
        self.shards = shards
        self.split = split
        self._parts = [part for part in shards.manifest["parts"] if part["split"] == split]
        ends = np.cumsum([0, *(part["rows"] for part in self._parts)])
        self._starts, self._count = ends[:-1], int(ends[-1])
        self._cache: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()  # by part and row group
        self._cached = 0  # bytes
        self._files: OrderedDict[int, tuple[Any, npt.NDArray[np.int64]]] = OrderedDict()
        self._whole: set[int] = set()  # parts whose bytes were looked at: checksums of pages do not cover the rest

    def __len__(self) -> int:
        return self._count

    def __reduce__(self) -> tuple[type[ShardRows], tuple[Collection, str]]:
        return ShardRows, (self.shards, self.split)

    @property
    def rates(self) -> tuple[float, ...]:
        """Frames a second of the rows: for each stride their median, the densest first."""
        rates = (each["fps"] for each in self.shards.manifest["rates"] if each["split"] == self.split)
        return tuple(sorted(rates, reverse=True))

    @property
    def groups(self) -> list[npt.NDArray[np.int64]]:
        """Numbers of the rows of each bucket, buckets in the order of their names."""
        by_bucket: dict[str, list[npt.NDArray[np.int64]]] = {}
        for start, part in zip(self._starts, self._parts, strict=True):
            by_bucket.setdefault(part["bucket"], []).append(np.arange(start, start + part["rows"]))
        return [np.concatenate(by_bucket[bucket]) for bucket in sorted(by_bucket)]

    def __getitem__(self, index: int) -> ShardRow:
        """The row of this number.

        Raises:
            IndexError: there is none.
            InputError: its part is not what was committed.
        """
        if not 0 <= index < self._count:
            raise IndexError(f"row {index} of {self._count}")
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        row = self._row(number, index - int(self._starts[number]))
        return decode_row(row, float(self.shards.manifest["settings"]["reference_noise"]))

    def shapes(self) -> ShardShapes:
        """Of the first row, which all share.

        Raises:
            InputError: there is no row.
        """
        if not len(self):
            raise InputError(f"{self.shards.uri} has no rows of the split {self.split!r}; curate and encode more clips")
        row = self[0]
        return ShardShapes(
            frames=len(row.latents),
            latent_channels=row.latents.shape[1],
            factor=row.size[0] // row.latents.shape[2],
            image_width=row.clip_embedding.shape[-1],
            face_width=row.face_embedding.shape[-1],
        )

    def _row(self, number: int, offset: int) -> pa.Table:
        """One row of a part.

        Raises:
            InputError: the part is not what was committed.
        """
        part = self._parts[number]
        try:
            starts = self._file(number)[1]
            group = int(np.searchsorted(starts, offset, side="right")) - 1
            return self._group(number, group).slice(offset - int(starts[group]), 1)
        except DAMAGE as error:
            require_whole(self.shards.store, part["path"], part["sha256"])
            raise error

    def _group(self, number: int, group: int) -> pa.Table:
        if (number, group) in self._cache:
            self._cache.move_to_end((number, group))
            return self._cache[number, group]
        table = self._file(number)[0].read_row_group(group, use_threads=False)
        self._cache[number, group] = table
        self._cached += table.nbytes
        while len(self._cache) > 1 and self._cached > _CACHE_BYTES:
            self._cached -= self._cache.popitem(last=False)[1].nbytes
        return table

    def _file(self, number: int) -> tuple[Any, npt.NDArray[np.int64]]:
        """An open part, and the first row of each of its row groups."""
        if number in self._files:
            self._files.move_to_end(number)
        else:
            part = self._parts[number]
            if number not in self._whole:
                require_whole(self.shards.store, part["path"], part["sha256"])
                self._whole.add(number)
            file = open_parquet(self.shards.store.open_file(part["path"]))
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            self._files[number] = file, np.cumsum([0, *sizes])
            if len(self._files) > _OPEN_FILES:
                self._files.popitem(last=False)[1][0].close(force=True)
        return self._files[number]


def decode_row(row: pa.Table, reference_noise: float) -> ShardRow:
    """One row of SHARDS, arrays in the shapes that pipelines.storage.tables names, as float32."""
    height, width = (int(side) for side in row["bucket"][0].as_py().split("x"))
    frames, references = len(_values(row, "frame_index")), len(_values(row, "reference_index"))
    mask = _values(row, "face_mask")
    # The rows do not name the VAE's factor; the mask has one value for each latent of a frame.
    factor = math.isqrt(height * width * frames // len(mask))
    h, w = height // factor, width // factor
    people = row["people"][0].as_py()
    return ShardRow(
        latents=_values(row, "latents").reshape(frames, -1, h, w),
        face_mask=mask.reshape(frames, h, w),
        keypoints=_values(row, "keypoints").reshape(frames, people, KEYPOINT_COUNT, 3),
        reference_latent=_values(row, "reference_latent").reshape(references, -1, h, w),
        clip_embedding=_values(row, "clip_embedding").reshape(references, 1, -1),
        face_embedding=_values(row, "face_embedding").reshape(references, -1),
        reference_keypoints=_values(row, "reference_keypoints").reshape(references, KEYPOINT_COUNT, 3),
        size=(height, width),
        fps=row["fps"][0].as_py(),
        reference_noise=reference_noise,
    )


def _values(row: pa.Table, column: str) -> npt.NDArray[np.float32]:
    """The flat list of one cell."""
    values = row[column].combine_chunks().flatten()
    return values.to_numpy(zero_copy_only=False).astype(np.float32)
