"""What --dry-run says of curate, from the store and the disk alone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray

from jobs import curate
from jobs.running import entry
from jobs.running.config import load
from jobs.running.plans.curate import curate_plan
from pipelines.measures.shots import shot_rows
from pipelines.measuring.measure_cache import measure_keys
from pipelines.storage.store import Store
from pipelines.storage.tables import CAMERA_MOTION, SHOTS, THUMBNAILS


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Three local files, one of them measured whole, one without its camera motion; and a URL that nobody serves."""
    (tmp_path / "clips").mkdir()
    path = tmp_path / "config.yaml"
    path.write_text(
        f"experiment: plan\nroot: {tmp_path}/root\ncurate:\n  measures: [camera_motion]\n  actors: 4\n"
        f"  crawl: {{sources: ['{tmp_path}/clips', 'http://127.0.0.1:9/x.mp4']}}\n"
    )
    loaded = load(str(path))
    assert loaded.curate is not None
    store, keys = Store(loaded.root), measure_keys(loaded.curate, None)
    for name in ("whole", "half", "new"):
        (tmp_path / "clips" / f"{name}.mp4").write_bytes(name.encode())
        video_id = hashlib.sha256(name.encode()).hexdigest()
        shots = shot_rows(video_id, [8], 16, 8.0, 64, 64, np.arange(16) / 8)
        rows: list[dict[str, Any]] = [{"shot_id": shot["shot_id"]} for shot in shots]
        if name != "new":
            store.write_part("shots", keys.shots, video_id, pa.Table.from_pylist(shots, schema=SHOTS))
            store.write_part("thumbnails", keys.thumbnails, video_id, pa.Table.from_pylist(rows, schema=THUMBNAILS))
        if name == "whole":
            table = pa.Table.from_pylist(rows, schema=CAMERA_MOTION)
            store.write_part(*keys.family("camera_motion"), video_id, table)
    return path


def test_what_would_be_done_is_told(config: Path):
    before = {path: path.stat().st_mtime_ns for path in config.parent.rglob("*")}
    lines = curate_plan(load(str(config))).splitlines()
    assert {path: path.stat().st_mtime_ns for path in config.parent.rglob("*")} == before
    assert lines[0].startswith("sources: 4 listed; 1 URLs to fetch, 0 fetched already, ")
    assert "3 local files" in lines[0]
    assert lines[1].startswith("videos: 3 known, 1 of them measured whole; 1 more")
    assert lines[2].split() == ["shots", "2", "videos", "to", "measure,", "4", "shots", "in", "the", "store"]
    assert lines[3].split()[:2] == ["camera_motion", "3"]
    assert lines[4] == "3 of 4 actors have work"


def test_many_local_bytes_are_left_unread(config: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("jobs.running.plans.curate.READ_AT_MOST", 5)
    assert "videos: 0 known, 0 of them measured whole; 4 more" in curate_plan(load(str(config)))


def test_where_nothing_is_missing_it_says_so(config: Path):
    for name in ("half", "new"):
        (config.parent / "clips" / f"{name}.mp4").unlink()
    clips = f'curate.crawl.sources=["{config.parent}/clips"]'
    assert curate_plan(load(str(config), [clips])).splitlines()[-1].startswith("nothing is to be fetched or decoded")


def test_a_dry_run_starts_no_ray(config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def started(*arguments: Any, **options: Any) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(ray, "init", started)
    assert entry.main("curate", curate.run, ["--config", str(config), "--dry-run"]) == 0
    output = capsys.readouterr().out
    assert "curate reserves 4 actors x (1 CPU, 0 GPU) = 4 CPU, 0 GPU\nsources: 4 listed" in output
