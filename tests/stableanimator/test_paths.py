"""Paths of settings: absolute ones, and those inside an installed package."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow.fs as pafs
import pytest

import stableanimator
from stableanimator.errors import WeightsError
from stableanimator.paths import (
    below,
    folder_of,
    frame_of,
    is_absolute,
    local_path,
    open_own,
    own_file,
    own_size,
    read_json,
)


def test_a_path_inside_a_package_lies_where_the_package_was_imported_from() -> None:
    folder = Path(stableanimator.__file__).parent
    assert local_path("package://stableanimator/synthetic/clips.py") == folder / "synthetic" / "clips.py"
    assert local_path("package://stableanimator.synthetic/clips.py") == folder / "synthetic" / "clips.py"


def test_other_paths_stay_what_they_are() -> None:
    assert local_path("/weights/yolox_l.onnx") == Path("/weights/yolox_l.onnx")


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(WeightsError, match="no package 'not_there' is installed"):
        local_path("package://not_there/weights")


@pytest.mark.parametrize(
    ("path", "expected"), [("/a", True), ("s3://b/a", True), ("package://p/a", True), ("a", False)]
)
def test_what_means_the_same_everywhere(path: str, expected: bool) -> None:
    assert is_absolute(path) is expected


S3 = "region=x&endpoint_override=http%3A%2F%2Fhost%3A9000"


@pytest.mark.parametrize(
    ("folder", "path", "joined"),
    [
        ("/data/set", "media/ab/c.mp4", "/data/set/media/ab/c.mp4"),
        ("/", "media/c.mp4", "/media/c.mp4"),
        ("/what?/is#this", "a b.mp4", "/what?/is#this/a b.mp4"),
        ("file:///data/set/", "a b.mp4", "file:///data/set/a%20b.mp4"),
        (f"s3://bucket/my%20set?{S3}", "media/ab/c.mp4", f"s3://bucket/my%20set/media/ab/c.mp4?{S3}"),
        (f"s3://bucket/set/?{S3}", "a", f"s3://bucket/set/a?{S3}"),
        (f"s3://bucket?{S3}", "50%#1?.mp4", f"s3://bucket/50%25%231%3F.mp4?{S3}"),
    ],
)
def test_what_lies_in_a_folder_has_its_query_at_the_end(folder: str, path: str, joined: str) -> None:
    assert below(folder, path) == joined
    if folder.startswith("s3"):
        place = pafs.FileSystem.from_uri(folder)[1]
        assert pafs.FileSystem.from_uri(joined) == (pafs.FileSystem.from_uri(folder)[0], f"{place}/{path}")


def test_the_folder_of_a_file_keeps_the_query() -> None:
    assert folder_of("/data/a?/b.csv") == "/data/a?"
    assert folder_of(f"s3://bucket/a/b.csv?{S3}") == f"s3://bucket/a?{S3}"
    assert folder_of("file:///data/a%20b/c.csv") == "file:///data/a%20b"


def test_a_frame_is_named_behind_a_file() -> None:
    assert frame_of(f"s3://bucket/a.mp4?{S3}#frame=12") == (f"s3://bucket/a.mp4?{S3}", "#frame=12")
    assert frame_of("/a#b/c.png") == ("/a#b/c.png", "")


PLANTED: dict[str, Callable[[Path, Path], None]] = {
    "link": lambda place, victim: place.symlink_to(victim),
    "hanging link": lambda place, victim: place.symlink_to(victim.with_name("new")),
    "second name": lambda place, victim: os.link(victim, place),
    "pipe": lambda place, victim: os.mkfifo(place),
}


@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("kind", PLANTED)
def test_what_was_planted_is_taken_away_and_not_written_through(tmp_path: Path, kind: str, append: bool) -> None:
    victim, place = tmp_path / "victim", tmp_path / "b.partial"
    victim.write_bytes(b"dear")
    PLANTED[kind](place, victim)
    assert own_size(place) == 0
    with open_own(place, append=append) as file:
        file.write(b"ours")
    assert victim.read_bytes() == b"dear"
    assert not victim.with_name("new").exists()
    assert not place.is_symlink()
    assert place.read_bytes() == b"ours"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_is_not_continued(tmp_path: Path) -> None:
    place = tmp_path / "b.partial"
    place.write_bytes(b"theirs")
    os.chown(place, 4711, 4711)
    assert own_size(place) == 0
    with open_own(place, append=True) as file:
        file.write(b"ours")
    assert place.read_bytes() == b"ours"


def test_ours_is_continued_or_begun_anew(tmp_path: Path) -> None:
    place = tmp_path / "b.partial"
    for append, expected in ((True, b"a"), (True, b"aa"), (False, b"a")):
        with open_own(place, append=append) as file:
            file.write(b"a")
        assert place.read_bytes() == expected
    assert own_size(place) == 1
    assert own_file(place).read_bytes() == b""
    assert place.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def test_json_of_others_ends_in_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, 2.5]}')
    assert read_json(tmp_path / "a.json") == {"a": [1, 2.5]}
    (tmp_path / "deep.json").write_text("[" * 100_000)
    os.mkfifo(tmp_path / "pipe.json")
    for name, message in (("deep", "too deep"), ("pipe", "no regular file")):
        with pytest.raises(ValueError, match=message):
            read_json(tmp_path / f"{name}.json")
