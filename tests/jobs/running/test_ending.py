"""A line and an exit code for whatever a command ends in: signals to processes, and errors as Ray wraps them."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.running import ending
from stableanimator.errors import DivergedError, InputError, RowError, UserError, WeightsError

JOBS = Path(ending.__file__).parents[1]

WORK = """
import time
from jobs.running import ending

def work():
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        print("saved", flush=True)
    return 0

ending.leave(ending.ended(work{kept}))
"""


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ending.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _process(code: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


IMPORTING = """
import time
from jobs.running import ending

ending.until_begun()
print("begun", flush=True)
time.sleep(60)  # as long as imports take
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_while_modules_are_imported_ends_with_a_line_too(number: signal.Signals, code: int) -> None:
    process = _process(IMPORTING)
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == code
    assert err == f"stopped by {number.name}; nothing was begun\n"


def test_every_command_hears_signals_from_its_first_line() -> None:
    commands = [path for path in (*JOBS.glob("*.py"), *JOBS.glob("*/__main__.py")) if "__name__" in path.read_text()]
    assert len(commands) > 18
    for path in commands:
        begun = path.read_text().partition('if __name__ == "__main__":\n')
        imports = [line for line in begun[0].splitlines() if line.startswith(("import ", "from "))]
        assert len(imports) == 2, path  # the future's annotations, and what answers
        assert begun[2].lstrip().startswith(("ending.until_begun()", "entry.answer_first(")), path


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_with_a_line_and_its_code_after_what_can_be_saved(number: signal.Signals, code: int) -> None:
    process = _process(WORK.format(kept=", kept='no video was written'"))
    process.send_signal(number)
    process.send_signal(number)  # as `timeout` sends it: to the process and to its group
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (code, "saved\n")
    assert err.strip() == f"stopped by {number.name}; no video was written"


def test_who_was_told_to_ignore_sigint_hears_it() -> None:
    process = _process("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)" + WORK.format(kept=""))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert process.stderr is not None
    assert process.stderr.read().strip() == f"stopped by SIGINT; {ending.KEPT}"


def test_the_same_signal_after_a_while_does_not_wait_for_what_is_saved() -> None:
    process = _process(WORK.format(kept="").replace('print("saved"', 'time.sleep(60) or print("saved"'))
    process.send_signal(signal.SIGTERM)
    time.sleep(ending._AGAIN_S + 0.2)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (143, "")
    assert err.strip().startswith("stopped at once by SIGTERM; ")


def test_signals_are_as_before_when_a_command_has_ended() -> None:
    before = [signal.getsignal(number) for number in ending.SIGNALS]
    assert ending.ended(lambda: 7) == 7
    assert [signal.getsignal(number) for number in ending.SIGNALS] == before
    ending.arm()  # outside of a command it takes nothing
    assert [signal.getsignal(number) for number in ending.SIGNALS] == before


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("the list names no video; add one"), 2, "error: the list names no video; add one"),
        (DivergedError("mine diverged at step 3"), 1, "error: mine diverged at step 3"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/data/a"),
            2,
            "error: a disk is full (while writing /data/a)",
        ),
    ],
)
def test_what_can_be_told_in_a_line_is(
    error: Exception, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        raise RuntimeError("of a library") from error

    assert ending.ended(work) == code
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(line)


def test_a_defect_has_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        raise ZeroDivisionError("ours")

    assert ending.ended(work) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_traceback_tells_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending.failed(ZeroDivisionError("of s3://KEY:SECRET@bucket/a and https://h/a.mp4?token=SECRET")) == 1
    shown = capsys.readouterr().err
    assert "ZeroDivisionError: of s3://***@bucket/a and https://h/a.mp4?token=***" in shown
    assert "SECRET" not in shown


def test_what_can_be_told_is_found_wherever_it_was_wrapped() -> None:
    mistake, full = UserError("give a folder"), OSError(errno.EDQUOT, "Disk quota exceeded")

    class WorkerGroupError(Exception):
        def __init__(self, *failures: Exception) -> None:
            super().__init__("training failed")
            self.worker_failures = dict(enumerate(failures))

    chained = RuntimeError("task failed")
    chained.__cause__ = mistake
    assert ending.told(chained) is mistake
    assert ending.told(WorkerGroupError(ValueError("side effect"), mistake)) is mistake
    assert ending.told(WorkerGroupError(full, mistake)) is mistake  # whoever said it in words knows more
    assert "Disk quota exceeded" in str(ending.told(WorkerGroupError(ValueError("side effect"), full)))
    assert ending.told(WorkerGroupError(ValueError("ours"), RowError("too_short"))) is None


def test_missing_weights_of_the_weights_folder_are_told_where_they_come_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = WeightsError(f"{tmp_path}/dwpose/yolox_l.onnx is missing")
    monkeypatch.delenv("SA_WEIGHTS", raising=False)
    assert ending.one_line(missing) == str(missing)
    monkeypatch.setenv("SA_WEIGHTS", str(tmp_path))
    assert (
        ending.one_line(missing) == f"{missing}; python -m jobs.weights list shows what belongs where, fetch brings it"
    )
    elsewhere = WeightsError("/models/dance is missing; train one")
    assert ending.one_line(elsewhere) == str(elsewhere)
    assert ending.one_line(InputError(str(missing))) == str(missing)
