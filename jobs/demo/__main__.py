"""`python -m jobs.demo`: from a list of URLs to one page, on a Ray head of its own, everything in one folder.

On drawn clips and with the small networks of the package, or, with --real, on the clips and weights of SA_REAL_DATA.
"""

from __future__ import annotations

from jobs.running import ending

if __name__ == "__main__":
    ending.until_begun()

import argparse
import contextlib
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import IO

from rich.console import Console

from jobs.demo.sources import draw_sources, served, write_list
from jobs.demo.steps import Step, Terminal, run_step
from jobs.running.config import Config, load
from jobs.running.local_ray import local_head
from jobs.submit import LINE
from jobs.tracking.tracker import tracking_uri
from stableanimator.errors import InputError
from stableanimator.redaction import redacted

LOGICAL_CPUS = 4  # training workers, a driver and actors share the cores of a small machine


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    result = argparse.ArgumentParser(prog="python -m jobs.demo", description=(__doc__ or "").splitlines()[0])
    result.add_argument(
        "--folder", type=Path, default=Path("demo"), help="for everything that is written; made if missing"
    )
    result.add_argument("--real", action="store_true", help="real clips and weights, from SA_REAL_DATA")
    result.add_argument("overrides", nargs="*", metavar="a.b=value", help="settings that replace those of the file")
    return result.parse_intermixed_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns a failed job's exit code, else its own (`jobs.running.ending`)."""
    arguments = _arguments(argv)
    folder = arguments.folder.resolve()
    kept = f"what is done is kept in {folder}, and the same command goes on from there"
    return ending.ended(lambda: _line(arguments, folder), kept)


def _line(arguments: argparse.Namespace, folder: Path) -> int:
    try:
        (folder / "sources").mkdir(parents=True, exist_ok=True)
        (folder / "index.html").unlink(missing_ok=True)  # of an earlier run
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        os.environ["SA_ROOT"], os.environ["MLFLOW_TRACKING_URI"] = str(folder), f"sqlite:///{folder}/mlflow.db"
        config_path = str(files("jobs") / "configs" / ("real_clips.yaml" if arguments.real else "demo.yaml"))
        with open(folder / "demo.log", "w") as log:
            config = load(config_path, arguments.overrides)
            steps = _run(config, ["--config", config_path, *arguments.overrides], folder, log, drawn=not arguments.real)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error}); give another --folder") from error
    _say(Console(), folder, config, steps[-1])
    return steps[-1].code


def _run(config: Config, arguments: Sequence[str], folder: Path, log: IO[str], *, drawn: bool) -> list[Step]:
    """Every verb with these arguments of `jobs.submit`, until one fails, and the page."""
    console = Console()
    console.print(f"everything is written to {folder}; what Ray and the jobs say, to demo.log there", soft_wrap=True)
    with contextlib.ExitStack() as stack:
        terminal = stack.enter_context(Terminal(console))
        with terminal.step("start") as line:
            if drawn:
                terminal.say("drawing clips")
                draw_sources(folder / "sources", log)
                write_list(folder / "sources", stack.enter_context(served(folder / "sources")))
            terminal.say("starting Ray")
            address = stack.enter_context(local_head(LOGICAL_CPUS))
            line.said = "a Ray head" + (" and a web server with drawn clips" if drawn else "")
        steps: list[Step] = []
        for verb in LINE:
            steps.append(run_step(verb, [*arguments, "--address", address], log, terminal))
            if steps[-1].code:
                return steps
        with terminal.step("page") as line:
            from jobs.demo.page import write_page, write_picture  # here: MLflow and matplotlib take seconds

            write_page(config, steps, folder / "index.html")
            write_picture(config, folder / "result.webp")
            line.said = "index.html, and result.webp for a README"
    return steps


def _say(console: Console, folder: Path, config: Config, last: Step) -> None:
    page = folder / "index.html"
    if page.exists():
        console.print(f"\nthe page:  {page}", soft_wrap=True)
    console.print(f"videos:    {config.root}/metrics/*/*.mp4", soft_wrap=True)
    console.print(f"runs:      mlflow ui --backend-store-uri {redacted(tracking_uri())}", soft_wrap=True)
    if last.page:
        console.print(f"           {last.page}", soft_wrap=True)


if __name__ == "__main__":
    ending.leave(main())
