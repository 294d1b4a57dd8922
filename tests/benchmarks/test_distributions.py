from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.distributions import main
from pipelines.storage.tables import SOURCES, VERDICTS


def _release(folder: Path) -> Path:
    verdicts: list[dict[str, Any]] = []
    sources: list[dict[str, Any]] = []
    for number in range(10):
        row = {"video_id": f"v{number}", "seconds": float(number), "verdict": "accept" if number > 1 else "reject"}
        verdicts.append({**row, "subject_motion": None if number % 2 else 0.01, "failed_rules": []})
        sources.append({"video_id": f"v{number}", "source_uri": f"/clips/{number}.mp4"})
    pq.write_table(pa.Table.from_pylist(verdicts, schema=VERDICTS), folder / "verdicts.parquet")
    pq.write_table(pa.Table.from_pylist(sources, schema=SOURCES), folder / "sources.parquet")
    return folder


def _table(printed: str, column: str) -> list[str]:
    lines = printed[printed.index(f"### {column}:") :].split("\n\n")[1].splitlines()
    return [line for line in lines if line.startswith("|")][2:]


def test_quantiles_of_each_measured_column_by_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([str(_release(tmp_path))]) == 0
    printed = capsys.readouterr().out
    assert "### seconds: Length of the shot (s); min_seconds 2" in printed
    assert _table(printed, "seconds") == [
        "| accept | 8 | 0% | 2.35 | 3.75 | 5.5 | 7.25 | 8.65 |",
        "| reject | 2 | 0% | 0.05 | 0.25 | 0.5 | 0.75 | 0.95 |",
        "| all | 10 | 0% | 0.45 | 2.25 | 4.5 | 6.75 | 8.55 |",
    ]
    assert _table(printed, "subject_motion")[2] == "| all | 10 | 50% | 0.01 | 0.01 | 0.01 | 0.01 | 0.01 |"
    assert "face_size" not in printed


def test_groups_may_come_from_labels_of_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "labels.csv").write_text("file,kind\n" + "".join(f"{n}.mp4,{'ab'[n > 8]}\n" for n in range(1, 10)))
    main([str(_release(tmp_path)), "--labels", str(tmp_path / "labels.csv"), "--by", "kind"])
    names = [line.split("|")[1].strip() for line in _table(capsys.readouterr().out, "seconds")]
    assert names == ["a", "b", "none", "all"]


def test_a_column_that_is_nowhere_is_the_users_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        main([str(_release(tmp_path)), "--by", "kind"])
    assert "neither verdicts nor labels have a column kind" in capsys.readouterr().err
