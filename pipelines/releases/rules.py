"""Thresholds: which shots are good enough, and every reason why one is not.

Each `min_<column>` or `max_<column>` of `SelectSettings` is a rule on that column of VERDICTS, and the rule's name in
`failed_rules`. None switches a rule off. A rule on a measure that did not run does not apply.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from pipelines.releases.settings import SelectSettings

CAMERA_COLUMNS = ("camera_translation", "camera_rotation", "camera_zoom", "camera_drift", "background_change")
"""Columns that are null where the background shows nothing to track."""


def all_rules(settings: SelectSettings) -> list[tuple[str, str, str, float | None]]:
    """(rule, column, "min" or "max", threshold, None where it is off) of every rule, in the order of the fields."""
    rules = []
    for field in fields(settings):
        kind, _, column = field.name.partition("_")
        if kind in ("min", "max"):
            threshold = getattr(settings, field.name)
            rules.append((field.name, column, kind, None if threshold is None else float(threshold)))
    return rules


@cache  # asked for again with every shot
def rules_of(settings: SelectSettings) -> tuple[tuple[str, str, str, float], ...]:
    """The same of every rule that is switched on."""
    return tuple((*rule[:3], rule[3]) for rule in all_rules(settings) if rule[3] is not None)


def failed_rules(
    shot: Mapping[str, Any], errors: Mapping[str, str], known: Collection[str], settings: SelectSettings
) -> list[dict[str, Any]]:
    """Every rule that a shot fails, as rows {rule, value, threshold, error}; empty means accept.

    Args:
        shot: columns of SHOTS and of the measures by name; missing or None where not measured.
        errors: reason by measure, of measures that failed on this shot.
        known: columns of SHOTS and of the measures that ran; rules on others do not apply.
    """
    if shot["error"] is not None:
        return [_failure("decode", error=shot["error"])]
    failures = [_failure(measure, error=reason) for measure, reason in errors.items()]
    for rule, column, kind, threshold in rules_of(settings):
        if column not in known:
            continue
        value = shot.get(column)
        if value is None:
            unseen = column in CAMERA_COLUMNS and settings.accept_unseen_background
            if not unseen and not errors:
                failures.append(_failure(rule, threshold=threshold, error="unmeasured"))
        elif value < threshold if kind == "min" else value > threshold:
            failures.append(_failure(rule, value=float(value), threshold=threshold))
    return failures


def _failure(
    rule: str, *, value: float | None = None, threshold: float | None = None, error: str | None = None
) -> dict[str, Any]:
    return {"rule": rule, "value": value, "threshold": threshold, "error": error}
