from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from jobs.training import run_folder
from jobs.training.aligners import SHIPPED, aligner_folder
from pipelines.storage.store import Store, file_sha256
from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.aligner_folder import load_aligner_folder, save_aligner_folder
from stableanimator.alignment.settings import AlignerSettings
from stableanimator.errors import CheckpointError, InputError, WeightsError
from stableanimator.paths import local_path
from stableanimator.state_files import FORMAT

SETTINGS = AlignerSettings(width=8, heads=2)


def write_aligner(folder: Path) -> Path:
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    save_aligner_folder(folder, SETTINGS, Aligner(SETTINGS).state_dict(), {})
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "root"))


def test_an_aligner_of_the_store_is_found_by_its_id_by_its_beginning_and_as_the_newest(store: Store) -> None:
    content = {"release": "abc"}
    with run_folder.claim(store.root, "aligners", "mine", content) as run:
        write_aligner(run.begin(3))
        run.complete({"step": 3, "total_steps": 3}, keep_last=1)
        collection = run_folder.commit(store, "aligners", run, content, {})
    for which in (collection.id, collection.id[:8], "latest"):
        assert aligner_folder(store, which) == (collection.id, run.path / "step_3")


def test_a_folder_is_known_by_the_checksum_of_its_weights(store: Store, tmp_path: Path) -> None:
    folder = write_aligner(tmp_path / "elsewhere")
    identity, found = aligner_folder(store, str(folder))
    assert found == folder
    assert identity == file_sha256(folder / "aligner.safetensors")
    assert load_aligner_folder(found).settings == SETTINGS


def test_the_shipped_aligner_loads(store: Store) -> None:
    shipped = local_path("package://stableanimator.alignment/weights")
    if not (shipped / "aligner.safetensors").exists():
        pytest.skip(f"the package has no aligner yet: {shipped} is missing")
    identity, folder = aligner_folder(store, SHIPPED)
    assert folder == shipped
    assert identity == file_sha256(shipped / "aligner.safetensors")
    assert "aligner" in json.loads((folder / "config.json").read_text())
    load_aligner_folder(folder)
    assert aligner_folder(store, "package://stableanimator.alignment/weights") == (identity, folder)


def test_a_folder_without_weights_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=rf"{tmp_path} has no aligner.safetensors; name a folder"):
        aligner_folder(store, str(tmp_path))
    with pytest.raises(WeightsError, match="no package 'nowhere'"):
        aligner_folder(store, "package://nowhere/weights")


@pytest.mark.parametrize("which", ["latest", "0123"])
def test_without_a_trained_aligner_the_store_says_so(store: Store, which: str) -> None:
    with pytest.raises(InputError, match=f"no committed {which}"):
        aligner_folder(store, which)


def test_an_aligner_of_another_format_is_refused(tmp_path: Path) -> None:
    """Its weights have the same names and would be read as something else."""
    save_aligner_folder(tmp_path, SETTINGS, Aligner(SETTINGS).state_dict(), {})
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace(f'"format": {FORMAT}', '"format": 1'))
    with pytest.raises(CheckpointError, match=f"is of format 1, not {FORMAT}"):
        load_aligner_folder(tmp_path)
