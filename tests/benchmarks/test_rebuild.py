"""The benchmark of rebuilding on three videos and one kill: the same ids, and nothing twice."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from benchmarks import rebuild
from benchmarks.drawn import clips as drawn_clips
from benchmarks.rebuild import World, made_twice, measure, write_world
from jobs.rebuild.differences import KIND
from jobs.running.local_ray import local_head
from pipelines.storage.store import Store


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_rebuilds_end_as_builds_from_nothing_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SA_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(rebuild, "STRICT_FACE_SIZE", 1000.0)  # keeps out all of so few
    monkeypatch.setattr(rebuild, "ADDED_SHOTS", 2)
    clips = drawn_clips.draw(drawn_clips.unseen_clips(4, rebuild.KINDS), tmp_path / "drawn", workers=1)
    with local_head(rebuild.CPUS) as address:
        world = write_world(tmp_path / "world", clips[:-1], address)
        assert len(list(world.sources.iterdir())) == len(clips) - 1
        figures = {one.name: one.value for one in measure(world, clips[-1], kills=1, repeats=1)}
    assert figures["another end where nothing changed"] == 0
    assert figures["ids other than those of builds from nothing"] == 0
    assert figures["made twice"] == 0
    assert figures["nothing changed"] < 1


def test_what_is_there_twice_is_seen(tmp_path: Path) -> None:
    world = World(folder=tmp_path, address="")
    store = Store(str(world.root))
    for number in range(2):
        store.write_part("encode_report", "key", "video", _line(number))
        store.write_part("receipts", f"key{number}", "encode", pa.table({"name": ["a"]}))
    for kind in ("releases", "benchmarks", "shards", KIND):
        store.commit(kind, content={}, tables={}, build={})
    (world.root / "media").mkdir()
    assert made_twice(world) == []
    store.write_part("encode_report", "key", "video", _line(0).append_column("detail", pa.array(["other bytes"])))
    store.commit("shards", content={"another": "one"}, tables={}, build={})
    assert made_twice(world) == ["encode_report a0 centre 1", "2 shards"]


def _line(number: int) -> pa.Table:
    return pa.table({"shot_id": [f"a{number}"], "crop": ["centre"], "stride": [1]})
