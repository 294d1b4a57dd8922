from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from jobs.releases import main
from pipelines.storage.store import Collection, Store
from pipelines.storage.tables import SHOTS, SOURCES, VERDICTS


def _release(store: Store, limit: float, verdict: str) -> Collection:
    failed = [{"rule": "min_face_size", "value": 28.0, "threshold": limit, "error": None}]
    row: dict[str, Any] = {**dict.fromkeys(VERDICTS.names), "shot_id": "a:0-9", "video_id": "a", "face_size": 28.0}
    row |= {"verdict": verdict, "failed_rules": failed if verdict == "reject" else []}
    source = {"source_uri": "/clips/<b>one</b>.mp4", "status": "fetched", "video_id": "a"}
    accepted = int(verdict == "accept")
    shots = {"total": 1, "accept": accepted, "reject": 1 - accepted}
    content = {
        "settings": {"select": {"min_face_size": limit}},
        "weights": {},
        "lineage": {},
        "counts": {"sources": {"listed": 1}, "shots": shots, "clip_seconds": 90.0 * accepted},
    }
    tables = {
        "sources": pa.Table.from_pylist([source], schema=SOURCES),
        "verdicts": pa.Table.from_pylist([row], schema=VERDICTS),
    }
    return store.commit("releases", content=content, tables=tables, build={})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(f"experiment: releases\nroot: {tmp_path}/root\n")
    return tmp_path


def _main(root: Path, *arguments: str) -> int:
    return main(["--config", str(root / "config.yaml"), *arguments])


def test_releases_are_listed_oldest_first(root: Path, capsys: pytest.CaptureFixture[str]):
    store = Store(f"{root}/root")
    old, new = _release(store, 32.0, "reject"), _release(store, 24.0, "accept")
    assert _main(root, "list") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if old.id[:12] in line or new.id[:12] in line]
    assert [line.split("│")[1].strip() for line in lines] == [old.id[:12], new.id[:12]]
    assert "1 min 30 s" in lines[1]


def test_a_difference_is_printed_and_written(root: Path, capsys: pytest.CaptureFixture[str]):
    store = Store(f"{root}/root")
    old, new = _release(store, 32.0, "reject"), _release(store, 24.0, "accept")
    assert _main(root, "diff", old.id[:9], "latest", "--csv", f"{root}/d.csv", "--html", f"{root}/d.html") == 0
    output = capsys.readouterr().out
    assert "accepted: 1" in output
    assert "1 settings changed; shots: 1 accepted" in output
    (row,) = csv.DictReader((root / "d.csv").open())
    assert (row["shot_id"], row["change"], row["before"], row["after"]) == ("a:0-9", "accepted", "reject", "accept")
    assert row["why"] == "min_face_size failed: 28, limit 32 -> 24"
    page = (root / "d.html").read_text()
    assert new.id[:12] in page
    assert "&lt;b&gt;one&lt;/b&gt;.mp4" in page  # sources are not to be trusted


def test_parts_are_merged(root: Path, capsys: pytest.CaptureFixture[str]):
    store = Store(f"{root}/root")
    for video in ("a", "b"):
        rows = [{"shot_id": f"{video}:0-9", "video_id": video}]
        store.write_part("shots", "key", video, pa.Table.from_pylist(rows, schema=SHOTS))
    assert _main(root, "compact") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "shots" in line]
    assert [word.strip() for word in line.split("│")[1:6]] == ["shots", "key", "2", "1", "2"]
    assert len(store.parts("shots", "key")) == 1
    assert _main(root, "compact") == 0
    assert "every key has as few parts as it needs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["diff", "latest", "abc"], "no committed"),
        (["diff", "latest", "latest", "--csv", "/no/such/folder/d.csv"], "/no/such/folder/d.csv cannot be written"),
    ],
)
def test_a_users_mistake_is_one_line_and_2(
    root: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    _release(Store(f"{root}/root"), 32.0, "reject")
    assert _main(root, *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert message in error
    assert "\n" not in error
