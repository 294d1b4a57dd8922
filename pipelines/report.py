"""The page of a release for people: what came in, what was left at each step, why the rest was not, with pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from pipelines.curation import CurateSettings
from pipelines.rules import rules_of

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Release report</title>
<style>
  body { font: 15px/1.45 system-ui, sans-serif; color: #1c2126; background: #fff; max-width: 1200px;
         margin: 24px auto; padding: 0 20px; }
  h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 34px 0 10px; }
  .lead { font-size: 17px; margin: 0 0 20px; } .quiet { color: #667079; font-size: 13px; }
  table { border-collapse: collapse; font-size: 13px; } .wide { overflow-x: auto; }
  th, td { text-align: left; padding: 4px 10px 4px 0; border-bottom: 1px solid #e3e7ea; vertical-align: top;
           white-space: nowrap; }
  th { color: #667079; font-weight: 600; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
  .bar { display: inline-block; height: 10px; background: #4c78a8; border-radius: 2px; vertical-align: middle; }
  .bar.out { background: #d0763c; }
  .accept { color: #1d7a3e; font-weight: 600; } .reject { color: #b4461b; font-weight: 600; }
  .failed { background: #fbe9e1; }
  .sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 14px; }
  figure { margin: 0; } figcaption { font-size: 12px; line-height: 1.35; overflow-wrap: anywhere; }
  figure img { width: 100%; height: 130px; object-fit: contain; background: #f1f3f5; border-radius: 4px;
               display: block; }
  figure.reject-card img { opacity: .75; }
</style>
</head>
<body>
<h1>Release report</h1>
<p class="lead">{{ summary }}</p>

<h2>What was left at each step</h2>
<table>
{% for name, count, note in funnel %}
<tr><td>{{ name }}</td><td class="n">{{ count }}</td>
<td><span class="bar" style="width: {{ (220 * count / most) | round(0, 'ceil') | int }}px"></span></td>
<td class="quiet">{{ note }}</td></tr>
{% endfor %}
</table>

<h2>Why shots were rejected</h2>
{% if reasons %}
<table>
<tr><th>rule</th><th class="n">threshold</th><th class="n">shots that fail it</th><th></th>
<th class="n">that fail it alone</th></tr>
{% for reason in reasons %}
<tr><td>{{ reason.rule }}</td><td class="n">{{ reason.threshold }}</td><td class="n">{{ reason.count }}</td>
<td><span class="bar out" style="width: {{ (220 * reason.count / most) | round(0, 'ceil') | int }}px"></span></td>
<td class="n">{{ reason.only }}</td></tr>
{% endfor %}
</table>
<p class="quiet">A shot can fail several rules. Switching one rule off would accept those that fail it alone.</p>
{% else %}<p>None was.</p>{% endif %}

{% if failed_sources %}
<h2>Sources that could not be had</h2>
<table>
<tr><th>source</th><th>reason</th><th>detail</th></tr>
{% for row in failed_sources %}
<tr><td>{{ row.source_uri }}</td><td>{{ row.reason }}</td><td class="quiet">{{ row.detail or "" }}</td></tr>
{% endfor %}
</table>
{% endif %}

<h2>Shots</h2>
<div class="sheet">
{% for card in cards %}
<figure class="{{ card.verdict }}-card">
{% if card.picture %}<img alt="" src="data:image/jpeg;base64,{{ card.picture }}">{% else %}<img alt="">{% endif %}
<figcaption><span class="{{ card.verdict }}">{{ card.verdict }}</span> {{ card.name }}<br>
<span class="quiet">{{ card.why }}</span></figcaption>
</figure>
{% endfor %}
</div>
{% if cards_left_out %}<p class="quiet">{{ cards_left_out }} more shots have no picture here.</p>{% endif %}

<h2>Verdicts</h2>
<div class="wide">
<table>
<tr><th>shot</th><th>verdict</th>{% for name in columns %}<th class="n">{{ name }}</th>{% endfor %}</tr>
{% for row in table %}
<tr><td>{{ row.name }}</td><td class="{{ row.verdict }}">{{ row.verdict }}</td>
{% for cell in row.cells %}<td class="n{{ ' failed' if cell.failed }}">{{ cell.text }}</td>{% endfor %}</tr>
{% endfor %}
</table>
</div>
<p class="quiet">Marked values fail their rule. A dash was not measured, or the picture shows too little to tell.
{% if rows_left_out %}{{ rows_left_out }} more shots are in the table verdicts.{% endif %}</p>
</body>
</html>
"""

_MOST_ROWS = 1000
_MOST_REASONS = 3  # under a picture


def render_report(
    sources: Sequence[Mapping[str, Any]],
    verdicts: Sequence[Mapping[str, Any]],
    counts: Mapping[str, Any],
    thumbnails: Mapping[str, bytes],
    settings: CurateSettings,
) -> str:
    """The page as HTML in one file.

    Args:
        sources, verdicts: rows of SOURCES and VERDICTS.
        counts: of pipelines.select.count_steps.
        thumbnails: JPEG files by shot_id.
    """
    names = {row["video_id"]: row["source_uri"].rsplit("/", 1)[-1] for row in reversed(sources) if row["video_id"]}
    thresholds = {rule: (column, value) for rule, column, _, value in rules_of(settings.select)}
    shown = sorted(verdicts, key=lambda row: (row["verdict"], _first_rule(row), row["shot_id"]))
    pictured = _spread(shown, settings.report.thumbnails)
    columns = list(dict.fromkeys(column for column, _ in thresholds.values() if verdicts and column in verdicts[0]))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_TEMPLATE).render(
        summary=summary(counts),
        funnel=_funnel(counts),
        most=max(1, counts["sources"]["listed"], counts["shots"]["total"]),
        reasons=_reasons(counts, thresholds),
        failed_sources=[row for row in sources if row["status"] == "failed"][:_MOST_ROWS],
        cards=[_card(row, names, thumbnails) for row in pictured],
        cards_left_out=len(shown) - len(pictured),
        columns=columns,
        table=[_row(row, names, columns, thresholds) for row in shown[:_MOST_ROWS]],
        rows_left_out=max(0, len(shown) - _MOST_ROWS),
    )


def summary(counts: Mapping[str, Any]) -> str:
    """One or two sentences: how many shots were accepted, and, where none was, why."""
    shots, listed = counts["shots"], counts["sources"]["listed"]
    if shots["accept"]:
        minutes = counts["clip_seconds"] / 60
        return (
            f"{shots['accept']} of {shots['total']} shots from {listed} sources were accepted: {minutes:.1f} minutes."
        )
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


def _funnel(counts: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    sources, shots = counts["sources"], counts["shots"]
    undecodable = sum(counts["undecodable_videos"].values())
    return [
        ("sources listed", sources["listed"], ""),
        ("fetched", sources.get("fetched", 0), _note(sources, ("duplicate", "failed"))),
        ("videos decoded", counts["videos"] - undecodable, _listing(counts["undecodable_videos"])),
        ("shots", shots["total"], "one for each bad video included" if undecodable else ""),
        ("accepted", shots["accept"], _listing(counts["splits"])),
    ]


def _note(counts: Mapping[str, int], names: Sequence[str]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in names if counts.get(name))


def _listing(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _reasons(counts: Mapping[str, Any], thresholds: Mapping[str, tuple[str, float]]) -> list[dict[str, Any]]:
    order = sorted(counts["failed_rules"].items(), key=lambda item: (-item[1], item[0]))
    return [
        {
            "rule": rule,
            "threshold": f"{thresholds[rule][1]:g}" if rule in thresholds else "",
            "count": count,
            "only": counts["only_failed_rule"].get(rule, 0),
        }
        for rule, count in order
    ]


def _first_rule(row: Mapping[str, Any]) -> str:
    return row["failed_rules"][0]["rule"] if row["failed_rules"] else ""


def _spread(rows: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """At most `most` rows, evenly over the list, so that every reason is shown."""
    if len(rows) <= most:
        return list(rows)
    return [rows[index * len(rows) // most] for index in range(most)]


def _name(row: Mapping[str, Any], names: Mapping[str, str]) -> str:
    file = names.get(row["video_id"], row["video_id"][:12])
    return f"{file} {row['start']}-{row['end']}" if row["end"] else file


def _card(row: Mapping[str, Any], names: Mapping[str, str], thumbnails: Mapping[str, bytes]) -> dict[str, Any]:
    jpeg = thumbnails.get(row["shot_id"])
    return {
        "name": _name(row, names),
        "verdict": row["verdict"],
        "why": ", ".join(_failure_text(failure) for failure in row["failed_rules"][:_MOST_REASONS])
        + (f" and {more} more" if (more := len(row["failed_rules"]) - _MOST_REASONS) > 0 else ""),
        "picture": base64.b64encode(jpeg).decode() if jpeg else None,
    }


def _failure_text(failure: Mapping[str, Any]) -> str:
    if failure["error"] is not None:
        return f"{failure['rule']}: {failure['error']}"
    return f"{failure['rule']}: {_number(failure['value'])} (limit {failure['threshold']:g})"


def _number(value: float | None) -> str:
    """Three digits, never as 1e-05; a dash for what is missing."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if value == 0 or abs(value) >= 0.001 else f"{value:.4f}"


def _row(
    row: Mapping[str, Any],
    names: Mapping[str, str],
    columns: Sequence[str],
    thresholds: Mapping[str, tuple[str, float]],
) -> dict[str, Any]:
    failed = {thresholds[one["rule"]][0] for one in row["failed_rules"] if one["rule"] in thresholds}
    cells = [{"text": _number(row[column]), "failed": column in failed} for column in columns]
    return {"name": _name(row, names), "verdict": row["verdict"], "cells": cells}
