"""A root on a server that plays S3, whose URI has a query; and one that is a folder."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from pipelines.storage.checksums import uri_sha256
from pipelines.storage.inputs import Inputs, is_reference
from pipelines.storage.store import Store, media_path
from pipelines.storage.user_tables import read_user_table
from stableanimator.errors import GoneError
from stableanimator.media.audio import has_sound
from stableanimator.media.frame_folder import open_frames
from stableanimator.media.pictures import read_image
from stableanimator.media.video import VideoReader


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(request.getfixturevalue("s3_root") if request.param == "s3" else str(tmp_path / "root"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "a.mp4", frames=3)


def test_whatever_reads_a_reference_finds_it_behind_a_root_with_a_query(store: Store, clip: Path) -> None:
    video_id, _ = store.put_media(clip, ".mp4")
    reference = media_path(video_id, ".mp4")
    with VideoReader(clip) as video:
        wanted = video.read(range(3))
    with VideoReader(store.resolve(reference)) as video:
        np.testing.assert_array_equal(video.read(range(3)), wanted)
    np.testing.assert_array_equal(read_image(store.resolve(f"{reference}#frame=2")), wanted[2])
    with open_frames(store.resolve(reference), 1.0) as frames:
        assert frames.info.frame_count == 3
    assert not has_sound(store.resolve(reference))
    assert uri_sha256(store.resolve(f"{reference}#frame=2")) == video_id
    for number, frame in enumerate(wanted):
        data = cv2.imencode(".png", frame[..., ::-1])[1].tobytes()
        store.write_bytes(f"predictions/videos/pictures/{number}.png", data)
    with open_frames(store.resolve("predictions/videos/pictures"), 8.0) as frames:
        np.testing.assert_array_equal(frames.read(range(3)), wanted)


def test_tables_of_such_a_root_are_read_by_the_paths_that_it_gives(store: Store) -> None:
    schema = pa.schema([("pair_id", pa.string())])
    made = store.commit("benchmarks", content={}, tables={"pairs": pa.table({"pair_id": ["a", "b"]})}, build={})
    (file,) = made.files("pairs")
    assert read_user_table(file, schema, ()).to_pylist() == [{"pair_id": "a"}, {"pair_id": "b"}]


def test_absolute_references_stay_what_they_are(store: Store) -> None:
    for reference in ("/data/a.png", "s3://bucket/a.mp4?region=x#frame=3"):
        assert store.resolve(reference) == reference


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        ("media/ab/c.mp4", True),
        ("media/ab/c.mp4#frame=3", True),
        ("predictions/videos/key/a.mp4", True),
        ("a.png", False),
        ("media", False),
        ("media/../../etc/passwd", False),
        ("media/ab/../../../x#frame=1", False),
        ("models/a/b", False),
        ("/media/ab/c.mp4", False),
    ],
)
def test_references_lie_where_files_that_tables_name_lie(path: str, fits: bool) -> None:
    assert is_reference(path) == fits


def _stored(store: Store, clip: Path) -> tuple[str, Callable[[bytes], None]]:
    """A stored medium and what puts other bytes in its place."""
    reference = media_path(store.put_media(clip, ".mp4")[0], ".mp4")
    return reference, lambda data: store.write_bytes(reference, data)


def test_media_are_what_their_name_says_or_nothing(store: Store, clip: Path) -> None:
    """As long, and changed before, between and after uses: never an older copy."""
    data = clip.read_bytes()
    reference, change = _stored(store, clip)
    damaged = data[:-1] + bytes([data[-1] ^ 1])
    inputs = Inputs(store)
    with inputs.opened(f"{reference}#frame=1") as place:
        assert place.endswith("#frame=1")
        assert Path(place.partition("#")[0]).read_bytes() == data
    for bad in (damaged, data[:100], b""):
        _later(store, reference, change, bad)
        for reader in (inputs, Inputs(store)):
            with pytest.raises(GoneError, match="changed: ") as told, reader.opened(reference):
                pass
            assert reference.rpartition("/")[2] in told.value.detail
    _later(store, reference, change, data)
    with inputs.opened(reference) as place:
        assert Path(place).read_bytes() == data
    store.delete(reference)
    for reader in (inputs, Inputs(store)):
        with pytest.raises(GoneError, match="not_found"), reader.opened(reference):
            pass


def _later(store: Store, reference: str, change: Callable[[bytes], None], data: bytes) -> None:
    """Change a file so that its time tells: object stores have whole seconds."""
    before = store.file_info(reference).mtime_ns
    change(data)
    while store.file_info(reference).mtime_ns == before:
        change(data)


def test_files_of_people_are_those_that_were_planned(tmp_path: Path, store: Store) -> None:
    picture, frames = tmp_path / "me.png", tmp_path / "frames"
    frames.mkdir()
    for path in (picture, frames / "1.png", frames / "2.png"):
        path.write_bytes(path.name.encode())
    inputs = Inputs(store)
    planned: dict[str, Any] = {str(path): uri_sha256(str(path)) for path in (picture, frames)}
    assert planned[str(picture)] == hashlib.sha256(b"me.png").hexdigest()
    for name, sha256 in planned.items():
        with inputs.opened(name, sha256) as place:
            assert place == name
    picture.write_bytes(b"me.gif")
    (frames / "2.png").write_bytes(b"3.png")
    for path in (picture, frames / "2.png"):
        os.utime(path, ns=(1, 1))
    for name, sha256 in planned.items():
        with pytest.raises(GoneError, match=f"changed: {name}"), inputs.opened(name, sha256):
            pass
        with inputs.opened(name):  # nobody has said what it was
            pass
    picture.unlink()
    shutil.rmtree(frames)
    for name, sha256 in planned.items():
        with pytest.raises(GoneError, match="not_found"), inputs.opened(name, sha256):
            pass
