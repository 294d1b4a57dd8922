"""What a root holds byte for byte, and in what it differs from another one.

Content is what a later job or a person reads: files that manifests list and the manifests themselves, media, videos of
predictions, cached parts, and weights that a training ends with. Times, hosts, checkpoints that a restart needs, leases
and spools are none: they lie beside it, and no id depends on them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.storage.store import file_sha256

Contents = dict[str, str]
"""SHA-256 by path below the root."""

_COLLECTION = re.compile(r"[0-9a-f]{64}")
_TIMED = ("timings",)
"""Families of parts that hold what work took."""
_WEIGHTS = ("*.safetensors", "config.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """In what a root differs from the undisturbed one."""

    lost: list[str]
    doubled: list[str]
    """What only the disturbed one holds."""
    wrong: list[str]

    def __len__(self) -> int:
        return len(self.lost) + len(self.doubled) + len(self.wrong)

    def __str__(self) -> str:
        told = {"lost": self.lost, "only here": self.doubled, "other bytes": self.wrong}
        return "; ".join(f"{what}: {', '.join(paths[:3])}" for what, paths in told.items() if paths)


def contents(root: Path) -> Contents:
    """Of all content below a root."""
    return {str(path.relative_to(root)): file_sha256(path) for path in sorted(_files(root))}


def differences(root: Path, undisturbed: Path) -> Difference:
    """Of a root from the undisturbed one, after a job was disturbed and run again.

    A collection more is no fault where its rows say what went wrong with them: bad rows become verdicts.
    """
    ours, theirs = contents(root), contents(undisturbed)
    there = {path for path in ours if path not in theirs and not _explained(root, path)}
    return Difference(
        lost=[path for path in theirs if path not in ours],
        doubled=[path for path in sorted(there) if not _of_training(path)],
        wrong=[path for path, sha256 in theirs.items() if ours.get(path, sha256) != sha256],
    )


def _files(root: Path) -> Iterator[Path]:
    yield from _all(root / "media")
    yield from _all(root / "predictions" / "videos")
    for family in _folders(root / "parts"):
        if family.name not in _TIMED:
            yield from family.rglob("*.parquet")
    for kind in _folders(root):
        for folder in _folders(kind):
            if _COLLECTION.fullmatch(folder.name):
                yield from _listed(folder)
            elif kind.name in ("aligners", "models"):
                for pattern in _WEIGHTS:
                    yield from folder.rglob(pattern)


def _listed(folder: Path) -> Iterator[Path]:
    """A collection without a manifest does not exist; of one whose manifest is damaged all tables are asked."""
    path = folder / "manifest.json"
    if not path.is_file():
        return
    yield path
    try:
        tables = json.loads(path.read_bytes())["tables"]
        listed = [folder / file["name"] for table in tables.values() for file in table["files"]]
    except (ValueError, KeyError):
        listed = list(folder.glob("*.parquet"))
    yield from (each for each in listed if each.is_file())


def _explained(root: Path, path: str) -> bool:
    """Whether a file belongs to a collection in which some row has a reason."""
    kind, name, *_ = path.split("/")
    if not _COLLECTION.fullmatch(name):
        return False
    return any(_has_reason(table) for table in (root / kind / name).glob("*.parquet"))


def _has_reason(table: Path) -> bool:
    try:
        if "reason" not in pq.read_schema(table).names:
            return False
        return len(pq.read_table(table, columns=["reason"])["reason"].drop_null()) > 0
    except (pa.ArrowException, OSError):
        return False


def _of_training(path: str) -> bool:
    """A checkpoint that the undisturbed training has thrown away by its end."""
    kind, name, *_ = path.split("/")
    return kind in ("aligners", "models") and not _COLLECTION.fullmatch(name)


def _all(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.rglob("*") if path.is_file())


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
