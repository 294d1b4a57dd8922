"""The animate job's actor: holds all models, and turns one pair and variant into an mp4 and a row."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.pairs.animate_job import READ, AnimateJob
from jobs.pairs.cost import Cost
from jobs.pairs.drives import Drive, keypoint_table
from jobs.pairs.files import opened
from jobs.pairs.inputs import PairReader, assign
from jobs.pairs.pairs_table import Pair, check_pair
from jobs.pairs.predicted_files import Kind
from jobs.pairs.verdicts import require_enough
from pipelines.storage.checksums import Checksums
from pipelines.storage.inputs import Inputs
from pipelines.storage.store import Store, parquet_bytes
from stableanimator.alignment.aligner import Aligner
from stableanimator.animate import Animation, Driven, Reference, aligned, animate
from stableanimator.diffusion.hjb import FaceOptimisationReport
from stableanimator.driving import BODY
from stableanimator.errors import CheckpointError
from stableanimator.inference.loading import load_models
from stableanimator.media.audio import add_sound, has_sound
from stableanimator.media.video import write_lossless, write_mp4
from stableanimator.models.settings import FrameRates
from stableanimator.perception.person_boxes import in_picture, visible
from stableanimator.preview.look import look, usual_people

VideoWriter = Callable[[Path, npt.NDArray[np.uint8], float], None]
"""Writes frames, uint8 RGB [F, H, W, 3], of so many a second, to a file."""


def require_aligner(job: AnimateJob, aligner: Aligner | None) -> None:
    """Raises CheckpointError where a variant needs an aligner and there is none."""
    learned = [name for name, each in job.settings.variants.items() if each.alignment == "learned"]
    if learned and aligner is None:
        raise CheckpointError(
            f"{job.model_folder} has no aligner, which the variant {learned[0]} needs; train with train.aligner, "
            "or set animate.settings.alignment to svd"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """A pair and variant of which all but the noise is known."""

    pair: Pair
    whole: Reference
    """All people of the picture."""
    reference: Reference
    drive: Drive
    driven: Driven
    row: dict[str, Any]
    """Of PREDICTIONS, as far as no try decides."""
    warnings: tuple[str, ...]
    """Of a look at it."""


class AnimatePair:
    """`actor({"pair": row of PAIRS, "variant": its name})` writes a video and its row, which it returns.

        ready = actor.ready(pair, "plain")
        row, another = actor.made(ready), actor.made(ready, number=2)      # of another seed

    Raises:
        CheckpointError: model, encoders, face models or settings do not fit together.
        WeightsError: weights are missing or unreadable.
    """

    def __init__(self, job: AnimateJob) -> None:
        self.job = job
        self.store = Store(job.root)
        self.inputs = Inputs(self.store)
        self._checksums = Checksums()
        settings = job.settings
        self.reader = PairReader(job.perception)
        self.models = load_models(
            job.model_folder,
            job.encoders,
            self.reader.faces,
            device=settings.device,
            precision=settings.precision,
            face_optimisation=any(each.face_optimisation for each in settings.variants.values()),
            compiled=settings.compile,
            channels_last=settings.channels_last,
        )
        require_aligner(job, self.models.aligner)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Raises RowError where something is wrong with the pair."""
        return self.made(self.ready(item["pair"], item["variant"]))

    def ready(self, pair: Pair, variant: str) -> Ready:
        """People found, followed and aligned.

        Raises:
            RowError: something is wrong with the pair.
        """
        settings = self.job.settings.variants[variant]
        check_pair(pair)
        fps = self.job.settings.fps or self.models.rates.fps[0]
        with opened(self.inputs, pair, READ) as there:
            drive = self.reader.drive(there, fps, settings.max_frames)
            whole = self.reader.reference(there["reference_uri"], settings.background)
            checksums = {name: self._checksums.sha256(there[name]) for name in READ if there[name] is not None}
            reference, driving = assign(pair, whole, drive)
        driven = aligned(reference, driving, settings, self.models.aligner)
        seen = in_picture(driving.keypoints[:, :, BODY], (driving.height, driving.width))
        row = self.job.row(
            pair,
            variant,
            status="done",
            frame_index=drive.frame_index,
            fps=drive.fps,
            frames_left_out=drive.left_out,
            coverage=len(drive.frame_index) / (len(drive.frame_index) + drive.left_out),
            reference_sha256=checksums["reference_uri"],
            driving_sha256=checksums.get("driving_keypoints_uri") or checksums["driving_uri"],
            frames_with_person=int(visible(seen).any(-1).sum(0).min()),
            joints_in_picture=driven.joints_in_picture,
            reference_face=reference.faces[0] is not None,
            cut_middle=list(driven.framing.middle),
        )
        require_enough(row, self.job.settings)
        people, drivers = len(whole.keypoints), usual_people(drive.poses)
        shown = look(reference, driving, driven, reference_people=people, driving_people=drivers)
        return Ready(
            pair=pair, whole=whole, reference=reference, drive=drive, driven=driven, row=row,
            warnings=tuple(map(str, shown.warnings)),
        )  # fmt: skip

    def made(self, ready: Ready, number: int = 1) -> dict[str, Any]:
        """The videos of a try, and its row. The first has the pair's seed, each other the next one."""
        pair, row, driven = ready.pair, ready.row, ready.driven
        variant, seed = row["variant"], (pair["seed"] or 0) + number - 1
        with Cost(self.models.device.type == "cuda") as cost:
            animation = animate(self.models, ready.reference, driven, self.job.settings.variants[variant], seed=seed)
        row = row | {"seed": seed} | _face_columns(animation.face_optimisation)
        people = (len(ready.reference.keypoints), len(ready.whole.keypoints))
        remarks = [*_remarks(row, ready.drive, driven, people, animation, self.models.rates)]
        remarks += ready.warnings
        with opened(self.inputs, pair, ["driving_uri"] if self.job.settings.audio else []) as there:
            heard = None
            if self.job.settings.audio:
                heard = (there["driving_uri"], ready.drive.begins) if has_sound(there["driving_uri"]) else None
                remarks += [] if heard else ["no sound: the drive has none"]
            row["detail"] = "; ".join(remarks) or None
            row |= self._write(pair, variant, number, animation, driven, heard)
        row |= self._write_poses(self.job.path(pair, variant, "-poses.parquet"), ready.drive, driven)
        self.job.keep(self.store, pair, row, number, cost)
        return row

    def _write(
        self,
        pair: Pair,
        variant: str,
        number: int,
        animation: Animation,
        driven: Driven,
        heard: tuple[str, float] | None,
    ) -> dict[str, str]:
        """The videos of a try, and their columns of PREDICTIONS; `heard` is the video whose sound the mp4 gets, and
        from which second on."""
        wanted: list[tuple[Kind, str, npt.NDArray[np.uint8], VideoWriter]] = [
            ("prediction", ".mp4", animation.frames, write_mp4),
            ("skeleton", "-skeleton.mp4", animation.skeletons, write_mp4),
        ]
        if self.job.settings.lossless:
            wanted.append(("frames", "-frames.mp4", animation.frames, write_lossless))
        columns: dict[str, str] = {}
        for kind, ending, frames, write in wanted:
            path = self.job.path(pair, variant, ending, number)
            with tempfile.TemporaryDirectory() as folder:
                local = Path(folder) / path.rpartition("/")[2]
                write(local, frames, driven.fps)
                if kind == "prediction" and heard is not None:
                    add_sound(local, *heard, len(frames) / driven.fps)
                columns |= self._stored(kind, path, local.read_bytes())
        return columns

    def _write_poses(self, path: str, drive: Drive, driven: Driven) -> dict[str, str]:
        table = keypoint_table(driven.poses_in_frames, drive.frame_index, driven.fps, driven.framing.kept.size)
        return self._stored("poses", path, parquet_bytes(table))

    def _stored(self, kind: Kind, path: str, data: bytes) -> dict[str, str]:
        """Write a file of a prediction; its columns."""
        self.store.write_bytes(path, data)
        return {f"{kind}_uri": path, f"{kind}_sha256": hashlib.sha256(data).hexdigest()}


def _face_columns(report: FaceOptimisationReport | None) -> dict[str, Any]:
    """Of PREDICTIONS; nothing where nothing was optimised."""
    if report is None or not report.records:
        return {}
    first, last = report.records[0], report.records[-1]
    losses = {"face_loss_before": first.before, "face_loss_after": last.carried, "face_loss_final": report.final}
    return losses | {"face_steps": [asdict(each) for each in report.records]}


_ENLARGED = 2.0
"""Pixels of the animation for one of the reference, from which a row says that the reference is small."""
_OTHER_RATE = 0.1
"""Relative difference of frame rates from which a row says so."""


def _remarks(
    row: dict[str, Any], drive: Drive, driven: Driven, people: tuple[int, int], animation: Animation, rates: FrameRates
) -> Iterator[str]:
    """What a person should know of a finished prediction; `people` are those animated and those of the reference."""
    frames = len(drive.poses)
    if drive.left_out:
        yield f"driven by the first {frames} of {frames + drive.left_out} frames (animate.settings.max_frames)"
    yield from drive.remarks
    if row["frames_with_person"] < frames:
        yield f"the driving person is found in {row['frames_with_person']} of {frames} frames"
    if not row["reference_face"]:
        yield "no face is found in the reference: the model is shown none"
    if people[0] < people[1]:
        yield f"{people[0]} of the reference's {people[1]} people animated"
    if driven.framing.enlargement >= _ENLARGED:
        yield f"the reference is small and was enlarged {driven.framing.enlargement:.1f} times"
    nearest = min(rates.fps, key=lambda fps: abs(drive.fps / fps - 1))
    if abs(drive.fps / nearest - 1) > _OTHER_RATE:
        yield f"plays at {drive.fps:.3g} frames a second, and the model was trained at {nearest:.3g}"
    if animation.face_optimisation is not None and animation.face_optimisation.skipped:
        yield f"no face optimisation: {animation.face_optimisation.skipped}"
