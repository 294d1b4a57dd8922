from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import synthetic


def test_parts_can_be_run_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    arguments = ["--only", "cuts", "--clips", "1", "--workers", "1", "--folder", str(tmp_path)]
    assert synthetic.main(arguments) == 1  # one clip of a dance: without a cut there is nothing to be right about
    printed = capsys.readouterr().out
    assert "0 cuts, 0 missed, 0 too many" in printed
    assert "written" not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "cuts,colours"], "'colours' is no part"),
        (["--only", "faces", "--weights", "/nowhere"], "/nowhere"),
        (["--only", "identity", "--weights", "/nowhere"], "/nowhere"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    common = ["--clips", "1", "--identities", "2", "--workers", "1", "--folder", str(tmp_path)]
    assert synthetic.main([*arguments, *common]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
