"""The demo's page: what came in and what was kept, alignment, videos, metrics, losses, and how to see more.

One HTML file that loads nothing from elsewhere; videos and pictures are inside it.
"""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure
from PIL import Image

from jobs.demo.steps import Step
from jobs.pairs.settings import REPEAT
from jobs.running.config import Config
from jobs.tracking.stored import StoredRun
from jobs.tracking.tracker import tracking_uri
from pipelines.releases.report import funnel, summary
from pipelines.releases.rule_columns import reason_text
from pipelines.storage.store import Collection, Store
from stableanimator.errors import InputError
from stableanimator.media.side_by_side import sheet
from stableanimator.media.video import VideoReader
from stableanimator.redaction import redacted

METRICS = {
    "pck_moved_05": "joints that moved, found within 5 % of stature (PCK)",
    "pck_10": "all joints, found within 10 % (PCK)",
    "csim_truth_held_out": "face like the true one, cosine by the held-out recogniser",
    "csim_held_out": "face like the reference's, cosine by the held-out recogniser",
    "face_found": "frames with a face",
    "velocity": "joints move as the true ones do, agreement of velocities",
    "standard/psnr": "PSNR, dB",
    "standard/ssim": "SSIM",
}
"""What the table shows, and how it is called there; of all, more is better."""
_QUALITY = 60  # of WebP: a megabyte for three rows
_VARIANTS = {
    "plain": "learned alignment",
    "hjb": "and HJB face optimisation",
    "align_none": "no alignment",
    "align_svd": "SVD alignment",
    "face_off": "without the face embedding",
    REPEAT: "the reference repeated",
}


def write_page(config: Config, steps: Sequence[Step], path: Path) -> None:
    """Write the page of a demo whose verbs have all ended well.

    Raises:
        InputError: the tracker has not taken all of it.
    """
    store = Store(config.root)
    release, metrics = store.open("releases"), store.open("metrics")
    runs = {step.verb: step.run_id for step in steps if step.run_id is not None}
    if lacking := [verb for verb in ("align", "alignment_table", "train") if verb not in runs]:
        raise InputError(
            f"MLflow does not have the runs of {', '.join(lacking)} yet, which the page shows; "
            f"`python -m jobs.tracking {config.root}/tracking` sends them: do that, and start the demo again"
        )
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jobs.demo", "."), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    counts = release.manifest["counts"]
    predictions = store.open("predictions", metrics.manifest["predictions"]).table("predictions").to_pylist()
    people = {row["pair_id"]: row["truth_uri"] for row in predictions if row["status"] == "done"}  # a clip each
    variants = list(dict.fromkeys(metrics.table("metrics")["variant"].to_pylist()))
    html = environment.get_template("page.html.jinja").render(
        summary=summary(counts),
        funnel=funnel(counts),
        lost=_lost(counts),
        report=_beside(path, release, "report.html"),
        alignments=_alignments(json.loads(StoredRun(runs["alignment_table"]).artifact("table_3.json"))),
        worst=_worst(config, runs["alignment_table"]),
        videos=_videos(metrics),
        variants=[{"name": name, "what": _VARIANTS.get(name, "")} for name in variants],
        rows=metric_rows(metrics.manifest["means"], variants),
        pairs=len(people),
        people=len(set(people.values())),
        curves=_curves(runs),
        steps=steps,
        tracking=redacted(tracking_uri()),
        root=config.root,
    )
    path.write_text(html, encoding="utf-8")


def write_picture(config: Config, path: Path, shown: int = 3) -> None:
    """Write the first side-by-side videos below one another as an animated WebP, which pages like the README can show.

    They begin together, and each lasts as long as the shortest. Nothing is written where `evaluate.videos` is 0.
    """
    videos = sorted(Path(Store(config.root).open("metrics").uri).glob("*.mp4"))[:shown]
    frames, fps = [], 8.0
    for video in videos:
        with VideoReader(video) as reader:
            frames.append(reader.read(range(reader.info.frame_count)))
            fps = reader.info.fps
    if not frames:
        return
    pictures = [Image.fromarray(sheet(strips)) for strips in zip(*frames, strict=False)]
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0, quality=_QUALITY, method=4
    )


def _lost(counts: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Why sources and shots were turned away, the most frequent first."""
    of_files = {**counts["failed_sources"], **counts["undecodable_videos"]}
    reasons = {name.replace("_", " "): count for name, count in of_files.items()}
    reasons |= {reason_text(name): count for name, count in counts["failed_rules"].items()}
    return sorted(reasons.items(), key=lambda item: -item[1])


def _beside(path: Path, collection: Collection, name: str) -> str:
    """A link from the page to a file of a collection, which lies under the same folder."""
    return os.path.relpath(Path(collection.uri, name), path.parent)


def _data_url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _worst(config: Config, run_id: str) -> str | None:
    """The picture of the worst cases; None where none was asked for."""
    if not config.align.evaluation.worst:
        return None
    return _data_url(StoredRun(run_id).artifact("worst_cases.png"), "image/png")


def _videos(metrics: Collection) -> list[str]:
    return [_data_url(path.read_bytes(), "video/mp4") for path in sorted(Path(metrics.uri).glob("*.mp4"))]


def _alignments(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Dis of every alignment over all drives, with its interval, one transform a clip."""
    columns, values = table["columns"], table["data"]
    rows = [dict(zip(columns, each, strict=True)) for each in values]
    return [row for row in rows if row["group"] == "all" and row["scope"] == "clip"]


def metric_rows(means: Mapping[str, Mapping[str, float]], variants: Sequence[str]) -> list[dict[str, Any]]:
    """A line of the table for each of METRICS: the mean of each variant with its 95 % interval, or None.

    A metric that no variant has is left out.

    Args:
        means: figures by variant and name, as the manifest of metrics has them.
    """
    table = []
    for name, what in METRICS.items():
        cells = [
            None if name not in means[variant] else [means[variant][f"{name}{end}"] for end in ("", "_low", "_high")]
            for variant in variants
        ]
        if any(cell is not None for cell in cells):
            table.append({"what": what, "cells": cells, "digits": 1 if name.endswith("psnr") else 2})
    return table


def _curves(runs: Mapping[str, str]) -> str:
    """Losses of both trainings over their steps, as SVG."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    for axes, verb in zip(figure.subplots(1, 2), ("align", "train"), strict=True):
        run = StoredRun(runs[verb])
        for name, shown in (("loss", "training"), ("validation_loss", "held-out people")):
            points = run.curve(name)
            if points:
                axes.plot(*zip(*points, strict=True), label=shown, marker="." if len(points) < 20 else None)
        axes.set_title({"align": "alignment", "train": "U-Net, FaceEncoder and PoseNet"}[verb])
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.set_yscale("log")
        if axes.has_data():
            axes.legend()
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg")
    return drawn.getvalue()[drawn.getvalue().index("<svg") :]
