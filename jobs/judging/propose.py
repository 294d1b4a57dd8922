"""`python -m jobs.judging.propose ROOT [--good FILE]`: thresholds for `animate.accept` from results that you accept.

Animate some pairs with anything asked, as `animate.accept.max_flicker=255`, look at what came of them, and write the
pair_id of each that is good enough on a line of FILE; without it all are. Forty of people and motions like those that
will come are few enough to look at and enough to tell. Prints a piece of a configuration. Needs no Ray.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines.storage.store import Store
from stableanimator.errors import InputError, UserError
from stableanimator.metrics.settings import AcceptSettings
from stableanimator.metrics.verdict import proposed

FEW = 20
"""Examples below which thresholds are said to hang on chance."""


def thresholds(rows: Sequence[Mapping[str, Any]], good: Collection[str] | None) -> tuple[AcceptSettings, int]:
    """What the first tries of accepted results reach, and how many these are.

    Args:
        rows: of PREDICTIONS.
        good: pairs whose results are accepted; None: all.

    Raises:
        InputError: nothing was judged, or `good` names a pair that was not.
    """
    judged = [row for row in rows if row["figures"] is not None]
    if not judged:
        raise InputError(
            "no result was judged: ask for something, as animate.accept.max_flicker=255, and animate again"
        )
    if unknown := sorted(set(good or ()) - {row["pair_id"] for row in judged}):
        raise InputError(f"no result of {unknown[0]!r} was judged; name pairs of these predictions")
    accepted = [row["figures"] for row in judged if good is None or row["pair_id"] in good]
    if not accepted:
        raise InputError("no pair is named as good")
    return proposed(accepted), len(accepted)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 after a user's mistake."""
    parser = argparse.ArgumentParser(
        prog="python -m jobs.judging.propose", description=(__doc__ or "").partition("\n\n")[2]
    )
    parser.add_argument("root", metavar="ROOT", help="the dataset root")
    parser.add_argument("--predictions", default="latest", help="a prediction set's id (default: %(default)s)")
    parser.add_argument("--good", type=Path, metavar="FILE", help="a pair_id on each line; default: all")
    arguments = parser.parse_args(argv)
    try:
        good = None if arguments.good is None else {line for line in arguments.good.read_text().splitlines() if line}
        rows = Store(arguments.root).open("predictions", arguments.predictions).table("predictions").to_pylist()
        accept, count = thresholds(rows, good)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    few = "; too few, others will be refused by chance" if count < FEW else ""
    print(f"# of {count} accepted results{few}")
    print(yaml.safe_dump({"animate": {"accept": accept.thresholds}}, sort_keys=False), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
