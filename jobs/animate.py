"""Animate pairs: reads a pairs table and a trained model, writes an mp4 for each pair and variant, and their table.

With `--preview` it looks at the pairs and animates nothing (`jobs.preview`).
"""

from __future__ import annotations

from jobs.running import ending, entry

if __name__ == "__main__":
    entry.answer_first("animate")  # before what takes seconds to import

import platform
import time
from collections import Counter
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from jobs.judging.acceptance import acceptance, told
from jobs.judging.tries import JudgedJob, animate_and_judge
from jobs.pairs.animate_job import AnimateJob
from jobs.pairs.files import planned
from jobs.pairs.model import NamedModel, animate_job, named_model
from jobs.pairs.pairs_table import URIS, NamedPairs, Pair, named_pairs
from jobs.pairs.settings import AnimateJobSettings
from jobs.pairs.verdicts import require_enough, require_some, summary
from jobs.running.config import Config
from jobs.tracking.run import Run
from pipelines.actor_pool import require_resources, run_actors
from pipelines.storage.pair_tables import PREDICTIONS, TIMINGS
from pipelines.storage.store import Collection, Store, parquet_bytes
from stableanimator.errors import PersonError
from stableanimator.models.settings import EncoderSettings

ENOUGH_STEPS = 10_000
"""Optimiser steps below which a model is called briefly trained: the paper's 20 epochs over 5,000 videos at batch 8 are
12,500."""


def run(config: Config, run: Run) -> str:
    """Returns what was made and where, and how far the model was trained.

    Raises:
        InputError: pairs or model do not exist, a table cannot be read, or every pair failed.
        ConfigError: a relative path, no perception models, or no node has what an actor reserves.
    """
    if config.animate.preview:
        from jobs.preview.job import preview  # here: what draws takes seconds

        return preview(config, run)
    started = time.monotonic()
    settings = config.animate
    require_resources("animate", settings.cpus_per_actor, settings.gpus_per_actor, labels=settings.node_labels)
    store = Store(config.root)
    pairs, model = named_pairs(store, settings.pairs, "animate.pairs"), named_model(store, settings.model)
    run.dataset("benchmark", store.resolve(pairs.uri), pairs.sha256)
    run.dataset("model", str(model.folder), model.identity)
    job = animate_job(config, model)
    assert config.perception is not None
    shared = JudgedJob(job=job, perception=config.perception)
    wanted = planned(store, pairs.rows[: settings.limit], URIS)
    rows = _animate(store, shared, wanted)
    timings = _timings(store, shared, wanted, rows)
    training = training_remark(model.steps, config.encoders, model.trained_before)
    collection = _commit(store, rows, timings, pairs, model, training, settings, time.monotonic() - started)
    return _report(run, rows, timings, collection, training)


def training_remark(steps: int | None, encoders: EncoderSettings, trained_before: bool = False) -> str:
    """How far the networks were trained, and what that means for the pictures."""
    remarks = []
    if steps is None:
        remarks.append("how long the model was trained is not recorded")
    elif trained_before:
        remarks.append(f"the model was trained for {steps} steps more, from weights that were trained before")
    elif steps < ENOUGH_STEPS:
        remarks.append(f"the model was trained for {steps} steps: pictures will be poor")
    else:
        remarks.append(f"the model was trained for {steps} steps")
    if encoders.svd is None:
        remarks.append("VAE and image encoder have random weights")
    return ", ".join(remarks)


def _animate(store: Store, shared: JudgedJob, pairs: list[Pair]) -> list[dict[str, Any]]:
    """A row for each pair and variant, in the order of the pairs: of an earlier run, or made now."""
    job, settings = shared.job, shared.job.settings
    wanted: list[dict[str, Any]] = [{"pair": pair, "variant": name} for pair in pairs for name in settings.variants]
    earlier = [shared.finished(store, **item) for item in wanted]
    missing = [item for item, row in zip(wanted, earlier, strict=True) if row is None]
    made = run_actors(
        missing,
        animate_and_judge,
        (shared,),
        lost=lambda item, error: job.failed(**item, error=error),
        what="animating pairs",
        actors=settings.actors,
        cpus=settings.cpus_per_actor,
        gpus=settings.gpus_per_actor,
        labels=settings.node_labels,
    )
    now = {(row["pair_id"], row["variant"]): row for row in made}
    return [
        now[item["pair"]["pair_id"], item["variant"]] if row is None else _still_enough(job, item, row)
        for item, row in zip(wanted, earlier, strict=True)
    ]


def _still_enough(job: AnimateJob, item: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """A row of an earlier run, as the settings of this one have it."""
    try:
        require_enough(row, job.settings)
    except PersonError as error:
        return job.failed(**item, error=error)
    return row


def _timings(store: Store, shared: JudgedJob, pairs: list[Pair], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of TIMINGS of all rows that are done."""
    by_id = {pair["pair_id"]: pair for pair in pairs}
    done = [row for row in rows if row["status"] == "done"]
    return [each for row in done for each in shared.timings(store, by_id[row["pair_id"]], row)]


def _commit(
    store: Store,
    rows: list[dict[str, Any]],
    timings: list[dict[str, Any]],
    pairs: NamedPairs,
    model: NamedModel,
    training: str,
    settings: AnimateJobSettings,
    seconds: float,
) -> Collection:
    content = {
        "pairs": {"uri": pairs.uri, "sha256": pairs.sha256},
        "model": model.identity,
        "steps": model.steps,
        "training": training,
        "variants": [{"name": name, "settings": asdict(each)} for name, each in settings.variants.items()],
    }
    table = pa.Table.from_pylist(rows, schema=PREDICTIONS)
    build = {"seconds": seconds, "host": platform.node()}
    times = parquet_bytes(pa.Table.from_pylist(timings, schema=TIMINGS))  # no part of the id: equal work is not as fast
    return store.commit(
        "predictions", content=content, tables={"predictions": table}, build=build, files={"timings.parquet": times}
    )


def _report(
    run: Run, rows: list[dict[str, Any]], timings: list[dict[str, Any]], collection: Collection, training: str
) -> str:
    done = [row for row in rows if row["status"] == "done"]
    run.metrics({"predictions": len(done), "predictions_failed": len(rows) - len(done)})
    run.metrics(face_losses(done))
    accepted = acceptance(done, timings)
    run.metrics(accepted)
    run.table("predictions", rows)
    run.params({"training": training})
    run.dataset("predictions", collection.uri, collection.id, context="output")
    failed = [row for row in rows if row["status"] != "done"]
    require_some("animate", rows, failed, collection.uri)
    cut = sum(row["frames_left_out"] > 0 for row in done)
    seldom = sum(row["frames_with_person"] < len(row["frame_index"]) for row in done)
    return (
        f"{len(done)} videos of {len({row['pair_id'] for row in rows})} pairs"
        + (f", failed: {summary(Counter(row['reason'] for row in failed))}" if failed else "")
        + (f", {told(accepted)}" if accepted else "")
        + (f", {cut} driven by their first frames only" if cut else "")
        + (f", {seldom} with frames in which the driving person is not found" if seldom else "")
        + f"; {training}; in {collection.uri}"
    )


def face_losses(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Means of the HJB loss before and after the last optimised step; empty where nothing was optimised."""
    optimised = [row for row in rows if row["face_loss_before"] is not None]
    names = ("face_loss_before", "face_loss_after") if optimised else ()
    return {name: sum(row[name] for row in optimised) / len(optimised) for name in names}


if __name__ == "__main__":
    ending.leave(entry.main("animate", run))
