"""Results of other systems, named by a table of people's own, as rows that are measured like predictions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from jobs.pairs.pairs_table import Pair
from jobs.pairs.settings import REPEAT
from pipelines.measures.frames import frame_period, nearest_indices
from pipelines.storage.pair_tables import PREDICTIONS, RESULTS
from pipelines.storage.user_tables import read_user_table
from stableanimator.errors import InputError, RowError
from stableanimator.limits.checks import VARIANT
from stableanimator.media.frame_folder import FolderReader, open_frames
from stableanimator.media.video import VideoReader
from stableanimator.paths import below, folder_of, is_absolute

Result = dict[str, Any]
"""A row of RESULTS."""

_NO_RATE = 1.0
"""Frames a second of a folder while nobody has asked for them."""


def read_results(uri: str, pairs: Sequence[Pair], taken: Collection[str]) -> list[dict[str, Any]]:
    """Of each pair and system a row of PREDICTIONS: one that `located` completes, or that says why there is none.

    Args:
        uri: of the table, Parquet or CSV.
        pairs: what the results are of.
        taken: names of variants that are measured beside them.

    Returns:
        Rows by system, in the order in which the table names them, each with its row of RESULTS under `result`.

    Raises:
        InputError: the table cannot be read, has no row, names a pair and system twice or a pair that there is not, or
            a system has a name that cannot be used.
    """
    try:
        rows = read_user_table(uri, RESULTS, required=("pair_id", "variant", "uri")).to_pylist()
        _check(rows, {pair["pair_id"] for pair in pairs}, taken)
    except InputError as error:
        raise InputError(f"evaluate.results: {uri}: {error}") from error
    named = {(row["pair_id"], row["variant"]): row for row in rows}
    systems = list(dict.fromkeys(row["variant"] for row in rows))
    return [_row(pair, system, named.get((pair["pair_id"], system)), uri) for system in systems for pair in pairs]


def _check(rows: Sequence[Result], pairs: Collection[str], taken: Collection[str]) -> None:
    if not rows:
        raise InputError("it has no row")
    seen = set()
    for number, row in enumerate(rows, start=1):
        system, pair = row["variant"], row["pair_id"]
        if fault := VARIANT.fault(system):
            raise InputError(f"row {number}, column 'variant' {fault}")
        if system in taken or system == REPEAT:
            raise InputError(f"row {number}, column 'variant': {system!r} is measured already; choose another name")
        if pair not in pairs:
            raise InputError(f"row {number}, column 'pair_id': the pairs have no {pair!r}")
        if (pair, system) in seen:
            raise InputError(f"row {number}: {system} of {pair} is named before; keep one of them")
        if row["every"] is not None and row["every"] < 1:
            raise InputError(f"row {number}, column 'every': {row['every']}; it must be at least 1")
        if row["skip"] is not None and row["skip"] < 0:
            raise InputError(f"row {number}, column 'skip': {row['skip']}; it must not be negative")
        if row["fps"] is not None and row["fps"] <= 0:
            raise InputError(f"row {number}, column 'fps': {row['fps']:g}; it must be above 0")
        for name in ("cut_x", "cut_y"):
            if row[name] is not None and not 0 <= row[name] <= 1:
                raise InputError(f"row {number}, column {name!r}: {row[name]:g}; it must lie in 0 to 1")
        seen.add((pair, system))


def _row(pair: Pair, system: str, result: Result | None, table: str) -> dict[str, Any]:
    known = {name: pair[name] for name in ("pair_id", "reference_uri", "truth_uri", "driving_uri", "start", "end")}
    row = dict.fromkeys(PREDICTIONS.names) | known | {"variant": system, "result": result}
    if result is None:
        return row | {"status": "failed", "reason": "no_result", "detail": f"{table} names none of {system}"}
    middle = [0.5 if result[name] is None else result[name] for name in ("cut_x", "cut_y")]
    return row | {"status": "done", "prediction_uri": _absolute(result["uri"], table), "cut_middle": middle}


def _absolute(uri: str, table: str) -> str:
    """A path of the table, which may begin where the table lies."""
    if is_absolute(uri):
        return uri
    return below(folder_of(table), uri)


def located(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `read_results` with the frames of the drive that its frames stand for.

    Raises:
        RowError: `no_driving_frames`, or as the videos.
    """
    result: Result = row["result"]
    with open_frames(row["prediction_uri"], _NO_RATE) as frames:
        count = frames.info.frame_count
        rate = result["fps"] or (None if isinstance(frames, FolderReader) else frames.info.fps)
    timeline = row["truth_uri"] or row["driving_uri"]
    if timeline is None:  # driven by a table of poses: nothing to compare with, frame by frame
        return row | {"frame_index": list(range(count)), "frames_left_out": 0, "fps": rate or _NO_RATE}
    with VideoReader(timeline) as video:
        times = video.info.times
    start, end = row["start"] or 0, min(row["end"] or len(times), len(times))
    first = start + (result["skip"] or 0)
    if first >= end:
        raise RowError("no_driving_frames", f"{first} to {end} of {len(times)} frames")
    every = result["every"] or (None if rate else 1)
    rate = rate or 1 / (frame_period(times) * (every or 1))
    indices = np.arange(first, end, every) if every else nearest_indices(times, first, end, 1 / rate)
    taken = indices[:count].tolist()
    skipped = round(float(times[first] - times[start]) * rate)
    remark = f"{count - len(taken)} of its {count} frames lie behind the drive" if count > len(taken) else None
    left_out = len(indices) - len(taken) + skipped
    return row | {"frame_index": taken, "frames_left_out": left_out, "fps": rate, "detail": remark}
