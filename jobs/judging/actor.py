"""The actor that animates a pair and judges what came of it, until a result is accepted."""

from __future__ import annotations

import logging
from typing import Any

from jobs.judging.figures import Judged, found
from jobs.judging.judge import Judge
from jobs.judging.tries import JudgedJob, row_of
from jobs.pairs.animate import AnimatePair, Ready
from pipelines.actor_pool import UNEXPECTED
from stableanimator.errors import row_error

log = logging.getLogger(__name__)


class AnimateAndJudge:
    """An actor: as `AnimatePair`, but where results are judged it goes on until one is accepted.

    Raises:
        CheckpointError, WeightsError: as `AnimatePair` and `Judge`.
    """

    def __init__(self, shared: JudgedJob) -> None:
        self._shared, self._animate = shared, AnimatePair(shared.job)
        self._judge = Judge(self._animate.store, shared.perception) if shared.judges else None

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """A row of PREDICTIONS; what goes wrong with a later try takes the first with it no more than a verdict does.

        Raises:
            RowError: something is wrong with the pair.
        """
        pair, variant = item["pair"], item["variant"]
        shared, store, judge = self._shared, self._animate.store, self._judge
        if judge is None:
            return self._animate(item)
        ready: list[Ready] = []
        failed: list[str] = []

        def tried(number: int) -> tuple[dict[str, Any], Judged]:
            row = shared.job.finished(store, pair, variant, number)
            if row is None:
                if not ready:
                    ready.append(self._animate.ready(pair, variant))
                row = self._animate.made(ready[0], number)
            key = shared.key(pair, row, number)
            background = shared.job.settings.variants[variant].background
            return row, found(store, key) or judge(row, background, number, key)

        def attempt(number: int) -> tuple[dict[str, Any], Judged] | None:
            try:
                return tried(number)
            except Exception as error:
                if number == 1:
                    raise
                log.exception("try %d of %s, %s", number, pair["pair_id"], variant)
                failed.append(f"try {number} failed: {row_error(error, UNEXPECTED)}")
                return None

        return row_of(shared.until_accepted(attempt), failed)
