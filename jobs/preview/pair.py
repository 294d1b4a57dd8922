"""The preview's actor: holds what looks at frames and the aligner, and turns a pair into a sheet and a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from jobs.pairs.animate import require_aligner
from jobs.pairs.animate_job import READ, AnimateJob
from jobs.pairs.drives import Drive
from jobs.pairs.files import opened
from jobs.pairs.inputs import PairReader, assign
from jobs.pairs.pairs_table import Pair, check_pair
from pipelines.storage.inputs import Inputs
from pipelines.storage.pair_tables import PREVIEWS
from pipelines.storage.store import Store, fingerprint
from stableanimator.animate import Driven, Driving, Reference, aligned
from stableanimator.animate_settings import AnimateSettings
from stableanimator.errors import RowError
from stableanimator.media.video import VideoReader
from stableanimator.models.checkpoints import load_alignment
from stableanimator.preview.look import Look, look, usual_people
from stableanimator.preview.sheet import moments, preview_sheet

Image = npt.NDArray[np.uint8]

LOOKED_AT = ("sizes", "fit", "multiple", "background", "max_frames", "alignment", "alignment_scope")
"""Settings of a variant that a look depends on: variants that differ in others alone share one."""


def alike(variants: Mapping[str, AnimateSettings]) -> list[list[str]]:
    """Names of variants that look alike before they are made, together; in their order."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, settings in variants.items():
        groups.setdefault(tuple(getattr(settings, each) for each in LOOKED_AT), []).append(name)
    return list(groups.values())


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A pair of a reference and a drive, aligned, and what there is to say of it."""

    reference: Reference
    driving: Driving
    driven: Driven
    drive: Drive
    look: Look

    def sheet(self, pair: Pair) -> Image:
        """Its page, with pictures of the driving video where there is one."""
        wanted = moments(len(self.driven.poses))
        pictures: dict[int, Image] = {}
        if pair["driving_uri"] is not None:
            with VideoReader(pair["driving_uri"]) as video:
                read = video.read([self.drive.frame_index[frame] for frame in wanted])
            pictures = dict(zip(wanted, read, strict=True))
        return preview_sheet(self.reference, self.driving, self.driven, self.look, pictures)


class PreviewPair:
    """`actor({"pair": row of PAIRS, "variants": names that look alike})` writes a sheet and returns a row of PREVIEWS.

    Raises:
        CheckpointError: a variant needs an aligner, and the model has none.
        WeightsError: weights are missing or unreadable.
    """

    def __init__(self, job: AnimateJob) -> None:
        self.job, self.store = job, Store(job.root)
        self.inputs = Inputs(self.store)
        self.reader = PairReader(job.perception)
        self.aligner, self.rates = load_alignment(job.model_folder)
        require_aligner(job, self.aligner)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Raises RowError where something is wrong with the pair."""
        pair, variants = item["pair"], item["variants"]
        check_pair(pair)
        settings = self.job.settings.variants[variants[0]]
        fps = self.job.settings.fps or self.rates.fps[0]
        path = self._path(pair, variants[0])
        with opened(self.inputs, pair, READ) as there:
            whole = self.reader.reference(there["reference_uri"], settings.background)
            drive = self.reader.drive(there, fps, settings.max_frames)
            reference, driving = assign(pair, whole, drive)
            driven = aligned(reference, driving, settings, self.aligner)
            seen = Seen(
                reference=reference,
                driving=driving,
                driven=driven,
                drive=drive,
                look=look(
                    reference,
                    driving,
                    driven,
                    reference_people=len(whole.keypoints),
                    driving_people=usual_people(drive.poses),
                ),
            )
            self.store.write_bytes(path, png(seen.sheet(there)))
        return preview_row(pair, variants, seen.look) | {"sheet_uri": path}

    def _path(self, pair: Pair, variant: str) -> str:
        name = self.job.path(pair, variant, "-preview.png").rpartition("/")[2]
        return f"previews/sheets/{fingerprint([self.job.key, self.job.variant_key(variant)])[:16]}/{name}"


def failed_row(pair: Pair, variants: list[str], error: RowError) -> dict[str, Any]:
    """The row of a pair at which nobody can look."""
    return _row(pair, variants) | {"status": "failed", "reason": error.reason, "detail": error.detail}


def preview_row(pair: Pair, variants: list[str], seen: Look) -> dict[str, Any]:
    """The row of a look; figures are those of the first person."""
    main = seen.people[0]
    return _row(pair, variants) | {
        "status": "done",
        "detail": "; ".join(map(str, seen.warnings)) or None,
        "warnings": list(dict.fromkeys(each.name for each in seen.warnings)),
        "frames": seen.frames,
        "fps": seen.fps,
        "height": seen.size[0],
        "width": seen.size[1],
        "reference_people": seen.reference_people,
        "driving_people": seen.driving_people,
        "animated_people": len(seen.people),
        "stature": main.stature,
        "scale": main.scale,
        "place": main.place,
        "offset": main.offset,
        "outside": main.outside,
        "turned": main.turned,
        "reference_turned": main.reference_turned,
        "face": main.face,
        "found": main.found,
    }


def _row(pair: Pair, variants: list[str]) -> dict[str, Any]:
    known = {name: pair[name] for name in ("pair_id", "reference_uri", "driving_uri")}
    return dict.fromkeys(PREVIEWS.names) | known | {"variants": variants}


def png(picture: Image) -> bytes:
    """An RGB picture as the bytes of a PNG."""
    return bytes(cv2.imencode(".png", picture[..., ::-1])[1])
