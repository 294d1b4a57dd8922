"""From measures to a release: a verdict for every shot, the accepted clips, their frames, and counts that add up.

Only numbers are read here: no frame is decoded and no model is loaded, so another threshold costs seconds.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.curation import CurateSettings
from pipelines.measure import Measured
from pipelines.report import render_report
from pipelines.rules import SelectSettings, failed_rules
from pipelines.store import Collection, Store, media_path
from pipelines.tables import CLIPS, FRAMES, MEASURES, SHOTS, VERDICTS, scalar_columns

VERSION = 1
"""Raise when the meaning of a verdict changes."""

_PER_FRAME = {
    "people": ("person_boxes", "person_scores"),
    "keypoints": ("keypoints",),
    "face_quality": ("face_boxes", "face_scores", "face_landmarks", "face_embedding"),
}
"""Columns of the measures that have one entry for each sampled frame, and go to FRAMES."""


def make_release(
    store: Store, sources: pa.Table, measured: Measured, settings: CurateSettings, build: dict[str, Any]
) -> Collection:
    """Judge every shot and commit a collection `releases` with the tables sources, verdicts, clips and frames.

    Equal sources, measures and thresholds give an equal id, whatever the root, the machine and the number of actors.

    Args:
        sources: SOURCES.
        build: times, host and speeds; goes to build.json.
    """
    verdicts = judge(measured, settings)
    clips = clip_rows(verdicts, sources.to_pylist(), settings.select)
    accepted = [clip["shot_id"] for clip in clips]
    counts = count_steps(sources.to_pylist(), verdicts, clips)
    tables = {
        "sources": sources,
        "verdicts": pa.Table.from_pylist(verdicts, schema=VERDICTS),
        "clips": pa.Table.from_pylist(clips, schema=CLIPS),
        "frames": frame_table(accepted, measured.cached.measures),
    }
    content = {
        "version": VERSION,
        "settings": _settings_of_content(settings),
        "weights": measured.keys.weights,
        "lineage": {"shots": measured.keys.shots, "measures": measured.keys.measures},
        "counts": counts,
    }
    thumbnails = dict(zip(*(measured.cached.thumbnails[name].to_pylist() for name in ("shot_id", "jpeg")), strict=True))
    report = render_report(sources.to_pylist(), verdicts, counts, thumbnails, settings)
    files = {"report.html": report.encode()}
    return store.commit("releases", content=content, tables=tables, build=build, files=files)


def _settings_of_content(settings: CurateSettings) -> dict[str, Any]:
    """Settings that decide what a release holds; how it was fetched and on how many actors is left out."""
    measures = {name: asdict(getattr(settings, name)) for name in settings.measures}
    shots, select = settings.shots.identity(), asdict(settings.select)
    return {"shots": shots, "sample_fps": settings.sample_fps, "measures": measures, "select": select}


def judge(measured: Measured, settings: CurateSettings) -> list[dict[str, Any]]:
    """Rows of VERDICTS, one for every shot, sorted by shot_id. A shot is accepted when no rule fails."""
    failures = {(one["shot_id"], one["measure"]): one["reason"] for one in measured.failures}
    known = {*SHOTS.names, *(name for measure in settings.measures for name in scalar_columns(measure))}
    if "people" not in settings.measures:
        known.discard("subject_motion")  # camera_motion tells it only of people whom another measure found
    scalars = {name: _scalar_rows(table, name) for name, table in measured.cached.measures.items()}
    rows = []
    for shot in measured.cached.shots.to_pylist():
        errors: dict[str, str] = {}
        values: dict[str, Any] = {}
        for measure, of_measure in scalars.items():
            row = of_measure.get(shot["shot_id"])
            if row is None:
                errors[measure] = failures.get((shot["shot_id"], measure), "not_measured")
            elif row["error"] is not None:
                errors[measure] = row["error"]
            else:
                values.update(row)
        failed = failed_rules({**values, **shot}, errors, known, settings.select)
        verdict = "reject" if failed else "accept"
        columns = {name: values.get(name) for measure in MEASURES for name in scalar_columns(measure)}
        rows.append({**shot, **columns, "verdict": verdict, "failed_rules": failed})
    return rows


def _scalar_rows(table: pa.Table, measure: str) -> dict[str, dict[str, Any]]:
    """Scalars and error of a measure by shot; what is per frame stays in Arrow."""
    rows = table.select(["shot_id", "error", *scalar_columns(measure)]).to_pylist()
    return {row["shot_id"]: row for row in rows}


def is_heldout(video_id: str, settings: SelectSettings) -> bool:
    """Whether a video is kept out of training: decided by its content and the seed alone."""
    digest = hashlib.sha256(f"{settings.seed}:{video_id}".encode()).hexdigest()
    return int(digest[:13], 16) / 16**13 < settings.heldout_share


def clip_rows(
    verdicts: list[dict[str, Any]], sources: list[dict[str, Any]], settings: SelectSettings
) -> list[dict[str, Any]]:
    """Rows of CLIPS: the accepted shots, with what the first source of their video says about its rights."""
    fetched = {row["video_id"]: row for row in sources if row["status"] == "fetched"}
    rows = []
    for shot in verdicts:
        if shot["verdict"] == "accept":
            source = fetched[shot["video_id"]]
            row = {name: shot[name] for name in CLIPS.names if name in shot}
            row |= {name: source[name] for name in ("licence", "uploader", "consent", "language")}
            row["media"] = media_path(shot["video_id"], source["extension"])
            row["split"] = "heldout" if is_heldout(shot["video_id"], settings) else "train"
            rows.append(row)
    return rows


def frame_table(accepted: list[str], measures: dict[str, pa.Table]) -> pa.Table:
    """FRAMES of the accepted shots (sorted ids): the per-frame columns of the measures, one row for each frame.

    All these measures sample the same frames. Columns of measures that did not run are null.
    """
    wanted = pa.array(accepted, pa.string())
    rows = {
        name: measures[name].filter(pc.is_in(measures[name]["shot_id"], value_set=wanted)).combine_chunks()
        for name in _PER_FRAME
        if name in measures
    }
    if not rows or not accepted:
        return FRAMES.empty_table()
    first = next(iter(rows.values()))
    columns = {name: pc.list_flatten(first[name]) for name in ("frame_index", "time")}
    columns["shot_id"] = first["shot_id"].take(pc.list_parent_indices(first["frame_index"]))
    for name, names in _PER_FRAME.items():
        if name in rows:
            assert rows[name]["frame_index"].equals(first["frame_index"])
            columns |= {column: pc.list_flatten(rows[name][column]) for column in names}
    count = len(columns["frame_index"])
    return pa.table(
        [columns.get(field.name, pa.nulls(count, field.type)) for field in FRAMES], names=FRAMES.names
    ).cast(FRAMES)


def count_steps(
    sources: list[dict[str, Any]], verdicts: list[dict[str, Any]], clips: list[dict[str, Any]]
) -> dict[str, Any]:
    """Counts at every step. Each group adds up to the one before it.

    `first_failed_rule` counts every rejected shot once; `failed_rules` counts it under each rule that it fails;
    `only_failed_rule` counts shots that one rule alone keeps out.
    """
    rejected = [row for row in verdicts if row["verdict"] == "reject"]
    names = [[failure["rule"] for failure in row["failed_rules"]] for row in rejected]
    bad_videos = [row["error"] for row in verdicts if row["error"] is not None]
    return {
        "sources": {"listed": len(sources), **_sorted_counts(row["status"] for row in sources)},
        "failed_sources": _sorted_counts(row["reason"] for row in sources if row["status"] == "failed"),
        "videos": len({row["video_id"] for row in verdicts}),
        "undecodable_videos": _sorted_counts(bad_videos),
        "shots": {"total": len(verdicts), "accept": len(clips), "reject": len(rejected)},
        "first_failed_rule": _sorted_counts(rules[0] for rules in names),
        "failed_rules": _sorted_counts(rule for rules in names for rule in dict.fromkeys(rules)),
        "only_failed_rule": _sorted_counts(rules[0] for rules in names if len(set(rules)) == 1),
        "splits": _sorted_counts(clip["split"] for clip in clips),
        "clip_seconds": round(sum(clip["seconds"] for clip in clips), 3),
    }


def _sorted_counts(names: Any) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
