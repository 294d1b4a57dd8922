"""Zips of several files, from servers good and bad."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.weights.catalogue import Entry
from jobs.weights.fetch import Mirrors, fetch
from jobs.weights.folder import is_right
from stableanimator.errors import StorageError, WeightsError

BODY = hashlib.shake_256(b"weights").digest(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
MEMBERS = {"det.onnx": b"d" * 5000, "rec.onnx": b"r" * 6000}
ROOT = Path(__file__).resolve().parents[3]


def _left(root: Path) -> set[str]:
    """Every file but the records and locks."""
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return files - {"checksums.json", ".checksums.json.lock", ".fetch.lock"}


# zips


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return buffer.getvalue()


@pytest.fixture
def pack(entry: Any, file: Any) -> Callable[..., Entry]:
    """An entry whose files are MEMBERS, out of a zip with this body."""

    def make(url: str, body: bytes) -> Entry:
        files = [file(f"models/pack/{name}", content) for name, content in MEMBERS.items()]
        return entry("pack", *files, archive=file("models/pack.zip", body, url))

    return make


@pytest.mark.parametrize("prefix", ["", "pack/", "some/where/"])
def test_a_pack_is_unpacked_flat_whatever_its_folders(
    shelf: Any, tmp_path: Path, pack: Any, prefix: str, capsys: pytest.CaptureFixture[str]
):
    extra = {f"{prefix}readme.txt": b"not in the catalogue"}
    body = _zip({f"{prefix}{name}": content for name, content in MEMBERS.items()} | extra)
    made = pack(shelf.put("/pack.zip", body), body)
    fetch(tmp_path, [made], Mirrors([], {}))
    assert _left(tmp_path) == {f"models/pack/{name}" for name in MEMBERS}
    assert (tmp_path / "models/pack/rec.onnx").read_bytes() == MEMBERS["rec.onnx"]
    said = [line.rpartition("(")[2] for line in capsys.readouterr().out.splitlines() if line.startswith("fetched")]
    assert said == ["5.0 kB, SHA-256 as published)", "6.0 kB, SHA-256 as published)"]
    assert all(is_right(tmp_path, member) for member in made.files)


def test_an_archive_that_lies_there_needs_no_network_and_no_room(
    shelf: Any, tmp_path: Path, pack: Any, monkeypatch: pytest.MonkeyPatch
):
    body = _zip(MEMBERS)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/pack.zip").write_bytes(body)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=11_000))
    fetch(tmp_path, [pack(f"{shelf.url}/pack.zip", body)], Mirrors([], {}))
    assert shelf.answers == []
    assert _left(tmp_path) == {f"models/pack/{name}" for name in MEMBERS}


def test_only_the_member_that_is_missing_is_replaced(shelf: Any, tmp_path: Path, pack: Any):
    body = _zip(MEMBERS)
    made = pack(shelf.put("/pack.zip", body), body)
    fetch(tmp_path, [made], Mirrors([], {}))
    kept = (tmp_path / "models/pack/det.onnx").stat().st_ino
    (tmp_path / "models/pack/rec.onnx").write_bytes(bytes(6000))
    assert [is_right(tmp_path, member) for member in made.files] == [True, False]
    fetch(tmp_path, [made], Mirrors([], {}))
    assert (tmp_path / "models/pack/rec.onnx").read_bytes() == MEMBERS["rec.onnx"]
    assert (tmp_path / "models/pack/det.onnx").stat().st_ino == kept


@pytest.mark.parametrize("evil", ["../evil", "{out}/evil", "a/../../evil", "..\\evil", "C:\\evil", "../../../evil"])
def test_no_member_of_a_zip_leads_out_of_its_folder(shelf: Any, tmp_path: Path, pack: Any, evil: str):
    root, out = tmp_path / "in" / "weights", tmp_path / "out"
    out.mkdir()
    body = _zip({evil.format(out=out): b"evil"} | MEMBERS)
    fetch(root, [pack(shelf.put("/pack.zip", body), body)], Mirrors([], {}))
    assert _left(root) == {f"models/pack/{name}" for name in MEMBERS}
    assert _left(tmp_path) == {f"in/weights/{name}" for name in _left(root)} | {
        f"in/weights/{name}" for name in ("checksums.json", ".checksums.json.lock", ".fetch.lock")
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"no zip", "is not a zip file"),
        (_zip({"rec.onnx": b"r"}), "has 0 files called det.onnx"),
        (_zip({"../det.onnx": b"d" * 5000, "rec.onnx": b"r" * 6000}), "has 0 files called det.onnx"),
        (_zip({"a/det.onnx": b"d" * 5000, "b/det.onnx": b"d" * 5000}), "has 2 files called det.onnx"),
        (_zip({"det.onnx": b"x" * 5000}), "what came has SHA-256 .*; it was deleted"),
        (_zip({"det.onnx": b"x" * 50_000_000}), "more than 5000 bytes come of det.onnx"),
        (_zip({"det.onnx": b"d" * 5000}).replace(b"d" * 20, b"e" * 20)[:60], "is not a zip file"),
    ],
)
def test_a_zip_that_is_not_what_it_must_be_gives_nothing(
    shelf: Any, tmp_path: Path, pack: Any, body: bytes, message: str
):
    with pytest.raises(WeightsError, match=f"pack.zip cannot be unpacked .*{message}"):
        fetch(tmp_path, [pack(shelf.put("/pack.zip", body), body)], Mirrors([], {}))
    assert _left(tmp_path) == {"models/pack.zip"}


def test_what_a_killed_run_has_unpacked_is_written_anew(shelf: Any, tmp_path: Path, pack: Any):
    body = _zip(MEMBERS)
    (tmp_path / "models/pack").mkdir(parents=True)
    (tmp_path / "models/pack/det.onnx.partial").write_bytes(b"half")
    fetch(tmp_path, [pack(shelf.put("/pack.zip", body), body)], Mirrors([], {}))
    assert _left(tmp_path) == {f"models/pack/{name}" for name in MEMBERS}


def test_room_is_needed_for_an_archive_and_what_is_in_it(
    shelf: Any, tmp_path: Path, pack: Any, monkeypatch: pytest.MonkeyPatch
):
    body = _zip(MEMBERS)
    made, usage = pack(shelf.put("/pack.zip", body), body), shutil.disk_usage(tmp_path)
    needed = len(body) + 11_000
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed - 1))
    with pytest.raises(StorageError, match=r"pack needs 11.\d kB below .*, where 11.\d kB are free"):
        fetch(tmp_path, [made], Mirrors([], {}))
    assert shelf.answers == []
    (tmp_path / "models").mkdir()
    (tmp_path / "models/pack.zip.partial").write_bytes(body[:1])
    fetch(tmp_path, [made], Mirrors([], {}))
    assert [answer.start for answer in shelf.answers] == [1]


def test_a_failure_says_what_where_which_url_and_how_by_hand(shelf: Any, tmp_path: Path, pack: Any):
    made = pack("https://publisher.example/pack.zip", _zip(MEMBERS))
    with pytest.raises(WeightsError) as failure:
        fetch(tmp_path, [made], Mirrors([shelf.url], {}))
    assert str(failure.value) == (
        f"{tmp_path}/models/pack.zip could not be fetched from {shelf.url}/publisher.example/pack.zip: "
        "http_404: Not Found; by hand: download https://publisher.example/pack.zip (terms: https://home.example/terms) "
        f"to {tmp_path}/models/pack.zip, then python -m jobs.weights fetch pack"
    )


def test_of_a_zip_only_the_files_are_unpacked(shelf: Any, tmp_path: Path, pack: Any):
    link = zipfile.ZipInfo("x/rec.onnx")
    link.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("det.onnx", MEMBERS["det.onnx"])
        archive.writestr(link, b"/etc/passwd")
    with pytest.raises(WeightsError, match=r"its rec\.onnx is a link"):
        fetch(tmp_path, [pack(shelf.put("/pack.zip", buffer.getvalue()), buffer.getvalue())], Mirrors([], {}))
