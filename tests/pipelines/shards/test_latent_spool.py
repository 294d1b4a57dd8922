from __future__ import annotations

import errno

import numpy as np
import pytest

from pipelines.shards.latent_spool import LatentSpool
from stableanimator.errors import StorageError


def test_latents_are_read_back_in_any_order() -> None:
    small, large = np.random.default_rng(0).normal(size=(5, 2, 3)), np.random.default_rng(1).normal(size=(2, 4, 4))
    with LatentSpool() as spool:
        first = spool.append(small[:3].astype(np.float16))
        other = spool.append(large.astype(np.float16))
        rest = spool.append(small[3:].astype(np.float16))
        places = [*first, *rest]
        np.testing.assert_array_equal(spool.read(places[::-2], (2, 3)), small[::-2].astype(np.float16))
        np.testing.assert_array_equal(spool.read(other, (4, 4)), large.astype(np.float16))


def test_a_full_temporary_folder_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with LatentSpool() as spool, open("/dev/full", "r+b", buffering=0) as full:
        monkeypatch.setattr(spool, "_file", full)
        with pytest.raises(StorageError, match="set TMPDIR") as caught:
            spool.append(np.ones((1, 2), np.float16))
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.ENOSPC
