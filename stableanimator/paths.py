"""Settings that name a file or folder carry this type, so that a configuration can refuse relative paths."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from stableanimator.errors import WeightsError

AbsolutePath = Annotated[str, "an absolute path, or a URI that pyarrow.fs resolves"]
"""A job's working directory is a copy somewhere in the cluster, so a relative path leads nowhere useful."""

PACKAGE_SCHEME = "package://"
"""`package://stableanimator.synthetic/weights` is a file or folder inside an installed package, on whichever machine
reads it."""


def is_absolute(path: str) -> bool:
    """Whether a path means the same from every working directory."""
    return "://" in path or os.path.isabs(path)


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
