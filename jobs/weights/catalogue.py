"""The entries and files of catalogue.yaml, which says what its keys mean."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.user_yaml import read_yaml

HUGGING_FACE = "https://huggingface.co"  # what HF_ENDPOINT replaces


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsFile:
    """A file that our code reads. Size (bytes) and SHA-256 (hex) are None where nobody has written them down."""

    path: str  # below the weights folder, with `/`
    size: int | None = None
    sha256: str | None = None
    url: str | None = None  # where its publisher has it; None for a member of the entry's archive


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """Files that are of use together, under one licence."""

    name: str  # what `jobs.weights` calls it
    what: str  # what it is, in a few words
    licence: str
    home: str  # the publisher's page, with the terms
    path: str  # its one file, or the folder that holds all of its files; below the weights folder
    files: tuple[WeightsFile, ...]
    archive: WeightsFile | None = None  # the zip that the files come in; it is deleted when they are there
    full: bool = False  # whether jobs/configs/full.yaml names it as it is shipped


def _entry(name: str, about: dict[str, Any], files: list[dict[str, Any]], **fields: Any) -> Entry:
    path = os.path.commonpath([file["path"] for file in files])
    if hub := fields.pop("hub", None):
        base = f"{HUGGING_FACE}/{hub['repo_id']}/resolve/{hub['revision']}/{hub.get('subfolder', '')}".rstrip("/")
        files = [file | {"url": f"{base}/{file['path'].partition('/')[2]}"} for file in files]
    if archive := fields.pop("zip", None):
        fields["archive"] = WeightsFile(path=f"{path}.zip", **archive)
    return Entry(name=name, path=path, files=tuple(WeightsFile(**file) for file in files), **about, **fields)


_FILE = Path(__file__).with_name("catalogue.yaml")
CATALOGUE = tuple(_entry(name, **fields) for name, fields in read_yaml(_FILE, str(_FILE)).items())
