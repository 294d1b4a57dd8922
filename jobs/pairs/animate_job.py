"""What all pairs of an animate job share: what a prediction depends on, and the rows of earlier runs.

The job's driver needs this alone, and imports no network's library for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jobs.pairs.pairs_table import Pair
from jobs.pairs.predicted_files import all_whole
from jobs.pairs.settings import AnimateJobSettings
from pipelines.storage.pair_tables import PREDICTIONS, TIMINGS
from pipelines.storage.store import Store, fingerprint
from stableanimator.diffusion.settings import FaceOptimisationSettings
from stableanimator.errors import RowError
from stableanimator.models.settings import EncoderSettings
from stableanimator.perception.settings import PerceptionSettings

if TYPE_CHECKING:
    from jobs.pairs.cost import Cost

READ = ("reference_uri", "driving_uri", "driving_keypoints_uri")
"""Columns of a pair whose files its prediction is made of."""
FAMILY, TIMES = "predictions", "timings"
"""Of the parts that hold finished rows, and what they took."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnimateJob:
    """What all pairs of a job share."""

    root: str
    """The dataset's root."""
    settings: AnimateJobSettings
    encoders: EncoderSettings
    perception: PerceptionSettings
    model_folder: str
    key: str
    """Fingerprint of everything but pair and variant that a prediction depends on."""

    @property
    def checkpoint(self) -> str:
        """The model's folder as tables name it: below the root, or as it is."""
        return self.model_folder.removeprefix(f"{self.root.rstrip('/')}/")

    def variant_key(self, variant: str) -> str:
        """Fingerprint of everything but the pair: a variant's own settings, and not those of others."""
        settings = self.settings.variants[variant]
        if not settings.face_optimisation:
            settings = replace(settings, hjb=FaceOptimisationSettings())  # nothing reads them
        return fingerprint([self.key, variant, asdict(settings)])

    def part_key(self, pair: Pair, variant: str, number: int, lossless: bool) -> str:
        """Of the cached row of a try of one pair and variant, with or without lossless frames."""
        return fingerprint([self.variant_key(variant), pair, number, lossless])

    def path(self, pair: Pair, variant: str, what: str, number: int = 1) -> str:
        """Of a file of a try below the root: readable, and different for pairs whose ids differ only in characters that
        files refuse. `what` ends the name."""
        readable = re.sub(r"[^A-Za-z0-9._-]+", "_", pair["pair_id"])[:80]
        name = f"{readable}-{fingerprint(pair)[:8]}-{variant}{f'-try{number}' * (number > 1)}{what}"
        return f"predictions/videos/{self.variant_key(variant)[:16]}/{name}"

    def finished(self, store: Store, pair: Pair, variant: str, number: int = 1) -> dict[str, Any] | None:
        """The row of a try of an earlier run that succeeded, and whose files are what was written; else None. One with
        lossless frames also serves who wants none."""
        for lossless in (True,) if self.settings.lossless else (True, False):
            rows = store.read_parts(FAMILY, self.part_key(pair, variant, number, lossless), PREDICTIONS).to_pylist()
            if whole := next((row for row in rows if all_whole(store, row)), None):
                return whole
        return None

    def keep(self, store: Store, pair: Pair, row: dict[str, Any], number: int, cost: Cost) -> None:
        """Remember a finished row of a try; what it took first, so that no row is without."""
        key = self.part_key(pair, row["variant"], number, row["frames_uri"] is not None)
        store.write_part(TIMES, key, "row", timing_table(row, number, "animate", cost))
        store.write_part(FAMILY, key, "row", pa.Table.from_pylist([row], schema=PREDICTIONS))

    def row(self, pair: Pair, variant: str, **columns: Any) -> dict[str, Any]:
        """A row of PREDICTIONS with what is known of every one."""
        known = {name: pair[name] for name in ("pair_id", "reference_uri", "truth_uri", "start", "end")}
        known |= {"variant": variant, "checkpoint": self.checkpoint}
        return dict.fromkeys(PREDICTIONS.names) | known | columns

    def failed(self, pair: Pair, variant: str, error: RowError) -> dict[str, Any]:
        """The row of a pair with which something is wrong. It is not remembered: its files may come back."""
        return self.row(pair, variant, status="failed", reason=error.reason, detail=error.detail)


def timing_table(row: Mapping[str, Any], number: int, work: str, cost: Cost) -> pa.Table:
    """A row of TIMINGS."""
    known = {"pair_id": row["pair_id"], "variant": row["variant"], "try": number, "work": work}
    return pa.Table.from_pylist([known | {"seconds": cost.seconds, "peak_bytes": cost.peak_bytes}], schema=TIMINGS)
