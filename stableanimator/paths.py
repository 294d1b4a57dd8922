"""Paths and URIs: what a setting may name, and how they are joined and taken apart.

Settings that name a file or folder carry `AbsolutePath`, so that a configuration can refuse relative ones.
"""

from __future__ import annotations

import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from stableanimator.errors import WeightsError

AbsolutePath = Annotated[str, "an absolute path, or a URI that pyarrow.fs resolves"]
"""A job's working directory is a copy somewhere in the cluster, so a relative path leads nowhere useful."""

PACKAGE_SCHEME = "package://"
"""`package://stableanimator.synthetic/weights` is a file or folder inside an installed package, on whichever machine
reads it."""


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
