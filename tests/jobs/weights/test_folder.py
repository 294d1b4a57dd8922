from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from jobs.weights.catalogue import WeightsFile
from jobs.weights.folder import RECORDS, WeightsFolder, weights_folder
from stableanimator.errors import ConfigError, WeightsError

BODY = b"weights" * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()
KNOWN = WeightsFile(path="a/known.onnx", url="http://x/known", size=len(BODY), sha256=SHA256)
UNKNOWN = WeightsFile(path="a/unknown.pth", url="http://x/unknown", size=None, sha256=None)


@pytest.fixture
def folder(tmp_path: Path) -> WeightsFolder:
    (tmp_path / "a").mkdir()
    return WeightsFolder(tmp_path)


def _write(folder: WeightsFolder, file: WeightsFile, body: bytes = BODY) -> Path:
    place = folder.place(file.path)
    place.write_bytes(body)
    return place


def test_a_file_is_missing_then_unverified_then_present(folder: WeightsFolder):
    assert folder.state(KNOWN) == ("missing", "")
    (folder.root / "a" / "known.onnx.partial").write_bytes(BODY)
    assert folder.state(KNOWN) == ("missing", "7 kB have arrived")
    _write(folder, KNOWN)
    assert folder.state(KNOWN)[0] == "unverified"
    assert folder.verify(KNOWN).word == "present"
    assert folder.state(KNOWN) == ("present", "")
    record = json.loads((folder.root / RECORDS).read_text())["a/known.onnx"]
    assert (record["sha256"], record["size"], record["trust"]) == (SHA256, len(BODY), "published")


def test_a_flipped_byte_is_found_and_a_change_is_noticed_without_reading(folder: WeightsFolder):
    place = _write(folder, KNOWN)
    assert folder.verify(KNOWN).right
    damaged = bytearray(BODY)
    damaged[3000] ^= 1
    place.write_bytes(damaged)
    os.utime(place, ns=(1, 1))
    assert folder.state(KNOWN)[0] == "unverified"
    verdict = folder.verify(KNOWN)
    assert (verdict.right, verdict.word) == (False, "wrong")
    assert verdict.detail == f"SHA-256 {hashlib.sha256(damaged).hexdigest()}, not {SHA256}"


def test_another_size_is_wrong_without_reading(folder: WeightsFolder):
    _write(folder, KNOWN, BODY[1:])
    assert folder.state(KNOWN) == ("wrong size", "6999 bytes, not 7000")
    assert folder.verify(KNOWN).word == "wrong"
    _write(folder, UNKNOWN, b"")
    assert folder.state(UNKNOWN) == ("wrong size", "0 bytes")


def test_without_a_known_checksum_the_first_one_counts_and_is_never_called_verified(folder: WeightsFolder):
    place = _write(folder, UNKNOWN)
    first = folder.verify(UNKNOWN)
    assert (first.right, first.word) == (True, "unverified")
    assert "seen for the first time, and recorded; the catalogue has none" in first.detail
    assert folder.state(UNKNOWN)[0] == "unverified"
    assert json.loads((folder.root / RECORDS).read_text())["a/unknown.pth"]["trust"] == "first_seen"
    assert "as first seen" in folder.verify(UNKNOWN).detail
    place.write_bytes(bytes(len(BODY)))
    os.utime(place, ns=(1, 1))
    assert not folder.verify(UNKNOWN).right


def test_only_a_known_checksum_is_checked_before_a_fetch(folder: WeightsFolder):
    assert not folder.is_right(KNOWN)
    _write(folder, KNOWN, bytes(len(BODY)))
    assert not folder.is_right(KNOWN)
    _write(folder, KNOWN)
    assert folder.is_right(KNOWN)
    _write(folder, UNKNOWN)
    assert folder.is_right(UNKNOWN)


def test_records_of_several_files_stay(folder: WeightsFolder):
    for file in (KNOWN, UNKNOWN):
        _write(folder, file)
        folder.verify(file)
    assert set(json.loads((folder.root / RECORDS).read_text())) == {KNOWN.path, UNKNOWN.path}
    assert {path.name for path in folder.root.iterdir()} == {"a", RECORDS}


def test_files_of_a_folder_that_cannot_be_written_can_be_verified(
    folder: WeightsFolder, monkeypatch: pytest.MonkeyPatch
):
    _write(folder, KNOWN)
    _write(folder, UNKNOWN)

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    assert folder.verify(KNOWN).right
    assert "not recorded" in folder.verify(UNKNOWN).detail


@pytest.mark.parametrize("text", ["{", "[]", '{"a/known.onnx": 1}'])
def test_damaged_records_are_told(folder: WeightsFolder, text: str):
    _write(folder, KNOWN)
    (folder.root / RECORDS).write_text(text)
    with pytest.raises(WeightsError, match=r"checksums.json .*; delete it, and run"):
        folder.state(KNOWN)


def test_the_folder_is_root_else_the_environments_else_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SA_WEIGHTS", str(tmp_path / "environment"))
    assert weights_folder(None).root == tmp_path / "environment"
    assert weights_folder(str(tmp_path / "given")).root == tmp_path / "given"
    monkeypatch.chdir(tmp_path)
    assert weights_folder("here").root == tmp_path / "here"
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        weights_folder(str(tmp_path / "file"))
    monkeypatch.delenv("SA_WEIGHTS")
    with pytest.raises(ConfigError, match="set SA_WEIGHTS to a folder, or give --root FOLDER"):
        weights_folder(None)
