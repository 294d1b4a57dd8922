"""`python -m jobs.releases --config <yaml> list | diff OLD NEW | compact`: look after releases and cached parts.

A plain command: it needs no Ray, and ends with 2 after a user's mistake.
"""

from __future__ import annotations

from jobs.running import ending

if __name__ == "__main__":
    ending.until_begun()

import argparse
import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import jinja2
from rich.console import Console
from rich.table import Table

from jobs.running.config import load
from pipelines.progress import duration_text
from pipelines.releases.diff import ReleaseDiff, ShotChange, diff_releases
from pipelines.storage.compaction import compact
from pipelines.storage.store import Store
from stableanimator.errors import InputError

_MOST_SHOTS = 20  # of one kind of change, on the terminal

_PAGE = """<!doctype html><meta charset="utf-8"><title>{{ title }}</title>
<style>body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:3px 8px;
text-align:left;vertical-align:top}td{overflow-wrap:anywhere}</style>
<h1>{{ title }}</h1><p>{{ summary }}</p>
<h2>Settings</h2><table><tr><th>setting<th>before<th>after</tr>
{% for one in diff.settings %}<tr><td>{{ one.name }}<td>{{ one.before }}<td>{{ one.after }}</tr>{% endfor %}</table>
<h2>Shots</h2><table><tr><th>change<th>shot<th>source<th>verdict<th>why<th>numbers that changed</tr>
{% for one in diff.shots %}<tr><td>{{ one.change }}<td>{{ one.shot_id }}<td>{{ one.source }}
<td>{{ one.before or "–" }} → {{ one.after or "–" }}<td>{{ one.why }}<td>{{ one.measures }}</tr>{% endfor %}</table>
"""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    result = argparse.ArgumentParser(prog="python -m jobs.releases", description=__doc__.splitlines()[0])
    result.add_argument("--config", required=True, help="a YAML file; see jobs/configs")
    verbs = result.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="every release, the newest last")
    verbs.add_parser("compact", help="merge the cached parts of every key into few files; rows stay the same")
    diff = verbs.add_parser("diff", help="shots that are judged otherwise, and why")
    diff.add_argument("old", help="an id, its first characters, or latest")
    diff.add_argument("new", help="the same")
    diff.add_argument("--csv", type=Path, help="write every changed shot to this file")
    diff.add_argument("--html", type=Path, help="write settings and every changed shot to this page")
    return result.parse_args(argv)


def list_releases(store: Store, console: Console) -> None:
    """Print every release: id, when it was made, and what it holds."""
    table = Table("release", "made", "sources", "shots", "accepted", "length", title=f"releases of {store.root}")
    found = [(release.build()["finished_at"], release) for release in store.collections("releases")]
    for made, release in sorted(found, key=lambda one: one[0]):
        counts = release.manifest["counts"]
        shots = counts["shots"]
        length = duration_text(counts["clip_seconds"])
        row = (counts["sources"]["listed"], shots["total"], shots["accept"])
        table.add_row(release.id[:12], made[:19].replace("T", " "), *map(str, row), length)
    console.print(table)


def show_diff(diff: ReleaseDiff, console: Console) -> None:
    """Print what changed: settings, counts, and the first shots of each kind of change."""
    if diff.settings:
        table = Table("setting", "before", "after")
        for setting in diff.settings:
            table.add_row(setting.name, str(setting.before), str(setting.after))
        console.print(table)
    shown: dict[str, list[ShotChange]] = {}
    for shot in diff.shots:
        shown.setdefault(shot.change, []).append(shot)
    for change, shots in shown.items():
        table = Table("shot", "verdict", "why", "numbers", title=f"{change}: {len(shots)}", title_justify="left")
        for shot in shots[:_MOST_SHOTS]:
            verdict = f"{shot.before or '–'} → {shot.after or '–'}"
            name = f"{Path(shot.source).name} " if shot.source else ""
            table.add_row(f"{name}{shot.shot_id[:12]}:{shot.shot_id.split(':')[-1]}", verdict, shot.why, shot.measures)
        console.print(table)
        if len(shots) > _MOST_SHOTS:
            console.print(f"and {len(shots) - _MOST_SHOTS} more; --csv and --html write all")
    console.print(summary(diff))


def summary(diff: ReleaseDiff) -> str:
    """How many settings and shots changed, in a line."""
    counts = ", ".join(f"{count} {change}" for change, count in diff.counts.items())
    return f"{len(diff.settings)} settings changed; shots: {counts or 'none changed'}"


def _write(path: Path, diff: ReleaseDiff, title: str) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            if path.suffix.lower() == ".csv":
                writer = csv.DictWriter(file, [field.name for field in fields(ShotChange)])
                writer.writeheader()
                writer.writerows(asdict(shot) for shot in diff.shots)
            else:
                page = jinja2.Environment(autoescape=True).from_string(_PAGE)
                file.write(page.render(diff=diff, title=title, summary=summary(diff)))
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); give another file") from error


def _compact(store: Store, console: Console) -> None:
    table = Table("family", "key", "parts before", "after", "rows", "MB", title=f"parts of {store.root}")
    for merge in compact(store):
        row = (merge.before, merge.after, merge.rows, round(merge.bytes / 1e6))
        table.add_row(merge.family, merge.key[:12], *map(str, row))
    console.print(table if table.rows else "every key has as few parts as it needs")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the commands. Returns its exit code (`jobs.running.ending`)."""
    arguments = _arguments(argv)
    console = Console()

    def look() -> int:
        store = Store(load(arguments.config).root)
        if arguments.verb == "list":
            list_releases(store, console)
        elif arguments.verb == "compact":
            _compact(store, console)
        else:
            old, new = (store.open("releases", one) for one in (arguments.old, arguments.new))
            diff = diff_releases(old, new)
            show_diff(diff, console)
            for path in (arguments.csv, arguments.html):
                if path is not None:
                    _write(path, diff, f"Release {old.id[:12]} and release {new.id[:12]}")
        return ending.EXIT_OK

    return ending.ended(look, kept="the root is whole, and the same command may be given again")


if __name__ == "__main__":
    ending.leave(main())
