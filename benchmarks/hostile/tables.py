"""Hostile tables: of pairs, of results, of poses, and lists of sources, as files, and what their rows may name."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.hostile.addresses import Listener
from benchmarks.hostile.answers import Answer, by_command, by_reading, by_row, with_requests
from benchmarks.hostile.table_files import LISTS, PAIRS, POINTS, POSES, RESULT, RESULTS, SIZES
from jobs.curate import run
from jobs.evaluation.results import read_results
from jobs.pairs.drives import read_keypoints
from jobs.pairs.files import opened, planned
from jobs.pairs.pairs_table import URIS, check_pair, read_pairs
from jobs.running import entry
from pipelines.storage import pair_tables
from pipelines.storage.inputs import Inputs
from pipelines.storage.store import Store
from stableanimator.errors import RowError
from stableanimator.media.pictures import read_image

_NO_PAIR: dict[str, Any] = dict.fromkeys(pair_tables.PAIRS.names)

REFERENCES = (
    "file:///etc/passwd",
    "/etc/passwd",
    "/etc/shadow",
    "file://host.test/etc/passwd",
    "../../etc/passwd",
    "media/../../etc/passwd",
    "media/aa/" + "a" * 64 + ".png/../../../x",
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1:{port}/a.png",
    "https://name@127.0.0.1:{port}/a.png?X-Amz-Signature=ab",
    "HTTP://127.0.0.1:{port}/a.png",
    "ftp://127.0.0.1:{port}/a.png",
    "hdfs://127.0.0.1:{port}/a.png",
    "s3:///a.png",
    "package://os/a.png",
    "data:image/png;base64,AAAA",
    "javascript:alert(1)",
    "=cmd|' /C calc'!A0",
    "/dev/zero",
    "/dev/stdin",
    "/proc/self/mem",
    "{folder}/zero.png",
    "{folder}/zero.png#frame=0",
    "{folder}/pipe.png",
    "{folder}/loop.png",
    "{folder}/plain",
    "/a\0b.png",
    "/a\nb.png",
    "/" + "x" * 5000,
    "/none/a.mp4#frame=-1",
    "/none/a.mp4#frame=99999999999999999999",
    " ",
)
"""As the reference of a pair."""


def _rows(store: Store, reference: str) -> list[tuple[str | None, str | None]]:
    """Reason and detail of the row that a pair becomes."""
    try:
        pair = _NO_PAIR | {"pair_id": "a", "reference_uri": reference, "driving_uri": "/none/a.mp4"}
        check_pair(pair)
        (row,) = planned(store, [pair], URIS)
        with opened(Inputs(store), row, URIS) as there:
            read_image(there["reference_uri"])
    except RowError as error:
        return [(error.reason, error.detail)]
    return [(None, None)]


def _poses(path: Path) -> list[tuple[str | None, str | None]]:
    try:
        read_keypoints(_NO_PAIR | {"driving_keypoints_uri": str(path)}, 8.0, None)
    except RowError as error:
        return [(error.reason, error.detail)]
    return [(None, None)]


def answers(folder: Path) -> Iterator[Answer]:
    """Of every table, and of every reference."""
    for name, (file, write) in PAIRS.items():
        path = _written(folder, file, write)
        yield by_reading(f"pairs: {name}", functools.partial(read_pairs, str(path), "animate.pairs"))
    for name, other in RESULTS.items():
        path = folder / "results.parquet"
        pq.write_table(pa.table({**RESULT, **other}), path)
        pair = _NO_PAIR | {"pair_id": "a"}
        yield by_reading(f"results: {name}", functools.partial(read_results, str(path), [pair], ()))
    config = folder / "config.yaml"
    for name, (file, write) in LISTS.items():
        path = _written(folder, file, write)
        config.write_text(f"experiment: x\nroot: {folder}/root\ncurate: {{crawl: {{lists: [{path}]}}}}\n")
        argv = ["--config", str(config), "--dry-run"]
        yield by_command(f"list: {name}", functools.partial(entry.main, "curate", run), argv)
    yield from _of_poses(folder / "poses.parquet")
    yield from _of_references(folder)


def _of_poses(path: Path) -> Iterator[Answer]:
    table = {"frame_index": [0], "time": [0.0], "keypoints": [POINTS]}
    for name, other in POSES.items():
        pq.write_table(pa.table({**table, **other}), path)
        yield by_row(f"poses: {name}", functools.partial(_poses, path))
    for size in SIZES[:-1]:
        pq.write_table(pa.table(table).replace_schema_metadata({"frame_size": size}), path)
        yield by_row(f"poses: of size {size[:20]!r}", functools.partial(_poses, path))


def _of_references(folder: Path) -> Iterator[Answer]:
    (folder / "plain").mkdir()
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "loop.png").symlink_to("loop.png")
    os.mkfifo(folder / "pipe.png")
    listener, store = Listener(), Store(str(folder / "root"))
    try:
        for text in REFERENCES:
            came = listener.came
            reference = text.format(port=listener.port, folder=folder)
            answer = by_row(f"reference: {text}", functools.partial(_rows, store, reference))
            yield with_requests(answer, listener.came - came)
    finally:
        listener.close()


def _written(folder: Path, file: str, write: Any) -> Path:
    place = folder / f"table{len(list(folder.iterdir()))}"
    place.mkdir()
    write(place / file)
    return place / file
