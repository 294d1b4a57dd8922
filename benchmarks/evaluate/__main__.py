"""`python -m benchmarks.evaluate`: see the package."""

from __future__ import annotations

import argparse
import importlib
from dataclasses import replace

from benchmarks.harness import RESULTS, kept, report

PARTS = ("image", "agreement", "wrongness", "people", "duplicates", "memory")
"""Modules of the package, each with `figures(arguments)`."""
_CLIPS, _SEED = 20, 800_000


def main() -> int:
    """Returns 0, or 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="what is measured (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=_CLIPS, help="drawn clips of each kind of wrongness")
    parser.add_argument(
        "--seed", type=int, default=_SEED, help="of the drawn people, after the first (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that draw and look")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    figures = [
        replace(figure, name=f"{part}: {figure.name.removeprefix(f'{part}: ')}")
        for part in parts
        for figure in importlib.import_module(f"benchmarks.evaluate.{part}").figures(arguments)
    ]
    if (arguments.clips, arguments.seed) != (_CLIPS, _SEED):
        return report("evaluate", figures, folder=None)
    return report("evaluate", [*kept("evaluate", parts, RESULTS), *figures])


if __name__ == "__main__":
    raise SystemExit(main())
