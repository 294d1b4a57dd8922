"""A few inputs of each kind of files: what the benchmark holds against all."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.hostile import archives, tables, weights
from benchmarks.hostile.__main__ import KINDS
from benchmarks.hostile.answers import Answer

_TABLES = ("30 million rows of one value", "a pipe", "a link to /dev/zero", "a terabyte of CSV", "20,000 columns")
_PICKLES = (
    "code in an archive",
    "eight gigabytes by a call",
    "a tensor larger than its numbers",
    "names that are numbers",
    "an archive with another pickle",
    "a program",
    "a packed archive",
)
_ONNX = ("weights in /dev/zero", "weights out of the folder", "weights behind a link", "a cast to nowhere", "a pipe")
_ARCHIVES = (
    "a way out",
    "a link",
    "a name twice",
    "a quarter of a gigabyte beside it",
    "encrypted",
    "a wrong checksum",
)
_CONFIGS = ("a number", "JSON of 100,000 levels", "a million for each number", "numbers of 400 digits")


def _require(answers: list[Answer], least: int) -> None:
    wrong = [each for each in answers if each.traceback or each.asked or each.ran or not each.named]
    assert (len(answers) >= least, wrong) == (True, [])


def test_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PAIRS", {name: tables.PAIRS[name] for name in _TABLES})
    monkeypatch.setattr(tables, "LISTS", {name: tables.LISTS[name] for name in _TABLES if name in tables.LISTS})
    monkeypatch.setattr(tables, "REFERENCES", ("/dev/zero", "{folder}/pipe.png", "http://127.0.0.1:{port}/a.png"))
    _require(list(KINDS["tables"](tmp_path)), 25)


@pytest.mark.slow
def test_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PICKLES", {name: weights.PICKLES[name] for name in _PICKLES})
    monkeypatch.setattr(weights, "SAFETENSORS", {name: weights.SAFETENSORS[name] for name in ("a hole", "a pipe")})
    monkeypatch.setattr(weights, "ONNX", {name: weights.ONNX[name] for name in _ONNX})
    monkeypatch.setattr(weights, "CONFIGS", {name: weights.CONFIGS[name] for name in _CONFIGS})
    _require(list(KINDS["weights"](tmp_path)), 50)


def test_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ARCHIVES", {name: archives.ARCHIVES[name] for name in _ARCHIVES})
    _require(list(KINDS["archives"](tmp_path)), len(_ARCHIVES))
