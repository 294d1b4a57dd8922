"""`python -m benchmarks.face_optimisation`: see the package.

python -m benchmarks.face_optimisation                          # ten minutes on two cores
python -m benchmarks.face_optimisation --parts analytic --people 6      # less of it, nothing written
python -m benchmarks.face_optimisation --sweep                  # how `effective` is chosen, on people of another seed
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2

from benchmarks.drawn.clips import FIRST_SEED
from benchmarks.face_optimisation import analytic, base_model, confinement, memory, sweep
from benchmarks.face_optimisation.base_model import bench
from benchmarks.face_optimisation.people import people
from benchmarks.harness import RESULTS, Figure, report

_REPORTED, _SWEPT = 1_000_000, 1_100_000
_PEOPLE, _SWEPT_PEOPLE, _CONFINED, _SHOWN = 30, 8, 4, 4


def _base_model(arguments: argparse.Namespace) -> list[Figure]:
    cases = people(arguments.people, FIRST_SEED + arguments.seed, bench().judge, arguments.frames)
    return base_model.figures(cases, arguments.workers)


def _analytic(arguments: argparse.Namespace) -> list[Figure]:
    cases = people(arguments.people, FIRST_SEED + arguments.seed + 10_000, bench().judge, arguments.frames)
    return analytic.figures(cases, arguments.workers)


def _confinement(arguments: argparse.Namespace) -> list[Figure]:
    count = min(arguments.people, _CONFINED)
    return confinement.figures(people(count, FIRST_SEED + arguments.seed + 20_000, bench().judge, confinement.FRAMES))


def _memory(arguments: argparse.Namespace) -> list[Figure]:
    cases = people(arguments.people, FIRST_SEED + arguments.seed + 30_000, bench().judge, arguments.frames)
    return memory.figures(cases, arguments.workers)


PARTS: dict[str, Callable[[argparse.Namespace], list[Figure]]] = {
    "base_model": _base_model,
    "analytic": _analytic,
    "confinement": _confinement,
    "memory": _memory,
}
"""What is measured, by name; a part more is a module and a line here."""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="what is measured (default: %(default)s)")
    parser.add_argument("--people", type=int, help=f"of each part (default: {_PEOPLE}, of a sweep {_SWEPT_PEOPLE})")
    parser.add_argument("--frames", type=int, default=1, help="of each person (default: %(default)s)")
    parser.add_argument("--seed", type=int, help=f"of the people (default: {_REPORTED}, of a sweep {_SWEPT})")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes (default: 2)")
    parser.add_argument("--sweep", action="store_true", help="choose the preset `effective` instead")
    parser.add_argument("--sheet", type=Path, help=f"write pictures of {_SHOWN} people of the sweep's seed instead")
    arguments = parser.parse_args(argv)
    parts = arguments.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    usual = arguments.people is None and arguments.seed is None and arguments.frames == 1 and set(parts) == set(PARTS)
    swept = arguments.sweep
    arguments.people = arguments.people or (_SWEPT_PEOPLE if swept else _PEOPLE)
    arguments.seed = arguments.seed if arguments.seed is not None else _SWEPT if swept else _REPORTED
    if arguments.sheet is not None:
        shown = people(_SHOWN, FIRST_SEED + _SWEPT, bench().judge, 1)
        cv2.imwrite(str(arguments.sheet), base_model.sheet(shown, arguments.workers)[..., ::-1])
        return 0
    if swept:
        cases = people(arguments.people, FIRST_SEED + arguments.seed, bench().judge, arguments.frames)
        return report(
            "face_optimisation_sweep", sweep.figures(cases, arguments.workers), folder=RESULTS if usual else None
        )
    figures = [figure for part in parts for figure in PARTS[part](arguments)]
    return report("face_optimisation", figures, folder=RESULTS if usual else None)


if __name__ == "__main__":
    raise SystemExit(main())
