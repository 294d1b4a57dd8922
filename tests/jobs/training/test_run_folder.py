"""Folders of trainings: whose they are, which checkpoints count, and how finished ones are found."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from jobs.training.run_folder import RunFolder, claim, commit, trained_folder
from pipelines.storage import lease
from pipelines.storage.lease import LeaseLost
from pipelines.storage.store import Store, fingerprint
from stableanimator.errors import CheckpointError, ConfigError, DivergedError, InputError, WeightsError

CONTENT = {"train": {"rate": 1e-5, "frames": 16, "sizes": (1, 2)}, "shards": "abc"}


def _checkpoint(run: RunFolder, step: int, total: int = 9, keep_last: int = 9, weight: float = 1.0) -> Path:
    folder = run.begin(step)
    save_file({"weight": np.full(2, weight, np.float32)}, folder / "unet.safetensors")
    (folder / "config.json").write_text("{}")
    run.complete({"step": step, "total_steps": total}, keep_last)
    return folder


def test_a_name_belongs_to_one_training(tmp_path: Path) -> None:
    for _ in range(2):
        with claim(str(tmp_path), "models", "mine", CONTENT) as run:
            assert run.path == tmp_path / "models" / "mine"
    other = {**CONTENT, "train": {**CONTENT["train"], "rate": 2e-5}}  # type: ignore[dict-item]
    told = r"name 'mine' belongs to another training \(train.rate 1e-05 there, 2e-05 here"
    with pytest.raises(ConfigError, match=told), claim(str(tmp_path), "models", "mine", other):
        pass


def test_one_job_works_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_BEAT_S", 0.1)
    monkeypatch.setattr(lease, "_LOOK_S", 0.1)
    with claim(str(tmp_path), "models", "mine", CONTENT):
        told = rf"{tmp_path}/models/mine is in use by job \S.*, process {os.getpid()} on \S+, since \d{{4}}-"
        with pytest.raises(ConfigError, match=told), claim(str(tmp_path), "models", "mine", CONTENT):
            pass
        with claim(str(tmp_path), "models", "other", CONTENT):  # another training is none of its business
            pass


def test_who_was_taken_for_dead_writes_nothing_more(tmp_path: Path) -> None:
    with claim(str(tmp_path), "models", "mine", CONTENT) as run:
        kept, half = _checkpoint(run, 2), run.begin(4)
        assert run.lease is not None
        (run.path / "lease" / f"{run.lease.number + 1:08d}.json").write_text("{}")  # as another job makes it
        for write in (lambda: run.begin(2), lambda: run.complete({"step": 4, "total_steps": 9}, 1)):
            with pytest.raises(LeaseLost, match=f"{run.path} was taken over"):
                write()
        with pytest.raises(LeaseLost):
            commit(Store(str(tmp_path)), "models", run, CONTENT, {})
    assert (kept / "unet.safetensors").exists()
    assert list(half.iterdir()) == []


def test_without_a_name_the_content_names_the_folder(tmp_path: Path) -> None:
    other = {**CONTENT, "shards": "other"}
    with claim(str(tmp_path), "models", None, CONTENT) as run, claim(str(tmp_path), "models", None, other) as another:
        assert run.name == fingerprint(CONTENT)[:12]
        assert another.name != run.name


def test_a_remote_root_is_refused(tmp_path: Path) -> None:
    told = "cannot be written to s3://bucket/data yet"
    with pytest.raises(ConfigError, match=told), claim("s3://bucket/data", "models", None, CONTENT):
        pass


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
    with claim(str(tmp_path), "models", "mine", CONTENT) as run:
        pass
    with pytest.raises(InputError, match="no complete checkpoint"):
        commit(store, "models", run, CONTENT, {})
    folder = _checkpoint(run, 9)
    written = (folder / "unet.safetensors").read_bytes()
    committed = commit(store, "models", run, CONTENT, {"seconds": 1.0})
    assert committed.manifest["weights"] == {
        "config.json": hashlib.sha256(b"{}").hexdigest(),
        "unet.safetensors": hashlib.sha256(written).hexdigest(),
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


def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_is_deleted_by_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunFolder(tmp_path)
    for step in (2, 4, 6):
        _checkpoint(run, step)
    state = tmp_path / "step_6" / "state.json"
    state.write_text(state.read_text().replace('"total_steps": 9', '"total_steps": 6'))  # it would be finished
    (tmp_path / "step_4" / "unet.safetensors").write_bytes(b"")
    newest = run.newest()
    assert newest is not None
    assert newest.step == 2
    assert caplog.messages == [
        f"{tmp_path}/step_6 is damaged (state.json is damaged, or of an earlier version that kept no checksums); the "
        "checkpoint before it counts",
        f"{tmp_path}/step_4 is damaged (unet.safetensors is not what was written); the checkpoint before it counts",
    ]
    _checkpoint(run, 3, keep_last=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_2", "step_3"]  # nothing good left for what is bad


def test_where_all_are_damaged_nothing_begins_anew_by_itself(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for step in (2, 4):
        (_checkpoint(run, step) / "unet.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"step_4 is damaged \(unet.safetensors is missing\), and so is every"):
        run.newest()


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_what_is_no_model_is_not_committed(tmp_path: Path, weight: float) -> None:
    store = Store(str(tmp_path))
    with claim(str(tmp_path), "models", "mine", CONTENT) as run:
        _checkpoint(run, 9, weight=weight)
        with pytest.raises(DivergedError, match=r"step_9/unet.safetensors holds NaN or infinity in weight"):
            commit(store, "models", run, CONTENT, {})
    assert store.collections("models") == []


def test_a_training_before_its_end_is_not_committed(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with claim(str(tmp_path), "models", "mine", CONTENT) as run:
        _checkpoint(run, 2, total=9)
        with pytest.raises(InputError, match=r"step_2 is of a training that has not come to its end \(9 steps\)"):
            commit(store, "models", run, CONTENT, {})
    assert store.collections("models") == []


@pytest.mark.parametrize("name", ["unet.safetensors", "config.json"])
def test_damaged_weights_are_neither_used_nor_committed_anew(tmp_path: Path, name: str) -> None:
    store = Store(str(tmp_path))
    with claim(str(tmp_path), "models", "mine", CONTENT) as run:
        folder = _checkpoint(run, 9)
        commit(store, "models", run, CONTENT, {})
    (folder / name).write_bytes(b"[]")
    with pytest.raises(
        WeightsError, match=rf"step_9/{name} is not what .* committed .*; restore it, or delete .*step_9"
    ):
        trained_folder(store, "models", "latest")
    with (
        claim(str(tmp_path), "models", "mine", CONTENT) as run,
        pytest.raises(CheckpointError, match=name),
    ):
        commit(store, "models", run, CONTENT, {})
    assert len(store.collections("models")) == 1
