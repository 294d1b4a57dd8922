"""Time animations (Table VII): reads a trained model, writes seconds and memory of every variant to MLflow."""

from __future__ import annotations

from jobs.running import ending, entry

if __name__ == "__main__":
    entry.answer_first("latency")  # before what takes seconds to import

import statistics
from typing import Any

from rich.console import Console
from rich.table import Table

from jobs.pairs.latency import TimeAnimations
from jobs.pairs.model import animate_job, named_model
from jobs.running.config import Config
from jobs.tracking.run import Run
from pipelines.actor_pool import require_resources, run_actors
from pipelines.storage.store import Store
from stableanimator.errors import InputError, RowError


def run(config: Config, run: Run) -> str:
    """Returns the median seconds of every variant, and on what.

    Raises:
        InputError: there is no such model, or none of the variants could be timed.
        ConfigError: there are no perception models, or no node has what an actor reserves.
    """
    settings, latency = config.animate, config.latency
    require_resources("latency", settings.cpus_per_actor, settings.gpus_per_actor, labels=settings.node_labels)
    model = named_model(Store(config.root), settings.model)
    run.judges_model(model.identity)
    rows = list(
        run_actors(
            [{"variant": name} for name in settings.variants],
            TimeAnimations,
            (animate_job(config, model), latency),
            lost=_lost,
            what="timing animations",
            actors=1,
            cpus=settings.cpus_per_actor,
            gpus=settings.gpus_per_actor,
            labels=settings.node_labels,
        )
    )
    timed = [row for row in rows if "seconds" in row]
    if not timed:
        raise InputError(f"latency: nothing could be timed: {rows[0]['reason']}, {rows[0]['detail']}")
    height, width = latency.size
    what = f"{latency.frames} frames of {width}x{height}"
    print_rows(rows, f"seconds of an animation, {what}, {latency.repeats} after one that warms up")
    for row in timed:
        run.metrics(metrics_of(row))
    run.table("latency", rows)
    run.params({"machine": timed[0]["machine"], "threads": timed[0]["threads"], "frames": latency.frames})
    told = ", ".join(f"{row['variant']} {statistics.median(row['seconds']):.3g} s" for row in timed)
    return f"{what}: {told}; on {timed[0]['machine']}"


def _lost(item: dict[str, Any], error: RowError) -> dict[str, Any]:
    return {"variant": item["variant"], "reason": error.reason, "detail": error.detail}


def metrics_of(row: dict[str, Any]) -> dict[str, float]:
    """What MLflow compares of a variant: median, least and most seconds, and memory."""
    seconds, name = row["seconds"], row["variant"]
    return {
        f"{name}/latency_seconds": statistics.median(seconds),
        f"{name}/latency_seconds_low": min(seconds),
        f"{name}/latency_seconds_high": max(seconds),
        f"{name}/first_seconds": row["first_seconds"],
        f"{name}/peak_gib": row["peak_gib"],
    }


def print_rows(rows: list[dict[str, Any]], title: str) -> None:
    """A table on stdout; what could not be timed says why."""
    table = Table("variant", "median s", "least", "most", "the first", "memory, GiB", title=title)
    for row in rows:
        seconds = row.get("seconds")
        if seconds is None:
            table.add_row(row["variant"], f"{row['reason']}: {row['detail']}")
            continue
        numbers = (statistics.median(seconds), min(seconds), max(seconds), row["first_seconds"], row["peak_gib"])
        table.add_row(row["variant"], *(f"{number:.3g}" for number in numbers))
    Console(width=120).print(table)


if __name__ == "__main__":
    ending.leave(entry.main("latency", run))
