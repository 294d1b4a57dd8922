"""What differs between two releases: settings, and shots that are new, gone, judged or measured otherwise, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.releases.rule_columns import number_text
from pipelines.storage.store import Collection
from pipelines.storage.tables import MEASURES, scalar_columns

CHANGES = ("accepted", "rejected", "new", "removed", "reasons", "measures")
"""accepted and rejected: judged otherwise, and so now. reasons: rejected in both, by other rules. measures: the same
verdict by the same rules on other numbers."""


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One setting, weights file or measure key; None where a release does not have it."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class ShotChange:
    """One shot that is not what it was."""

    change: str
    """One of CHANGES."""
    shot_id: str
    source: str
    """Where its video came from; empty where that is not known."""
    before: str
    """Verdict: accept, reject, or empty where the shot was not there."""
    after: str
    why: str
    """Each rule that failed in one of the two, with values and limits."""
    measures: str
    """Numbers that are not what they were."""


@dataclass(frozen=True, slots=True)
class ReleaseDiff:
    """All that differs."""

    settings: list[SettingChange]
    shots: list[ShotChange]
    """By change in the order of CHANGES, then by shot_id."""

    @property
    def counts(self) -> dict[str, int]:
        """Shots by change; those that did not change are not counted."""
        found = Counter(shot.change for shot in self.shots)
        return {change: found[change] for change in CHANGES if found[change]}


def diff_releases(old: Collection, new: Collection) -> ReleaseDiff:
    """Compare two releases. Rows are made for shots that differ alone.

    Raises:
        InputError: a table is not what was committed.
    """
    before, after = old.table("verdicts"), new.table("verdicts")
    partner = pc.index_in(after["shot_id"], value_set=before["shot_id"].combine_chunks())
    both = partner.is_valid().to_numpy()
    numbers = partner.drop_null().to_numpy()
    differs = _differs(before.take(numbers), after.filter(both))
    kept = np.flatnonzero(both)[differs]
    sides = _Sides(old, new)
    pairs = zip(before.take(numbers[differs]).to_pylist(), after.take(kept).to_pylist(), strict=True)
    removed = before.filter(pc.invert(pc.is_in(before["shot_id"], value_set=after["shot_id"].combine_chunks())))
    changes = [
        *(sides.change(*pair) for pair in pairs),
        *(sides.change(None, row) for row in after.filter(~both).to_pylist()),
        *(sides.change(row, None) for row in removed.to_pylist()),
    ]
    changes.sort(key=lambda one: (CHANGES.index(one.change), one.shot_id))
    return ReleaseDiff(_setting_changes(old.manifest, new.manifest), changes)


def _differs(before: pa.Table, after: pa.Table) -> NDArray[np.bool_]:
    """[rows] whether verdict, failed rules or any number differ; the tables have the same shots in the same order."""
    result = np.zeros(len(before), bool)
    for name in ("verdict", "error", *_numbers()):
        if name in before.column_names and name in after.column_names:
            one, other = before[name], after[name]
            same = pc.or_(pc.fill_null(pc.equal(one, other), False), pc.and_(one.is_null(), other.is_null()))
            result |= ~same.to_numpy()
    names = [_failed_names(table) for table in (before, after)]
    return result | np.array([one != other for one, other in zip(*names, strict=True)], bool)


def _failed_names(table: pa.Table) -> list[list[str]]:
    return [[failure["rule"] for failure in failures] for failures in table["failed_rules"].to_pylist()]


def _numbers() -> list[str]:
    return [name for measure in MEASURES for name in scalar_columns(measure)]


class _Sides:
    """The thresholds and sources of both releases."""

    def __init__(self, old: Collection, new: Collection) -> None:
        self._limits = [release.manifest["settings"]["select"] for release in (old, new)]
        self._sources: dict[str, str] = {}
        for release in (old, new):
            rows = release.table("sources").select(["video_id", "source_uri", "status"]).to_pylist()
            self._sources |= {row["video_id"]: row["source_uri"] for row in rows if row["status"] == "fetched"}

    def change(self, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> ShotChange:
        """What became of one shot; None where it is not in a release."""
        row = after or before
        assert row is not None
        verdicts = ["" if one is None else str(one["verdict"]) for one in (before, after)]
        failed = [_failures(one) for one in (before, after)]
        if before is None or after is None:
            change = "new" if before is None else "removed"
        elif verdicts[0] != verdicts[1]:
            change = "accepted" if verdicts[1] == "accept" else "rejected"
        else:
            change = "reasons" if set(failed[0]) != set(failed[1]) else "measures"
        rules = list(dict.fromkeys((*failed[0], *failed[1])))
        return ShotChange(
            change=change,
            shot_id=row["shot_id"],
            source=self._sources.get(row["video_id"], ""),
            before=verdicts[0],
            after=verdicts[1],
            why="; ".join(self._why(rule, (before, after), failed) for rule in rules),
            measures="; ".join(_measure_changes(before, after)),
        )

    def _why(self, rule: str, rows: tuple[Mapping[str, Any] | None, ...], failed: list[dict[str, Any]]) -> str:
        """`min_face_size failed before: 28, limit 32 -> 24`."""
        when = "fails in both" if all(rule in one for one in failed) else "fails now" if rule in failed[1] else "failed"
        column = rule.partition("_")[2]
        values = [_told(row, failures.get(rule), column) for row, failures in zip(rows, failed, strict=True)]
        text = f"{rule} {when}: {_arrow(*values)}"
        if not any(rule in limits for limits in self._limits):  # a measure that broke down
            return text
        limits = [number_text(limits[rule]) if limits.get(rule) is not None else "off" for limits in self._limits]
        return f"{text}, limit {_arrow(*limits)}"


def _failures(row: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if row is None else {failure["rule"]: failure for failure in row["failed_rules"]}


def _told(row: Mapping[str, Any] | None, failure: Mapping[str, Any] | None, column: str) -> str:
    """The value that a rule looked at; the reason where there was none."""
    if row is None:
        return "not there"
    if failure is not None and failure["error"] is not None:
        return str(failure["error"])
    return number_text(row.get(column)) if column in row else "measured"


def _measure_changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Iterator[str]:
    if before is not None and after is not None:
        for name in _numbers():
            if before.get(name) != after.get(name):
                yield f"{name} {number_text(before.get(name))} -> {number_text(after.get(name))}"


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"


def _setting_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[SettingChange]:
    """Of what decides a release: settings, weights, and the keys of the measures."""
    before, after = (
        dict(_flat({name: one[name] for name in ("settings", "weights", "lineage")})) for one in (old, new)
    )
    names = [*before, *(name for name in after if name not in before)]
    return [
        SettingChange(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    ]


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
