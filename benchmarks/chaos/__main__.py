"""`make chaos`: see the package. Two quiet cores need up to two hours for all of it.

python -m benchmarks.chaos                                         # every kind of fault at every verb
python -m benchmarks.chaos --faults 10                             # a seeded part, as continuous integration takes it
python -m benchmarks.chaos --kinds bit_flip --verbs train,animate
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.chaos.injections import impossible
from benchmarks.chaos.plan import KINDS, VERBS, plan
from benchmarks.chaos.strike import Struck, strike
from benchmarks.chaos.world import World
from benchmarks.harness import RESULTS, Figure, report
from pipelines.progress import track

log = logging.getLogger(__name__)

FAULTS, SEED = len(KINDS) * len(VERBS), 1
_FAULTS, _OF_A_VERB, _VERBS_OF_A_KIND, _MINUTES = 60, 8, 3, 120.0


def chaos(
    world: World, faults: int, seed: int, kinds: Sequence[str] = KINDS, verbs: Sequence[str] = VERBS
) -> list[Struck]:
    """The line undisturbed, then so many faults."""
    world.write()
    world.tracker.up()
    try:
        world.undisturbed()
        wanted = list(
            plan(faults, seed, [kind for kind in KINDS if kind in kinds], [verb for verb in VERBS if verb in verbs])
        )
        found = []
        for fault in track(wanted, "faults", len(wanted)):
            found.append(strike(world, fault))
            log.warning("%s", told(found[-1]))
        return found
    finally:
        world.tracker.down()
        world.left(0)


def told(struck: Struck) -> str:
    """One fault in a line."""
    verdict = ["as undisturbed" if struck.sound else "NOT AS UNDISTURBED"]
    verdict += [str(struck.difference)] if len(struck.difference) else []
    verdict += [f"{struck.untold} losses of steps lost or others"] if struck.untold else []
    verdict += [f"left: {', '.join(struck.left)}"] if struck.left else []
    verdict += [f"{struck.tracebacks} tracebacks"] if struck.mute else []
    when = f"{struck.fault}{'' if struck.hit else ' (the run had ended)'}"
    ends = f"ended with {struck.code}, then {struck.again}"
    return f"{when}: {ends}; {'; '.join(verdict)}; {struck.seconds:.0f} s"


def figures(found: Sequence[Struck], minutes: float) -> list[Figure]:
    """What has a bar."""
    hit = [each for each in found if each.hit]
    of_kind = [len({each.fault.verb for each in hit if each.fault.kind == kind}) for kind in KINDS]
    of_verb = [sum(each.fault.verb == verb for each in hit) for verb in VERBS]
    wrong = [each for each in found if len(each.difference)]
    bad = sum(len(each.difference) for each in wrong)
    return [
        Figure("faults that struck", len(hit), _FAULTS, "higher", note=f"{len(found)} in all"),
        Figure("fewest verbs that a kind struck", min(of_kind), _VERBS_OF_A_KIND, "higher"),
        Figure("fewest faults of a verb", min(of_verb), _OF_A_VERB, "higher"),
        Figure("files lost, doubled or wrong", bad, 0, "lower", note=_names(wrong)),
        Figure("losses of steps that MLflow lacks or has otherwise", sum(each.untold for each in found), 0, "lower"),
        _count("runs afterwards that did not end with 0", [each for each in found if each.again != 0]),
        _count("runs that left processes", [each for each in found if each.left]),
        _count("ends by SIGTERM or a full disk without one line and its code", [each for each in found if each.mute]),
        _count("runs that hung", [each for each in found if each.code is None]),
        Figure("minutes", minutes, _MINUTES, "lower"),
    ]


def _count(name: str, found: Sequence[Struck]) -> Figure:
    return Figure(name, len(found), 0, "lower", note=_names(found))


def _names(found: Sequence[Struck]) -> str:
    return ", ".join(f"{each.fault.kind} of {each.fault.verb}" for each in found[:4])


def tally(found: Sequence[Struck]) -> Table:
    """Kinds by verbs: how many struck, and how many ended as undisturbed."""
    table = Table(title="faults, and how many of them ended as if nothing had happened", title_justify="left")
    table.add_column("fault")
    for verb in VERBS:
        table.add_column(verb, justify="right")
    for kind in KINDS:
        cells = []
        for verb in VERBS:
            here = [each for each in found if (each.fault.kind, each.fault.verb) == (kind, verb)]
            sound = sum(each.sound for each in here)
            cells.append(f"[{'green' if sound == len(here) else 'red'}]{sound} of {len(here)}[/]" if here else "")
        table.add_row(kind, *cells)
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faults", type=int, default=FAULTS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--kinds", default=",".join(KINDS), help="(default: %(default)s)")
    parser.add_argument("--verbs", default=",".join(VERBS), help="(default: %(default)s)")
    arguments = parser.parse_args(argv)
    kinds, verbs = arguments.kinds.split(","), arguments.verbs.split(",")
    if unknown := ({*kinds} - {*KINDS}) | ({*verbs} - {*VERBS}):
        parser.error(f"no such fault or verb: {', '.join(sorted(unknown))}")
    for kind, why in impossible().items():
        print(f"left out here: {kind}, which {why}", file=sys.stderr)
        kinds = [each for each in kinds if each != kind]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sa-chaos-") as folder:
        found = chaos(World(folder=Path(folder)), arguments.faults, arguments.seed, kinds, verbs)
    Console().print(tally(found))
    whole = (arguments.faults, arguments.seed, len(kinds), len(verbs)) == (FAULTS, SEED, len(KINDS), len(VERBS))
    return report("chaos", figures(found, (time.monotonic() - started) / 60), folder=RESULTS if whole else None)


if __name__ == "__main__":
    sys.exit(main())
