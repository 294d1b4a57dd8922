"""Measure predictions and other systems' results: writes metrics, side-by-side videos and a sheet."""

from __future__ import annotations

from jobs.running import ending, entry

if __name__ == "__main__":
    entry.answer_first("evaluate")  # before what takes seconds to import

import logging
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from jobs.evaluation.frames import Prediction
from jobs.evaluation.gains import gains
from jobs.evaluation.lineage import lineage
from jobs.evaluation.means import Figures, figures_of, flat_figures, rank_flips
from jobs.evaluation.metrics import LOOKED_AT, Measured, MeasurePairs
from jobs.evaluation.report import print_figures, write_videos
from jobs.evaluation.results import read_results
from jobs.pairs.files import planned
from jobs.pairs.pairs_table import named_pairs
from jobs.pairs.settings import REPEAT, EvaluateSettings
from jobs.pairs.verdicts import require_some
from jobs.running.config import Config
from jobs.running.parameters import changed_first, parameters
from jobs.tracking.run import Run
from jobs.tracking.runs import JobRuns
from pipelines.actor_pool import DIED, require_resources, run_actors
from pipelines.storage.pair_tables import PREDICTIONS, metrics_schema
from pipelines.storage.store import Collection, Store
from stableanimator.errors import ConfigError, InputError, RowError
from stableanimator.media.pictures import WHITE, Colour
from stableanimator.metrics.scoring import weight_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    """What is measured."""

    predictions: Collection | None
    pairs: Mapping[str, str]
    """`uri` and `sha256` of their pairs."""
    rows: list[Prediction]
    variants: dict[str, dict[str, Any]]
    """Settings by name; of another system there are none."""

    @property
    def backgrounds(self) -> dict[str, Colour]:
        """What references were put on."""
        return {name: tuple(each["background"]) for name, each in self.variants.items() if each}

    @property
    def steps(self) -> int:
        """Optimiser steps of the model, where they are known."""
        return 0 if self.predictions is None else self.predictions.manifest["steps"] or 0

    @property
    def training(self) -> str:
        """How far the networks were trained; empty where other systems' alone are measured."""
        return "" if self.predictions is None else str(self.predictions.manifest["training"])


def run(config: Config, runs: JobRuns) -> str:
    """Returns the means and where the rows are.

    Raises:
        InputError: there is no such prediction set, a table of results cannot be used, or nothing could be measured.
        ConfigError: there are no perception models, or no node has an actor's cores.
    """
    settings = config.evaluate
    if config.perception is None:
        raise ConfigError("perception: evaluate needs InsightFace and DWPose; set perception.faces and perception.pose")
    require_resources("evaluate", settings.cpus_per_actor, settings.gpus_per_actor, labels=settings.node_labels)
    store = Store(config.root)
    wanted = _wanted(store, settings)
    shown = [*wanted.variants, REPEAT] if settings.repeat else list(wanted.variants)
    begun = {name: _begin(config, runs, wanted, name) for name in shown}
    measured = _measure(wanted, settings, config)
    rows = [one.row() for one in measured]
    figures = {name: figures_of([one for one in measured if one.prediction["variant"] == name]) for name in shown}
    for each in gains(rows, wanted.variants):
        figures[each.variant] |= {f"{column}_gain": gain for column, gain in each.of.items()}
        print(each)
    for name, (run, model) in begun.items():
        run.metrics(flat_figures(figures[name]), model=model, dataset="benchmark")
        of_variant = [row for row in rows if row["variant"] == name]
        run.table("metrics", [{key: each for key, each in row.items() if key != "variant"} for row in of_variant])
    print_figures(figures)
    for line in rank_flips(figures):
        print(line)
    collection = _commit(store, wanted, settings, measured, figures, begun)
    of_results = [one for one in measured if one.prediction["variant"] != REPEAT]
    failed = [one.row() for one in of_results if one.metrics is None]
    require_some("evaluate", [one.row() for one in of_results], failed, collection.uri)
    told = [f"{len(of_results) - len(failed)} results measured, {len(failed)} without metrics", wanted.training]
    return "; ".join([*filter(None, told), f"in {collection.uri}"])


def _wanted(store: Store, settings: EvaluateSettings) -> _Wanted:
    """The rows to measure: of predictions, then of other systems."""
    predictions, rows, variants = None, list[Prediction](), dict[str, dict[str, Any]]()
    if settings.predictions is not None:
        predictions = store.open("predictions", settings.predictions)
        table = predictions.table("predictions")
        if set(PREDICTIONS.names) - set(table.column_names):
            raise InputError(f"{predictions.uri} was made by another version of animate; run animate again")
        rows = table.to_pylist()
        variants = {each["name"]: each["settings"] for each in predictions.manifest["variants"]}
    pairs = {} if predictions is None else dict(predictions.manifest["pairs"])
    if settings.results is not None:
        named = named_pairs(store, _name_of(store, pairs) if pairs else settings.pairs, "evaluate.pairs")
        done = {row["pair_id"] for row in rows}
        of_both = [pair for pair in named.rows if predictions is None or pair["pair_id"] in done]
        others = read_results(settings.results, of_both, variants)
        rows, pairs = rows + others, pairs or {"uri": named.uri, "sha256": named.sha256}
        variants |= {row["variant"]: {} for row in others}
    return _Wanted(predictions=predictions, pairs=pairs, rows=planned(store, rows, LOOKED_AT), variants=variants)


def _name_of(store: Store, pairs: Mapping[str, str]) -> str:
    """What names the pairs of predictions: a benchmark set's id, or the place of a table."""
    uri, sha256 = pairs["uri"], pairs["sha256"]
    return sha256 if store.resolve(uri) == store.uri(f"benchmarks/{sha256}") else uri


def _begin(config: Config, runs: JobRuns, wanted: _Wanted, variant: str) -> tuple[Run, str | None]:
    """The run of a variant, with all that decides its numbers, and the id of the model that it judges.

    The repeated reference and other systems have neither settings nor a model of ours.
    """
    predictions, ours = wanted.predictions, bool(wanted.variants.get(variant))
    behind = lineage(predictions, variant) if predictions is not None and ours else None
    params = parameters("evaluate", config)
    run = runs.open(variant, changed_first({**behind.params, **params}) if behind else params)
    run.dataset("benchmark", Store(config.root).resolve(wanted.pairs["uri"]), wanted.pairs["sha256"])
    if predictions is None or behind is None:
        return run, None
    run.dataset("predictions", predictions.uri, predictions.id)
    for name, collection in behind.collections.items():
        run.dataset(name, collection.uri, collection.id)
    run.params({"training": wanted.training})
    model: str = predictions.manifest["model"]
    run.judges_model(model)
    return run, model


def _measure(wanted: _Wanted, settings: EvaluateSettings, config: Config) -> list[Measured]:
    """All rows by pair, and of a pair in the order of the variants, the repeated reference last."""
    assert config.perception is not None
    arguments = (Store(config.root), config.perception, settings.networks, settings.protocols, wanted.backgrounds)
    remarks: dict[str, str] = {}

    def measured(items: Sequence[dict[str, Any]], what: str) -> Iterator[Measured]:
        for done in run_actors(
            items, MeasurePairs, arguments, lost=_lost, what=what, actors=settings.actors,
            cpus=settings.cpus_per_actor, gpus=settings.gpus_per_actor, labels=settings.node_labels,
        ):  # fmt: skip
            remarks.update(done["remarks"])
            yield from done["measured"]

    by_pair: dict[str, list[Prediction]] = {}
    for row in wanted.rows:
        by_pair.setdefault(row["pair_id"], []).append(row)
    items = [{"predictions": rows, "repeat": settings.repeat} for rows in by_pair.values()]
    found = list(measured(items, "measuring pairs"))
    # One result that kills its process must not take the others of its pair with it.
    died = [one for one in found if one.error is not None and one.error.reason == DIED]
    alone = [{"predictions": [one.prediction], "repeat": settings.repeat} for one in died]
    retried = list(measured(alone, "measuring results one by one"))
    for column, why in remarks.items():
        log.info("no %s: %s", column, why)
    order = {name: place for place, name in enumerate([*wanted.variants, REPEAT])}
    pairs = {name: place for place, name in enumerate(by_pair)}
    rows: dict[tuple[str, str], Measured] = {}
    for one in [*(each for each in found if each not in died), *retried]:
        rows.setdefault((one.prediction["pair_id"], one.prediction["variant"]), one)  # one repeated reference a pair
    return [rows[name] for name in sorted(rows, key=lambda name: (pairs[name[0]], order[name[1]]))]


def _lost(item: dict[str, Any], error: RowError) -> dict[str, Any]:
    return {"measured": [Measured(prediction=each, error=error) for each in item["predictions"]], "remarks": {}}


def _log_pictures(run: Run, files: list[Path], step: int) -> None:
    for path in files:
        if path.suffix == ".mp4":
            run.video(path, path.stem, step)
        else:
            run.file(path)


def _commit(
    store: Store,
    wanted: _Wanted,
    settings: EvaluateSettings,
    measured: Sequence[Measured],
    figures: Mapping[str, Figures],
    begun: Mapping[str, tuple[Run, str | None]],
) -> Collection:
    """Everything to the store, and videos to the runs."""
    columns = dict.fromkeys(name for one in measured if one.metrics is not None for name in one.metrics.columns)
    counts = dict.fromkeys(weight_of(name) for name in columns)
    table = pa.Table.from_pylist([one.row() for one in measured], schema=metrics_schema(counts, columns))
    content = {
        "predictions": wanted.predictions.id if wanted.predictions is not None else None,
        "results": settings.results,
        "pairs": wanted.pairs,
        "protocols": list(settings.protocols),
        "means": {name: flat_figures(each) for name, each in figures.items()},
    }
    located = [one.prediction for one in measured if one.metrics is not None and one.prediction["variant"] != REPEAT]
    background = next(iter(wanted.backgrounds.values()), WHITE)
    with tempfile.TemporaryDirectory() as folder:
        files = write_videos(store, located, settings.videos, background, wanted.training, Path(folder))
        for run, _ in begun.values():
            _log_pictures(run, files, wanted.steps)
        contents = {path.name: path.read_bytes() for path in files}
    collection = store.commit(
        "metrics", content=content, tables={"metrics": table}, build={"host": platform.node()}, files=contents
    )
    for run, _ in begun.values():
        run.dataset("metrics", collection.uri, collection.id, context="output")
    return collection


if __name__ == "__main__":
    ending.leave(entry.main("evaluate", run))
