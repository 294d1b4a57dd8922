"""From measures to a release: a verdict for every shot, the accepted clips, their frames, and counts that add up.

Only numbers are read here: no frame is decoded and no model is loaded, so another threshold costs seconds. What there
is for each frame is read for the accepted shots alone, some shots at a time.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.curation import CurateSettings
from pipelines.measures.shots import video_of
from pipelines.measuring.measure import Measured
from pipelines.releases.near_duplicates import ALIKE, NearPair, ShotHashes, near_pairs, nearest_kept
from pipelines.releases.people import People, find_people, person_ids
from pipelines.releases.report import render_report
from pipelines.releases.rules import failed_rules
from pipelines.releases.settings import SelectSettings
from pipelines.releases.splits import Earlier, Splits, draw_splits, earlier_of, followed, groups_of
from pipelines.storage.parquet_files import ParquetFile, stream_parquet
from pipelines.storage.part_rows import PartRows, RowReader
from pipelines.storage.store import Collection, Store, canonical_json, media_path
from pipelines.storage.tables import CLIPS, FRAMES, MEASURES, SHOTS, VERDICTS, scalar_columns

VERSION = 5
"""Raised by hand when the meaning of a verdict or of a column of a release changes."""

_PER_FRAME = {
    "people": ("person_boxes", "person_scores"),
    "keypoints": ("keypoints",),
    "face_quality": ("face_boxes", "face_scores", "face_landmarks", "face_embedding"),
}
"""Columns of the measures that have one entry for each sampled frame, and go to FRAMES."""

_SHOTS_IN_FILE = 1024  # of the table frames; about 300 MB where shots last ten seconds
_SHOTS_AT_A_TIME = 64  # in memory
_WRITERS = min(8, os.cpu_count() or 1)  # threads, each with a file of its own; Arrow works without Python's lock


def make_release(
    store: Store, sources: pa.Table, measured: Measured, settings: CurateSettings, build: dict[str, Any]
) -> Collection:
    """Judge every shot and commit a collection `releases` with the tables sources, verdicts, clips and frames.

    Equal sources, measures and thresholds give an equal id, whatever the root, the machine and the number of actors.

    Args:
        sources: SOURCES.
        build: times, host and speeds; goes to build.json, with seconds, rows and bytes of this step in `stages`.

    Raises:
        DamagedPart: a part that is needed was damaged since it was committed.
        StorageError: the disk is full.
    """
    started = time.monotonic()
    verdicts = judge(measured, settings)
    near = _near_pairs(store, verdicts, measured, settings)
    if "picture_hash" in settings.measures:
        reject_copies(verdicts, near, settings.select)
    rows = clip_rows(verdicts, sources.to_pylist())
    accepted = [clip["shot_id"] for clip in rows]
    people = find_people(_faces(store, accepted, measured), settings.select.same_person_cosine)
    known = followed(store, settings.select, {clip["video_id"] for clip in rows})
    splits = split_clips(rows, people, near, earlier_of(known), settings.select)
    clips = pa.Table.from_pylist(rows, schema=CLIPS)
    counts = count_steps(sources.to_pylist(), verdicts, rows)
    frames = frame_files(store, accepted, measured.cached.rows)
    tables = {
        "sources": sources,
        "verdicts": pa.Table.from_pylist(verdicts, schema=VERDICTS),
        "clips": clips,
        "frames": frames,
    }
    content = {
        "version": VERSION,
        "settings": _settings_of_content(settings),
        "weights": measured.keys.weights,
        "lineage": {"shots": measured.keys.shots, "measures": measured.keys.measures},
        "counts": counts,
    }
    told = _told_of_splits(known, splits, content, clips)
    thumbnails = Thumbnails(store, measured.cached.rows["thumbnails"])
    report = render_report(sources.to_pylist(), verdicts, counts, thumbnails, settings, told["moved_to_training"])
    files = {"report.html": report.encode()}
    seconds = time.monotonic() - started
    selected = {"seconds": seconds, "rows": len(verdicts), "rows_per_second": len(verdicts) / seconds}
    selected["bytes"] = sum(file.size for file in frames)
    build = {**build, "splits": told, "stages": {**build.get("stages", {}), "select": selected}}
    release = store.commit("releases", content=content, tables=tables, build=build, files=files)
    for file in frames:
        file.close()
    return release


def _told_of_splits(
    known: Collection | None, splits: Splits, content: Mapping[str, Any], clips: pa.Table
) -> dict[str, Any]:
    """Which release was followed, and which videos were moved for it. What has no share in the id stands in build.json:
    a release is what it is, whichever other one it was made after. A release that is made again keeps its word."""
    if known is not None:
        same = {name: known.manifest.get(name) for name in content}
        if canonical_json(same) == canonical_json(content) and known.table("clips").equals(clips):
            told: dict[str, Any] = known.build()["splits"]
            return told
    return {"follows": None if known is None else known.id, "moved_to_training": splits.moved}


class Thumbnails(Mapping[str, bytes]):
    """JPEG files by shot_id, each read when it is asked for: a page shows some hundred of a million."""

    def __init__(self, store: Store, rows: PartRows) -> None:
        self._ids = rows.table["shot_id"]
        self._reader = RowReader(store, rows, ["jpeg"])

    def __getitem__(self, shot_id: str) -> bytes:
        number = pc.index(self._ids, shot_id).as_py()
        if number < 0:
            raise KeyError(shot_id)
        jpeg: bytes = self._reader.take(np.array([number]))["jpeg"][0].as_py()
        return jpeg

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids.to_pylist())

    def __len__(self) -> int:
        return len(self._ids)


def _settings_of_content(settings: CurateSettings) -> dict[str, Any]:
    """Settings that decide what a release holds; how it was fetched and on how many actors is left out."""
    measures = {name: asdict(getattr(settings, name)) for name in settings.measures}
    shots, select = settings.shots.identity(), asdict(settings.select)
    return {"shots": shots, "sample_fps": settings.sample_fps, "measures": measures, "select": select}


def judge(measured: Measured, settings: CurateSettings) -> list[dict[str, Any]]:
    """Rows of VERDICTS, one for every shot, sorted by shot_id. A shot is accepted when no rule fails; the one rule that
    holds shots against each other is `reject_copies`."""
    failures = {(one["shot_id"], one["measure"]): one["reason"] for one in measured.failures}
    known = {*SHOTS.names, *(name for measure in settings.measures for name in scalar_columns(measure))}
    if "people" not in settings.measures:
        known.discard("subject_motion")  # camera_motion tells it only of people whom another measure found
    scalars = {name: _scalar_rows(table, name) for name, table in measured.cached.measures.items()}
    columns = [name for measure in MEASURES for name in scalar_columns(measure)]
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
        numbers = {name: values.get(name) for name in columns}
        unlike = {"near_duplicate_of": None, "near_duplicate_distance": None}
        rows.append({**shot, **numbers, **unlike, "verdict": verdict, "failed_rules": failed})
    return rows


def _scalar_rows(table: pa.Table, measure: str) -> dict[str, dict[str, Any]]:
    """Scalars and error of a measure by shot; what is per frame stays in Arrow."""
    rows = table.select(["shot_id", "error", *scalar_columns(measure)]).to_pylist()
    return {row["shot_id"]: row for row in rows}


def reject_copies(verdicts: list[dict[str, Any]], near: Sequence[NearPair], settings: SelectSettings) -> None:
    """Hold the accepted shots against each other: those with the larger picture first, then the longer ones. A shot
    that another rule rejects keeps nobody out."""
    accepted = [row for row in verdicts if row["verdict"] == "accept"]
    accepted.sort(key=lambda row: (-row["width"] * row["height"], -row["seconds"], row["shot_id"]))
    nearest = nearest_kept([row["shot_id"] for row in accepted], near, settings.min_near_duplicate_distance or 0.0)
    for row in accepted:
        row["near_duplicate_of"], row["near_duplicate_distance"] = nearest[row["shot_id"]]
        row["failed_rules"] = failed_rules(row, {}, {"near_duplicate_distance"}, settings)
        row["verdict"] = "reject" if row["failed_rules"] else "accept"


def _near_pairs(
    store: Store, verdicts: list[dict[str, Any]], measured: Measured, settings: CurateSettings
) -> list[NearPair]:
    """Shots that are like each other, of those that are accepted so far."""
    if "picture_hash" not in settings.measures:
        return []
    accepted = [row["shot_id"] for row in verdicts if row["verdict"] == "accept"]
    columns = ["plain_hash", "mirrored_hash", "cut_hashes"]
    hashes = []
    for shot, row in _of_shots(store, accepted, measured.cached.rows["picture_hash"], columns):
        plain, mirrored, cuts = (flat_numpy(row[name]) for name in columns)
        hashes.append(ShotHashes(shot, plain, mirrored, cuts.reshape(len(plain), -1)))
    return near_pairs(hashes)


def _faces(store: Store, accepted: Sequence[str], measured: Measured) -> dict[str, NDArray[np.float32]]:
    """[F, E] embeddings of the main face of each shot, of the frames that show one."""
    if "face_quality" not in measured.cached.rows:
        return {}
    faces = {}
    for shot, row in _of_shots(store, accepted, measured.cached.rows["face_quality"], ["face_embedding"]):
        seen = pc.drop_null(pc.list_flatten(row["face_embedding"]))
        faces[shot] = flat_numpy(seen).reshape(len(seen), -1)
    return faces


def _of_shots(
    store: Store, ids: Sequence[str], rows: PartRows, columns: Sequence[str]
) -> Iterator[tuple[str, pa.Table]]:
    """Some columns of each of these shots, a row at a time; some shots are in memory at once."""
    reader = RowReader(store, rows, columns)
    numbers = pc.index_in(pa.array(ids, pa.string()), value_set=rows.table["shot_id"].combine_chunks())
    places = numbers.to_numpy(zero_copy_only=False).astype(np.int64)
    for start in range(0, len(ids), _SHOTS_AT_A_TIME):
        table = reader.take(places[start : start + _SHOTS_AT_A_TIME])
        for number in range(len(table)):
            yield ids[start + number], table.slice(number, 1)


def flat_numpy(column: pa.ChunkedArray | pa.Array) -> NDArray[Any]:
    """The numbers in a column of lists, however deep, as one array."""
    while pa.types.is_nested(column.type):
        column = pc.list_flatten(column)
    return np.asarray(column.to_numpy())


def clip_rows(verdicts: list[dict[str, Any]], sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of CLIPS, but for `split` and `person`: the accepted shots, with what the first source of their video says
    about its rights."""
    fetched = {row["video_id"]: row for row in sources if row["status"] == "fetched"}
    rows = []
    for shot in verdicts:
        if shot["verdict"] == "accept":
            source = fetched[shot["video_id"]]
            row = {name: shot[name] for name in CLIPS.names if name in shot}
            row |= {name: source[name] for name in ("licence", "uploader", "consent", "language")}
            row["media"] = media_path(shot["video_id"], source["extension"])
            rows.append(row)
    return rows


def split_clips(
    clips: list[dict[str, Any]],
    people: People,
    near: Sequence[NearPair],
    earlier: Earlier,
    settings: SelectSettings,
) -> Splits:
    """Give each clip its `person` and `split`.

    Videos go together that show people who are alike, that hold copies of one another (also such as the rule lets
    pass), or that show no face at all and name the same uploader.
    """
    copies = [pair for pair in near if pair.distance < max(ALIKE, settings.min_near_duplicate_distance or 0.0)]
    ids = person_ids(people.of_person, earlier.people)
    person_of = {shot: own for own, shots in zip(ids, people.of_person, strict=True) for shot in shots}
    faceless: dict[str, set[str]] = {}
    with_face = {clip["video_id"] for clip in clips if clip["shot_id"] in person_of}
    for clip in clips:
        if clip["uploader"] is not None and clip["video_id"] not in with_face:
            faceless.setdefault(clip["uploader"], set()).add(clip["video_id"])
    together = [
        *([video_of(shot) for shot in shots] for shots in people.connected),
        *([video_of(pair.first), video_of(pair.second)] for pair in copies),
        *(sorted(videos) for videos in faceless.values()),
    ]
    counted = {clip["video_id"] for clip in clips}
    groups = groups_of({*counted, *(video for videos in together for video in videos)}, together)
    splits = draw_splits(groups, counted, earlier.splits, settings)
    for clip in clips:
        clip["person"] = person_of.get(clip["shot_id"])
        clip["split"] = splits.of_video[clip["video_id"]]
    return splits


def frame_files(store: Store, accepted: Sequence[str], rows: Mapping[str, PartRows]) -> list[ParquetFile]:
    """FRAMES of the accepted shots (sorted ids), in one file or several, none of which is ever whole in memory.

    Which shots are in which file and row group depends on the accepted shots alone.
    """
    ids = pa.array(accepted, pa.string())
    numbers = {
        name: pc.index_in(ids, value_set=rows[name].table["shot_id"].combine_chunks()).to_numpy().astype(np.int64)
        for name in _PER_FRAME
        if name in rows
    }
    starts = range(0, max(1, len(ids)), _SHOTS_IN_FILE)

    def write(start: int) -> ParquetFile:
        part = slice(start, start + _SHOTS_IN_FILE)
        of_file = {name: of_measure[part] for name, of_measure in numbers.items()}
        return stream_parquet(_frame_tables(store, ids[part], rows, of_file), FRAMES)

    with ThreadPoolExecutor(_WRITERS) as pool:
        return list(pool.map(write, starts))


def _frame_tables(
    store: Store, ids: pa.Array, rows: Mapping[str, PartRows], numbers: Mapping[str, NDArray[np.int64]]
) -> Iterator[pa.Table]:
    readers = {name: RowReader(store, rows[name], ["frame_index", "time", *_PER_FRAME[name]]) for name in numbers}
    for start in range(0, len(ids), _SHOTS_AT_A_TIME):
        part = slice(start, start + _SHOTS_AT_A_TIME)
        yield frame_table(ids[part], {name: reader.take(numbers[name][part]) for name, reader in readers.items()})


def frame_table(ids: pa.Array, measures: Mapping[str, pa.Table]) -> pa.Table:
    """FRAMES of some shots: the per-frame columns of the measures, one row for each frame.

    All these measures sample the same frames. Columns of measures that did not run are null; without any of them there
    is no row.

    Args:
        measures: one row for each of the shots, in their order.
    """
    if not measures:
        return FRAMES.empty_table()
    first = next(iter(measures.values()))
    columns = {name: pc.list_flatten(first[name]) for name in ("frame_index", "time")}
    columns["shot_id"] = ids.take(pc.list_parent_indices(first["frame_index"]).combine_chunks())
    for name, table in measures.items():
        assert table["frame_index"].equals(first["frame_index"])
        columns |= {column: pc.list_flatten(table[column]) for column in _PER_FRAME[name]}
    count = len(columns["frame_index"])
    return pa.table(
        [columns.get(field.name, pa.nulls(count, field.type)) for field in FRAMES], names=FRAMES.names
    ).cast(FRAMES)


def count_steps(
    sources: list[dict[str, Any]], verdicts: list[dict[str, Any]], clips: list[dict[str, Any]]
) -> dict[str, Any]:
    """Counts at every step. Each group adds up to the one before it, but for `passed_over`, which nobody listed.

    `first_failed_rule` counts every rejected shot once; `failed_rules` counts it under each rule that it fails;
    `only_failed_rule` counts shots that one rule alone keeps out.
    """
    rejected = [row for row in verdicts if row["verdict"] == "reject"]
    names = [[failure["rule"] for failure in row["failed_rules"]] for row in rejected]
    bad_videos = [row["error"] for row in verdicts if row["error"] is not None]
    statuses = _sorted_counts(row["status"] for row in sources)
    return {
        "sources": {"listed": len(sources) - statuses.get("passed_over", 0), **statuses},
        "failed_sources": _sorted_counts(row["reason"] for row in sources if row["status"] == "failed"),
        "videos": len({row["video_id"] for row in verdicts}),
        "undecodable_videos": _sorted_counts(bad_videos),
        "shots": {"total": len(verdicts), "accept": len(clips), "reject": len(rejected)},
        "first_failed_rule": _sorted_counts(rules[0] for rules in names),
        "failed_rules": _sorted_counts(rule for rules in names for rule in dict.fromkeys(rules)),
        "only_failed_rule": _sorted_counts(rules[0] for rules in names if len(set(rules)) == 1),
        "splits": _sorted_counts(clip["split"] for clip in clips),
        "split_videos": _sorted_counts({clip["video_id"]: clip["split"] for clip in clips}.values()),
        "people": len({clip["person"] for clip in clips if clip["person"] is not None}),
        "clip_seconds": round(sum(clip["seconds"] for clip in clips), 3),
    }


def _sorted_counts(names: Any) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
