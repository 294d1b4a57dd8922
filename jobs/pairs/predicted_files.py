"""The files of a row of predictions, held against the checksums that the row has of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pipelines.storage.checksums import uri_sha256
from stableanimator.errors import RowError

Kind = Literal["prediction", "frames", "skeleton", "poses"]

KINDS: tuple[Kind, ...] = ("prediction", "frames", "skeleton", "poses")


def require_file(row: Mapping[str, Any], kind: Kind) -> None:
    """Read a file and refuse it where it is not what was written; a row of another system has no checksums.

    Raises:
        RowError: `damaged`, or `not_found`.
    """
    uri, sha256 = row[f"{kind}_uri"], row[f"{kind}_sha256"]
    if uri is not None and sha256 is not None and uri_sha256(uri) != sha256:
        raise RowError("damaged", f"{uri} is not what animate wrote: its SHA-256 differs; run animate again")


def all_whole(row: Mapping[str, Any]) -> bool:
    """Whether all files of a row are what was written."""
    try:
        for kind in KINDS:
            require_file(row, kind)
    except RowError:
        return False
    return True
