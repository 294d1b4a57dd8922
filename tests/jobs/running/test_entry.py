"""What a job's work ends in decides its exit code, also when Ray wrapped the error in a worker's failure."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import ray

from jobs.running import entry
from jobs.running.config import Config
from jobs.tracking.run import Run
from stableanimator.errors import InputError

from ...infra.services import until

pytestmark = pytest.mark.usefixtures("cluster")


@ray.remote
def _fails_with_the_users_mistake() -> None:
    raise InputError("the list names no video; add one")


def _user_mistake_on_a_worker(config: Config, run: Run) -> str:
    ray.get(_fails_with_the_users_mistake.remote())
    return "unreachable"


def _defect(config: Config, run: Run) -> str:
    raise ZeroDivisionError("a defect of ours")


def _works(config: Config, run: Run) -> str:
    return f"nothing made for {config.experiment}"


@pytest.mark.parametrize(
    ("work", "code", "shown"),
    [
        (_works, 0, "encode: nothing made for entry ("),
        (_user_mistake_on_a_worker, 2, "error: the list names no video; add one"),
        (_defect, 1, "ZeroDivisionError: a defect of ours"),
    ],
)
def test_exit_codes(
    work: Callable[[Config, Run], str],
    code: int,
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SA_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    config = tmp_path / "config.yaml"
    config.write_text(f"experiment: entry\nroot: {tmp_path}\n")
    assert entry.main("encode", work, ["--config", str(config)]) == code
    output = capsys.readouterr()
    assert shown in output.out + output.err
    assert ("Traceback" in output.err) == (code == 1)
    if code == 0:
        said, command, page = output.out.strip().splitlines()[-3:]
        assert said.endswith(" s)")
        assert command == f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/mlflow.db  shows it at"
        assert re.fullmatch(r"http://127.0.0.1:5000/#/experiments/1/runs/\w{32}\?workflowType=machine_learning", page)


def test_a_preview_is_a_setting_of_animate_for_short() -> None:
    arguments = entry.parser("animate").parse_intermixed_args(["--config", "a.yaml", "--preview", "animate.limit=3"])
    assert entry.overrides(arguments) == ["animate.preview=true", "animate.limit=3"]
    plain = entry.parser("encode").parse_intermixed_args(["--config", "a.yaml", "encode.batch=3"])
    assert entry.overrides(plain) == ["encode.batch=3"]
    with pytest.raises(SystemExit):
        entry.parser("encode").parse_intermixed_args(["--config", "a.yaml", "--preview"])


DASHBOARD = """
import sys
import psutil
from jobs.running import entry

def work(config, run):
    beside = {word for each in psutil.Process().children(recursive=True) for word in each.cmdline()}
    assert any(word.endswith("dashboard.py") for word in beside)  # without one it counts usage alone
    return "without a dashboard" if "--disable-frontend" in beside else "with a dashboard"

sys.exit(entry.main(sys.argv[1], work, ["--config", sys.argv[2]]))
"""


@pytest.mark.parametrize(("verb", "beside"), [("animate", "without"), ("train", "with")])
def test_a_jobs_own_ray_has_a_dashboard_where_ray_train_asks_it(verb: str, beside: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"experiment: entry\nroot: {tmp_path}\n")
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [sys.executable, "-c", DASHBOARD, verb, str(config)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert f"{verb}: {beside} a dashboard (" in done.stdout, done.stderr


LEAVING = """
import sys, threading, time
from jobs.running import ending, entry

def work():
    with entry.connected("local"):
        threading.Thread(target=lambda: (time.sleep(0.3), print("leaving", flush=True)), daemon=True).start()
    print("left", flush=True)
    time.sleep(60)
    return 0

ending.leave(ending.ended(work))
"""


@pytest.mark.parametrize("moment", ["leaving", "left"])
def test_sigterm_while_and_after_ray_is_left_ends_with_a_line_and_143(moment: str) -> None:
    """Ray's core gives the signal back to the system when it is shut down, which takes it a second more."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", LEAVING], env=environment, **pipes) as process:  # type: ignore[call-overload]
        for line in process.stdout:
            if line.strip() == moment:
                break
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 143
    assert said.splitlines()[-1].startswith("stopped by SIGTERM; what is done is kept")


STOPPED = """
import time
import ray
from jobs.running import ending, entry

@ray.remote
class Actor:
    pass

def work():
    with entry.connected("local"):
        actor = Actor.options(runtime_env={"env_vars": {"ANY": "1"}}).remote()
        print("connected", flush=True)
        time.sleep(60)
    return 0

ending.leave(ending.ended(work))
"""


def test_what_a_jobs_own_ray_started_ends_with_a_job_that_is_stopped() -> None:
    """Ray's agents alone would stay for half a minute where its raylet goes while they begin."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    mark = {"SA_TEST_STOPPED": str(uuid.uuid4())}
    with subprocess.Popen([sys.executable, "-c", STOPPED], env=environment | mark, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"connected\n"
        time.sleep(0.3)
        assert len(_with(mark)) > 4
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    until(lambda: not _with(mark), 12, lambda: f"left: {_with(mark)}")


def _with(mark: dict[str, str]) -> list[str]:
    """What runs with these variables, but for what has ended and waits to be asked."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if mark.items() <= process.environ().items() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.name())
    return found
