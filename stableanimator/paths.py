"""Settings that name a file or folder carry this type, so that a configuration can refuse relative paths."""

from __future__ import annotations

import os
from typing import Annotated

AbsolutePath = Annotated[str, "an absolute path, or a URI that pyarrow.fs resolves"]
"""A job's working directory is a copy somewhere in the cluster, so a relative path leads nowhere useful."""


def is_absolute(path: str) -> bool:
    """Whether a path means the same from every working directory."""
    return "://" in path or os.path.isabs(path)
