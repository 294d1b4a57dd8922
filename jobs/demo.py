"""`make demo`: the whole line on a Ray head of its own, from a list of videos to rows in MLflow.

With real clips and weights at hand (SA_REAL_DATA) it runs on those. Without, it draws clips of its own, and uses the
small networks that come with the package and know drawn people.
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

from jobs.running.config import load
from jobs.running.local_ray import local_head
from jobs.running.tracking import default_root, tracking_uri
from jobs.submit import LINE, submit
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
        [sys.executable, "-m", "stableanimator.synthetic.render", "--count", "24", "--seed", "1", "--out", str(folder)],
        check=True,
    )


def _plan() -> str:
    """Name of the configuration; draws clips where there are no real ones."""
    real_data = _real_data()
    if real_data is not None:
        os.environ["SA_REAL_DATA"] = str(real_data)
        print(f"demo: all jobs on the real clips of {real_data}")
        return "real_clips.yaml"
    clips = Path(default_root()) / "tiny" / "sources"
    print(f"demo: all jobs on clips that are drawn in {clips}; no real ones here (SA_REAL_DATA)")
    _draw_clips(clips)
    return "tiny.yaml"


def main() -> int:
    os.environ.setdefault("SA_ROOT", default_root())
    console = Console()
    summary = Table("job", "seconds", "exit code", title="demo")
    try:
        config = load(str(files("jobs") / "configs" / _plan()))
        with local_head(LOGICAL_CPUS) as address:
            for verb in LINE:
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
