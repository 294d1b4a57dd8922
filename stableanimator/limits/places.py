"""Paths and URIs of settings, so that each is refused at once where it leads nowhere.

A job's working directory is a copy somewhere in the cluster: a relative path means another place there.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote

from stableanimator.limits.checks import Limit, Name, shown

STORES = ("file", "s3", "gs", "gcs", "abfs", "abfss")
"""Schemes of the URIs where a root, a list or a table may lie: those of pyarrow.fs that keep files of any size."""

_MOST = 4096
"""Characters of a path, as Linux has it."""
_WEB = re.compile(r"https?://", re.IGNORECASE)
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Place(Limit):
    """An absolute path, or a URI of one of some schemes."""

    schemes: tuple[str, ...]
    named: Limit | None = None
    """What else it may be, where it has no slash."""

    def fault(self, value: Any) -> str | None:
        if not isinstance(value, str):
            return f"must be a path, not {shown(value)}"
        if self.named is not None and "/" not in value:
            fault = self.named.fault(value)
            return f"{fault}; a path must be absolute" if fault else None
        if len(value) > _MOST:
            return f"has {len(value)} characters, more than any path ({shown(value)})"
        decoded = "://" in value and not _WEB.match(value)  # a server reads those itself
        if not all(map(_fit_for_paths, unquote(value) if decoded else value)):
            return f"has a character that no path may have ({shown(value)})"
        if "://" in value:
            return self._uri_fault(value)
        words = "an absolute path" + (" or a URI" if self.schemes else "")
        return None if os.path.isabs(value) else _relative(value, words)

    def _uri_fault(self, value: str) -> str | None:
        match = _URI.match(value)
        scheme, host, path = match.groups() if match is not None else ("", "", "")
        scheme = scheme.lower() if _WEB.match(value) else scheme  # pyarrow.fs knows small letters alone
        if scheme not in self.schemes:
            known = ", ".join(f"{scheme}://" for scheme in self.schemes)
            return f"is {shown(value)}; it must be an absolute path, or begin with {known}"
        if scheme == "file":
            wrong = host not in ("", "localhost") or not path
            return f"is {shown(value)}; write file:///folder, with three slashes" if wrong else None
        if not host.rpartition("@")[2] or host.startswith(":"):
            what = {"package": "package", "http": "host", "https": "host"}.get(scheme, "bucket")
            return f"is {shown(value)}; it names no {what}"
        if scheme == "package" and (".." in path.split("/") or path.startswith("//")):
            return f"is {shown(value)}; it leads out of the package"
        return None


def _fit_for_paths(letter: str) -> bool:
    """No control character, which ends a path or a line, and no half of a pair, which no file name can hold."""
    return letter >= " " and letter != "\x7f" and not "\ud800" <= letter <= "\udfff"


def _relative(value: str, wanted: str) -> str:
    return f"is {shown(value)}, a relative path; a job's working directory is a copy elsewhere, so give {wanted}"


AbsolutePath = Annotated[str, Place(("package",))]
"""Of a file or folder of the machine that reads it."""
StorePath = Annotated[str, Place(STORES)]
"""Of what pyarrow.fs reads: the root, tables, lists."""
SourcePath = Annotated[str, Place(("http", "https", "file"))]
"""Of a video, a folder of videos, or a page."""
PackOrPath = Annotated[str, Place(("package",), named=Name())]
