"""Room for the frames of a clip of any length: in memory, or above a size in a file without a name.

Whoever fills and reads it a part at a time needs memory for that part alone; what the system keeps of the file beside
is given back when it is asked for.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stableanimator.errors import InputError

LARGEST = 2**28
"""Bytes of an array beyond which it lies in a file: 1,800 frames of latents, or 150 of pictures, of 576x1024."""


def room(shape: Sequence[int], dtype: npt.DTypeLike, largest: int = LARGEST) -> npt.NDArray:
    """An array of this shape, its values not set. A file lies in the temporary folder (`TMPDIR`), and goes with the
    array.

    Raises:
        InputError: the temporary folder has no room for it. It is taken at once, since a disk that is full later would
            end the process.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= largest:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(prefix="stableanimator-") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            where = f"{tempfile.gettempdir()} has no room for {size / 1e9:.1f} GB of frames"
            raise InputError(f"{where} ({error.strerror}); set TMPDIR to a folder that has") from error
        return np.memmap(file, dtype, "r+", shape=tuple(shape))
