"""Encode a release: reads its accepted clips and measured frames, writes training shards."""

from __future__ import annotations

from jobs.running import ending, entry

if __name__ == "__main__":
    entry.answer_first("encode")  # before what takes seconds to import

from dataclasses import replace

import cv2
import numpy as np

from jobs.running.config import Config
from jobs.tracking.run import Run
from pipelines.shards.encode import encode_release
from pipelines.shards.sheet import NAME
from pipelines.storage.store import Collection, Store


def run(config: Config, run: Run) -> str:
    """Returns what was encoded and where.

    Raises:
        InputError: there is no such release.
        StorageError: the root's disk is too small for what would be written.
    """
    release = Store(config.root).open("releases", config.release)
    run.dataset("release", release.uri, release.id)
    encoders = replace(config.encoders, tiny_decoder=None)  # which encodes nothing
    shards = encode_release(release, config.encode, encoders)
    counts = shards.manifest["counts"]
    run.metrics({"clips": counts["clips"], "clips_encoded": counts["encoded"], "shard_rows": counts["rows"]})
    run.table("encode_report", shards.table("report").to_pylist())
    _log_sheet(run, shards)
    run.dataset("shards", shards.uri, shards.id, context="output")
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts["reasons"].items())
    left_out = f" (left out: {reasons})" if reasons else ""
    return f"{counts['rows']} rows of {counts['encoded']} of {counts['clips']} clips{left_out} in {shards.uri}"


def _log_sheet(run: Run, shards: Collection) -> None:
    path = f"{shards.folder}/{NAME}"
    if shards.store.exists(path):
        data = np.frombuffer(shards.store.read_bytes(path), np.uint8)
        run.picture(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8), NAME)


if __name__ == "__main__":
    ending.leave(entry.main("encode", run))
