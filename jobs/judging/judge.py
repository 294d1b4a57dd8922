"""A finished row of predictions to the figures that it is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from jobs.evaluation.metrics import judges_of, measure_pair, with_files
from jobs.pairs.animate import TIMES, timing_table
from jobs.pairs.cost import Cost
from pipelines.storage.inputs import Inputs
from pipelines.storage.store import Store, fingerprint
from pipelines.storage.verdict_columns import JUDGED
from stableanimator.media.pictures import Colour
from stableanimator.metrics.settings import MetricNetworkSettings
from stableanimator.metrics.verdict import figures_of
from stableanimator.perception.settings import PerceptionSettings

FAMILY = "figures"
"""Of the parts that hold them."""
VERSION = 1
"""Raised by hand when the same result gets other figures."""

_FIGURES = pa.schema(
    [("figures", JUDGED), ("unasked", pa.list_(pa.struct([("name", pa.string()), ("why", pa.string())])))]
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What a result is judged by. Thresholds have no part in it, so that changed ones look at nothing again."""

    figures: dict[str, float | None]
    unasked: dict[str, str]
    """Of which figures there is nothing to ask, and why."""


def figures_key(part_key: str, perception: PerceptionSettings) -> str:
    """Of the figures of the result that a part remembers."""
    return fingerprint([VERSION, part_key, asdict(perception)])


def found(store: Store, key: str) -> Judged | None:
    """The figures that an earlier run found, or None."""
    rows = store.read_parts(FAMILY, key, _FIGURES).to_pylist()
    if not rows:
        return None
    return Judged(figures=rows[0]["figures"], unasked={each["name"]: each["why"] for each in rows[0]["unasked"]})


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
        told = {"figures": figures, "unasked": [{"name": name, "why": why} for name, why in unasked.items()]}
        self._store.write_part(TIMES, key, "row", timing_table(row, number, "judge", cost))
        self._store.write_part(FAMILY, key, "row", pa.Table.from_pylist([told], schema=_FIGURES))
        return Judged(figures=figures, unasked=unasked)
