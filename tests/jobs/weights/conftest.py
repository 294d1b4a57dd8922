"""Entries of small files, and a download that does not wait long."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import huggingface_hub.utils  # noqa: F401  its log keeps the stderr of this moment, not that of the first test
import pytest

from jobs.weights import fetch
from jobs.weights.catalogue import Entry, WeightsFile

HOME = "https://home.example/terms"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Two further attempts after a hundredth of a second; `patience(timeout_s=…)` changes that."""

    def change(**options: float) -> None:
        monkeypatch.setattr(fetch, "PATIENCE", replace(fetch.PATIENCE, **options))

    change(retries=2, backoff_s=0.01, timeout_s=5.0)
    return change


@pytest.fixture
def file() -> Callable[..., WeightsFile]:
    """`file(path, body, url)`, with size and checksum of the body unless `known=False`."""

    def make(path: str, body: bytes, url: str | None = None, *, known: bool = True) -> WeightsFile:
        size, sha256 = (len(body), hashlib.sha256(body).hexdigest()) if known else (None, None)
        return WeightsFile(path=path, url=url, size=size, sha256=sha256)

    return make


@pytest.fixture
def entry() -> Callable[..., Entry]:
    """`entry(name, *files)`."""

    def make(name: str, *files: WeightsFile, full: bool = False, archive: WeightsFile | None = None) -> Entry:
        return Entry(
            name=name, what=f"what {name} is", licence="CC BY-NC 4.0", home=HOME, path=name, files=files,
            archive=archive, full=full,
        )  # fmt: skip

    return make
