"""Receipts: equal inputs have one, anything that differs has none, and what is gone or shall be tried again neither."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.rebuild import receipts
from jobs.rebuild.differences import KIND, difference, last_release, record
from jobs.rebuild.line import pinned
from jobs.running.config import Config, load
from pipelines.shards.encode_plan import encoder_fingerprint, known_fingerprint
from pipelines.storage.store import Collection, Store
from stableanimator.errors import ConfigError
from stableanimator.models.settings import EncoderSettings


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Config]:
    """`config(*overrides)`: local sources, and networks of the package."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"a")
    path = tmp_path / "config.yaml"
    path.write_text(
        f"experiment: e\nroot: {tmp_path}/root\nencode: {{gpus_per_actor: 0}}\n"
        f"curate: {{measures: [camera_motion], crawl: {{sources: ['{tmp_path}/clips']}}}}\n"
        "encoders: {svd: 'package://stableanimator.synthetic/weights/base'}\n"
    )
    return lambda *overrides: load(str(path), overrides)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"{tmp_path}/root")


def test_only_what_a_job_reads_changes_its_key(config: Callable[..., Config], store: Store) -> None:
    def key(verb: str, *overrides: str, **read: str) -> str | None:
        return receipts.inputs_key(verb, config(*overrides), store, read)

    encode = key("encode", release="a")
    assert encode is not None
    assert key("encode", "align.steps=3", "curate.sample_fps=3", "experiment=other", release="a") == encode
    others = [
        key("encode", "encode.frames_per_row=8", release="a"),
        key("encode", release="b"),
        key("align", release="a"),
    ]
    assert len({encode, *others}) == 4
    assert key("encode", release=receipts.UNKNOWN) is None  # what lies at a path may change


def test_a_list_a_file_and_a_threshold_change_the_key_of_curate(
    config: Callable[..., Config], store: Store, tmp_path: Path
):
    def key(*overrides: str) -> str | None:
        return receipts.inputs_key("curate", config(*overrides), store, {})

    first = key()
    assert first is not None
    assert key() == first
    assert key("curate.select.min_seconds=1") != first
    (tmp_path / "clips" / "a.mp4").write_bytes(b"b")  # as large as before
    changed = key()
    assert changed not in (None, first)
    (tmp_path / "clips" / "b.mp4").write_bytes(b"b")
    assert key() not in (None, first, changed)
    sources = f'curate.crawl.sources=["{tmp_path}/clips", "http://127.0.0.1:9/a.mp4"]'
    assert key(sources) is None  # nobody knows what comes


def test_other_weights_are_other_inputs(config: Callable[..., Config], store: Store, tmp_path: Path) -> None:
    for part in ("vae", "image_encoder"):
        (tmp_path / "svd" / part).mkdir(parents=True)
        (tmp_path / "svd" / part / "config.json").write_text("{}")
    (tmp_path / "svd" / "vae" / "weights.safetensors").write_bytes(b"one")

    def key() -> str | None:
        return receipts.inputs_key("encode", config(f"encoders.svd={tmp_path}/svd"), store, {"release": "a"})

    first = key()
    assert first is not None
    (tmp_path / "svd" / "vae" / "weights.safetensors").write_bytes(b"two")
    assert key() not in (None, first)
    (tmp_path / "svd" / "vae" / "config.json").unlink()
    assert key() is None  # the job says what is missing


def _shards(store: Store, reasons: dict[str, int]) -> Collection:
    part = store.write_part("shards", "key", "video", pa.table({"a": [1]}))
    content = {"parts": [part], "counts": {"reasons": reasons, "rows": 1}}
    return store.commit("shards", content=content, tables={"report": pa.table({"b": [1]})}, build={})


def test_a_receipt_is_found_while_all_of_it_is_there(store: Store, tmp_path: Path) -> None:
    shards = _shards(store, {"too_short": 1})
    assert receipts.find(store, "encode", "k") is None
    receipts.write(store, "encode", "k", {"shards": shards.id})
    assert receipts.find(store, "encode", "k") == {"shards": shards.id}
    assert receipts.find(store, "align", "k") is None
    (receipt,) = (tmp_path / "root" / "parts" / "receipts").rglob("*.parquet")
    whole = receipt.read_bytes()
    receipt.write_bytes(whole[:-20])  # killed while it was written
    assert receipts.find(store, "encode", "k") is None
    receipt.write_bytes(whole)
    (part,) = (tmp_path / "root" / "parts" / "shards").rglob("*.parquet")
    part.rename(tmp_path / "away")
    assert receipts.find(store, "encode", "k") is None
    (tmp_path / "away").rename(part)
    assert receipts.find(store, "encode", "k") == {"shards": shards.id}
    (tmp_path / "root" / shards.folder / "report.parquet").unlink()
    assert receipts.find(store, "encode", "k") is None


@pytest.mark.parametrize("reason", ["worker_died", "unexpected_error"])
def test_what_the_next_run_tries_again_has_no_receipt(reason: str, store: Store) -> None:
    receipts.write(store, "encode", "k", {"shards": _shards(store, {reason: 1}).id})
    assert receipts.find(store, "encode", "k") is None


def test_latest_becomes_what_this_rebuild_made(
    config: Callable[..., Config], store: Store, release_with_poses: Callable[..., Collection], tmp_path: Path
) -> None:
    clip = {"shot_id": "a:10-26", "split": "train"}
    mine = release_with_poses(tmp_path / "root", [clip])
    others = release_with_poses(tmp_path / "root", [clip | {"split": "heldout"}])  # newer
    assert pinned(config(), "encode", {}, store)[1] == {"release": others.id}
    chosen, read = pinned(config(), "encode", {"release": mine.id}, store)
    assert (chosen.release, read) == (mine.id, {"release": mine.id})
    named, read = pinned(config(f"release={others.id[:8]}"), "encode", {"release": mine.id}, store)
    assert (named.release, read) == (others.id, {"release": others.id})
    of_train, read = pinned(config("train.aligner=shipped"), "train", {"shards": "5a"}, store)
    assert (of_train.train.shards, of_train.train.aligner, read) == ("5a", "shipped", {"shards": "5a"})
    _, read = pinned(config("animate.model=/models/a"), "animate", {"benchmark": "b"}, store)
    assert read == {"benchmark": "b", "model": receipts.UNKNOWN}
    assert pinned(config(), "evaluate", {}, store)[1] == {}  # there is none: evaluate says so


def test_the_last_release_is_that_of_the_last_rebuild(
    store: Store, release_with_poses: Callable[..., Collection], tmp_path: Path
) -> None:
    def release(split: str) -> Collection:
        return release_with_poses(tmp_path / "root", [{"shot_id": "a:10-26", "split": split}])

    def last(experiment: str, new: Collection) -> str | None:
        found = last_release(store, experiment, new.id)
        return None if found is None else found.id

    first = release("train")
    assert last("e", first) is None
    second = release("heldout")
    assert last("e", second) == first.id
    assert difference(store, None, first.id) is None
    assert difference(store, second, second.id) is None
    ended = record(store, "e", ("curate",), {"release": first.id}, {})
    record(store, "other", ("curate",), {"release": second.id}, {})
    assert last("e", second) == first.id
    assert last("e", first) == first.id
    assert record(store, "e", ("curate",), {"release": first.id}, {"seconds": 3}).id == ended.id
    assert len(store.collections(KIND)) == 2


def test_jobs_are_named_in_the_order_of_the_line(config: Callable[..., Config]) -> None:
    assert config("rebuild.verbs=[curate, train]").rebuild.verbs == ("curate", "train")
    for wrong in ("[encode, curate]", "[]", "[curate, curate]"):
        with pytest.raises(ConfigError, match="in the order of the line"):
            config(f"rebuild.verbs={wrong}")


def test_the_fingerprint_of_encoders_is_computed_once_for_the_same_files(store: Store, tmp_path: Path) -> None:
    for part in ("vae", "image_encoder"):
        (tmp_path / "svd" / part).mkdir(parents=True)
        (tmp_path / "svd" / part / "a.safetensors").write_bytes(part.encode())
    settings = EncoderSettings(svd=str(tmp_path / "svd"))
    assert known_fingerprint(store, settings) is None
    assert encoder_fingerprint(store, settings, lambda: "one") == "one"
    assert encoder_fingerprint(store, settings, lambda: "two") == "one"
    assert known_fingerprint(store, EncoderSettings(svd=str(tmp_path / "svd"), precision="bfloat16")) is None
    (tmp_path / "svd" / "vae" / "a.safetensors").write_bytes(b"VAE")
    assert encoder_fingerprint(store, settings, lambda: "three") == "three"
    drawn = EncoderSettings()  # random weights follow the processor
    assert encoder_fingerprint(store, drawn, lambda: "four") == "four"
    assert encoder_fingerprint(store, drawn, lambda: "five") == "five"
