"""What a dry run says of a rebuild: from the store alone, exact where nothing has to be measured, without a trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs.rebuild.costs import encoding_hours, hours_text, measuring_hours, training_hours
from jobs.rebuild.plan import rebuild_plan
from jobs.running.config import Config, load
from pipelines.crawling.crawl import crawl
from pipelines.measures.shots import shot_rows
from pipelines.measuring.measure import Measured
from pipelines.measuring.measure_cache import measure_keys, read_numbers
from pipelines.releases.select import make_release
from pipelines.storage.store import Collection, Store, file_sha256
from pipelines.storage.tables import CAMERA_MOTION, SHOTS, THUMBNAILS, scalar_columns
from stableanimator.media.video import write_mp4

Make = Callable[..., Config]


@pytest.fixture
def config(tmp_path: Path) -> Make:
    """`config(*overrides)`: two videos of two shots, whose camera motion is in the store: one stands, one drifts."""
    (tmp_path / "clips").mkdir()
    path = tmp_path / "config.yaml"
    path.write_text(
        f"experiment: plan\nroot: {tmp_path}/root\nencode: {{gpus_per_actor: 0}}\n"
        "curate:\n  measures: [camera_motion]\n"
        f"  crawl: {{sources: ['{tmp_path}/clips']}}\n"
        "  select: {min_seconds: 0.5, min_width: null, min_height: null, min_subject_motion: null}\n"
    )
    for number, drift in enumerate((0.0, 0.3)):
        frames = [np.full((64, 64, 3), 20 * number + index, np.uint8) for index in range(16)]
        write_mp4(tmp_path / "clips" / f"{number}.mp4", frames, 8.0)
        _measured(load(str(path)), tmp_path / "clips" / f"{number}.mp4", drift)
    return lambda *overrides: load(str(path), overrides)


def _measured(config: Config, path: Path, drift: float) -> None:
    assert config.curate is not None
    store, keys, video_id = Store(config.root), measure_keys(config.curate, None), file_sha256(path)
    shots = shot_rows(video_id, [8], 16, 8.0, 64, 64, np.arange(16) / 8)
    numbers = dict.fromkeys(scalar_columns("camera_motion"), 0.0) | {"camera_drift": drift}
    ids: list[dict[str, Any]] = [{"shot_id": shot["shot_id"]} for shot in shots]
    store.write_part("shots", keys.shots, video_id, pa.Table.from_pylist(shots, schema=SHOTS))
    store.write_part("thumbnails", keys.thumbnails, video_id, pa.Table.from_pylist(ids, schema=THUMBNAILS))
    rows = pa.Table.from_pylist([one | numbers for one in ids], schema=CAMERA_MOTION)
    store.write_part(*keys.family("camera_motion"), video_id, rows)


def _release(config: Config) -> Collection:
    """As the curate job makes it."""
    assert config.curate is not None
    store = Store(config.root)
    sources = crawl(config.curate.crawl, store).sources
    videos = [row["video_id"] for row in sources.to_pylist() if row["status"] == "fetched"]
    keys = measure_keys(config.curate, None)
    measured = Measured(keys=keys, cached=read_numbers(store, keys, videos), failures=[])
    return make_release(store, sources, measured, config.curate, {})


def _traces(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_the_release_to_come_is_told_with_its_id_and_nothing_is_written(config: Make, tmp_path: Path) -> None:
    before = _traces(tmp_path)
    lines = "\n".join(rebuild_plan(config()))
    assert _traces(tmp_path) == before
    release = _release(config())
    assert f"  release {release.id[:12]} is new: 2 of 4 shots accepted" in lines
    assert "against the last release" not in lines  # there is none
    assert f"release {release.id[:12]} is there already" in "\n".join(rebuild_plan(config()))


def test_another_threshold_is_held_against_the_last_release(config: Make, tmp_path: Path) -> None:
    last = _release(config())
    before = _traces(tmp_path)
    lines = list(rebuild_plan(config("curate.select.max_camera_drift=null")))
    assert _traces(tmp_path) == before
    (line,) = [line for line in lines if "is new" in line]
    assert line.endswith("4 of 4 shots accepted")
    assert f"  against the last release, {last.id[:12]}: 1 settings changed; shots: 2 accepted" in lines
    assert any("nothing is to be fetched or decoded" in line for line in lines)
    assert lines[-1].startswith("encode: at most 0 rows")  # nobody looked for faces


def test_a_new_source_leaves_the_release_open(config: Make, tmp_path: Path) -> None:
    write_mp4(tmp_path / "clips" / "new.mp4", [np.full((64, 64, 3), 200, np.uint8)] * 16, 8.0)
    lines = list(rebuild_plan(config()))
    assert any(line.split()[:2] == ["camera_motion", "1"] for line in lines)
    assert "  which shots are accepted is known when these videos are measured" in lines
    assert lines[-1] == "encode: runs on the new release; its rows are known when that is made"


def test_jobs_that_read_what_is_new_run_on_it(config: Make) -> None:
    lines = list(rebuild_plan(config("rebuild.verbs=[curate,encode,align,train,animate,evaluate]")))
    assert "align: runs on the new release" in lines
    assert "train: runs on the new shards" in lines
    assert lines[-2:] == ["animate: runs on the new benchmark", "evaluate: runs on the new predictions"]


def test_hours_are_operations_over_speed(config: Make) -> None:
    """By hand: 197 GFLOP a frame at 10 TFLOP/s; 1.12 TFLOP at 62.4; 79 TFLOP at 124.8."""
    full = config(
        "curate.gpus_per_actor=1", "curate.measures=[people,keypoints,face_quality]", "curate.sample_fps=8",
        "encode.gpus_per_actor=1", "encode.buckets=[[512,512]]", "train.loop.steps=1000",
    )  # fmt: skip
    assert measuring_hours(full, 3600) == pytest.approx(8 * 0.197 / 10)
    assert encoding_hours(full, 1000) == pytest.approx(16_000 * 1.12 / 62.4 / 3600)
    assert training_hours(full, 0) == pytest.approx(8000 * 79 / 124.8 / 3600)
    assert measuring_hours(config(), 3600) is None  # no GPU is reserved
    assert hours_text(None) == ""
