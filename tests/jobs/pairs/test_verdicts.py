from __future__ import annotations

from typing import Any

import pytest

from jobs.pairs.settings import AnimateJobSettings
from jobs.pairs.verdicts import require_enough, require_some
from stableanimator.errors import InputError, PersonError

SETTINGS = AnimateJobSettings(min_person_share=0.5, min_joints_in_picture=0.25)


def _row(**columns: Any) -> dict[str, Any]:
    known = {"frame_index": list(range(8)), "frames_with_person": 8, "joints_in_picture": 1.0, "reference_face": True}
    return {**known, "reference_uri": "/a.png", **columns}


def test_a_drive_must_show_its_person_in_enough_frames() -> None:
    require_enough(_row(frames_with_person=4), SETTINGS)
    with pytest.raises(PersonError, match="person_seldom_found: the driving person is found in 3 of 8 frames"):
        require_enough(_row(frames_with_person=3), SETTINGS)


def test_enough_of_the_person_must_lie_in_the_picture() -> None:
    require_enough(_row(joints_in_picture=0.25), SETTINGS)
    with pytest.raises(
        PersonError, match=r"person_outside: 6% of the driven joints .* animate.min_joints_in_picture is 0.25"
    ):
        require_enough(_row(joints_in_picture=14 / 232), SETTINGS)


def test_a_reference_without_a_face_is_refused_where_that_is_asked_for() -> None:
    require_enough(_row(reference_face=False), SETTINGS)
    strict = AnimateJobSettings(require_reference_face=True)
    require_enough(_row(), strict)
    with pytest.raises(PersonError, match=r"no_reference_face: /a.png; animate.require_reference_face is true"):
        require_enough(_row(reference_face=False), strict)


def _failed(pair: str, reason: str, detail: str) -> dict[str, Any]:
    return {"pair_id": pair, "reason": reason, "detail": detail}


def test_a_job_went_well_as_long_as_one_row_did() -> None:
    require_some("animate", [_row(), _row()], [_failed("a", "not_found", "/a.png")], "/root")


def test_rows_that_all_failed_are_the_users_to_mend() -> None:
    failed = [_failed("a", "not_found", "/a.png is not a file"), _failed("b", "no_reference_face", "/b.png")]
    with pytest.raises(InputError) as caught:
        require_some("animate", failed, failed, "/root/predictions/x")
    line = "animate: all 2 rows failed: 1 no_reference_face, 1 not_found; the first, a: /a.png is not a file; "
    assert str(caught.value) == line + "all of them are in /root/predictions/x"


@pytest.mark.parametrize("reason", ["unexpected_error", "worker_died", "decode_timeout"])
def test_a_defect_among_them_is_not(reason: str) -> None:
    failed = [_failed("a", "not_found", "/a.png"), _failed("b", reason, "KeyError: 'x'")]
    with pytest.raises(RuntimeError, match=reason):
        require_some("evaluate", failed, failed, "/root")
