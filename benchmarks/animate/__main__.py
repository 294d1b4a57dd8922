"""`python -m benchmarks.animate`: see the package.

python -m benchmarks.animate                                       # two hours on one core
python -m benchmarks.animate --parts seams,memory                  # their figures replace those of the last run
python -m benchmarks.animate --parts drift --frames 1000 --plot drift.png      # a shorter one; nothing is written
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.animate import closed_form, drift, memory, preview, seams, verdicts, whole_jobs
from benchmarks.drawn.clips import FIRST_SEED
from benchmarks.harness import RESULTS, Figure, kept, report

NAME = "animate"
FRAMES, PEOPLE = 10_000, 3
SEED = FIRST_SEED + 700_000

PARTS: dict[str, Callable[[argparse.Namespace], list[Figure]]] = {
    "closed_form": lambda arguments: closed_form.figures(),
    "seams": lambda arguments: seams.figures(arguments.people, SEED),
    "memory": lambda arguments: memory.figures(SEED),
    "drift": lambda arguments: drift.figures(arguments.frames, SEED, False, arguments.plot),
    "drift_mixed": lambda arguments: drift.figures(arguments.frames, SEED, True, arguments.plot),
    "preview": lambda arguments: preview.figures(arguments.seed),
    "coverage": lambda arguments: whole_jobs.coverage(),
    "overhead": lambda arguments: whole_jobs.overhead(repeats=2),
    "verdicts": lambda arguments: verdicts.figures(verdicts.CLIPS, arguments.workers),
}
"""What is measured, by name; a part more is a module and a line here."""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="what is measured (default: %(default)s)")
    parser.add_argument("--people", type=int, default=PEOPLE, help="of the part seams (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=FRAMES, help="of the parts drift (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=preview.JUDGED, help="of the part preview (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes of the part verdicts (default: %(default)s)")
    parser.add_argument("--plot", type=Path, help="write a picture of the errors along the drive")
    arguments = parser.parse_args(argv)
    parts = arguments.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    usual = (arguments.people, arguments.frames, arguments.seed) == (PEOPLE, FRAMES, preview.JUDGED)
    figures = [_named(part, figure) for part in parts for figure in PARTS[part](arguments)]
    if not usual:
        return report(NAME, figures, folder=None)
    return report(NAME, [*kept(NAME, parts, RESULTS), *figures])


def _named(part: str, figure: Figure) -> Figure:
    return replace(figure, name=f"{part}: {figure.name}")


if __name__ == "__main__":
    raise SystemExit(main())
