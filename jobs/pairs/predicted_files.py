"""The files of a row of predictions, and the checksums that the row has of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pipelines.storage.store import Store

Kind = Literal["prediction", "frames", "skeleton", "poses"]

KINDS: tuple[Kind, ...] = ("prediction", "frames", "skeleton", "poses")


def recorded(row: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 by column of what a row of PREDICTIONS was made of and consists of; a row of another system has none."""
    sha256 = {f"{name}_uri": row.get(f"{name}_sha256") for name in ("reference", *KINDS)}
    return {column: each for column, each in sha256.items() if each is not None}


def all_whole(store: Store, row: Mapping[str, Any]) -> bool:
    """Whether all files of a row of our own are what was written."""
    files = [(row[f"{kind}_uri"], row[f"{kind}_sha256"]) for kind in KINDS]
    return all(store.holds(path, sha256) for path, sha256 in files if path is not None)
