"""Quantiles of each measured column of a release, in groups: what thresholds are chosen by.

    python -m benchmarks.distributions $SA_ROOT/tiny/releases/ab12… --labels $SA_ROOT/tiny/sources/clips.csv --by kind

Prints a Markdown table for each column: number of shots, share not measured, and the 5, 25, 50, 75 and 95 % quantiles.
`--labels` is a CSV with a column `file`, matched to the names of the sources.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pipelines.releases.contact_sheet import shot_name
from pipelines.releases.rule_columns import RULE_COLUMNS, number_text
from pipelines.releases.rule_effects import column_values
from pipelines.releases.rules import all_rules
from pipelines.releases.settings import SelectSettings

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

Row = Mapping[str, Any]


def grouped(verdicts: Sequence[Row], groups: Sequence[str]) -> dict[str, list[Row]]:
    """Rows by the group that is named for each, all together last."""
    found: dict[str, list[Row]] = {}
    for row, group in zip(verdicts, groups, strict=True):
        found.setdefault(group, []).append(row)
    return dict(sorted(found.items())) | ({"all": list(verdicts)} if len(found) > 1 else {})


def table(groups: Mapping[str, Sequence[Row]], column: str, limits: Mapping[str, float | None]) -> str:
    """One column as a Markdown table, a row for each group."""
    words = RULE_COLUMNS[column]
    rules = ", ".join(f"{rule} {number_text(limit)}" for rule, limit in limits.items() if limit is not None)
    lines = [
        f"### {column}: {words.title}{f' ({words.unit})' if words.unit else ''}; {rules or 'no rule is set'}",
        "",
        "| group | shots | not measured | " + " | ".join(f"{quantile:.0%}" for quantile in QUANTILES) + " |",
        "|---|---" + "|---" * (1 + len(QUANTILES)) + "|",
    ]
    for name, rows in groups.items():
        values = column_values(rows, column)
        measured = values[np.isfinite(values)]
        cells = np.quantile(measured, QUANTILES) if len(measured) else [None] * len(QUANTILES)
        texts = " | ".join(number_text(cell) for cell in cells)
        lines.append(f"| {name} | {len(rows)} | {1 - len(measured) / len(rows):.0%} | {texts} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distributions", description=__doc__.split("\n")[0])
    parser.add_argument("release", type=Path, help="folder of a release")
    parser.add_argument("--by", default="verdict", help="a column of the verdicts or of the labels (default: verdict)")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="labels of the source files, with a column file")
    arguments = parser.parse_args(argv)
    verdicts = pq.read_table(arguments.release / "verdicts.parquet").to_pylist()
    sources = pq.read_table(arguments.release / "sources.parquet").to_pylist()
    labels: dict[str, dict[str, str]] = {}
    if arguments.labels is not None:
        with arguments.labels.open(newline="") as file:
            labels = {row["file"]: row for row in csv.DictReader(file)}
    files = {row["video_id"]: shot_name(row, row["source_uri"]) for row in reversed(sources) if row["video_id"]}
    described = [{**labels.get(files.get(row["video_id"], ""), {}), **row} for row in verdicts]
    if described and not any(arguments.by in row for row in described):
        parser.error(f"neither verdicts nor labels have a column {arguments.by}")
    groups = grouped(described, [str(row.get(arguments.by) or "none") for row in described])
    rules = all_rules(SelectSettings())
    for column in dict.fromkeys(column for _, column, _, _ in rules):
        if np.isfinite(column_values(described, column)).any():
            limits = {rule: limit for rule, of, _, limit in rules if of == column}
            print(table(groups, column, limits), end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
