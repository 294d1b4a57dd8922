from __future__ import annotations

import contextlib
import hashlib
import pickle
import resource
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.storage.parquet_files import parquet_bytes
from pipelines.storage.store import Store, canonical_json, file_sha256, fingerprint, media_path
from stableanimator.errors import ConfigError, InputError, StorageError

TABLE = pa.table({"shot_id": ["a", "b"], "value": [1.5, None]})


def _commit(store: Store, value: int = 1, finished: str = "x") -> object:
    return store.commit("releases", content={"settings": value}, tables={"clips": TABLE}, build={"host": finished})


def test_fingerprint_ignores_the_order_of_keys_and_tells_values_apart():
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    # printf '{"a":1}' | sha256sum
    assert fingerprint({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


def test_canonical_json_is_utf8_without_spaces():
    assert canonical_json({"b": "é", "a": (1, None)}) == b'{"a":[1,null],"b":"\xc3\xa9"}'


def test_equal_tables_give_equal_bytes_however_they_are_chunked():
    halves = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1, 1)])
    assert parquet_bytes(halves) == parquet_bytes(TABLE)
    assert pq.read_table(pa.BufferReader(parquet_bytes(TABLE))).equals(TABLE)


def test_file_sha256_is_sha256(tmp_path: Path):
    (tmp_path / "f").write_bytes(b"abc" * 500_000)
    assert file_sha256(tmp_path / "f") == hashlib.sha256(b"abc" * 500_000).hexdigest()


def test_a_relative_root_is_refused():
    with pytest.raises(ConfigError, match="relative path"):
        Store("datasets/mine")


@pytest.mark.parametrize("root", ["s3://AKID:hush@bucket/x", "s3://bucket/x?access_key=AKID&secret_key=hush"])
def test_a_root_with_credentials_is_refused_without_telling_them(root: str):
    with pytest.raises(ConfigError, match="holds credentials") as told:
        Store(root)
    assert "hush" not in str(told.value)


def test_a_store_travels_between_processes(tmp_path: Path):
    store = Store(str(tmp_path))
    store.write_bytes("a/b", b"1")
    assert pickle.loads(pickle.dumps(store)).read_bytes("a/b") == b"1"


def test_media_is_named_by_its_bytes_and_stored_once(tmp_path: Path):
    store = Store(str(tmp_path / "root"))
    source = tmp_path / "clip.mp4"
    source.write_bytes(b"frames")
    video_id, new = store.put_media(source, ".mp4")
    assert video_id == hashlib.sha256(b"frames").hexdigest()
    assert new
    assert store.put_media(source, ".mp4") == (video_id, False)
    path = media_path(video_id, ".mp4")
    assert path == f"media/{video_id[:2]}/{video_id}.mp4"
    assert Path(store.local_path(path)).read_bytes() == b"frames"


def test_media_that_was_cut_short_is_copied_again(tmp_path: Path):
    store = Store(str(tmp_path / "root"))
    source = tmp_path / "clip.mp4"
    source.write_bytes(b"frames")
    video_id, _ = store.put_media(source, ".mp4")
    stored = tmp_path / "root" / media_path(video_id, ".mp4")
    stored.write_bytes(b"fra")
    assert store.put_media(source, ".mp4") == (video_id, True)
    assert stored.read_bytes() == b"frames"


def test_parts_are_read_back_by_group_and_bad_ones_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    store = Store(str(tmp_path))
    first = store.write_part("shots", "key", "video1", TABLE)
    store.write_part("shots", "key", "video2", TABLE.slice(0, 1))
    assert first["rows"] == 2
    assert store.read_parts("shots", "key", TABLE.schema).num_rows == 3
    assert store.read_parts("shots", "key", TABLE.schema, "video2").num_rows == 1
    assert store.read_parts("shots", "other", TABLE.schema).num_rows == 0
    whole = (tmp_path / first["path"]).read_bytes()
    (tmp_path / first["path"]).write_bytes(whole[:-10])
    assert store.read_parts("shots", "key", TABLE.schema).num_rows == 1
    assert "is damaged" in caplog.text


@contextlib.contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """As on a full disk, for this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(tmp_path: Path):
    store = Store(str(tmp_path / "root"))
    video = tmp_path / "clip.mp4"
    video.write_bytes(b"x" * 3_000_000)
    with _files_of_at_most(500):
        with pytest.raises(
            StorageError, match=r"root is full \(.*while writing parts/shots/key/v/.* run the job again"
        ):
            store.write_part("shots", "key", "v", TABLE)
        with pytest.raises(StorageError, match="while writing media/"):
            store.put_media(video, ".mp4")
        with pytest.raises(StorageError, match="while writing releases/"):
            _commit(store)
    assert [path for path in (tmp_path / "root").rglob("*") if path.is_file()] == []
    assert store.write_part("shots", "key", "v", TABLE)["rows"] == 2


def test_what_is_whole_stays_whole_while_it_is_written_again(tmp_path: Path):
    store = Store(str(tmp_path))
    part = store.write_part("shots", "key", "v", TABLE)
    whole = store.read_bytes(part["path"])

    def killed() -> Iterator[bytes]:
        yield whole[:9]
        assert store.read_bytes(part["path"]) == whole  # what another job reads meanwhile
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store._write(part["path"], killed())
    assert store.read_bytes(part["path"]) == whole
    with _files_of_at_most(500), pytest.raises(StorageError):
        store.write_part("shots", "key", "v", TABLE)
    assert store.read_bytes(part["path"]) == whole
    assert store.part_paths("shots", "key") == [part["path"]]


def test_a_full_temporary_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("pipelines.storage.parquet_files._IN_MEMORY", 10)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with _files_of_at_most(500), pytest.raises(StorageError, match=rf"{tmp_path} is full .* set TMPDIR"):
        _commit(Store(str(tmp_path / "root")))


def test_writing_a_part_again_gives_the_same_file(tmp_path: Path):
    store = Store(str(tmp_path))
    assert store.write_part("shots", "key", "v", TABLE) == store.write_part("shots", "key", "v", TABLE)
    assert len(store.part_paths("shots", "key")) == 1


def test_equal_content_gives_an_equal_id_under_any_root_and_on_any_host(tmp_path: Path):
    one = _commit(Store(str(tmp_path / "one")), finished="host-1")
    two = _commit(Store(str(tmp_path / "two")), finished="host-2")
    other = _commit(Store(str(tmp_path / "two")), value=2)
    assert one.id == two.id
    assert other.id != one.id
    manifest = (tmp_path / "one" / "releases" / one.id / "manifest.json").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == one.id


def test_a_table_is_checked_against_its_checksum(tmp_path: Path):
    release = _commit(Store(str(tmp_path)))
    assert release.table("clips").equals(TABLE)
    with pytest.raises(InputError, match="no table 'frames'"):
        release.table("frames")
    path = tmp_path / release.folder / "clips.parquet"
    path.write_bytes(parquet_bytes(TABLE.slice(0, 1)))
    with pytest.raises(InputError, match="SHA-256 differs"):
        release.table("clips")


def test_open_finds_by_id_by_beginning_and_the_newest(tmp_path: Path):
    store = Store(str(tmp_path))
    with pytest.raises(InputError, match="run the job"):
        store.open("releases")
    first, second = _commit(store, 1), _commit(store, 2)
    assert store.open("releases").id == second.id
    assert store.open("releases", first.id).id == first.id
    assert store.open("releases", first.id[:12]).manifest == first.manifest
    with pytest.raises(InputError, match="fits 2 entries"):
        store.open("releases", "")
    with pytest.raises(InputError, match="no committed zzz"):
        store.open("releases", "zzz")


def test_without_its_manifest_a_collection_does_not_exist(tmp_path: Path):
    store = Store(str(tmp_path))
    release = _commit(store)
    manifest = tmp_path / release.folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-1])
    with pytest.raises(InputError):
        store.open("releases")
    manifest.unlink()
    with pytest.raises(InputError):
        store.open("releases")


def test_a_root_may_be_a_uri(tmp_path: Path):
    video = tmp_path / "clip.mp4"
    video.write_bytes(b"frames")
    store = Store(f"file://{tmp_path}/root")
    collection = store.commit("releases", content={}, tables={"clips": pa.table({"shot_id": ["a"]})}, build={})
    video_id, _ = store.put_media(video, ".mp4")

    same = Store(str(tmp_path / "root"))
    assert collection.uri == f"file://{tmp_path}/root/releases/{collection.id}"
    assert same.open("releases").table("clips")["shot_id"].to_pylist() == ["a"]
    assert store.open("releases", collection.id[:6]).id == collection.id
    assert Path(store.local_path(media_path(video_id, ".mp4"))).read_bytes() == b"frames"


def test_a_file_given_as_a_function_is_made_once(tmp_path: Path) -> None:
    made: list[int] = []

    def draw() -> bytes:
        made.append(len(made))
        return b"picture %d" % len(made)

    store = Store(str(tmp_path))
    for _ in range(2):
        same = store.commit("shards", content={}, tables={}, build={}, files={"a.jpg": draw, "b.html": b"page"})
    assert store.read_bytes(f"{same.folder}/a.jpg") == b"picture 1"
    Path(tmp_path, same.folder, "a.jpg").unlink()
    store.commit("shards", content={}, tables={}, build={}, files={"a.jpg": draw})
    assert store.read_bytes(f"{same.folder}/a.jpg") == b"picture 2"


def test_a_table_that_is_read_in_parts_is_what_was_committed(tmp_path: Path):
    store = Store(str(tmp_path))
    committed = store.commit("releases", content={}, tables={"clips": TABLE}, build={})
    assert [batch["value"].to_pylist() for batch in committed.batches("clips", ["value"])] == [[1.5, None]]
    file = tmp_path / committed.folder / "clips.parquet"
    file.write_bytes(parquet_bytes(pa.table({"shot_id": ["a", "b"], "value": [1.5, 2.5]})))  # whole, and another
    for read in (lambda: list(committed.batches("clips", ["value"])), lambda: committed.table("clips")):
        with pytest.raises(
            InputError, match=r"clips\.parquet is not what was committed .*; restore it, or run the job"
        ):
            read()
    file.unlink()
    for read in (lambda: list(committed.batches("clips", ["value"])), lambda: committed.table("clips")):
        with pytest.raises(InputError, match="or it is gone"):
            read()


@pytest.mark.parametrize("damaged", [b'{"finishee_at": "2026"}', b"[]", b'{"fin', b"\xff"])
def test_what_is_damaged_beside_a_collection_makes_it_the_oldest(tmp_path: Path, damaged: bytes):
    store = Store(str(tmp_path))
    first, second = (store.commit("releases", content={"n": n}, tables={}, build={}) for n in range(2))
    (tmp_path / second.folder / "build.json").write_bytes(damaged)
    assert store.open("releases").id == first.id
