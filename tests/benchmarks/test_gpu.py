"""The measurement on a GPU: the small size, on the CPU, to its end."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import Card, main


def test_the_small_size_runs_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "run_tests", lambda device, seconds: gpu.Figure("tests", 0, 0, "lower"))
    assert main(["--small", "--out", str(tmp_path)]) == 0
    figures = json.loads((tmp_path / "gpu.json").read_text())["figures"]
    seconds = {name: each["value"] for name, each in figures.items() if name.startswith("seconds of ")}
    assert len(seconds) == 8
    assert all(value > 0 for value in seconds.values())
    forward, both = (next(v for n, v in seconds.items() if n.startswith(f"seconds of {name}, "))
                     for name in ("forward", "forward and backward, checkpointing"))  # fmt: skip
    assert both > forward


def test_what_there_is_no_time_for_is_left_out_and_said() -> None:
    card = Card(device="cpu", ends=time.monotonic() - 1)
    card.measure("nothing", lambda: pytest.fail("it ran"))
    (figure,) = card.figures
    assert figure.value != figure.value
    assert "the time was over" in figure.note


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU's tests are those marked gpu")
def test_the_tests_of_devices_run_here_and_a_failure_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    test = tmp_path / "tests" / "test_one.py"
    monkeypatch.setattr(gpu, "_REPOSITORY", tmp_path)
    for text, met in (("assert True", True), ("assert False", False)):
        test.write_text(f"import pytest\n@pytest.mark.device\ndef test_one():\n    {text}\n")
        assert gpu.run_tests("cpu", 120).met is met
    assert gpu.run_tests("cpu", 0).value != gpu.run_tests("cpu", 0).value
