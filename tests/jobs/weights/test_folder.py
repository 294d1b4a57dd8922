from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path

import pytest

from jobs.weights.catalogue import WeightsFile
from jobs.weights.folder import accept, is_right, partial, state
from stableanimator.errors import FetchError, WeightsError

BODY = b"weights" * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()
KNOWN = WeightsFile(path="a/known.onnx", url="http://x/known", size=len(BODY), sha256=SHA256)
UNKNOWN = WeightsFile(path="a/unknown.pth", url="http://x/unknown", size=None, sha256=None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    return tmp_path


def _write(root: Path, file: WeightsFile, body: bytes = BODY) -> Path:
    (root / file.path).write_bytes(body)
    return root / file.path


def _records(root: Path) -> dict[str, dict[str, object]]:
    return json.loads((root / "checksums.json").read_text())


def test_a_file_is_missing_then_unverified_then_present(root: Path):
    assert state(root, KNOWN) == ("missing", "")
    partial(root, KNOWN).write_bytes(BODY)
    assert state(root, KNOWN) == ("missing", "7000 bytes have arrived")
    _write(root, KNOWN)
    assert state(root, KNOWN) == ("unverified", "not hashed since it was written; run verify")
    assert state(root, KNOWN, read=True) == ("present", "")
    assert state(root, KNOWN) == ("present", "")
    record = _records(root)["a/known.onnx"]
    assert (record["sha256"], record["size"], record["trust"]) == (SHA256, len(BODY), "published")


def test_a_flipped_byte_is_found_and_a_change_is_noticed_without_reading(root: Path):
    place = _write(root, KNOWN)
    assert state(root, KNOWN, read=True)[0] == "present"
    damaged = bytearray(BODY)
    damaged[3000] ^= 1
    place.write_bytes(damaged)
    os.utime(place, ns=(1, 1))
    assert state(root, KNOWN)[0] == "unverified"
    assert state(root, KNOWN, read=True) == ("wrong", f"SHA-256 {hashlib.sha256(damaged).hexdigest()}, not {SHA256}")


def test_another_size_is_wrong_without_reading(root: Path):
    _write(root, KNOWN, BODY[1:])
    assert state(root, KNOWN) == state(root, KNOWN, read=True) == ("wrong size", "6999 bytes, not 7000")
    _write(root, UNKNOWN, b"")
    assert state(root, UNKNOWN) == ("wrong size", "0 bytes, not a file")
    _write(root, UNKNOWN)
    state(root, UNKNOWN, read=True)
    _write(root, UNKNOWN, BODY[1:])
    assert state(root, UNKNOWN) == ("wrong size", "6999 bytes, not 7000")


def test_without_a_known_checksum_the_first_one_counts_and_is_never_called_verified(root: Path):
    place = _write(root, UNKNOWN)
    seen = ("unverified", f"SHA-256 {SHA256} as first seen; the catalogue has none")
    assert state(root, UNKNOWN, read=True) == seen
    assert state(root, UNKNOWN) == seen
    assert _records(root)["a/unknown.pth"]["trust"] == "first_seen"
    place.write_bytes(bytes(len(BODY)))
    os.utime(place, ns=(1, 1))
    other = hashlib.sha256(bytes(len(BODY))).hexdigest()
    assert state(root, UNKNOWN, read=True) == ("wrong", f"SHA-256 {other}, not {SHA256}")


def test_a_catalogue_that_has_changed_its_mind_is_heard(root: Path):
    _write(root, KNOWN)
    state(root, KNOWN, read=True)
    newer = WeightsFile(path=KNOWN.path, size=len(BODY), sha256="0" * 64)
    assert state(root, newer) == ("wrong", f"SHA-256 {SHA256}, not {'0' * 64}")
    assert not is_right(root, newer)


def test_only_a_known_checksum_is_checked_before_a_fetch(root: Path):
    assert not is_right(root, KNOWN)
    _write(root, KNOWN, bytes(len(BODY)))
    assert not is_right(root, KNOWN)
    _write(root, KNOWN)
    assert is_right(root, KNOWN)
    _write(root, UNKNOWN)
    assert is_right(root, UNKNOWN)


def test_what_has_come_gets_its_name_when_it_is_right_and_is_deleted_else(root: Path):
    for wrong, message in ((BODY[1:], "6999 bytes came, not 7000"), (BODY[::-1], f"not {SHA256}"), (b"", "0 bytes")):
        partial(root, KNOWN).write_bytes(wrong)
        with pytest.raises(FetchError, match=f"damaged: .*{message}"):
            accept(partial(root, KNOWN), root, KNOWN, KNOWN)
        assert list((root / "a").iterdir()) == []
    partial(root, KNOWN).write_bytes(BODY)
    accept(partial(root, KNOWN), root, KNOWN, KNOWN)
    assert state(root, KNOWN) == ("present", "")
    assert [path.name for path in (root / "a").iterdir()] == ["known.onnx"]


def test_records_of_several_files_stay_also_when_they_are_written_at_once(root: Path):
    files = [WeightsFile(path=f"a/{number}") for number in range(8)]
    for file in files:
        _write(root, file)
    threads = [threading.Thread(target=state, args=(root, file), kwargs={"read": True}) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(_records(root)) == {file.path for file in files}
    assert {path.name for path in root.iterdir()} == {"a", "checksums.json", ".checksums.json.lock"}


def test_files_of_a_folder_that_cannot_be_written_can_be_verified(root: Path, monkeypatch: pytest.MonkeyPatch):
    _write(root, KNOWN)
    _write(root, UNKNOWN)

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    assert state(root, KNOWN, read=True) == ("present", f"not recorded, since {root} cannot be written")
    assert state(root, UNKNOWN, read=True)[1].endswith(f"none; not recorded, since {root} cannot be written")


def test_a_file_that_cannot_be_read_is_wrong(root: Path, monkeypatch: pytest.MonkeyPatch):
    _write(root, KNOWN)

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("jobs.weights.folder.file_sha256", refuse)
    assert state(root, KNOWN, read=True) == ("wrong", "it cannot be read (Input/output error)")


@pytest.mark.parametrize("text", ["{", "[]", '{"a/known.onnx": 1}', '{"a/known.onnx": [1]}', "\xff"])
def test_damaged_records_are_told(root: Path, text: str):
    _write(root, KNOWN)
    (root / "checksums.json").write_text(text, encoding="latin-1")
    with pytest.raises(WeightsError, match=r"checksums.json .*; delete it, and run"):
        state(root, KNOWN)
