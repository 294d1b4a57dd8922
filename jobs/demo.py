"""`make demo`: the whole line on a Ray head of its own, from a list of videos to rows in MLflow.

With real clips and weights at hand (SA_REAL_DATA) it runs all six jobs on them. Without, it draws clips of its own
and curates those by what needs no weights: shots and camera motion.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jobs.config import load
from jobs.local_ray import local_head
from jobs.submit import VERBS, submit
from jobs.tracking import default_root, tracking_uri
from stableanimator.errors import ConfigError, UserError

LOGICAL_CPUS = 4  # training workers, a driver and actors share the cores of a small machine


def _real_data() -> Path | None:
    named = os.environ.get("SA_REAL_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    present = (folder / "media" / "videos").is_dir() and (folder / "weights").is_dir()
    if named and not present:
        raise ConfigError(f"SA_REAL_DATA: {folder} has no media/videos and weights; unset it to draw clips instead")
    return folder.resolve() if present else None


def _draw_clips(folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "stableanimator.synthetic.render", "--count", "12", "--seed", "1", "--out", str(folder)],
        check=True,
    )


def _plan() -> tuple[str, tuple[str, ...]]:
    """Name of the configuration and the verbs to run."""
    real_data = _real_data()
    if real_data is not None:
        os.environ["SA_REAL_DATA"] = str(real_data)
        print(f"demo: all six jobs on the real clips of {real_data}")
        return "real_clips.yaml", VERBS
    clips = Path(default_root()) / "drawn_clips" / "sources"
    print(f"demo: no real clips and weights here (SA_REAL_DATA), so clips are drawn in {clips} and curated")
    _draw_clips(clips)
    return "drawn_clips.yaml", ("curate",)


def main() -> int:
    os.environ.setdefault("SA_ROOT", default_root())
    console = Console()
    summary = Table("job", "seconds", "exit code", title="demo")
    try:
        name, verbs = _plan()
        config = load(str(files("jobs") / "configs" / name))
        with local_head(LOGICAL_CPUS) as address:
            for verb in verbs:
                started = time.monotonic()
                code = submit(verb, config, address=address)
                summary.add_row(verb, f"{time.monotonic() - started:.0f}", str(code))
                if code:
                    break
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    console.print(summary)
    print(f"datasets, reports and videos: {config.root}")
    print(f"runs: mlflow ui --backend-store-uri {tracking_uri()}")
    return code


if __name__ == "__main__":
    sys.exit(main())
