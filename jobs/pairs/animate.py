"""The animate job's actor: holds all models, and turns one pair into an mp4 and a row for each variant."""

from __future__ import annotations

import re
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from jobs.pairs.inputs import Drive, Pair, PairReader, assign
from jobs.pairs.metrics import VARIANTS
from jobs.pairs.settings import AnimateJobSettings
from pipelines.storage.store import Store, fingerprint
from pipelines.storage.tables import PREDICTIONS
from stableanimator.animate import Animation, Driving, Models, Reference, animate
from stableanimator.errors import CheckpointError, RowError
from stableanimator.media.video import write_mp4
from stableanimator.models.checkpoints import load_model_folder
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import EncoderSettings
from stableanimator.models.unet import speed_up
from stableanimator.perception.arcface import ArcFace
from stableanimator.perception.settings import PerceptionSettings

FAMILY = "predictions"
"""Of the parts that hold finished rows."""

CUT = "driven by the first"
"""How the detail of a row begins whose drive was longer than `max_frames`."""


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
    """Fingerprint of everything but the pair that a prediction depends on."""

    def part_key(self, pair: Pair, optimised: bool) -> str:
        """Of the cached row of one pair and variant."""
        return fingerprint([self.key, pair, VARIANTS[optimised]])

    def video_path(self, pair: Pair, name: str) -> str:
        """Below the root: readable, and different for pairs whose ids differ only in characters that files refuse."""
        readable = re.sub(r"[^A-Za-z0-9._-]+", "_", pair["pair_id"])[:80]
        return f"predictions/videos/{self.key[:16]}/{readable}-{fingerprint(pair)[:8]}-{name}.mp4"

    def finished(self, store: Store, pair: Pair, optimised: bool) -> dict[str, Any] | None:
        """The row of an earlier run, or None; a row that failed is tried again, since its files may have come back."""
        rows = self.rows(store, pair, optimised)
        return next((row for row in rows if row["status"] == "done"), None)

    def rows(self, store: Store, pair: Pair, optimised: bool) -> list[dict[str, Any]]:
        """All rows that were written of a pair and variant."""
        return store.read_parts(FAMILY, self.part_key(pair, optimised), PREDICTIONS).to_pylist()


class AnimatePair:
    """`actor({"pair": row of PAIRS, "variants": [bool, …]})` writes videos and rows, and returns what became of them.

    Raises:
        CheckpointError: model, encoders, face models or settings do not fit together.
        WeightsError: weights are missing or unreadable.
    """

    def __init__(self, job: AnimateJob) -> None:
        self.job = job
        self.store = Store(job.root)
        settings = job.settings
        self.reader = PairReader(job.perception)
        loaded = load_model_folder(job.model_folder)
        if settings.settings.alignment == "learned" and loaded.aligner is None:
            raise CheckpointError(
                f"{job.model_folder} has no aligner; train with train.aligner, or set animate.settings.alignment to svd"
            )
        width = loaded.animator.settings.face_encoder.embedding_width
        if width != self.reader.faces.embedding_width:
            raise CheckpointError(
                f"the model reads face embeddings of {width} values, perception.faces gives "
                f"{self.reader.faces.embedding_width}; use the pack that it was trained with"
            )
        encoders = Encoders(job.encoders)
        trained_on = loaded.config.get("encoders")  # absent from a folder of released weights
        if trained_on not in (None, encoders.fingerprint):
            raise CheckpointError(
                f"{job.model_folder} was trained on latents of other encoders; use the section encoders of its shards"
            )
        animator = loaded.animator.to(settings.device, getattr(torch, settings.precision))
        speed_up(animator.unet, compiled=settings.compile, channels_last=settings.channels_last)
        with_hjb = True in settings.face_optimisation
        arcface = ArcFace.from_onnx(self.reader.faces.recogniser_path).to(settings.device) if with_hjb else None
        self.models = Models(
            animator=animator,
            encoders=encoders.to(settings.device),
            aligner=loaded.aligner,
            arcface=arcface,
        )

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        pair: Pair = item["pair"]
        variants: list[bool] = item["variants"]
        try:
            inputs = self._inputs(pair)
        except RowError as error:
            for optimised in variants:
                self._commit(pair, optimised, status="failed", reason=error.reason, detail=error.detail)
            return {"pair_id": pair["pair_id"], "failed": len(variants)}
        for optimised in variants:
            self._variant(pair, optimised, *inputs)
        return {"pair_id": pair["pair_id"], "failed": 0}

    def _inputs(self, pair: Pair) -> tuple[Reference, Driving, Drive]:
        settings = self.job.settings
        drive = self.reader.drive(pair, settings.fps, settings.settings.max_frames)
        reference, driving = assign(pair, self.reader.reference(pair["reference_uri"]), drive)
        return reference, driving, drive

    def _variant(self, pair: Pair, optimised: bool, reference: Reference, driving: Driving, drive: Drive) -> None:
        settings = self.job.settings.settings
        if not optimised:
            settings = replace(settings, face_optimisation=None)
        started = time.monotonic()
        animation = animate(self.models, reference, driving, settings, seed=pair["seed"] or 0)
        seconds = time.monotonic() - started
        report = animation.face_optimisation
        last = report.records[-1] if report and report.records else None
        self._commit(
            pair,
            optimised,
            status="done",
            detail=_remarks(drive, animation),
            prediction_uri=self._write(pair, VARIANTS[optimised], animation.frames, drive.fps),
            skeleton_uri=self._write(pair, "skeleton", animation.skeletons, drive.fps),
            frame_index=drive.frame_index,
            face_loss_before=last.before if last else None,
            face_loss_after=last.after if last else None,
            seconds=seconds,
        )

    def _write(self, pair: Pair, name: str, frames: npt.NDArray[np.uint8], fps: float) -> str:
        path = self.job.video_path(pair, name)
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "video.mp4"
            write_mp4(local, frames, fps)
            self.store.write_bytes(path, local.read_bytes())
        return self.store.uri(path)

    def _commit(self, pair: Pair, optimised: bool, **columns: Any) -> None:
        row = {name: pair[name] for name in ("pair_id", "reference_uri", "truth_uri", "start", "end")}
        row |= {"face_optimisation": optimised, "checkpoint": self.job.model_folder, **columns}
        table = pa.Table.from_pylist([row], schema=PREDICTIONS)
        self.store.write_part(FAMILY, self.job.part_key(pair, optimised), "row", table)


def _remarks(drive: Drive, animation: Animation) -> str | None:
    """What a person should know of a finished prediction."""
    remarks = []
    if drive.left_out:
        total = len(drive.poses) + drive.left_out
        remarks.append(f"{CUT} {len(drive.poses)} of {total} frames (animate.settings.max_frames)")
    if animation.face_optimisation is not None and animation.face_optimisation.skipped:
        remarks.append(f"no face optimisation: {animation.face_optimisation.skipped}")
    return "; ".join(remarks) or None
