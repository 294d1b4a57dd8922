"""Whether hostile inputs are answered as a person would want: `make bench NAME=hostile`.

    python -m benchmarks.hostile                     # a few minutes
    python -m benchmarks.hostile --kinds settings    # one kind; nothing is written

Each input goes to the entry point of a real command, in this process, or as the one entry of a list to a real crawl. A
traceback, a request to an address inside, and an answer that is not one line (or row) with a name are counted.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.harness import RESULTS, Figure, report
from benchmarks.hostile import addresses, archives, configurations, sources, tables, weights
from benchmarks.hostile.answers import Answer

KINDS: dict[str, Callable[[Path], Iterator[Answer]]] = {
    "sources": sources.answers,
    "settings": configurations.answers,
    "addresses": addresses.answers,
    "tables": tables.answers,
    "weights": weights.answers,
    "archives": archives.answers,
}
_LEAST = 20
"""Inputs of each kind."""
_SLOWEST_S = 10.0
"""An answer within seconds, also on a busy machine."""


def figures(kind: str, found: Sequence[Answer]) -> list[Figure]:
    """Counts of one kind."""
    return [
        Figure(f"{kind}: inputs", len(found), _LEAST, "higher"),
        Figure(f"{kind}: tracebacks", sum(answer.traceback for answer in found), 0, "lower"),
        Figure(f"{kind}: requests to addresses inside", sum(answer.asked for answer in found), 0, "lower"),
        Figure(f"{kind}: not one named line or row", sum(not answer.named for answer in found), 0, "lower"),
        Figure(f"{kind}: inputs whose code ran", sum(answer.ran for answer in found), 0, "lower"),
        Figure(f"{kind}: slowest answer", max(answer.seconds for answer in found), _SLOWEST_S, "lower", "s"),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    arguments = parser.parse_args(argv)
    logging.disable(logging.WARNING)
    told = []
    for kind in arguments.kinds:
        with tempfile.TemporaryDirectory(prefix="sa-hostile-") as folder:
            found = list(KINDS[kind](Path(folder)))
        for answer in found:
            if answer.traceback or answer.asked or answer.ran or not answer.named:
                print(f"{kind}: {answer.case[:100]!r}: {answer.told.strip()[-500:] or 'no word'}", flush=True)
        told += figures(kind, found)
    return report("hostile", told, folder=RESULTS if set(arguments.kinds) == set(KINDS) else None)


if __name__ == "__main__":
    sys.exit(main())
