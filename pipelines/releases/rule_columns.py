"""How the columns that rules use are told to people: names, units, numbers, and what too little or too much means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Scale = Literal["linear", "log", "count", "share"]


@dataclass(frozen=True, slots=True)
class RuleColumn:
    """One column of VERDICTS in words."""

    title: str
    unit: str
    """After a number; empty for a share or a score without one."""
    low: str
    """What is wrong with a shot that `min_<column>` rejects."""
    high: str
    """The same for `max_<column>`."""
    scale: Scale = "linear"
    """log: positive and spread over powers of ten. count: whole numbers, and halves of a median. share: 0 to 1."""


RULE_COLUMNS = {
    "seconds": RuleColumn("Length of the shot", "s", "too short", "too long", "log"),
    "width": RuleColumn("Width of the picture", "px", "picture too narrow", "picture too wide", "log"),
    "height": RuleColumn("Height of the picture", "px", "picture too low", "picture too high", "log"),
    "people_median": RuleColumn("People in the median frame", "", "no person, or too few", "too many people", "count"),
    "people_most": RuleColumn(
        "People in the fullest frames", "", "never enough people", "more people than wanted", "count"
    ),
    "face_share": RuleColumn("Frames with a face", "", "too few frames with a face", "too many faces", "share"),
    "face_size": RuleColumn("Size of the face", "px", "face too small", "face too large", "log"),
    "face_score": RuleColumn("Certainty of the face", "", "face not certain", "face too certain", "share"),
    "face_sharpness": RuleColumn("Sharpness of the face", "grey levels²", "face blurred", "face too sharp", "log"),
    "face_yaw": RuleColumn("Turn of the head", "°", "head not turned", "head turned away"),
    "face_consistency": RuleColumn("Sameness of the face", "", "more than one identity", "face never changes", "share"),
    "keypoint_coverage": RuleColumn("Joints that are seen", "", "too few joints seen", "too many joints", "share"),
    "keypoint_missing_share": RuleColumn(
        "Frames with hardly a skeleton", "", "skeleton always complete", "skeleton missing too often", "share"
    ),
    "camera_translation": RuleColumn("Camera: translation", "diagonals/s", "camera stands", "camera moves", "log"),
    "camera_rotation": RuleColumn("Camera: rotation", "°/s", "camera does not roll", "camera rolls", "log"),
    "camera_zoom": RuleColumn("Camera: zoom", "log scale/s", "camera does not zoom", "camera zooms", "log"),
    "camera_drift": RuleColumn("Camera: drift over the shot", "diagonals", "camera stays", "camera drifts away", "log"),
    "background_change": RuleColumn(
        "Background that moves by itself", "", "background too still", "background not static", "share"
    ),
    "black_bars": RuleColumn("Black bars", "", "too few black bars", "black bars", "share"),
    "interlaced": RuleColumn("Frames stored as two fields", "", "too few fields", "interlaced", "share"),
    "combing": RuleColumn("Frames with combs", "", "too few combs", "woven fields show as combs", "share"),
    "near_duplicate_distance": RuleColumn(
        "Difference from the nearest kept shot", "", "near-duplicate of a shot that is kept", "like no other", "log"
    ),
    "subject_motion": RuleColumn(
        "Motion of the people", "heights/s", "nobody moves: a statue or a frozen picture", "people move too fast", "log"
    ),
}
"""By column, for every column that a rule of pipelines.releases.settings.SelectSettings may name."""


def number_text(value: float | None) -> str:
    """Three digits, never as 1e-05; a dash for what is missing."""
    if value is None or math.isnan(value):
        return "–"
    if abs(value) >= 100 or value == int(value):
        return f"{value:.0f}"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{value:.{min(digits, 6)}f}".rstrip("0").rstrip(".")


def reason_text(rule: str) -> str:
    """What a rule, or a measure that failed, says against a shot."""
    kind, _, column = rule.partition("_")
    known = RULE_COLUMNS.get(column)
    if known is None or kind not in ("min", "max"):
        return "the video cannot be decoded" if rule == "decode" else f"the measure {rule} failed"
    return known.low if kind == "min" else known.high
