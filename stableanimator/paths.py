"""Paths and URIs: how they are joined and taken apart, where they lie on the machine that reads them, JSON that others
wrote there, and files of our own at names that others may know."""

from __future__ import annotations

import json
import os
import re
import stat
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from stableanimator.errors import WeightsError

PACKAGE_SCHEME = "package://"
"""`package://stableanimator.synthetic/weights` is a file or folder inside an installed package, on whichever machine
reads it."""

_MOST_JSON = 64 << 20
"""Bytes of a file: names and lengths of a million clips."""


def is_absolute(path: str) -> bool:
    """Whether a path means the same from every working directory."""
    return "://" in path or os.path.isabs(path)


def below(folder: str, path: str) -> str:
    """The path or URI of what lies at `path` (relative, with `/`) in a folder. What a URI has behind its path (`?` and
    the options of a filesystem) stays at the end."""
    if "://" not in folder:
        return f"{folder.rstrip('/')}/{path}"
    place, rest = _split(folder)
    return f"{place.rstrip('/')}/{quote(path)}{rest}"


def folder_of(uri: str) -> str:
    """The path or URI of the folder that a file lies in."""
    if "://" not in uri:
        return os.path.dirname(uri)
    place, rest = _split(uri)
    return place.rpartition("/")[0] + rest


def _split(uri: str) -> tuple[str, str]:
    """A URI up to the end of its path, and the rest."""
    found = re.search("[?#]", uri)
    end = found.start() if found else len(uri)
    return uri[:end], uri[end:]


def frame_of(reference: str) -> tuple[str, str]:
    """A file and the `#frame=…` behind it, which is empty where the file as a whole is meant."""
    name, mark, number = reference.rpartition("#frame=")
    return (name, mark + number) if mark else (reference, "")


def local_path(path: str | Path) -> Path:
    """The file or folder that a setting names on this machine: a path itself, or one inside a package.

    Raises:
        WeightsError: a `package://` path names no package that is installed here.
    """
    text = str(path)
    if not text.startswith(PACKAGE_SCHEME):
        return Path(path)
    package, _, rest = text.removeprefix(PACKAGE_SCHEME).partition("/")
    try:
        return Path(str(files(package).joinpath(rest)))
    except (ModuleNotFoundError, ValueError) as error:
        raise WeightsError(f"{text}: no package {package!r} is installed here; name a package, or a path") from error


def parse_json(text: str | bytes) -> Any:
    """What a text in JSON says.

    Raises:
        ValueError: it is none, or nested deeper than anybody can have meant.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def read_json(path: Path) -> Any:
    """What a file in JSON says.

    Raises:
        OSError, ValueError: there is none, or no regular one, or it is too long, or as `parse_json`.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for, and a device may have no end
        raise ValueError("it is no regular file")
    with path.open("rb") as file:
        data = file.read(_MOST_JSON + 1)
    if len(data) > _MOST_JSON:
        raise ValueError(f"it is longer than {_MOST_JSON >> 20} MB")
    return parse_json(data)


# Files at names that anybody can tell beforehand. In a folder that others may write to, a link under such a name would
# lead what is written to a file of their choice.


def own_size(path: Path) -> int:
    """Bytes of a file that is ours alone; 0 where there is none: no link is followed."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    return found.st_size if _is_own(found) else 0


def open_own(path: Path, *, append: bool = False) -> BinaryIO:
    """A file for writing that is ours alone; anything else that lies there, a link for one, is taken away first.

    Args:
        append: go on at the end of a file of ours; else it begins empty.

    Raises:
        OSError: it cannot be made, or what lies there cannot be taken away.
    """
    flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    if append and own_size(path):
        file = os.open(path, flags | os.O_APPEND)
        if _is_own(os.fstat(file)):
            return os.fdopen(file, "ab")
        os.close(file)  # another one has come since
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666), "wb")


def own_file(path: Path) -> Path:
    """The same, empty, for whoever writes by name."""
    open_own(path).close()
    return path


def _is_own(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1
