"""The networks of inference from a model folder."""

from __future__ import annotations

from pathlib import Path

import torch

from stableanimator.alignment.aligner import Aligner
from stableanimator.errors import CheckpointError
from stableanimator.inference.inputs import Models
from stableanimator.models.checkpoints import load_model_folder
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import EncoderSettings, Precision
from stableanimator.models.unet import speed_up
from stableanimator.perception.arcface import ArcFace
from stableanimator.perception.faces import FaceAnalyser


def load_models(
    folder: str | Path,
    encoders: EncoderSettings,
    faces: FaceAnalyser,
    *,
    aligner: Aligner | None = None,
    device: str = "cpu",
    precision: Precision = "float32",
    face_optimisation: bool = True,
    compiled: bool = False,
    channels_last: bool = False,
) -> Models:
    """Everything that `stableanimator.animate.animate` needs, on one device and in evaluation mode.

    Args:
        folder: of the model (`stableanimator.models.checkpoints`).
        encoders: on whose latents it was trained.
        faces: whose embeddings it reads; its recogniser gives face optimisation its gradients.
        aligner: for a folder without one.
        device: `cpu` or `cuda`.
        precision: of the denoiser's weights.
        face_optimisation: whether the recogniser is loaded.
        compiled, channels_last: as `stableanimator.models.unet.speed_up`.

    Raises:
        WeightsError: a file is missing or unreadable.
        CheckpointError: model, encoders and face models do not fit together.
    """
    loaded = load_model_folder(folder)
    width = loaded.animator.settings.face_encoder.embedding_width
    if width != faces.embedding_width:
        raise CheckpointError(
            f"the model reads face embeddings of {width} values, perception.faces gives {faces.embedding_width}; use "
            "the pack that it was trained with"
        )
    coder = Encoders(encoders)
    trained_on = loaded.config.get("encoders")  # absent from a folder of released weights
    if trained_on not in (None, coder.fingerprint):
        raise CheckpointError(
            f"{folder} was trained on latents of other encoders; use the section encoders of its shards"
        )
    animator = loaded.animator.to(device, getattr(torch, precision))
    speed_up(animator.unet, compiled=compiled, channels_last=channels_last)
    return Models(
        animator=animator,
        rates=loaded.rates,
        encoders=coder.to(device),
        aligner=loaded.aligner or aligner,
        arcface=ArcFace.from_onnx(faces.recogniser_path).to(device) if face_optimisation else None,
    )
