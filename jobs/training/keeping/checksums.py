"""The files of a checkpoint, by what was written.

DeepSpeed's are pickles, which run what they hold when they are read. So they are read after their checksums alone
(`jobs.training.run_folder`): what a disk or a copy changed is never loaded. Who can write the checksums too is not kept
out (SECURITY.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipelines.storage.store import file_sha256

DEEPSPEED = "deepspeed"
"""The folder of what only a resumed training reads."""
_AT_ONCE = 8  # hashing leaves Python to other threads


def checksums(folder: Path, left_out: str) -> dict[str, str]:
    """SHA-256 of every file in a checkpoint's folder but one, by its path there."""
    names = sorted(name for path in folder.rglob("*") if path.is_file() and (name := _name(folder, path)) != left_out)
    return dict(zip(names, _hashed(folder, names), strict=True))


def damage(folder: Path, files: Mapping[str, str], *, resume: bool) -> str | None:
    """What is not as it was written, in words; None of a whole checkpoint.

    Args:
        files: from `checksums`.
        resume: whether DeepSpeed's part is asked for too; in its folder nothing may lie that was not written either.
    """
    names = [name for name in files if resume or not name.startswith(f"{DEEPSPEED}/")]
    if missing := [name for name in names if not (folder / name).is_file()]:
        return f"{missing[0]} is missing"
    there = {_name(folder, path) for path in (folder / DEEPSPEED).rglob("*") if resume and not path.is_dir()}
    if strange := sorted(there - set(files)):
        return f"{strange[0]} was not written with it"
    changed = [name for name, sha in zip(names, _hashed(folder, names), strict=True) if sha != files[name]]
    return f"{changed[0]} is not what was written" if changed else None


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _hashed(folder: Path, names: list[str]) -> list[str]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda name: file_sha256(folder / name), names))
