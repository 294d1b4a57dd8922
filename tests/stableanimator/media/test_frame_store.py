from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from stableanimator.errors import InputError
from stableanimator.media.frame_store import room


def test_small_arrays_are_memory_and_large_ones_a_file_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    small = room((4, 2), np.float32, largest=32)
    assert not isinstance(small, np.memmap)
    large = room((5, 2), np.float32, largest=32)
    assert isinstance(large, np.memmap)
    assert (large.shape, large.dtype) == ((5, 2), np.float32)
    large[:] = np.arange(10).reshape(5, 2)
    np.testing.assert_array_equal(large[3], [6, 7])
    assert os.listdir(tmp_path) == []  # nothing is left behind, however the process ends


def test_what_finds_no_room_is_said_before_anything_is_written() -> None:
    with pytest.raises(InputError, match=r"no room for .* GB of frames .*TMPDIR"):
        room((2**40, 2**10), np.uint8)
