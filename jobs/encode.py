"""Encode a release: reads its accepted clips and measured frames, writes training shards."""

from __future__ import annotations

import sys

from jobs import entry
from jobs.config import Config
from jobs.tracking import Run
from pipelines.encode import encode_release
from pipelines.store import Store


def run(config: Config, run: Run) -> str:
    """Returns what was encoded and where.

    Raises:
        InputError: there is no such release.
    """
    release = Store(config.root).open("releases", config.release)
    run.dataset("release", release.uri, release.id)
    shards = encode_release(release, config.encode, config.encoders)
    counts = shards.manifest["counts"]
    run.metrics({"clips": counts["clips"], "clips_encoded": counts["encoded"], "shard_rows": counts["rows"]})
    run.table("encode_report", shards.table("report").to_pylist())
    run.dataset("shards", shards.uri, shards.id, context="output")
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts["reasons"].items())
    left_out = f" (left out: {reasons})" if reasons else ""
    return f"{counts['rows']} rows of {counts['encoded']} of {counts['clips']} clips{left_out} in {shards.uri}"


if __name__ == "__main__":
    sys.exit(entry.main("encode", run))
