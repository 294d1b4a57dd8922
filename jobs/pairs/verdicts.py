"""When a prediction is not good enough to count as one, and when all of a job's rows say that it did not work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jobs.pairs.settings import AnimateJobSettings
from pipelines.actor_pool import DIED, UNEXPECTED
from stableanimator.errors import InputError, PersonError

_NO_FAULT_OF_THE_ROW = {UNEXPECTED, DIED, "decode_timeout"}


def require_enough(row: Mapping[str, Any], settings: AnimateJobSettings) -> None:
    """Hold a row of PREDICTIONS against the settings. It is asked before the sampler runs, and of rows of earlier runs.

    Raises:
        PersonError: `no_reference_face`, `person_seldom_found`, `person_outside`.
    """
    if settings.require_reference_face and not row["reference_face"]:
        raise PersonError("no_reference_face", f"{row['reference_uri']}; animate.require_reference_face is true")
    frames, found, inside = len(row["frame_index"]), row["frames_with_person"], row["joints_in_picture"]
    if found < settings.min_person_share * frames:
        detail = f"the driving person is found in {found} of {frames} frames"
        raise PersonError("person_seldom_found", f"{detail}; animate.min_person_share is {settings.min_person_share:g}")
    if inside < settings.min_joints_in_picture:
        detail = f"{inside:.0%} of the driven joints that the reference shows lie in the picture"
        raise PersonError(
            "person_outside", f"{detail}; animate.min_joints_in_picture is {settings.min_joints_in_picture:g}"
        )


def require_some(verb: str, rows: Sequence[Mapping[str, Any]], failed: Sequence[Mapping[str, Any]], where: str) -> None:
    """Refuse to say that a job went well of which every row failed. Its rows are committed by then.

    Raises:
        InputError: the rows' own faults.
        RuntimeError: a defect or a passing trouble has part in it.
    """
    if len(failed) < len(rows):
        return
    reasons = Counter(row["reason"] for row in failed)
    text = (
        f"{verb}: all {len(rows)} rows failed: {summary(reasons)}; the first, {failed[0]['pair_id']}: "
        f"{failed[0]['detail'] or failed[0]['reason']}; all of them are in {where}"
    )
    raise RuntimeError(text) if _NO_FAULT_OF_THE_ROW & set(reasons) else InputError(text)


def summary(reasons: Mapping[str, int]) -> str:
    """`2 no_reference_face, 1 not_found`."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
