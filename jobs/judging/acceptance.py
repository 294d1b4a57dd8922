"""How many results were accepted, what an accepted one costs, and what the others miss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def acceptance(rows: Sequence[Mapping[str, Any]], timings: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Figures of a job whose results are judged, for its run; empty where none is.

    Args:
        rows: of PREDICTIONS that are done.
        timings: of TIMINGS, of the same.

    Returns:
        `accepted_share`; `tries_per_accepted` and `seconds_per_accepted`, of all tries over the accepted results, left
        out where there are none; `missed/<figure>`, how many results miss it.
    """
    judged = [row for row in rows if row["accepted"] is not None]
    if not judged:
        return {}
    accepted = sum(row["accepted"] for row in judged)
    found = {"accepted_share": accepted / len(judged)}
    if accepted:
        found["tries_per_accepted"] = sum(len(row["tries"]) for row in judged) / accepted
        found["seconds_per_accepted"] = sum(each["seconds"] for each in timings) / accepted
    missed = Counter(each["name"] for row in judged for each in row["verdict"])
    return found | {f"missed/{name}": float(count) for name, count in sorted(missed.items())}


def told(figures: Mapping[str, float]) -> str:
    """`60 % accepted at 2.0 tries and 31 s each, missed by 2 csim_held_out`; empty where nothing is judged."""
    if not figures:
        return ""
    cost = ""
    if "tries_per_accepted" in figures:
        cost = f" at {figures['tries_per_accepted']:.1f} tries and {figures['seconds_per_accepted']:.3g} s each"
    missed = [f"{count:.0f} {name.partition('/')[2]}" for name, count in figures.items() if name.startswith("missed/")]
    why = f", missed: {', '.join(missed)}" if missed else ""
    return f"{figures['accepted_share']:.0%} accepted{cost}{why}"
