"""A dry run answers at once: what it costs, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TINY = Path(__file__).resolve().parents[3] / "jobs" / "configs" / "tiny.yaml"
SECONDS = 2.0
"""Of a processor, in all processes; a quiet machine takes less than one."""
HEAVY = ("torch", "ray", "mlflow", "diffusers", "transformers", "deepspeed", "torchvision")

_RUN = f"""
import resource, runpy, sys
verb = sys.argv[0] = sys.argv.pop(1)
try:
    runpy.run_module(f"jobs.{{verb}}", run_name="__main__")
except SystemExit as end:
    code = end.code
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(sum(each.ru_utime + each.ru_stime for each in used), code, *(name for name in {HEAVY} if name in sys.modules))
"""

VERBS = ("align", "alignment_table", "animate", "benchmark", "curate", "distill_decoder", "encode", "evaluate")
VERBS += ("latency", "pretrain_encoders", "train")


def _run(verb: str, *arguments: str) -> tuple[float, int, list[str]]:
    """Seconds of a processor, exit code, and what was imported that takes seconds."""
    command = [sys.executable, "-c", _RUN, verb, "--config", str(TINY), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, code, *heavy = done.stdout.splitlines()[-1].split()
    return float(seconds), int(code), heavy


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
