"""Animate pairs: reads a pairs table and a trained model, writes an mp4 for each pair and variant, and their table."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from jobs.pairs.animate import CUT, AnimateJob, AnimatePair
from jobs.pairs.inputs import Pair, read_pairs
from jobs.pairs.settings import AnimateJobSettings
from jobs.running import entry
from jobs.running.config import Config
from jobs.running.tracking import Run
from jobs.training.run_folder import STATE, trained_folder
from pipelines.actor_pool import require_resources, run_actors
from pipelines.storage.store import Collection, Store, file_sha256, fingerprint, parquet_bytes
from pipelines.storage.tables import PAIRS, PREDICTIONS
from stableanimator.errors import ConfigError, InputError, WeightsError
from stableanimator.models.settings import EncoderSettings
from stableanimator.paths import is_absolute

VERSION = 2
"""Raised by hand when the same settings give other predictions."""

ENOUGH_STEPS = 10_000
"""Optimiser steps below which a model is called briefly trained: the paper's 20 epochs over 5,000 videos at batch 8 are
12,500."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pairs:
    """A pairs table and what names it."""

    rows: list[Pair]
    uri: str
    sha256: str
    """Of the benchmark's manifest, or of the table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Model:
    """A model folder and what is known of it."""

    folder: Path
    identity: str
    """What predictions depend on: the collection's id, or the checksums of the weights."""
    steps: int | None
    """Optimiser steps of its training; None where that is not recorded."""


def run(config: Config, run: Run) -> str:
    """Returns what was made and where, and how far the model was trained.

    Raises:
        InputError: pairs or model do not exist.
        ConfigError: a relative path, no perception models, or no node has what an actor reserves.
    """
    started = time.monotonic()
    settings = config.animate
    if config.perception is None:
        raise ConfigError("perception: animate needs InsightFace and DWPose; set perception.faces and perception.pose")
    require_resources("animate", settings.cpus_per_actor, settings.gpus_per_actor)
    store = Store(config.root)
    pairs, model = _pairs(store, settings), _model(store, settings.model)
    run.dataset("benchmark", pairs.uri, pairs.sha256)
    key = fingerprint(
        {
            "version": VERSION,
            "model": model.identity,
            "settings": asdict(settings.settings),
            "fps": settings.fps,
            "precision": settings.precision,
            "encoders": asdict(config.encoders),
            "perception": asdict(config.perception),
        }
    )
    job = AnimateJob(
        root=config.root,
        settings=settings,
        encoders=config.encoders,
        perception=config.perception,
        model_folder=str(model.folder),
        key=key,
    )
    _animate_missing(store, job, pairs.rows)
    rows = [_row(store, job, pair, optimised) for pair in pairs.rows for optimised in settings.face_optimisation]
    training = training_remark(model.steps, config.encoders)
    collection = _commit(store, rows, pairs, model, training, settings, time.monotonic() - started)
    return _report(run, rows, collection, training)


def _pairs(store: Store, settings: AnimateJobSettings) -> _Pairs:
    if "/" in settings.pairs:
        if not is_absolute(settings.pairs):
            raise ConfigError(f"animate.pairs: {settings.pairs!r} is a relative path; give an absolute path or a URI")
        table, uri, sha256 = read_pairs(settings.pairs), settings.pairs, None
    else:
        benchmark = store.open("benchmarks", settings.pairs)
        table, uri, sha256 = benchmark.table("pairs"), benchmark.uri, benchmark.id
    missing = [name for name in ("pair_id", "reference_uri") if name not in table.column_names]
    if missing:
        raise InputError(f"{uri} is no pairs table: it lacks the column {missing[0]!r}")
    rows = [{name: row.get(name) for name in PAIRS.names} for row in table.to_pylist()[: settings.limit]]
    repeated = [name for name, count in Counter(row["pair_id"] for row in rows).items() if count > 1]
    if repeated:
        raise InputError(f"{uri}: the pair_id {repeated[0]!r} occurs more than once")
    return _Pairs(rows=rows, uri=uri, sha256=sha256 or hashlib.sha256(parquet_bytes(table)).hexdigest())


def _model(store: Store, which: str) -> _Model:
    if "/" not in which:
        collection, folder = trained_folder(store, "models", which)
        return _Model(folder=folder, identity=collection.id, steps=collection.manifest["steps"])
    if not Path(which).is_absolute():
        raise ConfigError(f"animate.model: {which!r} is a relative path; give an absolute path")
    folder = Path(which)
    weights = sorted([*folder.glob("*.safetensors"), *folder.glob("*.pth"), *folder.glob("config.json")])
    if not weights:
        raise WeightsError(f"animate.model: {folder} is no model folder: it holds no weights")
    state = folder / STATE
    steps = json.loads(state.read_text())["step"] if state.exists() else None
    return _Model(folder=folder, identity=fingerprint({path.name: file_sha256(path) for path in weights}), steps=steps)


def training_remark(steps: int | None, encoders: EncoderSettings) -> str:
    """How far the networks were trained, and what that means for the pictures."""
    remarks = []
    if steps is None:
        remarks.append("how long the model was trained is not recorded")
    elif steps < ENOUGH_STEPS:
        remarks.append(f"the model was trained for {steps} steps: pictures will be poor")
    else:
        remarks.append(f"the model was trained for {steps} steps")
    if encoders.svd is None:
        remarks.append("VAE and image encoder have random weights")
    return ", ".join(remarks)


def _animate_missing(store: Store, job: AnimateJob, pairs: list[Pair]) -> None:
    settings = job.settings
    items = []
    for pair in pairs:
        missing = [variant for variant in settings.face_optimisation if job.finished(store, pair, variant) is None]
        if missing:
            items.append({"pair": pair, "variants": missing})
    animated = run_actors(
        items,
        AnimatePair,
        (job,),
        what="animating pairs",
        actors=settings.actors,
        cpus=settings.cpus_per_actor,
        gpus=settings.gpus_per_actor,
    )
    for _ in animated:
        pass


def _row(store: Store, job: AnimateJob, pair: Pair, optimised: bool) -> dict[str, Any]:
    """The row that counts: the one that succeeded, else one that failed."""
    return job.finished(store, pair, optimised) or job.rows(store, pair, optimised)[0]


def _commit(
    store: Store,
    rows: list[dict[str, Any]],
    pairs: _Pairs,
    model: _Model,
    training: str,
    settings: AnimateJobSettings,
    seconds: float,
) -> Collection:
    content = {
        "pairs": {"uri": pairs.uri, "sha256": pairs.sha256},
        "model": model.identity,
        "steps": model.steps,
        "training": training,
        "settings": asdict(settings.settings),
        "variants": list(settings.face_optimisation),
    }
    table = pa.Table.from_pylist(rows, schema=PREDICTIONS)
    build = {"seconds": seconds, "host": platform.node()}
    return store.commit("predictions", content=content, tables={"predictions": table}, build=build)


def _report(run: Run, rows: list[dict[str, Any]], collection: Collection, training: str) -> str:
    done = [row for row in rows if row["status"] == "done"]
    run.metrics({"predictions": len(done), "predictions_failed": len(rows) - len(done)})
    losses = face_losses(done)
    run.metrics(losses)
    run.table("predictions", rows)
    run.tag("training", training)
    run.dataset("predictions", collection.uri, collection.id, context="output")
    reasons = Counter(row["reason"] for row in rows if row["status"] != "done")
    failed = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    cut = sum(CUT in (row["detail"] or "") for row in done)
    return (
        f"{len(done)} videos of {len({row['pair_id'] for row in rows})} pairs"
        + (f", failed: {failed}" if failed else "")
        + (f", {cut} driven by their first frames only" if cut else "")
        + ("; HJB face loss {face_loss_before:.3f} to {face_loss_after:.3f}".format(**losses) if losses else "")
        + f"; {training}; in {collection.uri}"
    )


def face_losses(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Means of the HJB loss before and after the last optimised step; empty where nothing was optimised."""
    optimised = [row for row in rows if row["face_loss_before"] is not None]
    names = ("face_loss_before", "face_loss_after") if optimised else ()
    return {name: sum(row[name] for row in optimised) / len(optimised) for name in names}


if __name__ == "__main__":
    sys.exit(entry.main("animate", run))
