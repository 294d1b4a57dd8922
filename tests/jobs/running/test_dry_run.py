"""A dry run answers at once: what it costs, and what it leaves alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

TINY = Path(__file__).resolve().parents[3] / "jobs" / "configs" / "tiny.yaml"
SECONDS = 2.0
"""Of a processor, in all processes; a quiet machine takes less than one."""
HEAVY = ("torch", "ray", "mlflow", "diffusers", "transformers", "deepspeed", "torchvision")

VERBS = ("align", "alignment_table", "animate", "benchmark", "curate", "distill_decoder", "encode", "evaluate")
VERBS += ("latency", "pretrain_encoders", "train")


def _run(verb: str, *arguments: str) -> tuple[float, int, list[str]]:
    """Seconds of a processor, exit code, and what was imported that takes seconds."""
    command = [sys.executable, "-X", "importtime", "-m", f"jobs.{verb}", "--config", str(TINY), *arguments]
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        imported = {line.rpartition("|")[2].strip() for line in told if line.startswith("import time:")}
    return used.ru_utime + used.ru_stime, process.returncode, sorted(imported & {*HEAVY})


@pytest.mark.parametrize("verb", VERBS)
def test_a_dry_run_takes_little_and_imports_nothing_heavy(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SA_ROOT", str(tmp_path))
    (tmp_path / "tiny" / "sources").mkdir(parents=True)
    seconds, code, heavy = _run(verb, "--dry-run")
    assert (code, heavy) == (0, [])
    assert seconds < SECONDS


def test_a_mistake_is_answered_as_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SA_ROOT", str(tmp_path))
    seconds, code, heavy = _run("animate", "animate.no_such=1")
    assert (code, heavy) == (2, [])
    assert seconds < SECONDS
