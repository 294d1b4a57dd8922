"""Folders of trainings: whose they are, which checkpoints count, and how finished ones are found."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from jobs.training.run_folder import RunFolder, claim, commit, trained_folder
from pipelines.storage.store import Store, fingerprint
from stableanimator.errors import ConfigError, InputError, WeightsError

CONTENT = {"train": {"rate": 1e-5, "frames": 16, "sizes": (1, 2)}, "shards": "abc"}


def _checkpoint(run: RunFolder, step: int, total: int = 9, keep_last: int = 9) -> Path:
    folder = run.begin(step)
    (folder / "unet.safetensors").write_bytes(b"weights %d" % step)
    (folder / "config.json").write_text("{}")
    run.complete({"step": step, "total_steps": total}, keep_last)
    return folder


def test_a_name_belongs_to_one_training(tmp_path: Path) -> None:
    first = claim(str(tmp_path), "models", "mine", CONTENT)
    assert first.path == tmp_path / "models" / "mine"
    assert claim(str(tmp_path), "models", "mine", CONTENT) == first
    other = {**CONTENT, "train": {**CONTENT["train"], "rate": 2e-5}}  # type: ignore[dict-item]
    with pytest.raises(
        ConfigError, match=r"name 'mine' belongs to another training \(train.rate 1e-05 there, 2e-05 here"
    ):
        claim(str(tmp_path), "models", "mine", other)


def test_without_a_name_the_content_names_the_folder(tmp_path: Path) -> None:
    run = claim(str(tmp_path), "models", None, CONTENT)
    assert run.name == fingerprint(CONTENT)[:12]
    assert claim(str(tmp_path), "models", None, {**CONTENT, "shards": "other"}).name != run.name


def test_a_remote_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written to s3://bucket/data yet"):
        claim("s3://bucket/data", "models", None, CONTENT)


def test_only_complete_checkpoints_count_and_old_ones_go(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.newest() is None
    _checkpoint(run, 8)
    _checkpoint(run, 10, total=10)
    run.begin(11)  # interrupted
    assert [checkpoint.step for checkpoint in run.checkpoints()] == [8, 10]  # by number, not by name
    newest = run.newest()
    assert newest is not None
    assert newest.finished
    _checkpoint(run, 12, total=14, keep_last=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_10", "step_12"]
    assert not run.checkpoints()[-1].finished


def test_what_an_interrupted_checkpoint_left_is_removed(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    (run.begin(5) / "left.over").touch()
    assert list(run.begin(5).iterdir()) == []


def test_a_finished_training_is_found_as_a_collection(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    run = claim(str(tmp_path), "models", "mine", CONTENT)
    with pytest.raises(InputError, match="no complete checkpoint"):
        commit(store, "models", run, CONTENT, {})
    folder = _checkpoint(run, 9)
    committed = commit(store, "models", run, CONTENT, {"seconds": 1.0})
    assert committed.manifest["weights"] == {
        "config.json": hashlib.sha256(b"{}").hexdigest(),
        "unet.safetensors": hashlib.sha256(b"weights 9").hexdigest(),
    }
    assert committed.manifest["run"] == json.loads(json.dumps(CONTENT))
    for which in ("latest", committed.id[:8]):
        found, weights = trained_folder(store, "models", which)
        assert (found.id, weights) == (committed.id, folder)
    (folder / "state.json").unlink()
    with pytest.raises(InputError, match="which is gone"):
        trained_folder(store, "models", "latest")
    with pytest.raises(InputError, match="no committed latest"):
        trained_folder(store, "aligners", "latest")


@pytest.mark.parametrize(("name", "bytes_there"), [("unet.safetensors", b"weights 8"), ("config.json", b"[]")])
def test_damaged_weights_are_neither_used_nor_committed_anew(tmp_path: Path, name: str, bytes_there: bytes) -> None:
    store = Store(str(tmp_path))
    run = claim(str(tmp_path), "models", "mine", CONTENT)
    folder = _checkpoint(run, 9)
    commit(store, "models", run, CONTENT, {})
    (folder / name).write_bytes(bytes_there)
    with pytest.raises(
        WeightsError, match=rf"step_9/{name} is not what .* committed .*; restore it, or delete .*step_9"
    ):
        trained_folder(store, "models", "latest")
    with pytest.raises(WeightsError, match=name):
        commit(store, "models", run, CONTENT, {})
    assert len(store.collections("models")) == 1
