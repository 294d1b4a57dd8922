"""Measure predictions: reads a prediction set and its true frames, writes metrics, side-by-side videos and a sheet."""

from __future__ import annotations

import logging
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from jobs.pairs.gains import gains
from jobs.pairs.lineage import lineage
from jobs.pairs.metrics import Image, MeasurePair, Prediction, metrics_of, repeats, side_by_side, unmeasured
from jobs.pairs.settings import REPEAT, EvaluateSettings
from jobs.pairs.verdicts import require_some
from jobs.running import entry
from jobs.running.config import Config
from jobs.running.parameters import changed_first, parameters
from jobs.tracking.run import Run
from jobs.tracking.runs import JobRuns
from pipelines.actor_pool import UNEXPECTED, require_resources, run_actors
from pipelines.storage.store import Collection, Store
from pipelines.storage.tables import METRICS, PREDICTIONS
from stableanimator.errors import ConfigError, InputError, row_error
from stableanimator.media.pictures import Colour
from stableanimator.media.side_by_side import sheet
from stableanimator.media.video import VideoReader, write_mp4
from stableanimator.metrics.protocol import METRICS as COLUMNS
from stableanimator.metrics.protocol import ProtocolName, mean_over_frames
from stableanimator.perception.settings import PerceptionSettings

log = logging.getLogger(__name__)

Settings = dict[str, Any]
"""Of a variant, as the manifest of its predictions has them."""


def run(config: Config, runs: JobRuns) -> str:
    """Returns the means and where the rows are.

    Raises:
        InputError: there is no such prediction set, or none of its rows could be measured.
        ConfigError: there are no perception models, or no node has an actor's cores.
    """
    settings = config.evaluate
    if config.perception is None:
        raise ConfigError("perception: evaluate needs InsightFace and DWPose; set perception.faces and perception.pose")
    require_resources("evaluate", settings.cpus_per_actor, settings.gpus_per_actor, labels=settings.node_labels)
    store = Store(config.root)
    predictions = store.open("predictions", settings.predictions)
    lacking = set(PREDICTIONS.names) - set(predictions.table("predictions").column_names)
    if lacking:
        raise InputError(f"{predictions.uri} was made by another version of animate; run animate again")
    variants: dict[str, Settings] = {each["name"]: each["settings"] for each in predictions.manifest["variants"]}
    shown = [*variants, REPEAT] if settings.repeat else list(variants)
    begun = {name: _begin(config, runs, predictions, name) for name in shown}
    rows = _measure(predictions, settings, config.perception, variants)
    means = variant_means(rows, shown)
    gained = {each.variant: each for each in gains(rows, variants)}
    for name, (run, model_id) in begun.items():
        run.metrics(means.get(name, {}), model_id=model_id, dataset="benchmark")
        if name in gained:
            run.metrics({f"{column}_gain": gain for column, gain in gained[name].of.items()})
        of_variant = [row for row in rows if row["variant"] == name]
        run.table("metrics", [{key: each for key, each in row.items() if key != "variant"} for row in of_variant])
    print_means(means, settings.protocol)
    for each in gained.values():
        print(each)
    with tempfile.TemporaryDirectory() as folder:
        files = _videos(predictions, settings.videos, variants, Path(folder))
        for run, _ in begun.values():
            _log_pictures(run, files, predictions.manifest["steps"] or 0)
        collection = _commit(predictions, settings, rows, means, {path.name: path.read_bytes() for path in files})
    for run, _ in begun.values():
        run.dataset("metrics", collection.uri, collection.id, context="output")
    of_results = [row for row in rows if row["variant"] != REPEAT]
    failed = [row for row in of_results if row["frames"] is None]
    require_some("evaluate", of_results, failed, collection.uri)
    training = predictions.manifest["training"]
    measured, count = len(of_results) - len(failed), len(failed)
    return f"{measured} predictions measured, {count} without metrics; {training}; in {collection.uri}"


def _measure(
    predictions: Collection, settings: EvaluateSettings, perception: PerceptionSettings, variants: dict[str, Settings]
) -> list[dict[str, Any]]:
    """Rows of METRICS by pair, and of a pair in the order of the variants, the repeated reference last."""
    backgrounds = {name: _background(each) for name, each in variants.items()}
    wanted = predictions.table("predictions").to_pylist()
    if settings.repeat:
        backgrounds[REPEAT] = next(iter(backgrounds.values()))
        wanted += repeats(wanted)
    measured = run_actors(
        wanted,
        MeasurePair,
        (perception, settings.protocol, backgrounds),
        lost=unmeasured,
        what="measuring predictions",
        actors=settings.actors,
        cpus=settings.cpus_per_actor,
        gpus=settings.gpus_per_actor,
        labels=settings.node_labels,
    )
    order = [*variants, REPEAT]
    rows: list[dict[str, Any]] = pa.Table.from_pylist(list(measured), schema=METRICS).to_pylist()
    return sorted(rows, key=lambda row: (row["pair_id"], order.index(row["variant"])))


def _background(settings: Settings) -> Colour:
    red, green, blue = settings["background"]
    return red, green, blue


def variant_means(rows: list[dict[str, Any]], variants: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Means over frames of each variant (`mean_over_frames`), and the number of pairs that they stand for."""
    means: dict[str, dict[str, float | None]] = {}
    for name in variants:
        of_variant = [row for row in rows if row["variant"] == name]
        metrics = [each for each in map(metrics_of, of_variant) if each is not None]
        if metrics:
            means[name] = {"pairs": len(metrics), **mean_over_frames(metrics)}
    return means


def print_means(means: dict[str, dict[str, float | None]], protocol: ProtocolName) -> None:
    """A table on stdout, the variants side by side."""
    table = Table("mean", *means, title=f"means over frames, protocol {protocol}")
    for column in ("pairs", *COLUMNS):
        table.add_row(column, *(_shown(values[column]) for values in means.values()))
    Console(width=max(120, 20 * len(means))).print(table)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _begin(config: Config, runs: JobRuns, predictions: Collection, variant: str) -> tuple[Run, str | None]:
    """The run of a variant, with all that decides its numbers, and the id in MLflow of the model that it judges.

    The repeated reference has neither settings nor a model.
    """
    pairs, manifest = predictions.manifest["pairs"], predictions.manifest
    behind = None if variant == REPEAT else lineage(predictions, variant)
    params = parameters("evaluate", config)
    run = runs.open(variant, changed_first({**behind.params, **params}) if behind else params)
    run.dataset("benchmark", pairs["uri"], pairs["sha256"])
    run.dataset("predictions", predictions.uri, predictions.id)
    if behind is None:
        return run, None
    for name, collection in behind.collections.items():
        run.dataset(name, collection.uri, collection.id)
    run.params({"training": manifest["training"]})
    return run, run.judges_model(manifest["model"])


def _videos(predictions: Collection, count: int, variants: dict[str, Settings], folder: Path) -> list[Path]:
    """Side-by-side videos of the first `count` pairs that are done, and a sheet of their middle frames."""
    pairs: dict[str, list[Prediction]] = {}
    for row in predictions.table("predictions").to_pylist():
        if row["status"] == "done":
            pairs.setdefault(row["pair_id"], []).append(row)
    files: list[Path] = []
    strips: list[Image] = []
    note = predictions.manifest["training"]
    for number, rows in enumerate(list(pairs.values())[:count]):
        try:
            frames = list(side_by_side(rows, _background(variants[rows[0]["variant"]])))
        except Exception as error:
            why = row_error(error, UNEXPECTED)
            log.warning("no side-by-side video of %s: %s", rows[0]["pair_id"], why)
            continue
        files.append(folder / f"{number:03d}.mp4")
        with VideoReader(rows[0]["prediction_uri"]) as video:
            write_mp4(files[-1], frames, video.info.fps)
        strips.append(frames[len(frames) // 2])
    if strips:
        files.append(folder / "contact_sheet.png")
        cv2.imwrite(str(files[-1]), np.ascontiguousarray(sheet(strips, note)[..., ::-1]))
    return files


def _log_pictures(run: Run, files: list[Path], step: int) -> None:
    for path in files:
        if path.suffix == ".mp4":
            run.video(path, path.stem, step)
        else:
            run.file(path)


def _commit(
    predictions: Collection,
    settings: EvaluateSettings,
    rows: list[dict[str, Any]],
    means: dict[str, dict[str, float | None]],
    files: dict[str, bytes],
) -> Collection:
    content = {
        "predictions": predictions.id,
        "pairs": predictions.manifest["pairs"],
        "protocol": settings.protocol,
        "means": means,
    }
    table = pa.Table.from_pylist(rows, schema=METRICS)
    return predictions.store.commit(
        "metrics", content=content, tables={"metrics": table}, build={"host": platform.node()}, files=files
    )


if __name__ == "__main__":
    sys.exit(entry.main("evaluate", run))
