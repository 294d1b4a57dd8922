"""What is counted of an answer: a command that is none would be seen."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.hostile import addresses
from benchmarks.hostile.__main__ import figures
from benchmarks.hostile.answers import Answer, by_command, by_row


def _main(argv: Sequence[str]) -> int:
    what, *words = argv
    if what == "raise":
        raise ValueError(words)
    if what == "exit":
        sys.exit(2)
    print(*words, sep="\n", file=sys.stderr)
    return int(what)


@pytest.mark.parametrize(
    ("argv", "traceback", "named"),
    [
        (["2", "error: x is wrong"], False, True),
        (["1", "error: x is wrong"], False, False),
        (["0"], False, False),
        (["2", "error: x is", "wrong"], False, False),
        (["2", "x is wrong"], False, False),
        (["2", f"error: {'x' * 1000}"], False, False),
        (["exit"], False, False),
        (["raise"], True, False),
    ],
)
def test_a_line_with_the_code_of_a_mistake_is_wanted(argv: list[str], traceback: bool, named: bool) -> None:
    answer = by_command("case", _main, argv)
    assert (answer.traceback, answer.named) == (traceback, named)


def test_one_row_with_a_reason_is_wanted() -> None:
    assert by_row("case", lambda: [("invalid_url", "bad")]).named
    for rows in ([], [(None, None)], [("invalid_url", ""), ("invalid_url", "")]):
        assert not by_row("case", lambda rows=rows: rows).named  # type: ignore[misc]
    broken = by_row("case", lambda: [("a", str(1 // 0))])
    assert (broken.traceback, broken.named) == (True, False)


def test_what_comes_to_a_listener_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "HERE", ("127.0.0.1",))
    monkeypatch.setattr(addresses, "INSIDE", ())
    (answer,) = addresses.answers(tmp_path)
    assert (answer.asked, answer.named, answer.told.partition(":")[0]) == (0, True, "private_address")
    monkeypatch.setattr(addresses, "LIMITS", replace(addresses.LIMITS, allow_private_addresses=True))
    (answer,) = addresses.answers(tmp_path)
    assert answer.asked == 1


def test_counts_are_held_against_their_bars() -> None:
    good = [Answer(case=str(number), code=2, told="error: x") for number in range(20)]
    assert all(figure.met for figure in figures("settings", good))
    bad = [*good, Answer(case="x", code=1, told="Traceback", asked=1, ran=True, seconds=60.0)]
    assert [figure.met for figure in figures("settings", bad)] == [True, False, False, False, False, False]
    assert json.dumps([figure.value for figure in figures("settings", bad)]) == "[21, 1, 1, 1, 1, 60.0]"
