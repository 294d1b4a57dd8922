"""Hostile configurations and arguments, each to a dry run of the command."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.hostile.answers import Answer, by_command
from benchmarks.hostile.yaml_texts import YAML_TEXTS
from jobs.encode import run
from jobs.running import entry

ARGUMENTS = {
    "NaN": "train.loop.learning_rate=.nan",
    "infinity": "curate.crawl.deadline_s=.inf",
    "infinity as a number": "animate.fps=1e999",
    "below the range": "curate.select.min_seconds=-4",
    "above the range": "curate.crawl.timeout_s=1e300",
    "a number of many digits": "encode.batch=" + "9" * 5000,
    "a fraction of a whole": "encode.batch=1.5",
    "NaN in a tuple": "train.loop.engine.betas=[0.9, .nan]",
    "out of the root by the experiment": "experiment=../../x",
    "out of the root by a training's name": "train.name=../x",
    "out of the root by a release": "release=../../x",
    "out of the root by a variant": "animate.variants={../x: {}}",
    "out of a pack": "perception={faces: {pack_root: /w, pack: ../x}, pose: {detector: /d, pose: /p}}",
    "out of a package": "encoders.svd=package://jobs/../../etc",
    "a relative root": "root=data",
    "relative pairs": "animate.pairs=data/pairs.parquet",
    "a relative model": "animate.model=./model",
    "an unknown scheme": "root=ftp://host/folder",
    "no bucket": "root=s3://",
    "a bucket that is a slash": "root=s3:///folder",
    "a file on another host": "root=file://host/folder",
    "NUL": 'root="/data/\\0"',
    "NUL in a URI": "root=file:///data%00",
    "a line break in a path": 'root="/data/\\n"',
    "half a character in a path": 'root="/data/\\ud800"',
    "a path of 5,000 characters": "root=/" + "x" * 5000,
    "a header of two lines": 'curate={crawl: {user_agent: "a\\nX: b"}}',
    "a key of 3,000 levels": "a." * 3000 + "a=1",
    "a value of 3,000 levels": "encode.batch=" + "[" * 3000 + "]" * 3000,
    "a value of 100,000 characters": "encode.batch=" + "x" * 100_000,
    "no key": "=1",
    "an unset variable": "root=${NOT_SET_ANYWHERE}/x",
    "a value inside a value": "experiment.name=x",
    "not UTF-8": os.fsdecode(b"root=/data/\xff"),
}
"""By name, what is added to a configuration that works."""


def _answer(case: str, argv: list[str]) -> Answer:
    return by_command(case, functools.partial(entry.main, "encode", run), argv)


def answers(folder: Path) -> Iterator[Answer]:
    """Of every text as a configuration, and of every argument to one that works."""
    works, hostile = folder / "works.yaml", folder / "hostile.yaml"
    works.write_text(f"experiment: x\nroot: {folder}/root\ncurate: {{crawl: {{sources: [/none]}}}}\n")
    for name, text in YAML_TEXTS.items():
        hostile.write_text(text)
        yield _answer(f"file: {name}", ["--config", str(hostile), "--dry-run"])
    for name, argument in ARGUMENTS.items():
        yield _answer(f"argument: {name}", ["--config", str(works), "--dry-run", argument])
    os.mkfifo(folder / "pipe")
    for path in (folder / "pipe", folder, Path("/dev/zero"), folder / "none"):
        yield _answer(f"no file: {path.name}", ["--config", str(path), "--dry-run"])
