"""The page of a release for people: what came in, what was left at each step, why the rest was not, with pictures.

One HTML file that loads nothing from elsewhere. Its size is bounded by settings, not by the number of shots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import numpy as np

from pipelines.curation import CurateSettings
from pipelines.releases.contact_sheet import contact_sheets, failure_text, link_to, shot_name
from pipelines.releases.histograms import histogram
from pipelines.releases.rule_columns import RULE_COLUMNS, number_text, reason_text
from pipelines.releases.rule_effects import NearMiss, RuleEffect, column_values, near_misses, rule_effects

_MOST_ROWS = 200  # of the table of verdicts
_MOST_EXAMPLES = 5  # of sources that failed for one reason
_MOST_PASSED_OVER = 100  # of files in folders that are no videos, for one reason
_MOST_NEAR_MISSES = 5

Row = Mapping[str, Any]


def render_report(
    sources: Sequence[Row],
    verdicts: Sequence[Row],
    counts: Mapping[str, Any],
    thumbnails: Mapping[str, bytes],
    settings: CurateSettings,
    moved: Sequence[str] = (),
) -> str:
    """The page as HTML in one file.

    Args:
        sources, verdicts: rows of SOURCES and VERDICTS.
        counts: of pipelines.releases.select.count_steps.
        thumbnails: JPEG files by shot_id.
        moved: videos that an earlier release held out and that train now.
    """
    effects = rule_effects(verdicts, settings.select)
    uris = {row["video_id"]: row["source_uri"] for row in reversed(sources) if row["video_id"]}
    groups = contact_sheets(sources, verdicts, thumbnails, settings.report.thumbnails)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipelines.releases", "."), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["number"] = number_text
    environment.filters["reason"] = reason_text
    return environment.get_template("report.html.jinja").render(
        summary=summary(counts),
        counts=counts,
        funnel=funnel(counts),
        reasons=_reasons(counts, effects),
        panels=_panels(verdicts, effects),
        near=[_near_miss(miss, uris) for miss in near_misses(verdicts, _MOST_NEAR_MISSES)],
        failed_sources=_by_reason(sources, "failed", _MOST_EXAMPLES),
        passed_over=_by_reason(sources, "passed_over", _MOST_PASSED_OVER),
        splits=_splits(verdicts, counts, moved),
        groups=groups,
        shown=sum(len(group.cards) for group in groups),
        table=_table(verdicts, effects, uris),
    )


def summary(counts: Mapping[str, Any]) -> str:
    """One or two sentences: how many shots were accepted, and, where none was, why."""
    shots, listed = counts["shots"], counts["sources"]["listed"]
    if shots["accept"]:
        minutes = counts["clip_seconds"] / 60
        return (
            f"{shots['accept']} of {shots['total']} shots from {listed} sources were accepted: {minutes:.1f} minutes."
        )
    if not listed and (others := counts["sources"].get("passed_over")):
        return f"0 clips: the folders of crawl.sources hold no video, but {others} other files, named below."
    if not listed:
        return "0 clips: no source was listed. Set crawl.sources or crawl.lists."
    if not shots["total"]:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in counts["failed_sources"].items())
        return f"0 clips: none of the {listed} sources could be fetched: {reasons}."
    rules = sorted(counts["failed_rules"].items(), key=lambda item: (-item[1], item[0]))
    most = ", ".join(f"{rule} rejects {count}" for rule, count in rules[:3])
    alone = counts["only_failed_rule"]
    if not alone:
        return f"0 clips: each of the {shots['total']} shots fails at least two rules; {most}."
    rule, count = max(alone.items(), key=lambda item: item[1])
    return f"0 clips of {shots['total']} shots: {most}. {count} would be accepted without {rule}."


def funnel(counts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The steps from what was listed to what was accepted, each with what was lost before the next."""
    sources, shots = counts["sources"], counts["shots"]
    undecodable = sum(counts["undecodable_videos"].values())
    lost = [f"{sources[name]} {name}" for name in ("duplicate", "failed") if sources.get(name)]
    others = sources.get("passed_over")
    steps = [
        ("sources listed", sources["listed"], f"{others} other files in folders" if others else ""),
        ("fetched", sources.get("fetched", 0), ", ".join(lost)),
        ("videos decoded", counts["videos"] - undecodable, _listing(counts["undecodable_videos"])),
        ("shots", shots["total"], "one for each bad video included" if undecodable else ""),
        ("accepted", shots["accept"], f"{shots['reject']} rejected" if shots["reject"] else ""),
    ]
    most = max(1, sources["listed"], shots["total"])
    return [{"name": name, "count": count, "share": count / most, "note": note} for name, count, note in steps]


def _listing(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _reasons(counts: Mapping[str, Any], effects: Sequence[RuleEffect]) -> list[dict[str, Any]]:
    """What spoke against shots; with an accepted release the most frequent first, else what alone keeps out most."""
    by_rule = {effect.rule: effect for effect in effects}
    rows = []
    for rule, count in counts["failed_rules"].items():
        alone = counts["only_failed_rule"].get(rule, 0)
        rows.append({"rule": rule, "count": count, "alone": alone, "effect": by_rule.get(rule)})
    first = "count" if counts["shots"]["accept"] else "alone"
    return sorted(rows, key=lambda row: (-row[first], -row["count"], row["rule"]))


def _panels(verdicts: Sequence[Row], effects: Sequence[RuleEffect]) -> list[dict[str, Any]]:
    """One for each measured column: its histogram, what lies on each side, and what other thresholds would give."""
    accepted = np.array([row["verdict"] == "accept" for row in verdicts], bool)
    panels = []
    for column in dict.fromkeys(effect.column for effect in effects):
        rules = [effect for effect in effects if effect.column == column]
        limits = {effect.kind: effect.threshold for effect in rules}
        low, high = limits.get("min"), limits.get("max")
        values = column_values(verdicts, column)
        words = RULE_COLUMNS[column]
        below = None if low is None else int((values < low).sum())
        above = None if high is None else int((values > high).sum())
        measured = int(np.isfinite(values).sum())
        panels.append(
            {
                "column": column,
                "words": words,
                "rules": rules,
                "on": below is not None or above is not None,
                "histogram": histogram(values, accepted, words.scale, low, high),
                "below": below,
                "above": above,
                "kept": measured - (below or 0) - (above or 0),
                "unmeasured": len(values) - measured,
            }
        )
    return sorted(panels, key=lambda panel: not panel["on"])


def _near_miss(miss: NearMiss, uris: Mapping[str, str]) -> dict[str, Any]:
    uri = uris.get(miss.row["video_id"])
    return {
        "name": shot_name(miss.row, uri),
        "link": link_to(uri),
        "seconds": miss.row["seconds"],
        "why": [failure_text(failure) for failure in miss.row["failed_rules"]],
        "changes": miss.changes,
    }


def _by_reason(sources: Sequence[Row], status: str, most: int) -> list[dict[str, Any]]:
    """Sources of a status, `most` of them by name, the most frequent reason first."""
    of_reason: dict[str, list[Row]] = {}
    for row in sources:
        if row["status"] == status:
            of_reason.setdefault(row["reason"], []).append(row)
    return [
        {
            "reason": reason,
            "count": len(rows),
            "examples": [
                {"uri": row["source_uri"], "link": link_to(row["source_uri"]), "detail": row["detail"]}
                for row in rows[:most]
            ],
        }
        for reason, rows in sorted(of_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def _splits(verdicts: Sequence[Row], counts: Mapping[str, Any], moved: Sequence[str]) -> dict[str, Any]:
    """What was accepted: clips by split, how long they are, who is in them, and what left the held-out side."""
    accepted = [row for row in verdicts if row["verdict"] == "accept"]
    seconds = column_values(accepted, "seconds")
    return {
        "clips": counts["splits"],
        "of_videos": counts["split_videos"],
        "people": counts["people"],
        "copies": counts["failed_rules"].get("min_near_duplicate_distance", 0),
        "moved": {"count": len(moved), "names": [video[:12] for video in moved[:_MOST_EXAMPLES]]},
        "videos": len({row["video_id"] for row in accepted}),
        "quantiles": [float(value) for value in np.quantile(seconds, [0, 0.25, 0.5, 0.75, 1])] if accepted else [],
        "histogram": histogram(seconds, np.ones(len(seconds), bool), "log"),
    }


def _table(verdicts: Sequence[Row], effects: Sequence[RuleEffect], uris: Mapping[str, str]) -> dict[str, Any]:
    columns = list(dict.fromkeys(effect.column for effect in effects))
    rows = []
    for row in verdicts[:_MOST_ROWS]:
        failed = {failure["rule"].partition("_")[2] for failure in row["failed_rules"]}
        rows.append(
            {
                "name": f"{shot_name(row, uris.get(row['video_id']))} {row['start']}-{row['end']}",
                "verdict": row["verdict"],
                "cells": [(row[column], column in failed) for column in columns],
            }
        )
    return {"columns": columns, "rows": rows, "left_out": len(verdicts) - len(rows)}
