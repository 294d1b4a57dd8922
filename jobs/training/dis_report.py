"""Dis of alignments as rows, and as the paper's Table III for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from stableanimator.alignment.scoring.drives import Drive
from stableanimator.alignment.settings import AlignmentName, AlignmentScope
from stableanimator.metrics.intervals import Interval, bootstrap, mean_interval, of_people

Scores = Mapping[tuple[AlignmentName, AlignmentScope], NDArray[np.float64]]
"""Dis [D] of each drive, by alignment and scope."""

PUBLISHED = {"none": 0.597, "linear": 0.430, "svd_literal": 0.345, "learned": 0.105}
"""Table III of StableAnimator++ (MisAlign100); the unit is not given."""

_LABELS = {
    "none": "w/o alignment",
    "linear": "ControlNeXt's (linear)",
    "linear_aspect_bug": "StableAnimator's (stretched)",
    "svd_literal": "SVD, literal",
    "svd": "SVD, missing joints masked",
    "svd_no_arms": "SVD, masked, without arms",
    "per_bone": "UniAnimate's (per bone)",
    "learned": "learned",
}
_SCOPES = {
    "frame": "one a frame",
    "steady": "rotation and scale a clip, place a frame",
    "clip": "one a clip",
}


def groups(drives: Sequence[Drive]) -> dict[str, NDArray[np.bool_]]:
    """The lines of the table: masks [D] of the drives that belong to each, where there are any."""
    found = {
        "all": np.ones(len(drives), bool),
        "whole body": np.array([drive.framing == "whole body" for drive in drives]),
        "half body": np.array([drive.framing == "half body" for drive in drives]),
        "moving camera": np.array([drive.moving for drive in drives]),
    }
    return {name: mask for name, mask in found.items() if mask.any()}


def dis_rows(scores: Scores, drives: Sequence[Drive]) -> list[dict[str, Any]]:
    """One row for each alignment, scope and group: Dis in image heights with its 95 % interval over people, and its
    ratio to the literal SVD of the same group, with interval, where that is among the alignments."""
    people = [drive.person for drive in drives]
    rows = []
    for (name, scope), values in scores.items():
        for group, mask in groups(drives).items():
            chosen = [person for person, here in zip(people, mask, strict=True) if here]
            interval = mean_interval(values[mask], chosen)
            literal = scores.get(("svd_literal", scope))
            over = None if literal is None else ratio(values[mask], literal[mask], chosen)
            rows.append(
                {
                    "alignment": name, "scope": scope, "group": group,
                    "dis": interval.value, "low": interval.low, "high": interval.high,
                    "over_svd_literal": over and over.value,
                    "over_low": over and over.low, "over_high": over and over.high,
                    "drives": int(mask.sum()), "people": len(set(chosen)),
                }
            )  # fmt: skip
    return rows


def ratio(values: NDArray[np.float64], under: NDArray[np.float64], people: Sequence[str]) -> Interval:
    """Ratio of the means of two alignments on the same drives, with its interval over people."""
    return bootstrap(lambda a, b: a / b, of_people(values, people), of_people(under, people))


def clip_rows(scores: Scores, drives: Sequence[Drive]) -> list[dict[str, Any]]:
    """One row for each clip: its framing, and Dis of every alignment."""
    rows = []
    for clip in dict.fromkeys(drive.clip for drive in drives):
        mask = np.array([drive.clip == clip for drive in drives])
        first = drives[int(np.argmax(mask))]
        dis = {f"{name}, {_SCOPES[scope]}": float(values[mask].mean()) for (name, scope), values in scores.items()}
        rows.append({"clip": clip, "framing": first.framing, "moving": first.moving, "drives": int(mask.sum()), **dis})
    return rows


def metrics(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """For MLflow's curves: `dis_<alignment>_<scope>`, and with the group behind it for each but `all`."""
    named = {}
    for row in rows:
        group = [] if row["group"] == "all" else row["group"].split()
        named["_".join(["dis", row["alignment"], row["scope"], *group])] = row["dis"]
    return named


def tables_three(rows: Sequence[Mapping[str, Any]], what: str) -> list[Table]:
    """The paper's layout, a table for each scope, an alignment a line; below each Dis its ratio to the literal SVD.
    95 % intervals."""
    return [
        _table_three([row for row in rows if row["scope"] == scope], f"{what}; {_SCOPES[scope]}")
        for scope in dict.fromkeys(row["scope"] for row in rows)
    ]


def _table_three(rows: Sequence[Mapping[str, Any]], what: str) -> Table:
    table = Table(title=f"Table III: Dis (image heights) on {what}", title_justify="left")
    table.add_column("alignment", no_wrap=True)
    table.add_column("paper", justify="right")
    by_key = {(row["alignment"], row["group"]): row for row in rows}
    names, columns = (list(dict.fromkeys(row[key] for row in rows)) for key in ("alignment", "group"))
    for group in columns:
        table.add_column(group, justify="right")
    for name in names:
        published = PUBLISHED.get(name)
        cells = [_cell(by_key.get((name, group))) for group in columns]
        table.add_row(_LABELS[name], "–" if published is None else f"{published:.3f}", *cells)
    below = "below each Dis: its ratio to SVD, literal. " if "svd_literal" in names else ""
    table.caption = f"{below}In brackets: 95 % intervals over people"
    return table


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "–"
    text = f"{row['dis']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"
    if row["over_svd_literal"] is None:
        return text
    return f"{text}\n{row['over_svd_literal']:.3f} [{row['over_low']:.3f}, {row['over_high']:.3f}]"


def print_tables(tables: Sequence[Table]) -> str:
    """Print for a terminal or a log; returns the same as an HTML page."""
    console = Console(width=60 + 26 * max((len(table.columns) for table in tables), default=0), record=True)
    for table in tables:
        console.print(table)
    return console.export_html(inline_styles=True)


def what_of(drives: Sequence[Drive]) -> str:
    """The drives in words."""
    clips, people = len({drive.clip for drive in drives}), len({drive.person for drive in drives})
    return f"{len(drives)} drives of {clips} clips of {people} people"
