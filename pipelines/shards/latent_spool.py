"""Latents that wait for their rows, on the disk: a video's rows are written when all of its clips are encoded, and its
length must not show in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from types import TracebackType

import numpy as np
import numpy.typing as npt

from pipelines.storage.parquet_files import temporary_folder_named

Half = npt.NDArray[np.float16]


class LatentSpool:
    """Arrays of 16-bit floats in a file of the machine's temporary folder (TMPDIR), gone when it is closed.

    Raises:
        StorageError: that folder is full.
    """

    def __init__(self) -> None:
        with temporary_folder_named():
            self._file = tempfile.TemporaryFile(prefix="stableanimator-latents-", buffering=0)  # noqa: SIM115
        self._end = 0

    def append(self, latents: Half) -> list[int]:
        """Write [n, …] and return the place of each of the n."""
        with temporary_folder_named():
            self._file.seek(self._end)
            data = np.ascontiguousarray(latents).view(np.uint8).reshape(-1)
            while len(data):  # a raw file may take less than it is given
                data = data[self._file.write(data.data) :]
        places = [self._end + number * latents[0].nbytes for number in range(len(latents))]
        self._end += latents.nbytes
        return places

    def read(self, places: Sequence[int], shape: tuple[int, ...]) -> Half:
        """[n, *shape] of n places."""
        result = np.empty((len(places), *shape), np.float16)
        for row, place in zip(result, places, strict=True):
            self._file.seek(place)
            if self._file.readinto(row.data) != row.nbytes:
                raise OSError(f"latents at {place} of the temporary file are gone")
        return result

    def __enter__(self) -> LatentSpool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
