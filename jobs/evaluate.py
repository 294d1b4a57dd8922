"""Measure predictions: reads a prediction set and its true frames, writes metrics, side-by-side videos and a sheet."""

from __future__ import annotations

import logging
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from jobs.pairs.metrics import VARIANTS, Image, MeasurePair, Prediction, metrics_of, side_by_side, unmeasured
from jobs.pairs.settings import EvaluateSettings
from jobs.pairs.verdicts import require_some
from jobs.running import entry
from jobs.running.config import Config
from jobs.running.tracking import Run
from pipelines.actor_pool import UNEXPECTED, require_resources, run_actors
from pipelines.storage.store import Collection, Store
from pipelines.storage.tables import METRICS, PREDICTIONS
from stableanimator.errors import ConfigError, InputError, row_error
from stableanimator.media.pictures import Colour
from stableanimator.media.side_by_side import sheet
from stableanimator.media.video import VideoReader, write_mp4
from stableanimator.metrics.protocol import ProtocolName, mean_over_frames
from stableanimator.perception.settings import PerceptionSettings

log = logging.getLogger(__name__)

COLUMNS = ("l1", "psnr", "psnr_uint8", "ssim", "csim", "csim_truth", "face_found")


def run(config: Config, run: Run) -> str:
    """Returns the means and where the rows are.

    Raises:
        InputError: there is no such prediction set, or none of its rows could be measured.
        ConfigError: there are no face models, or no node has an actor's cores.
    """
    settings = config.evaluate
    if config.perception is None:
        raise ConfigError("perception: CSIM needs InsightFace; set perception.faces to a pack of models")
    require_resources("evaluate", settings.cpus_per_actor, settings.gpus_per_actor)
    store = Store(config.root)
    predictions = store.open("predictions", settings.predictions)
    lacking = set(PREDICTIONS.names) - set(predictions.table("predictions").column_names)
    if lacking:
        raise InputError(f"{predictions.uri} was made by another version of animate; run animate again")
    _log_inputs(run, predictions)
    background = tuple(predictions.manifest["settings"]["background"])
    rows = _measure(predictions, settings, config.perception, background)
    means = variant_means(rows)
    for name, values in means.items():
        run.metrics({f"{name}/{metric}": value for metric, value in values.items() if value is not None})
    run.table("metrics", rows)
    print_means(means, settings.protocol)
    with tempfile.TemporaryDirectory() as folder:
        files = _videos(predictions, settings.videos, background, Path(folder))
        for path in files:
            run.file(path, "side_by_side")
        collection = _commit(predictions, settings, rows, means, {path.name: path.read_bytes() for path in files})
    run.dataset("metrics", collection.uri, collection.id, context="output")
    failed = [row for row in rows if row["frames"] is None]
    require_some("evaluate", rows, failed, collection.uri)
    training = predictions.manifest["training"]
    measured, count = len(rows) - len(failed), len(failed)
    return f"{measured} predictions measured, {count} without metrics; {training}; in {collection.uri}"


def _measure(
    predictions: Collection, settings: EvaluateSettings, perception: PerceptionSettings, background: Colour
) -> list[dict[str, Any]]:
    measured = run_actors(
        predictions.table("predictions").to_pylist(),
        MeasurePair,
        (perception, settings.protocol, background),
        lost=unmeasured,
        what="measuring predictions",
        actors=settings.actors,
        cpus=settings.cpus_per_actor,
        gpus=settings.gpus_per_actor,
    )
    table = pa.Table.from_pylist(list(measured), schema=METRICS)
    return table.sort_by([("pair_id", "ascending"), ("face_optimisation", "ascending")]).to_pylist()


def variant_means(rows: list[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Means over frames of each variant (`mean_over_frames`), and the number of pairs that they stand for."""
    means: dict[str, dict[str, float | None]] = {}
    for optimised, name in VARIANTS.items():
        of_variant = [row for row in rows if row["face_optimisation"] == optimised]
        metrics = [each for each in map(metrics_of, of_variant) if each is not None]
        if metrics:
            means[name] = {"pairs": len(metrics), **mean_over_frames(metrics)}
    return means


def print_means(means: dict[str, dict[str, float | None]], protocol: ProtocolName) -> None:
    """A small table on stdout, one line for each variant."""
    table = Table("variant", "pairs", *COLUMNS, title=f"means over frames, protocol {protocol}")
    for name, values in means.items():
        table.add_row(name, f"{values['pairs']:.0f}", *(_shown(values[column]) for column in COLUMNS))
    Console(width=120).print(table)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _log_inputs(run: Run, predictions: Collection) -> None:
    pairs = predictions.manifest["pairs"]
    run.dataset("benchmark", pairs["uri"], pairs["sha256"])
    run.dataset("predictions", predictions.uri, predictions.id)
    run.tag("model", predictions.manifest["model"])
    run.tag("training", predictions.manifest["training"])


def _videos(predictions: Collection, count: int, background: Colour, folder: Path) -> list[Path]:
    """Side-by-side videos of the first `count` pairs that are done, and a sheet of their middle frames."""
    pairs: dict[str, list[Prediction]] = {}
    for row in predictions.table("predictions").to_pylist():
        if row["status"] == "done":
            pairs.setdefault(row["pair_id"], []).append(row)
    files: list[Path] = []
    strips: list[Image] = []
    note = predictions.manifest["training"]
    for number, variants in enumerate(list(pairs.values())[:count]):
        try:
            frames = list(side_by_side(variants, background))
        except Exception as error:
            why = row_error(error, UNEXPECTED)
            log.warning("no side-by-side video of %s: %s", variants[0]["pair_id"], why)
            continue
        files.append(folder / f"{number:03d}.mp4")
        with VideoReader(variants[0]["prediction_uri"]) as video:
            write_mp4(files[-1], frames, video.info.fps)
        strips.append(frames[len(frames) // 2])
    if strips:
        files.append(folder / "contact_sheet.png")
        cv2.imwrite(str(files[-1]), np.ascontiguousarray(sheet(strips, note)[..., ::-1]))
    return files


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
