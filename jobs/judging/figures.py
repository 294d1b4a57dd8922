"""The figures that a result is judged by, as the store remembers them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import pyarrow as pa

from pipelines.storage.store import Store, fingerprint
from pipelines.storage.verdict_columns import JUDGED
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


def remember(store: Store, key: str, judged: Judged) -> None:
    """For `found`."""
    unasked = [{"name": name, "why": why} for name, why in judged.unasked.items()]
    told = {"figures": judged.figures, "unasked": unasked}
    store.write_part(FAMILY, key, "row", pa.Table.from_pylist([told], schema=_FIGURES))
