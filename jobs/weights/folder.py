"""What lies in a weights folder: which files are there, and which of them are known to be right.

`checksums.json` in the folder remembers what was hashed: SHA-256, size and time of change of each file, and whether the
checksum is the catalogue's (`published`) or that of the first file that came (`first_seen`).
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jobs.weights.catalogue import Entry, WeightsFile
from jobs.weights.download import file_sha256, partial_size, size_text
from stableanimator.errors import ConfigError, WeightsError

RECORDS = "checksums.json"

State = Literal["present", "missing", "wrong size", "unverified"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What hashing a file has shown."""

    right: bool
    word: str
    """present, missing, wrong, or unverified: the catalogue has no checksum for it."""
    detail: str


class WeightsFolder:
    """A folder with weights, laid out as the catalogue says."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, path: str) -> Path:
        """Where a path of the catalogue is on this machine."""
        return self.root / path

    def state(self, file: WeightsFile) -> tuple[State, str]:
        """What can be said of a file without reading it, and why."""
        place = self.place(file.path)
        if not place.is_file():
            begun = partial_size(place)
            return "missing", f"{size_text(begun)} have arrived" if begun else ""
        record = self._record(file)
        size = place.stat().st_size
        wanted = record.get("size") if file.size is None else file.size
        if wanted not in (None, size) or not size:
            return "wrong size", f"{size} bytes" if wanted is None else f"{size} bytes, not {wanted}"
        if record.get("mtime_ns") != place.stat().st_mtime_ns or file.sha256 not in (None, record.get("sha256")):
            return "unverified", "not hashed since it was written; run verify"
        if file.sha256 is None:
            return "unverified", f"as first seen, {record['sha256'][:12]}…; the catalogue has no checksum"
        return "present", ""

    def verify(self, file: WeightsFile) -> Verdict:
        """Hash a file and remember it. Where the catalogue has no checksum, the one that was seen first counts."""
        place = self.place(file.path)
        state, detail = self.state(file)
        if state == "missing":
            return Verdict(False, "missing", detail)
        if state == "wrong size":
            return Verdict(False, "wrong", detail)
        try:
            sha256 = file_sha256(place)
        except OSError as error:
            return Verdict(False, "wrong", f"it cannot be read ({error.strerror})")
        wanted = file.sha256 or self._record(file).get("sha256")
        if wanted not in (None, sha256):
            return Verdict(False, "wrong", f"SHA-256 {sha256}, not {wanted}")
        recorded = "recorded"
        try:
            self.remember(file, sha256)
        except WeightsError:  # a folder that others look after may be read-only, and its files right all the same
            recorded = f"not recorded, since {self.root} cannot be written"
        if file.sha256:
            return Verdict(True, "present", "" if recorded == "recorded" else recorded)
        seen = "as first seen" if wanted else f"seen for the first time, and {recorded}"
        return Verdict(True, "unverified", f"SHA-256 {sha256}, {seen}; the catalogue has none")

    def is_right(self, file: WeightsFile) -> bool:
        """Whether a file need not be fetched; hashes it where that has not been done and its checksum is known."""
        state, _ = self.state(file)
        if state == "unverified" and file.sha256:
            return self.verify(file).right
        return state in ("present", "unverified")

    def remember(self, file: WeightsFile, sha256: str) -> None:
        """Write down that a file has been hashed.

        Raises:
            WeightsError: the folder cannot be written, or its records cannot be read.
        """
        stat = self.place(file.path).stat()
        record = {
            "sha256": sha256,
            "size": stat.st_size,
            "mtime_ns": stat.st_mtime_ns,
            "trust": "published" if file.sha256 else "first_seen",
            "checked_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        path = self.root / RECORDS
        with self._alone():
            records = self._records() | {file.path: record}
            partial = path.with_name(f".{RECORDS}.{os.getpid()}")
            try:
                partial.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")
                os.replace(partial, path)
            except OSError as error:
                raise WeightsError(f"{path} cannot be written ({error.strerror}); make {self.root} writable") from error

    def _record(self, file: WeightsFile) -> dict[str, Any]:
        return self._records().get(file.path, {})

    def _records(self) -> dict[str, dict[str, Any]]:
        path = self.root / RECORDS
        try:
            records = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise WeightsError(f"{path} cannot be read; delete it, and run python -m jobs.weights verify") from error
        if not isinstance(records, dict) or not all(isinstance(record, dict) for record in records.values()):
            raise WeightsError(f"{path} is no list of checksums; delete it, and run python -m jobs.weights verify")
        return records

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time changes the records, where the file system has locks."""
        folder = os.open(self.root, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):
                fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def weights_folder(root: str | None) -> WeightsFolder:
    """The folder that --root or SA_WEIGHTS names.

    Raises:
        ConfigError: neither is set, or it is a file.
    """
    given = root or os.environ.get("SA_WEIGHTS")
    if not given:
        raise ConfigError("no weights folder is named; set SA_WEIGHTS to a folder, or give --root FOLDER")
    path = Path(given).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise ConfigError(f"the weights folder {path} is a file; set SA_WEIGHTS or --root to a folder")
    return WeightsFolder(path)


def by_hand(folder: WeightsFolder, entry: Entry, file: WeightsFile, url: str) -> str:
    """How to put a file there without this program."""
    if entry.archive is not None and file.url is None:
        file = entry.archive
    then = "fetch" if file is entry.archive else "verify"
    return (
        f"by hand: download {url} (terms: {entry.home}) to {folder.place(file.path)}, "
        f"then python -m jobs.weights {then} {entry.name}"
    )
