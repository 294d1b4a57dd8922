from __future__ import annotations

from typing import Any

import pytest

from jobs.judging.acceptance import acceptance, told


def _row(accepted: bool | None, tries: int, *missed: str) -> dict[str, Any]:
    return {"accepted": accepted, "tries": [{}] * tries, "verdict": [{"name": name} for name in missed]}


def test_an_accepted_clip_costs_all_tries_of_all_clips() -> None:
    rows = [_row(True, 1), _row(True, 3), _row(False, 4, "flicker", "csim_held_out"), _row(False, 4, "flicker")]
    timings = [{"seconds": 2.5}] * 12
    found = acceptance(rows, timings)
    assert found == {
        "accepted_share": 0.5,
        "tries_per_accepted": 6.0,
        "seconds_per_accepted": 15.0,
        "missed/csim_held_out": 1.0,
        "missed/flicker": 2.0,
    }
    assert told(found) == "50% accepted at 6.0 tries and 15 s each, missed: 1 csim_held_out, 2 flicker"


def test_where_none_is_accepted_there_is_no_cost_of_one() -> None:
    found = acceptance([_row(False, 2, "seam")], [{"seconds": 1.0}])
    assert found == {"accepted_share": 0.0, "missed/seam": 1.0}
    assert told(found) == "0% accepted, missed: 1 seam"


@pytest.mark.parametrize("rows", [[], [{"accepted": None, "tries": None, "verdict": None}]])
def test_where_nothing_is_judged_there_is_nothing_to_tell(rows: list[dict[str, Any]]) -> None:
    assert acceptance(rows, []) == {}
    assert told({}) == ""
