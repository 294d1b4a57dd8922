from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from jobs.weights.catalogue import HUGGING_FACE, Entry, WeightsFile
from jobs.weights.download import Patience
from jobs.weights.fetch import Mirrors, fetch_entry, missing_files, require_room, unpack
from jobs.weights.folder import WeightsFolder
from stableanimator.errors import ConfigError, StorageError, WeightsError

QUICK = Patience(retries=1, backoff_s=0.01, timeout_s=5.0)
MEMBERS = {"det.onnx": b"d" * 5000, "rec.onnx": b"r" * 6000}


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return buffer.getvalue()


def _file(path: str, body: bytes, url: str | None = None) -> WeightsFile:
    return WeightsFile(path=path, url=url, size=len(body), sha256=hashlib.sha256(body).hexdigest())


def _pack(url: str, body: bytes) -> Entry:
    files = tuple(_file(f"models/pack/{name}", content) for name, content in MEMBERS.items())
    archive = _file("models/pack.zip", body, url)
    return Entry(name="pack", what="a pack", licence="MIT", home="http://home", files=files, archive=archive)


def _fetch(folder: WeightsFolder, entry: Entry, mirrors: Mirrors | None = None) -> list[str]:
    said: list[str] = []
    fetch_entry(folder, entry, missing_files(folder, entry), mirrors or Mirrors(), QUICK, said.append)
    return said


def _there(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("prefix", ["", "pack/", "some/where/"])
def test_a_pack_is_unpacked_flat_whatever_its_folders(shelf: Any, tmp_path: Path, prefix: str):
    extra = {f"{prefix}readme.txt": b"not in the catalogue"}
    body = _zip({f"{prefix}{name}": content for name, content in MEMBERS.items()} | extra)
    folder, entry = WeightsFolder(tmp_path), _pack(shelf.put("/pack.zip", body), body)
    said = _fetch(folder, entry)
    assert _there(tmp_path) == {"checksums.json", *(f"models/pack/{name}" for name in MEMBERS)}
    assert (tmp_path / "models/pack/rec.onnx").read_bytes() == MEMBERS["rec.onnx"]
    assert [line.rpartition("(")[2] for line in said] == ["5 kB, SHA-256 as published)", "6 kB, SHA-256 as published)"]
    assert missing_files(folder, entry) == ()


def test_an_archive_that_lies_there_needs_no_network(shelf: Any, tmp_path: Path):
    body = _zip(MEMBERS)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/pack.zip").write_bytes(body)
    _fetch(WeightsFolder(tmp_path), _pack(f"{shelf.url}/pack.zip", body))
    assert shelf.answers == []
    assert "models/pack/det.onnx" in _there(tmp_path)


def test_only_the_member_that_is_missing_is_replaced(shelf: Any, tmp_path: Path):
    body = _zip(MEMBERS)
    folder, entry = WeightsFolder(tmp_path), _pack(shelf.put("/pack.zip", body), body)
    _fetch(folder, entry)
    kept = (tmp_path / "models/pack/det.onnx").stat().st_ino
    (tmp_path / "models/pack/rec.onnx").write_bytes(bytes(6000))
    assert [file.name for file in missing_files(folder, entry)] == ["rec.onnx"]
    _fetch(folder, entry)
    assert (tmp_path / "models/pack/rec.onnx").read_bytes() == MEMBERS["rec.onnx"]
    assert (tmp_path / "models/pack/det.onnx").stat().st_ino == kept


@pytest.mark.parametrize("evil", ["../evil", "/evil", "a/../../evil", "..\\evil", "C:\\evil"])
def test_a_zip_that_leads_out_of_its_folder_is_refused_whole(tmp_path: Path, evil: str):
    archive = tmp_path / "in" / "pack.zip"
    archive.parent.mkdir()
    archive.write_bytes(_zip(MEMBERS | {evil: b"evil"}))
    target = tmp_path / "in" / "out" / "det.onnx"
    with pytest.raises(WeightsError, match=r"leads out of it .*evil"):
        unpack(archive, {"det.onnx": (target, _file("det.onnx", MEMBERS["det.onnx"]))})
    assert _there(tmp_path) == {"in/pack.zip"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"no zip", "is no zip that can be read"),
        (_zip({"rec.onnx": b"r"}), "has 0 files called det.onnx"),
        (_zip({"a/det.onnx": b"d" * 5000, "b/det.onnx": b"d" * 5000}), "has 2 files called det.onnx"),
        (_zip({"det.onnx": b"x" * 5000}), "is not what it must be"),
        (_zip(MEMBERS)[:60], "is no zip that can be read"),
    ],
)
def test_a_zip_that_is_not_what_it_must_be_leaves_nothing(tmp_path: Path, body: bytes, message: str):
    archive = tmp_path / "pack.zip"
    archive.write_bytes(body)
    with pytest.raises(WeightsError, match=message):
        unpack(archive, {"det.onnx": (tmp_path / "det.onnx", _file("det.onnx", MEMBERS["det.onnx"]))})
    assert _there(tmp_path) == {"pack.zip"}


def test_a_member_is_read_no_further_than_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archive = tmp_path / "pack.zip"
    archive.write_bytes(_zip({"det.onnx": bytes(20_000_000)}))
    read, sizes = zipfile.ZipExtFile.read, []

    def counted(self: zipfile.ZipExtFile, n: int | None = -1) -> bytes:
        piece = read(self, n)
        sizes.append(len(piece))
        return piece

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
    with pytest.raises(WeightsError, match="is not what it must be"):
        unpack(archive, {"det.onnx": (tmp_path / "det.onnx", _file("det.onnx", bytes(5000)))})
    assert 0 < sum(sizes) <= 2_000_000
    assert _there(tmp_path) == {"pack.zip"}


def test_room_is_needed_for_an_archive_and_what_is_in_it(shelf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    body = _zip(MEMBERS)
    folder, entry = WeightsFolder(tmp_path), _pack(shelf.put("/pack.zip", body), body)
    usage, needed = shutil.disk_usage(tmp_path), len(body) + 11_000
    missing = {entry: missing_files(folder, entry)}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed))
    require_room(folder, missing)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed - 1))
    with pytest.raises(StorageError, match="pack needs 11 kB"):
        require_room(folder, missing)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/pack.zip.partial").write_bytes(body[:100])
    require_room(folder, missing)


def test_a_wrong_file_stays_until_the_right_one_has_come(shelf: Any, tmp_path: Path):
    body = b"right" * 1000
    entry = Entry(
        name="one", what="", licence="MIT", home="http://home", files=(_file("one", body, shelf.put("/one", body)),)
    )
    (tmp_path / "one").write_bytes(b"wrong")
    shelf.faults["/one"] += [{"status": 404}]
    with pytest.raises(WeightsError):
        _fetch(WeightsFolder(tmp_path), entry)
    assert (tmp_path / "one").read_bytes() == b"wrong"
    _fetch(WeightsFolder(tmp_path), entry)
    assert (tmp_path / "one").read_bytes() == body


def test_a_failure_says_what_where_which_url_and_how_by_hand(shelf: Any, tmp_path: Path):
    entry = _pack("https://publisher.example/pack.zip", _zip(MEMBERS))
    with pytest.raises(WeightsError) as failure:
        _fetch(WeightsFolder(tmp_path), entry, Mirrors(rest=shelf.url))
    assert str(failure.value) == (
        f"{tmp_path}/models/pack.zip could not be fetched (asked for at {shelf.url}/publisher.example/pack.zip): "
        "http 404 Not Found; by hand: download https://publisher.example/pack.zip (terms: http://home) to "
        f"{tmp_path}/models/pack.zip, then python -m jobs.weights fetch pack"
    )


def test_mirrors_stand_for_what_urls_begin_with():
    plain = Mirrors.of([], {})
    assert plain.url(f"{HUGGING_FACE}/a/b") == f"{HUGGING_FACE}/a/b"
    assert plain.url("https://x.example/a") == "https://x.example/a"
    mirrors = Mirrors.of(
        [
            "https://all.example/",
            "https://github.com/a/=http://short/",
            "https://github.com/a/b/=http://long/",
        ],
        {"HF_ENDPOINT": "https://hub.example/", "HF_TOKEN": "secret"},
    )
    assert mirrors.url(f"{HUGGING_FACE}/a/b") == "https://hub.example/a/b"
    assert mirrors.url("https://x.example/a") == "https://all.example/x.example/a"
    assert mirrors.url("https://github.com/a/c") == "http://short/c"
    assert mirrors.url("https://github.com/a/b/c") == "http://long/c"
    assert Mirrors.of([f"{HUGGING_FACE}/=http://home/"], {}).url(f"{HUGGING_FACE}/a") == "http://home/a"


def test_the_token_goes_to_hugging_face_alone():
    mirrors = Mirrors.of(["https://all.example"], {"HF_ENDPOINT": "https://hub.example", "HF_TOKEN": "secret"})
    assert mirrors.source(_file("a", b"a", f"{HUGGING_FACE}/a")).token == "secret"
    assert mirrors.source(_file("a", b"a", "https://hub.example/a")).token is None
    moved = Mirrors.of([f"{HUGGING_FACE}/=https://hugging-face.evil/"], {"HF_TOKEN": "secret"})
    assert moved.source(_file("a", b"a", f"{HUGGING_FACE}/a")).token is None
    assert mirrors.source(_file("a", b"a", "https://github.com/a")).token is None


@pytest.mark.parametrize("mirror", ["mirror.example", "ftp://mirror.example", "github.com=https://mirror.example"])
def test_a_mirror_that_is_no_url_is_refused(mirror: str):
    with pytest.raises(ConfigError, match="is neither URL nor PREFIX=URL"):
        Mirrors.of([mirror], {})
    with pytest.raises(ConfigError, match="HF_ENDPOINT is 'hub'"):
        Mirrors.of([], {"HF_ENDPOINT": "hub"})
