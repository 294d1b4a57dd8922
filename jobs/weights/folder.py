"""What lies in a weights folder (`root`), and what of it is known to be right.

`checksums.json` in the folder remembers what was hashed: SHA-256, size and time of change of each file, and whether the
checksum is the catalogue's (`published`) or that of the first file that came (`first_seen`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from filelock import FileLock

from jobs.weights.catalogue import WeightsFile
from pipelines.storage.store import file_sha256
from stableanimator.errors import FetchError, WeightsError
from stableanimator.paths import own_file, own_size, read_json

RIGHT = ("present", "unverified")  # states of a file of which nothing wrong is known


def state(root: Path, file: WeightsFile, *, read: bool = False) -> tuple[str, str]:
    """What is known of a file: missing, wrong size, wrong, present or unverified; and why.

    With `read` it is hashed, and that is remembered. "unverified" is what was not hashed since it was written, and what
    the catalogue has no checksum for: then the one that was seen first counts.
    """
    place, record = root / file.path, _records(root).get(file.path, {})
    if not place.is_file():
        begun = own_size(partial(root, file))
        return "missing", f"{begun} bytes have arrived" if begun else ""
    stat, size = place.stat(), file.size or record.get("size")
    if stat.st_size != (size or stat.st_size or -1):
        return "wrong size", f"{stat.st_size} bytes, not {size or 'a file'}"
    sha256 = record.get("sha256") if record.get("mtime_ns") == stat.st_mtime_ns else None
    try:
        sha256 = file_sha256(place) if read else sha256
    except OSError as error:
        return "wrong", f"it cannot be read ({error.strerror})"
    if sha256 is None:
        return "unverified", "not hashed since it was written; run verify"
    wanted = file.sha256 or record.get("sha256", sha256)
    if sha256 != wanted:
        return "wrong", f"SHA-256 {sha256}, not {wanted}"
    note = "" if file.sha256 else f"SHA-256 {sha256} as first seen; the catalogue has none"
    try:
        if read:
            _remember(root, file, sha256)
    except OSError:  # a folder that others look after may be read-only, and its files right all the same
        note += f"{'; ' * bool(note)}not recorded, since {root} cannot be written"
    return "present" if file.sha256 else "unverified", note


def is_right(root: Path, file: WeightsFile) -> bool:
    """Whether a file need not be fetched; hashes it where that has not been done and its checksum is known."""
    known = state(root, file)[0]
    return (state(root, file, read=True)[0] if known == "unverified" and file.sha256 else known) in RIGHT


def partial(root: Path, file: WeightsFile) -> Path:
    """Where a file lies until it is whole and right."""
    return root / f"{file.path}.partial"


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def accept(path: Path, root: Path, file: WeightsFile, known: WeightsFile) -> None:
    """Give what has come to `path` its name when it is what is `known` of it; else delete it, and raise FetchError."""
    size = size_of(path)
    if not size or known.size not in (None, size):
        wrong = f"{size} bytes came, not {known.size or 'a file'}"
    elif (sha256 := file_sha256(path)) != (known.sha256 or sha256):
        wrong = f"what came has SHA-256 {sha256}, not {known.sha256}"
    else:
        os.replace(path, root / file.path)
        return _remember(root, file, sha256)
    path.unlink(missing_ok=True)
    raise FetchError("damaged", f"{wrong}; it was deleted")


def _remember(root: Path, file: WeightsFile, sha256: str) -> None:
    stat, trust = (root / file.path).stat(), "published" if file.sha256 else "first_seen"
    record = {"sha256": sha256, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "trust": trust}
    with FileLock(root / ".checksums.json.lock"):
        text = json.dumps(_records(root) | {file.path: record}, indent=1, sort_keys=True)
        own_file(root / ".checksums.json.partial").write_text(f"{text}\n")
        os.replace(root / ".checksums.json.partial", root / "checksums.json")


def _records(root: Path) -> dict[str, dict[str, Any]]:
    path = root / "checksums.json"
    try:
        return {name: dict(record) for name, record in read_json(path).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} cannot be read; delete it, and run python -m jobs.weights verify") from error
