"""The look, the sheet, the mp4, and what is said of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from jobs.animate_one.request import Request
from jobs.pairs.drives import Drive
from jobs.pairs.inputs import PairReader, assign
from pipelines.progress import duration_text, track
from pipelines.storage.pair_tables import PAIRS
from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.aligner_folder import load_aligner_folder
from stableanimator.animate import Driven, Driving, Reference, aligned, sampled
from stableanimator.inference.loading import load_models
from stableanimator.media.audio import add_sound, has_sound
from stableanimator.media.video import VideoReader, write_mp4, written_whole
from stableanimator.models.checkpoints import load_alignment
from stableanimator.models.settings import FrameRates
from stableanimator.paths import local_path
from stableanimator.preview.look import Look, look, usual_people
from stableanimator.preview.sheet import moments, person_in_words, preview_sheet

log = logging.getLogger(__name__)

_ALIGNER = "package://stableanimator.alignment/weights"


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What a look found."""

    reference: Reference
    driving: Driving
    driven: Driven
    drive: Drive
    seen: Look


def animate_one(request: Request) -> list[str]:
    """Write the sheet, then the mp4; returns what was done, in three lines.

    Raises:
        RowError: the picture or the video cannot be read, or shows nobody.
        UserError: model, weights and settings do not fit together.
    """
    started = time.monotonic()
    diffusers_logging.set_verbosity_error()  # it tells of keys in configurations that it leaves out
    transformers_logging.disable_progress_bar()  # of files that are mapped in milliseconds
    reader = PairReader(request.perception)
    aligner, rates = load_alignment(request.model)
    inputs = _look(request, reader, aligner or load_aligner_folder(local_path(_ALIGNER)), rates)
    _write_sheet(request, inputs)
    log.info("%s shows what it will be", request.sheet)
    for warning in inputs.seen.warnings:
        log.warning("warning: %s", warning)
    heard = _animate(request, reader, inputs)
    return list(_told(request, inputs, heard, time.monotonic() - started))


def _look(request: Request, reader: PairReader, aligner: Aligner, rates: FrameRates) -> Inputs:
    settings = request.config.animate.settings
    pair: dict[str, Any] = dict.fromkeys(PAIRS.names) | {
        "reference_uri": str(request.reference),
        "driving_uri": str(request.driving),
    }
    whole = reader.reference(pair["reference_uri"], settings.background)
    fps = request.config.animate.fps or rates.fps[0]
    drive = reader.drive(pair, fps, settings.max_frames, lambda frames, count: track(frames, "finding people", count))
    reference, driving = assign(pair, whole, drive)
    driven = aligned(reference, driving, settings, aligner)
    people = {"reference_people": len(whole.keypoints), "driving_people": usual_people(drive.poses)}
    seen = look(reference, driving, driven, **people)
    return Inputs(reference=reference, driving=driving, driven=driven, drive=drive, seen=seen)


def _write_sheet(request: Request, inputs: Inputs) -> None:
    wanted = moments(len(inputs.driven.poses))
    with VideoReader(request.driving) as video:
        read = video.read([inputs.drive.frame_index[frame] for frame in wanted])
    pictures = dict(zip(wanted, read, strict=True))
    page = preview_sheet(inputs.reference, inputs.driving, inputs.driven, inputs.seen, pictures)
    with written_whole(request.sheet) as temporary:
        # Not `imwrite`, which says nothing of a full disk.
        Path(temporary).write_bytes(cv2.imencode(request.sheet.suffix, page[..., ::-1])[1].tobytes())


def _animate(request: Request, reader: PairReader, inputs: Inputs) -> bool:
    """Write the mp4; returns whether it has sound."""
    animate, driven = request.config.animate, inputs.driven
    models = load_models(
        request.model,
        request.config.encoders,
        reader.faces,
        device=animate.device,
        precision=animate.precision,
        face_optimisation=animate.settings.face_optimisation,
        compiled=animate.compile,
        channels_last=animate.channels_last,
    )
    steps, frames = animate.settings.sampler.steps, len(driven.poses)
    clip = sampled(
        models,
        inputs.reference,
        driven,
        animate.settings,
        request.seed,
        progress=lambda indices: track(indices, "denoising steps", steps),
    )
    with written_whole(request.out) as temporary:  # the name appears when all is done, the sound too
        write_mp4(temporary, track(clip.frames(), "decoding frames", frames), driven.fps)
        heard = animate.audio and has_sound(str(request.driving))
        return heard and add_sound(temporary, str(request.driving), inputs.drive.begins, frames / driven.fps)


def _told(request: Request, inputs: Inputs, heard: bool, seconds: float) -> Iterator[str]:
    seen, settings = inputs.seen, request.config.animate.settings
    height, width = seen.size
    silent = " (the drive has no sound)" if request.config.animate.audio and not heard else ""
    yield (
        f"{width}x{height} pixels, {seen.frames} frames at {seen.fps:.3g} a second, {seen.frames / seen.fps:.1f} s"
        f"{', with sound' if heard else silent}; made in {duration_text(seconds)}"
    )
    people = "; ".join(person_in_words(person) for person in seen.people)
    yield f"alignment {settings.alignment}, one a {settings.alignment_scope}: {people}"
    warnings = ", ".join(dict.fromkeys(each.name for each in seen.warnings)) or "none"
    yield f"{request.out}, {request.sheet}; warnings: {warnings}"
