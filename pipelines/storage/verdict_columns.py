"""Types of the columns of PREDICTIONS that say how results were judged."""

from __future__ import annotations

import pyarrow as pa

JUDGED = pa.struct(
    [
        ("pck_drive_10", pa.float64()),
        ("velocity_drive", pa.float64()),
        ("delay_drive", pa.float64()),
        ("csim_held_out", pa.float64()),
        ("csim", pa.float64()),
        ("face_found", pa.float64()),
        ("flicker", pa.float64()),
        ("seam", pa.float64()),
    ]
)
"""What a result was judged by, columns of `stableanimator.metrics.scoring`; null: nothing to measure."""

MISSED = pa.struct([("name", pa.string()), ("value", pa.float64()), ("threshold", pa.float64())])
"""A figure that does not reach its threshold; value null: it could not be measured."""

TRY = pa.struct([("seed", pa.int64()), ("accepted", pa.bool_()), ("figures", JUDGED), ("verdict", pa.list_(MISSED))])
"""One try of a pair and variant."""
