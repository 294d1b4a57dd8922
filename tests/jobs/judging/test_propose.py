from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from jobs.judging.propose import main
from pipelines.storage.pair_tables import PREDICTIONS
from pipelines.storage.store import Store
from pipelines.storage.verdict_columns import JUDGED

FIGURES: dict[str, Any] = {field.name: None for field in JUDGED}


def _predictions(root: Path, flickers: dict[str, float | None]) -> None:
    rows = [
        dict.fromkeys(PREDICTIONS.names)
        | {"pair_id": name, "figures": None if value is None else FIGURES | {"flicker": value}}
        for name, value in flickers.items()
    ]
    table = pa.Table.from_pylist(rows, schema=PREDICTIONS)
    Store(str(root)).commit("predictions", content={}, tables={"predictions": table}, build={})


def test_thresholds_are_those_of_the_named_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _predictions(tmp_path, {"a": 1.0, "b": 2.0, "bad": 40.0, "failed": None})
    (tmp_path / "good.txt").write_text("a\nb\n")
    assert main([str(tmp_path), "--good", str(tmp_path / "good.txt")]) == 0
    text = capsys.readouterr().out
    assert text.startswith("# of 2 accepted results; too few")
    # the worst is 2, the way to it from the median 1.5 as long as the least margin of flicker, half a grey level
    assert yaml.safe_load(text) == {"animate": {"accept": {"max_flicker": 2.5}}}
    assert main([str(tmp_path)]) == 0
    assert "max_flicker: 78.0" in capsys.readouterr().out  # 40 and the 38 from the median 2 to it


@pytest.mark.parametrize(
    ("flickers", "good", "told"),
    [
        ({"a": None}, None, "no result was judged"),
        ({"a": 1.0}, "b", "no result of 'b' was judged"),
        ({"a": 1.0}, "", "no pair is named as good"),
    ],
)
def test_mistakes_are_one_line(
    flickers: dict[str, float | None], good: str | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _predictions(tmp_path, flickers)
    (tmp_path / "good.txt").write_text(good or "")
    assert main([str(tmp_path), *([] if good is None else ["--good", str(tmp_path / "good.txt")])]) == 2
    assert told in capsys.readouterr().err
    assert main([str(tmp_path / "none")]) == 2
