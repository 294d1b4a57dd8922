"""Pairs that are animated and judged until a result is accepted.

The judge chooses what is kept for people, and nothing else: prediction, frames and poses of a row are those of the
first try, which alone `evaluate` measures. Chosen by the judge and measured by it, results would only look better. So
import rules let this room know both sides (pyproject.toml), and nothing that makes a result knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jobs.judging.figures import Judged, figures_key, found
from jobs.pairs.animate_job import TIMES, AnimateJob
from jobs.pairs.pairs_table import Pair
from pipelines.storage.pair_tables import TIMINGS
from pipelines.storage.store import Store
from stableanimator.metrics.verdict import Verdict, best, judged
from stableanimator.perception.settings import PerceptionSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Try:
    """One seed's result."""

    row: dict[str, Any]
    """Of PREDICTIONS, as if nothing were judged."""
    judged: Judged
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedJob:
    """What all pairs of a job share; where nothing is asked, a try is a row and nothing is looked at."""

    job: AnimateJob
    perception: PerceptionSettings
    """With the recogniser that judges, which `job` does not know."""

    @property
    def judges(self) -> bool:
        """Whether anything is asked."""
        return bool(self.job.settings.accept.thresholds)

    def key(self, pair: Pair, row: dict[str, Any], number: int) -> str:
        """Of the figures of a try."""
        part = self.job.part_key(pair, row["variant"], number, row["frames_uri"] is not None)
        return figures_key(part, self.perception)

    def finished(self, store: Store, pair: Pair, variant: str) -> dict[str, Any] | None:
        """The row of earlier runs, as this one's thresholds have it; None where a try or its figures are missing."""
        first = self.job.finished(store, pair, variant)
        if first is None or not self.judges:
            return first

        def find(number: int) -> tuple[dict[str, Any], Judged] | None:
            row = self.job.finished(store, pair, variant, number)
            seen = None if row is None else found(store, self.key(pair, row, number))
            return None if row is None or seen is None else (row, seen)

        tries = self.until_accepted(find)
        over = tries and (tries[-1].verdict.accepted or len(tries) == self.job.settings.tries)
        return row_of(tries) if over else None

    def until_accepted(self, attempt: Callable[[int], tuple[dict[str, Any], Judged] | None]) -> list[Try]:
        """Tries by number, from 1, until one is accepted, or there are no more, or one cannot be had."""
        tries: list[Try] = []
        for number in range(1, self.job.settings.tries + 1):
            outcome = attempt(number)
            if outcome is None:
                break
            row, seen = outcome
            verdict = judged(seen.figures, self.job.settings.accept, seen.unasked)
            tries.append(Try(row=row, judged=seen, verdict=verdict))
            if verdict.accepted:
                break
        return tries

    def timings(self, store: Store, pair: Pair, row: dict[str, Any]) -> list[dict[str, Any]]:
        """Rows of TIMINGS of a finished row: what each of its tries took, whenever it was made."""
        times = []
        for number in range(1, 1 + len(row["tries"] or [row])):
            part = self.job.finished(store, pair, row["variant"], number)
            assert part is not None
            made = self.job.part_key(pair, row["variant"], number, part["frames_uri"] is not None)
            keys = [made, self.key(pair, part, number)] if row["tries"] else [made]
            times += [each for key in keys for each in store.read_parts(TIMES, key, TIMINGS).to_pylist()[:1]]
        return times


def animate_and_judge(shared: JudgedJob) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The actor (`jobs.judging.actor`), made where it works: its networks' libraries would take a driver seconds."""
    from jobs.judging.actor import AnimateAndJudge

    return AnimateAndJudge(shared)


def row_of(tries: Sequence[Try], failed: Sequence[str] = ()) -> dict[str, Any]:
    """The row of the first try, with what was kept and all verdicts beside it; `failed` says what became of others."""
    first, place = tries[0], best([each.verdict for each in tries])
    kept = tries[place]
    remarks = [
        first.row["detail"],
        *(f"{name} is not judged: {why}" for name, why in first.judged.unasked.items()),
        *failed,
    ]
    return first.row | {
        "detail": "; ".join(filter(None, remarks)) or None,
        "kept_uri": kept.row["prediction_uri"],
        "kept_try": place + 1,
        "accepted": kept.verdict.accepted,
        "verdict": _missed(kept.verdict),
        "figures": first.judged.figures,
        "kept_figures": kept.judged.figures,
        "tries": [
            {
                "seed": each.row["seed"],
                "accepted": each.verdict.accepted,
                "figures": each.judged.figures,
                "verdict": _missed(each.verdict),
            }
            for each in tries
        ],
    }


def _missed(verdict: Verdict) -> list[dict[str, Any]]:
    return [asdict(each) for each in verdict.missed]
