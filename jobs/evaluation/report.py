"""What people see of an evaluation: a table of figures, side-by-side videos, and a sheet of their middle frames."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from jobs.evaluation.frames import Image, Prediction, side_by_side
from jobs.evaluation.means import Figures, value_of
from jobs.evaluation.metrics import LOOKED_AT
from jobs.pairs.files import opened
from pipelines.actor_pool import UNEXPECTED
from pipelines.storage.inputs import Inputs
from pipelines.storage.store import Store
from stableanimator.errors import row_error
from stableanimator.media.pictures import Colour
from stableanimator.media.side_by_side import sheet
from stableanimator.media.video import write_mp4
from stableanimator.metrics.intervals import Interval

log = logging.getLogger(__name__)


def print_figures(figures: Mapping[str, Figures]) -> None:
    """A table on stdout, the variants side by side, each mean with its interval over the videos."""
    table = Table("mean (95 % interval)", *figures, title="means over frames")
    for column in dict.fromkeys(name for each in figures.values() for name in each):
        table.add_row(column, *(_shown(each.get(column)) for each in figures.values()))
    Console(width=max(120, 34 + 28 * len(figures))).print(table)


def _shown(figure: float | Interval | None) -> str:
    if figure is None:
        return "–"
    value = f"{value_of(figure):.4g}"
    wide = isinstance(figure, Interval) and figure.low < figure.high
    return f"{value} ({figure.low:.3g} to {figure.high:.3g})" if isinstance(figure, Interval) and wide else value


def write_videos(
    store: Store, predictions: Sequence[Prediction], count: int, background: Colour, note: str, folder: Path
) -> list[Path]:
    """Side-by-side videos of the first `count` pairs, and a sheet of their middle frames with a note at its foot."""
    pairs: dict[str, list[Prediction]] = {}
    for row in predictions:
        pairs.setdefault(row["pair_id"], []).append(row)
    files, inputs = list[Path](), Inputs(store)
    strips: list[Image] = []
    for number, rows in enumerate(list(pairs.values())[:count]):
        try:
            with contextlib.ExitStack() as stack:
                there = [stack.enter_context(opened(inputs, row, LOOKED_AT)) for row in rows]
                frames = list(side_by_side(there, background))
            files.append(folder / f"pair_{number:03d}.mp4")
            write_mp4(files[-1], frames, rows[0]["fps"])
        except Exception as error:
            log.warning("no side-by-side video of %s: %s", rows[0]["pair_id"], row_error(error, UNEXPECTED))
            continue
        strips.append(frames[len(frames) // 2])
    if strips:
        files.append(folder / "contact_sheet.png")
        # Not `imwrite`, which says nothing of a full disk.
        files[-1].write_bytes(cv2.imencode(".png", np.ascontiguousarray(sheet(strips, note)[..., ::-1]))[1].tobytes())
    return files
