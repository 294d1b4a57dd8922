"""Identity metrics: CSIM, the cosine of face embeddings, and the share of frames in which a face is found.

The papers do not say which pair of faces CSIM compares, nor with which network. Here the generated frame is compared
with the reference picture (`csim`) and with the true frame (`csim_truth`), and both are reported. A frame in which no
face is found has no cosine: it is left out of the mean and lowers `face_found`; it never counts as zero.

HJB face optimisation raises the cosine of the very network that gives `csim`. So the same faces are also embedded by a
second recogniser, against which nothing is optimised, where the settings name one (`csim_held_out`,
`csim_truth_held_out`): compare results with and without face optimisation by these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from stableanimator.perception.faces import Face

Analyser = Callable[[npt.NDArray[np.uint8]], "list[Face]"]
"""A frame, uint8 RGB [H, W, 3], to its faces, main face first: what `perception.faces.FaceAnalyser` is."""


Recogniser = Callable[[npt.NDArray[np.uint8], npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""A frame, uint8 RGB [H, W, 3], and the five landmarks [5, 2] of a face in it, pixels, to the face's embedding [E]."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the main face of a frame is, by either recogniser; None where no face is found, or none is named."""

    own: npt.NDArray[np.float32] | None = None
    """[E] by the analyser's own recogniser."""
    held_out: npt.NDArray[np.float32] | None = None
    """[E'] by the one against which nothing is optimised."""


def main_identity(analyser: Analyser, held_out: Recogniser | None, frame: npt.NDArray[np.uint8]) -> Identity:
    """Both embeddings of the frame's main face, found once."""
    faces = analyser(frame)
    if not faces:
        return Identity()
    return Identity(faces[0].embedding, held_out(frame, faces[0].landmarks) if held_out is not None else None)


def cosine(
    first: npt.NDArray[np.float32] | None,
    second: npt.NDArray[np.float32] | None,
) -> float | None:
    """Cosine of two embeddings [E], -1 to 1; None where either is missing or has no length."""
    if first is None or second is None:
        return None
    a, b = first.astype(np.float64), second.astype(np.float64)
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length != 0 else None  # NaN stays NaN, which `Scoring` refuses


def mean_present(values: Iterable[float | None]) -> float | None:
    """Mean of the values that exist; None where there are none."""
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None
