"""Which model animates: a damaged one does not, whatever names it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from jobs.pairs.model import named_model
from jobs.training.run_folder import claim, commit
from pipelines.storage.store import Store
from stableanimator.errors import WeightsError


def test_a_damaged_model_is_one_line_for_the_user_by_id_and_by_place(tmp_path: Path) -> None:
    store, content = Store(str(tmp_path)), {"train": {"svd": None}}
    with claim(str(tmp_path), "models", "mine", content) as run:
        folder = run.begin(9)
        weights = folder / "unet.safetensors"
        save_file({"weight": np.arange(12_500, dtype=np.float32)}, weights)
        run.complete({"step": 9, "total_steps": 9}, 1)
        collection = commit(store, "models", run, content, {})
    names = ("latest", collection.id[:10], str(folder))
    assert [named_model(store, name).folder for name in names] == [folder] * 3
    whole = weights.read_bytes()
    weights.write_bytes(whole[:10_000] + bytes(each ^ 255 for each in whole[10_000:30_000]) + whole[30_000:])
    for name in names:
        with pytest.raises(WeightsError, match=r"step_9/unet\.safetensors is not what .* committed .*; restore it, or"):
            named_model(store, name)
