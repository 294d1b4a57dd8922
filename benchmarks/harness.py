"""What every benchmark shares: figures with bars, timing side by side, the printed table and the results file.

    times = interleave({"ours": ours, "theirs": theirs}, repeats=5)
    value, spread = ratio(times["ours"], times["theirs"])
    figures = [Figure("ours over theirs", value, bar=1.1, better="lower", spread=spread)]
    sys.exit(report("curate", figures))      # prints a table, writes benchmarks/results/curate.json

Figures are ratios of things measured in one run on one machine: seconds of another day or machine say nothing.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

_LOG_WIDTH = 160
"""Characters of a line where the output is no terminal, which rich would take for 80."""

RESULTS = Path(__file__).parent / "results"
"""Where `report` writes."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number beside what it should be."""

    name: str
    """Unique in its benchmark; says what is measured."""
    value: float
    """NaN where nothing could be measured, which never meets a bar."""
    bar: float | None
    """What the value should reach; None for a number that is only told."""
    better: Literal["lower", "higher"]
    """On which side of the bar the good values are."""
    unit: str = ""
    """Empty for ratios and shares."""
    spread: float | None = None
    """Half the range of the repeats, in the value's unit; None for a single measurement."""
    note: str = ""
    """For the printed table: how it was measured."""

    def __post_init__(self) -> None:
        if self.better not in ("lower", "higher"):
            raise ValueError(f"better must be lower or higher, got {self.better!r}")
        if self.spread is not None and self.spread < 0:
            raise ValueError(f"spread must not be negative, got {self.spread}")

    @property
    def met(self) -> bool | None:
        """Whether the value reaches the bar; None without a bar."""
        if self.bar is None:
            return None
        return self.value <= self.bar if self.better == "lower" else self.value >= self.bar


def interleave(
    variants: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each variant, `repeats` times, taken in turns: what slows the machine slows all of them.

    Every round starts with another variant, so that none always runs on the caches of the same one. On a machine that
    others use too, `time.process_time` as the clock counts the processor's time alone.

    Raises:
        ValueError: no repeats.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    names = list(variants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            started = clock()
            variants[name]()
            seconds[name].append(clock() - started)
    return seconds


def half_range(values: Sequence[float]) -> float | None:
    """Half the distance from the least to the greatest of the repeats; None for fewer than two."""
    return (max(values) - min(values)) / 2 if len(values) > 1 else None


def ratio(over: Sequence[float], under: Sequence[float]) -> tuple[float, float | None]:
    """Median of the ratios of repeats that were taken in the same round, and half their range.

    Raises:
        ValueError: the counts differ, or there are none.
    """
    if len(over) != len(under) or not over:
        raise ValueError(f"{len(over)} repeats over {len(under)}; give as many of both, and at least one")
    ratios = [above / below for above, below in zip(over, under, strict=True)]
    return statistics.median(ratios), half_range(ratios)


def report(name: str, figures: Sequence[Figure], *, folder: Path | None = RESULTS) -> int:
    """Print the figures and write `<folder>/<name>.json`. Returns 0, or 1 where a bar is missed.

    `folder` None writes nothing: for a quick run, whose numbers mean nothing.

    Raises:
        ValueError: two figures of one name.
    """
    if len({figure.name for figure in figures}) != len(figures):
        raise ValueError(f"figures of {name} share a name: {', '.join(figure.name for figure in figures)}")
    record = {"figures": {figure.name: _entry(figure) for figure in figures}, **provenance()}
    console = Console(width=None if sys.stdout.isatty() else _LOG_WIDTH)
    console.print(_table(name, figures))
    console.print(f"{record['machine']}; commit {record['commit']}", highlight=False, soft_wrap=True)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.json"
        path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        console.print(f"written: {path}", highlight=False, soft_wrap=True)
    missed = [figure.name for figure in figures if figure.met is False]
    return 1 if missed else 0


def kept(name: str, measured: Sequence[str], folder: Path) -> list[Figure]:
    """What an earlier run wrote of the parts that were not measured now, in benchmarks whose figures are called
    `<part>: …`; some parts take an hour."""
    path = folder / f"{name}.json"
    if not path.exists():
        return []
    record = json.loads(path.read_text())
    return [
        Figure(each_name, each["value"], each["bar"], each["better"], each["unit"], each["spread"], "of an earlier run")
        for each_name, each in record["figures"].items()
        if each_name.partition(":")[0] not in measured and each["value"] is not None
    ]


def _entry(figure: Figure) -> dict[str, Any]:
    """A figure as the results file holds it; JSON has no NaN."""
    value = figure.value if math.isfinite(figure.value) else None
    return {
        "value": value,
        "bar": figure.bar,
        "better": figure.better,
        "unit": figure.unit,
        "spread": figure.spread,
    }


def _table(name: str, figures: Sequence[Figure]) -> Table:
    table = Table(title=name, title_justify="left")
    noted = any(figure.note for figure in figures)
    table.add_column("figure")
    for column in ("value", "bar", "spread"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    if noted:
        table.add_column("how")
    words = {True: "[green]met[/green]", False: "[red]missed[/red]", None: ""}
    for figure in figures:
        unit = f" {figure.unit}" if figure.unit else ""
        sign = "≤" if figure.better == "lower" else "≥"
        cells = [
            figure.name,
            f"{figure.value:.4g}{unit}",
            "" if figure.bar is None else f"{sign} {figure.bar:.4g}{unit}",
            "" if figure.spread is None else f"± {figure.spread:.2g}",
            words[figure.met],
        ]
        table.add_row(*cells, *([figure.note] if noted else []))
    return table


def provenance() -> dict[str, str]:
    """Which machine and which commit a record is of. No names of hosts, people or folders."""
    from jobs.tracking.tracker import git_commit  # here: it imports MLflow, which takes seconds

    return {"machine": machine(), "commit": git_commit()}


def machine() -> str:
    """Processor, cores, memory, GPU, system and Python in words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [f"{len(os.sched_getaffinity(0))} cores of {_processor()}", f"{memory:.0f} GiB of memory", _gpu()]
    return ", ".join([*parts, f"{platform.system()} {platform.machine()}", f"Python {platform.python_version()}"])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def _gpu() -> str:
    import torch  # here: it takes seconds

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
