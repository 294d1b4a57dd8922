"""What is on disk is what was logged, whatever cut it short."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.tracking.run import Run
from jobs.tracking.spool import Spool, new_spool, spools, spools_folder

REPOSITORY = Path(__file__).parents[3]
DESCRIBED = {"uri": "http://tracker", "experiment": "dance", "name": "train (main)", "started": 1, "tags": {"job": "k"}}


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made, lock = new_spool(tmp_path / "tracking", DESCRIBED)
    assert lock is not None
    lock.release()
    return made


def _values(spool: Spool) -> list[float]:
    return [record["values"]["loss"] for _, _, record in spool.records({})]


def test_records_of_each_process_are_read_in_order_and_from_where_one_was(spool: Spool) -> None:
    driver, worker = Run(spool.folder), Run(spool.folder)
    for step in (1, 2):
        driver.metrics({"loss": step})
        worker.metrics({"loss": 10 * step})
    driver.metrics({"loss": math.nan})
    records = list(spool.records({}))
    assert [each for each in _values(spool) if each == each] == [1, 2, 10, 20]
    name, end, _ = records[1]
    assert [record["values"]["loss"] for _, _, record in spool.records({name: end})][1:] == [10, 20]


def test_a_torn_last_line_is_dropped_and_a_damaged_one_passed_over(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    Run(spool.folder).metrics({"loss": 1})
    (path,) = spool.folder.glob("*.jsonl")
    line = path.read_bytes()
    path.write_bytes(line + b"\0" * 9 + b"\n" + line + line[:-9])
    assert [record.get("values") for _, _, record in spool.records({})] == [{"loss": 1}, None, {"loss": 1}]
    assert "has a damaged line" in caplog.text
    Run(spool.folder).metrics({"loss": 2})  # of the process that goes on
    assert [record["values"]["loss"] for _, _, record in spool.records({}) if "values" in record] == [1, 1, 2]


FULL = """
import resource, signal, sys
from jobs.tracking.run import Run
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
run = Run(sys.argv[1])
for step in range(2):
    run.metrics({"loss": step})
resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))  # within the third line
run.metrics({"loss": 2})
run.text("x" * 1000, "config.yaml")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
run.metrics({"loss": 3})
"""


def test_a_disk_that_is_full_for_a_while_ends_nothing(spool: Spool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(spool.folder)], cwd=REPOSITORY, text=True, capture_output=True, check=True
    )
    assert _values(spool) == [0, 1, 3]
    assert done.stderr.count("cannot be written") == 1


def test_one_sender_has_it_until_it_dies(spool: Spool) -> None:
    code = (
        f"from jobs.tracking.spool import *; from pathlib import Path; print(Spool(Path({str(spool.folder)!r})).lock())"
    )
    lock = spool.lock()
    assert lock is not None

    def elsewhere() -> str:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, cwd=REPOSITORY, text=True, capture_output=True, check=True).stdout.strip()

    assert elsewhere() == "None"
    lock.release()
    assert elsewhere() != "None"
    assert spool.lock() is not None


def test_a_new_spool_is_locked_from_the_first_moment_and_in_order(tmp_path: Path) -> None:
    made = [new_spool(tmp_path, DESCRIBED) for _ in range(3)]
    assert [spool for spool, _ in made] == spools(tmp_path)
    assert all(spool.lock() is None for spool, _ in made)
    (tmp_path / ".00000000000000000001-cut-short").mkdir()
    assert len(spools(tmp_path)) == 3


def test_what_was_deleted_does_not_come_back(spool: Spool) -> None:
    spool.delete()
    assert spool.lock() is None
    assert not spool.folder.exists()


def test_spools_lie_below_the_root_or_among_the_users_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert spools_folder("/data/sa") == Path("/data/sa/tracking")
    assert spools_folder("s3://bucket/sa") == tmp_path / "stableanimator" / "tracking"


def test_a_table_holds_what_json_has_words_for(spool: Spool) -> None:
    Run(spool.folder).table("rows", [{"a": 1.5, "b": math.nan}, {"a": (1, 2), "c": Path("x")}])
    ((_, _, record),) = spool.records({})
    table = json.loads(spool.file(record["file"]).read_text())
    assert table == {"columns": ["a", "b", "c"], "data": [[1.5, None, None], [[1, 2], None, "x"]]}
