from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import ray

from pipelines.actor_pool import Attempts, require_resources, run_actors
from stableanimator.errors import ConfigError, DecodeError, DecodeTimeout, RowError, StorageError, WeightsError

pytestmark = pytest.mark.usefixtures("cluster")


class Adder:
    def __init__(self, amount: int) -> None:
        if amount < 0:
            raise WeightsError("weights file x is missing")
        self.amount = amount

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        errors = {
            13: ValueError("thirteen\nand more"),
            14: StorageError("the disk is full"),
            15: DecodeError("odd", "content"),
            16: DecodeTimeout("nothing came"),
        }
        if row["value"] in errors:
            raise errors[row["value"]]
        return {"value": row["value"] + self.amount, "process": os.getpid()}


def _lost(row: dict[str, Any], error: RowError) -> dict[str, Any]:
    return row | {"reason": error.reason, "detail": error.detail}


SMALL: dict[str, Any] = {"what": "adding", "actors": 1, "cpus": 0.5}


def _run(values: list[int], amount: int) -> list[dict[str, Any]]:
    rows = [{"value": value} for value in values]
    return list(run_actors(rows, Adder, (amount,), lost=_lost, what="adding", actors=2, cpus=0.5))


def test_every_row_goes_to_an_actor_and_comes_back() -> None:
    results = _run(list(range(7)), 10)
    assert sorted(row["value"] for row in results) == list(range(10, 17))
    assert os.getpid() not in {row["process"] for row in results}
    assert _run([], -1) == []


def test_a_users_mistake_in_the_actors_making_comes_back_as_itself() -> None:
    with pytest.raises(WeightsError) as caught:
        _run([1], -1)
    assert type(caught.value) is WeightsError
    assert str(caught.value) == "weights file x is missing"


def test_a_users_mistake_at_a_row_comes_back_as_itself() -> None:
    with pytest.raises(StorageError, match="the disk is full"):
        _run([1, 14], 1)


def test_whatever_goes_wrong_with_a_row_stays_with_it() -> None:
    rows = {row["value"]: row for row in _run([1, 13, 15, 16, 2], 10)}
    assert {value: row.get("reason") for value, row in rows.items()} == {
        11: None, 12: None, 13: "unexpected_error", 15: "odd", 16: "decode_timeout",
    }  # fmt: skip
    assert rows[13]["detail"] == "ValueError: thirteen and more"
    assert rows[15]["detail"] == "content"


def test_an_actor_that_fits_nowhere_is_an_error_and_not_a_wait() -> None:
    require_resources("encode", 1)
    with pytest.raises(ConfigError, match=r"needs 640 CPU cores and 0 GPUs, .* lower encode\.cpus_per_actor"):
        require_resources("encode", 640)
    with pytest.raises(ConfigError, match=r"0\.25 GPUs"):
        require_resources("encode", 1, 0.25)
    with pytest.raises(ConfigError, match=r"9000\.0 GiB of memory"):
        require_resources("encode", 1, memory=9000 * 2**30)


def test_with_less_room_fewer_actors_run_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"value": value} for value in range(8)]
    options = {"lost": _lost, "what": "adding", "actors": 7, "cpus": 1.5, "memory": 2.0**20}
    results = list(run_actors(rows, Adder, (10,), **options))
    assert sorted(row["value"] for row in results) == list(range(10, 18))
    assert 1 <= len({row["process"] for row in results}) <= 2  # three cores hold two
    assert "7 actors of 1.5 CPU cores" in caplog.text
    assert "2 will run" in caplog.text


class Full:
    """Has no room for any row; notes in a file which it began."""

    def __init__(self, notes: str) -> None:
        self.notes = notes

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        with open(self.notes, "a") as notes:
            notes.write(f"{row['value']}\n")
        raise StorageError("the disk is full")


def test_after_a_users_mistake_rows_that_wait_are_not_begun(tmp_path: Path) -> None:
    notes, rows = tmp_path / "notes", [{"value": value} for value in range(12)]
    with pytest.raises(StorageError):
        list(run_actors(rows, Full, (str(notes),), lost=_lost, what="adding", actors=1, cpus=0.5))
    assert 1 <= len(notes.read_text().split()) <= 4


def test_whoever_reads_no_further_has_no_more_begun() -> None:
    results = run_actors([{"value": 20 + value} for value in range(6)], Adder, (1,), lost=_lost, **SMALL)
    assert next(results)["value"] > 20
    results.close()
    assert list(results) == []


class Fragile:
    """Dies of the row 3; notes in a file when work on a row begins."""

    def __init__(self, notes: str) -> None:
        self.notes = notes

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        with open(self.notes, "a") as notes:
            notes.write(f"{row['value']}\n")
        if row["value"] == 3:
            os._exit(1)
        return row


def test_a_row_that_kills_its_actor_is_given_up_and_takes_no_other_with_it(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    rows = [{"value": value} for value in range(8)]
    results = list(run_actors(rows, Fragile, (str(notes),), lost=_lost, what="adding", actors=1, cpus=0.5))
    assert sorted(row["value"] for row in results) == list(range(8))
    assert {row["value"]: row["reason"] for row in results if "reason" in row} == {3: "worker_died"}
    assert notes.read_text().split().count("3") == 2


def test_a_machine_that_was_taken_away_is_no_attempt_of_its_row_until_too_many_were() -> None:
    here = ray.get_runtime_context().get_node_id()
    attempts = Attempts()
    assert [attempts.begin(0, here) for _ in range(2)] == [None, None]
    refused = attempts.begin(0, here)
    assert refused is not None
    assert refused.startswith("the processes that worked on it died, 2 of them; run")
    for number in range(3):
        assert attempts.begin(1, f"a machine that has gone, {number}") is None
    assert [attempts.begin(1, here) for _ in range(2)] == [None, None]  # as many as if none had gone
    refused = attempts.begin(1, here)
    assert refused is not None
    assert "died, 5 of them, and 3 of their machines went away" in refused
    gone = [attempts.begin(2, f"a machine that has gone, {number}") for number in range(9)]
    assert gone[:8] == [None] * 8
    assert gone[8] is not None
