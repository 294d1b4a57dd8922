"""A finished row of predictions to the figures that it is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.evaluation.metrics import judges_of, measure_pair, with_files
from jobs.judging.figures import Judged, remember
from jobs.pairs.animate_job import TIMES, timing_table
from jobs.pairs.cost import Cost
from pipelines.storage.inputs import Inputs
from pipelines.storage.store import Store
from stableanimator.media.pictures import Colour
from stableanimator.metrics.settings import MetricNetworkSettings
from stableanimator.metrics.verdict import figures_of
from stableanimator.perception.settings import PerceptionSettings


class Judge:
    """`judge(row, background, number, key)` looks at all frames of a finished try and remembers what it found.

    Only the frames, the poses they were driven by and the reference decide: true frames, which no user has, are not
    looked at.

    Raises:
        WeightsError: files of networks are missing or unreadable, or the held-out recogniser is the pack's own.
    """

    def __init__(self, store: Store, perception: PerceptionSettings) -> None:
        self._store, self._inputs = store, Inputs(store)
        self._judges = judges_of(perception, MetricNetworkSettings())
        self._on_gpu = perception.device == "cuda"

    def __call__(self, row: Mapping[str, Any], background: Colour, number: int, key: str) -> Judged:
        """Raises RowError: the frames cannot be read."""
        alone = {**row, "truth_uri": None}
        with Cost(self._on_gpu) as cost:
            (measured,) = with_files(
                self._inputs,
                [alone],
                lambda there: measure_pair(there, False, self._judges, (), {row["variant"]: background}),
            )
        if measured.metrics is None:
            assert measured.error is not None
            raise measured.error
        figures, unasked = figures_of(measured.metrics, self._judges.held_out is not None)
        judged = Judged(figures=figures, unasked=unasked)
        self._store.write_part(TIMES, key, "row", timing_table(row, number, "judge", cost))
        remember(self._store, key, judged)
        return judged
