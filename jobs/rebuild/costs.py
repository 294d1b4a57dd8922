"""Hours of an A100, from counted operations: of the networks at the sizes of the paper, which alone have counts.

docs/model.md has the counts of VAE, CLIP and denoiser, ARCHITECTURE.md the published ones of the networks that measure,
and what share of an A100's peak is assumed. Nothing here was measured.
"""

from __future__ import annotations

from jobs.running.config import Config

_PER_FRAME = {"people": 156e9, "keypoints": 10e9, "face_quality": 7e9 + 24e9}
"""Operations of YOLOX-l, DWPose-l, SCRFD-10G and ResNet-100 on a frame with one person."""
_MEASURING = 10e12
"""Operations a second: ONNX Runtime keeps a third of an A100 busy."""
_TF32, _BF16 = 0.4 * 156e12, 0.4 * 312e12
_PIXELS = 512 * 512
_VAE_FRAME, _TRAINING_FRAME = 1.12e12, 79.0e12 / 16
"""At 512x512: encoding a frame; a frame of a training pass with gradient checkpointing."""


def measuring_hours(config: Config, seconds: float) -> float | None:
    """Of so many seconds of video; None where the job reserves no GPU."""
    settings = config.curate
    if settings is None or not settings.gpus_per_actor:
        return None
    operations = sum(_PER_FRAME.get(measure, 0.0) for measure in settings.measures)
    return seconds * settings.sample_fps * operations / _MEASURING / 3600


def encoding_hours(config: Config, rows: int) -> float | None:
    """Of so many shard rows at most: with several strides a frame is in several rows, and is encoded once."""
    if not config.encode.gpus_per_actor:
        return None
    pixels = max(height * width for height, width in config.encode.buckets)
    return rows * config.encode.frames_per_row * _VAE_FRAME * pixels / _PIXELS / _TF32 / 3600


def training_hours(config: Config, rows: int) -> float | None:
    """Of all GPUs together, at the size of the largest bucket; None where nobody knows how many rows there will be."""
    loop = config.train.loop
    if not loop.engine.gpus_per_worker:
        return None
    pixels = max(height * width for height, width in config.encode.buckets)
    samples = loop.steps * loop.batch_size if loop.steps is not None else loop.epochs * rows
    if not samples:
        return None
    return samples * config.train.step.frames * _TRAINING_FRAME * pixels / _PIXELS / _BF16 / 3600


def hours_text(hours: float | None) -> str:
    """`; about 1.5 A100 hours by counted operations`, or nothing."""
    return "" if hours is None else f"; about {hours:.2g} A100 hours by counted operations at full size"
