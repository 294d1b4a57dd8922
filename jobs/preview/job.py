"""All pairs of a table looked at: rows, sheets, a page, and the run that links them."""

from __future__ import annotations

import platform
import time
from collections import Counter
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from jobs.pairs.files import planned
from jobs.pairs.model import NamedModel, animate_job, named_model
from jobs.pairs.pairs_table import URIS, NamedPairs, named_pairs
from jobs.pairs.settings import AnimateJobSettings
from jobs.pairs.verdicts import require_some, summary
from jobs.preview.page import preview_page, sheet_of
from jobs.preview.pair import PreviewPair, alike, failed_row
from jobs.running.config import Config
from jobs.running.resources import animate_reserves
from jobs.tracking.run import Run
from pipelines.actor_pool import require_resources, run_actors
from pipelines.storage.pair_tables import PREVIEWS
from pipelines.storage.store import Collection, Store

_SHEETS_LOGGED = 50
"""Pictures in a run's artifacts, those with most warnings first; the page and the table have all."""


def preview(config: Config, run: Run) -> str:
    """Returns what was seen and where.

    Raises:
        As `jobs.animate.run`.
    """
    started = time.monotonic()
    settings = animate_reserves(config)
    require_resources("animate", settings.cpus_per_actor, settings.gpus_per_actor, labels=settings.node_labels)
    store = Store(config.root)
    pairs, model = named_pairs(store, settings.pairs, "animate.pairs"), named_model(store, settings.model)
    run.dataset("benchmark", store.resolve(pairs.uri), pairs.sha256)
    run.dataset("model", str(model.folder), model.identity)
    job = animate_job(config, model)
    items: list[dict[str, Any]] = [
        {"pair": pair, "variants": names}
        for pair in planned(store, pairs.rows[: settings.limit], URIS)
        for names in alike(settings.variants)
    ]
    made = run_actors(
        items,
        PreviewPair,
        (job,),
        lost=lambda item, error: failed_row(**item, error=error),
        what="looking at pairs",
        actors=settings.actors,
        cpus=settings.cpus_per_actor,
        gpus=settings.gpus_per_actor,
        labels=settings.node_labels,
    )
    places = {(item["pair"]["pair_id"], *item["variants"]): place for place, item in enumerate(items)}
    rows = sorted(made, key=lambda row: places[row["pair_id"], *row["variants"]])
    return _report(run, store, rows, _commit(store, rows, pairs, model, settings, time.monotonic() - started))


def _commit(
    store: Store,
    rows: list[dict[str, Any]],
    pairs: NamedPairs,
    model: NamedModel,
    settings: AnimateJobSettings,
    seconds: float,
) -> Collection:
    content = {
        "pairs": {"uri": pairs.uri, "sha256": pairs.sha256},
        "model": model.identity,
        "variants": [{"name": name, "settings": asdict(each)} for name, each in settings.variants.items()],
    }
    return store.commit(
        "previews",
        content=content,
        tables={"previews": pa.Table.from_pylist(rows, schema=PREVIEWS)},
        build={"seconds": seconds, "host": platform.node()},
        files={"preview.html": preview_page(store, rows).encode()},
    )


def _report(run: Run, store: Store, rows: list[dict[str, Any]], collection: Collection) -> str:
    done = [row for row in rows if row["status"] == "done"]
    failed = [row for row in rows if row["status"] != "done"]
    warned = Counter(name for row in done for name in row["warnings"])
    run.metrics({"previews": len(done), "previews_failed": len(failed)})
    run.metrics({f"warnings/{name}": count for name, count in warned.items()})
    run.table("previews", rows)
    run.text(preview_page(store, rows), "preview.html")
    for row in sorted(done, key=lambda row: -len(row["warnings"]))[:_SHEETS_LOGGED]:
        run.picture(sheet_of(store, row), f"sheets/{row['sheet_uri'].rpartition('/')[2]}")
    run.dataset("previews", collection.uri, collection.id, context="output")
    require_some("animate", rows, failed, collection.uri)
    without = sum(not row["warnings"] for row in done)
    return (
        f"{len(done)} looks, {without} without a warning"
        + (f"; warnings: {summary(warned)}" if warned else "")
        + (f"; failed: {summary(Counter(row['reason'] for row in failed))}" if failed else "")
        + f"; {store.uri(f'{collection.folder}/preview.html')}"
    )
