"""The pictures of the report: which shots are shown, grouped by what first spoke against them, and their captions."""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.releases.rule_columns import RULE_COLUMNS, number_text, reason_text
from pipelines.releases.rule_effects import shortfall

_MOST_REASONS = 4  # under a picture
_LINKED = ("http", "https", "file")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Card:
    """One shot on the sheet. All texts are plain: the page escapes them."""

    name: str
    """The file and the first characters of the video's id."""
    note: str
    """Frames, seconds, size."""
    link: str | None
    """Where the video came from, if a browser may open it."""
    why: tuple[str, ...]
    """Each failed rule with its value and limit."""
    picture: str | None
    """JPEG as a data URI."""


@dataclass(frozen=True, slots=True)
class Group:
    """Shots with the same first failed rule, or the accepted ones."""

    rule: str | None
    """None: accepted."""
    title: str
    shots: int
    cards: tuple[Card, ...]


def contact_sheets(
    sources: Sequence[Row], verdicts: Sequence[Row], thumbnails: Mapping[str, bytes], most: int
) -> list[Group]:
    """Accepted shots first, then the groups of rejected ones, the largest first.

    Args:
        sources, verdicts: rows of SOURCES and VERDICTS.
        thumbnails: JPEG files by shot_id.
        most: shots shown in all groups together: half of them accepted, the rest shared equally by the reasons, and
            what one does not use goes to others. Those shown are spread evenly from the closest call to the clearest
            case.
    """
    by_rule: dict[str | None, list[Row]] = {}
    for row in verdicts:
        by_rule.setdefault(_first_rule(row), []).append(row)
    order = sorted(by_rule, key=lambda rule: (rule is not None, -len(by_rule[rule]), rule or ""))
    rejected = shared_out([len(by_rule[rule]) for rule in order if rule is not None], most)
    accepted = min(len(by_rule.get(None, ())), max(most // 2, most - sum(rejected)))
    rejected = shared_out([len(by_rule[rule]) for rule in order if rule is not None], most - accepted)
    shares = dict(zip(order, [accepted, *rejected] if None in by_rule else rejected, strict=True))
    uris = {row["video_id"]: row["source_uri"] for row in reversed(sources) if row["video_id"]}
    groups = []
    for rule in order:
        rows = sorted(by_rule[rule], key=lambda row: (_clearness(row), row["shot_id"]))
        shown = _spread(rows, shares[rule])
        title = "Accepted" if rule is None else reason_text(rule)
        cards = tuple(_card(row, uris.get(row["video_id"]), thumbnails.get(row["shot_id"])) for row in shown)
        groups.append(Group(rule, title[0].upper() + title[1:], len(rows), cards))
    return groups


def shared_out(sizes: Sequence[int], most: int) -> list[int]:
    """How many of each group are shown when all together may be `most`: what small groups do not use goes to others."""
    shares = [0] * len(sizes)
    left = most
    for position, number in enumerate(sorted(range(len(sizes)), key=lambda number: (sizes[number], number))):
        shares[number] = min(sizes[number], left // (len(sizes) - position))
        left -= shares[number]
    return shares


def shot_name(row: Row, uri: str | None) -> str:
    """The name of a shot's file, or the beginning of the video's id where it is not known."""
    if uri is None:
        return str(row["video_id"][:12])
    if uri.lower().startswith(("http://", "https://")):
        uri = urllib.parse.unquote(uri.split("?")[0].split("#")[0])
    return uri.rstrip("/").rsplit("/", 1)[-1]


def link_to(uri: str | None) -> str | None:
    """What a browser may open: a web address or a file of this machine; None for any other scheme."""
    if uri is None:
        return None
    if uri.startswith("/"):
        return "file://" + urllib.parse.quote(uri)
    return uri if urllib.parse.urlsplit(uri).scheme.lower() in _LINKED else None


def failure_text(failure: Mapping[str, Any]) -> str:
    """A failed rule with its value and its limit."""
    rule = failure["rule"]
    if failure["error"] is not None:
        return f"{rule}: {failure['error']}"
    kind, _, column = rule.partition("_")
    known = RULE_COLUMNS.get(column)
    unit = f" {known.unit}" if known and known.unit else ""
    relation = "below" if kind == "min" else "above"
    return f"{column} {number_text(failure['value'])}{unit}, {relation} {number_text(failure['threshold'])}"


def _first_rule(row: Row) -> str | None:
    return row["failed_rules"][0]["rule"] if row["failed_rules"] else None


def _clearness(row: Row) -> tuple[int, float]:
    """By how much the first rule is failed; without a value it comes last."""
    if not row["failed_rules"]:
        return 0, 0.0
    failure = row["failed_rules"][0]
    return (1, 0.0) if failure["value"] is None else (0, shortfall(failure))


def _spread(rows: Sequence[Row], most: int) -> list[Row]:
    return list(rows) if len(rows) <= most else [rows[number * len(rows) // most] for number in range(most)]


def _card(row: Row, uri: str | None, jpeg: bytes | None) -> Card:
    more = len(row["failed_rules"]) - _MOST_REASONS
    why = [failure_text(failure) for failure in row["failed_rules"][:_MOST_REASONS]]
    note = "no frame could be read"
    if row["end"]:
        note = f"frames {row['start']}–{row['end']}, {number_text(row['seconds'])} s, {row['width']}x{row['height']}"
    return Card(
        name=f"{shot_name(row, uri)} ({row['video_id'][:8]})",
        note=note,
        link=link_to(uri),
        why=tuple(why + ([f"and {more} more"] if more > 0 else [])),
        picture="data:image/jpeg;base64," + base64.b64encode(jpeg).decode() if jpeg else None,
    )
