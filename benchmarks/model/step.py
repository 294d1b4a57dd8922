"""A training step from shards beside one that encodes its clip on the fly, in turns, with networks of the same widths.

Both begin with a window of one clip and end with AdamW's step. From shards: read and verify the part, draw skeletons,
forward, backward. On the fly: decode the video, VAE of the window and the reference, CLIP of the reference, then the
same; keypoints and faces are in a table in both. Once at widths at which the encoders' share of a step's operations is
not above that of the full size, and once at those of `tiny.yaml`.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import jobs
from benchmarks.drawn.truth import true_faces, true_people
from benchmarks.harness import Figure, interleave, ratio
from benchmarks.model.cost import FRAMES, SIZES, train_pass
from jobs.running.config import load
from pipelines.shards.latent_spool import LatentSpool
from pipelines.shards.measured import measured_clip
from pipelines.shards.plan import plan_clip
from pipelines.shards.reader import ShardRows, decode_row
from pipelines.shards.rows import encode_clip
from pipelines.shards.settings import VERSION, EncodeSettings
from pipelines.storage.store import Collection, Store
from pipelines.storage.tables import FRAMES as FRAMES_TABLE
from stableanimator.media.framing import Size
from stableanimator.media.video import VideoReader, write_mp4
from stableanimator.models.animator import Animator
from stableanimator.models.counting import count_flops
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import (
    CLIPSettings,
    EncoderSettings,
    FaceEncoderSettings,
    ModelSettings,
    UNetSettings,
    VAESettings,
)
from stableanimator.models.unet import checkpoint_activations
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.script import ClipSettings
from stableanimator.training import ShardRow, StepDraws, generator, make_sample, training_loss
from stableanimator.training_settings import TrainingSettings

BAR = 0.5
REPEATS = 7
_SPACING = 3  # frames of the video between those of the window; released: 1 to 4
_TINY = Path(jobs.__file__).parent / "configs" / "tiny.yaml"


@dataclass(frozen=True, slots=True)
class Widths:
    """Networks and windows of one comparison."""

    model: ModelSettings
    encoders: EncoderSettings
    encode: EncodeSettings
    step: TrainingSettings

    @property
    def size(self) -> Size:
        """Of the pictures."""
        return self.encode.buckets[0]


PROPORTIONAL = Widths(
    model=ModelSettings(
        unet=UNetSettings(
            block_out_channels=(64, 128, 256, 256),
            num_attention_heads=(1, 2, 4, 4),
            cross_attention_dim=256,
            addition_time_embed_dim=64,
        ),
        face_encoder=FaceEncoderSettings(embedding_width=128, cross_attention_dim=256, layers=2, heads=4),
    ),
    encoders=EncoderSettings(
        vae=VAESettings(block_out_channels=(32, 32, 64, 64)),
        clip=CLIPSettings(
            hidden_size=128, intermediate_size=512, layers=4, heads=4, image_size=112, projection_dim=256
        ),
    ),
    encode=EncodeSettings(buckets=((128, 128),), frames_per_row=FRAMES, reference_count=1, gpus_per_actor=0),
    step=TrainingSettings(frames=FRAMES),
)
"""Widths at which the encoders' share of a step's operations is not above that of the full size."""


def tiny() -> Widths:
    """The widths of `tiny.yaml`."""
    config = load(str(_TINY), ["root=/nowhere", "curate.crawl.sources=[/nowhere]"])
    encode = replace(config.encode, reference_count=1)
    return Widths(config.model, config.encoders, encode, config.train.step)


@dataclass(frozen=True, slots=True)
class DrawnClip:
    """A drawn video of which one window was measured."""

    path: Path
    clip: dict[str, Any]
    """A row of CLIPS, as far as encoding reads it."""
    frames: pa.Table
    """FRAMES of the window."""


def step_figures(work: Path, quick: bool) -> list[Figure]:
    """The ratio of the two steps, and what operations alone would make of it at full size.

    Args:
        work: an empty folder, used for videos and their shards.
        quick: one repeat, which says nothing.
    """
    with FakeTensorMode():
        full = {size: encoding_share(ModelSettings(), EncoderSettings(), size, FRAMES) for size in SIZES}
    there = ", ".join(f"{share:.2f} ({size[0]}x{size[1]})" for size, share in full.items())
    figures = []
    for name, widths in {"same share of encoding as at full size": PROPORTIONAL, "tiny.yaml": tiny()}.items():
        with FakeTensorMode():
            here = encoding_share(widths.model, widths.encoders, widths.size, widths.step.frames)
        value, spread = compare(work / name.split(".")[0].replace(" ", "_"), widths, 1 if quick else REPEATS)
        note = f"processor time; operations of encoding over those of the step: {here:.2f}; at full size {there}"
        figures.append(
            Figure(f"step from shards over a step that encodes on the fly, widths: {name}", value, BAR, "lower",
                   spread=spread, note=note)
        )  # fmt: skip
    for size, share in full.items():
        name = f"the same at full size, {size[0]}x{size[1]}, by operations alone"
        figures.append(Figure(name, 1 / (1 + share), None, "lower", note="counted; VAE and U-Net equally fast"))
    return figures


def compare(work: Path, widths: Widths, repeats: int) -> tuple[float, float | None]:
    """Time of a step from shards over one on the fly, and half its range, steps by turns."""
    work.mkdir(parents=True)
    drawn, encoders = draw(work / "clip.mp4", widths), Encoders(widths.encoders)
    shards = encode(work / "root", drawn, encoders, widths)
    animator = Animator(widths.model).train()
    if widths.step.gradient_checkpointing:
        checkpoint_activations(animator.unet)
    optimiser = torch.optim.AdamW(animator.parameters(), lr=1e-5, fused=True)  # one pass, as over ZeRO's flat tensors
    steps = {
        "shards": lambda: train_step(animator, optimiser, ShardRows(shards, "train")[0], widths.step),
        "on the fly": lambda: train_step(animator, optimiser, encoded_row(drawn, encoders, widths), widths.step),
    }
    for step in steps.values():
        step()  # first calls choose kernels and make AdamW's states
    seconds = interleave(steps, repeats, clock=time.process_time)
    return ratio(seconds["shards"], seconds["on the fly"])


def draw(path: Path, widths: Widths) -> DrawnClip:
    """A person who dances, at twice the size of the bucket."""
    height, width = 2 * widths.size[0], 2 * widths.size[1]
    count = _SPACING * (widths.step.frames - 1) + 1
    seconds = (count + 1) / 25.0
    settings = ClipSettings(width=width, height=height, fps=25.0, min_seconds=seconds, max_seconds=seconds)
    pictures, truth = draw_clip(write_clip("dance", 3, settings), range(count))
    write_mp4(path, pictures, 25.0)
    rows = []
    for index in range(0, count, _SPACING):
        people = true_people(truth, index)
        poses = np.concatenate([truth.keypoints[index, people], np.ones((len(people), 133, 1))], -1)
        boxes = true_faces(truth, index)[1]
        row = {"shot_id": "drawn", "frame_index": index, "time": index / 25.0}
        row["keypoints"] = poses.reshape(len(people), -1).tolist()
        embedding = [1.0] * widths.model.face_encoder.embedding_width
        rows.append(row | {"face_boxes": boxes.tolist(), "face_embedding": embedding})
    clip = {"shot_id": "drawn", "video_id": "drawn", "split": "train", "height": height, "width": width}
    table = pa.Table.from_pylist([{name: row.get(name) for name in FRAMES_TABLE.names} for row in rows], FRAMES_TABLE)
    return DrawnClip(path, clip, table)


def encoded(drawn: DrawnClip, encoders: Encoders, widths: Widths) -> pa.Table:
    """The window as a row of SHARDS, from the video."""
    plan = plan_clip(measured_clip(drawn.clip, drawn.frames), widths.encode)
    with VideoReader(drawn.path) as video, LatentSpool() as spool:
        (crop,) = encode_clip(plan, video, encoders, widths.encode, spool, contextlib.nullcontext).crops
        return pa.concat_tables(crop.rows(spool))


def encoded_row(drawn: DrawnClip, encoders: Encoders, widths: Widths) -> ShardRow:
    """What a step on the fly begins with."""
    return decode_row(encoded(drawn, encoders, widths), widths.encode.reference_noise)


def encode(root: Path, drawn: DrawnClip, encoders: Encoders, widths: Widths) -> Collection:
    """The window as a collection `shards`."""
    store = Store(str(root))
    part = store.write_part("shards", "key", "drawn", encoded(drawn, encoders, widths)) | {
        "split": "train",
        "bucket": f"{widths.size[0]}x{widths.size[1]}",
    }
    settings = {"reference_noise": widths.encode.reference_noise}
    content = {"parts": [part], "settings": settings, "version": VERSION}
    return store.commit("shards", content=content, tables={}, build={})


def train_step(
    animator: Animator, optimiser: torch.optim.Optimizer, row: ShardRow, settings: TrainingSettings
) -> float:
    """One step of AdamW on one row; returns its loss."""
    sample = make_sample(row, settings, generator(0))
    draws = StepDraws(seed=0, step=0, batch_size=1, positions=(0,))
    loss = training_loss(animator, sample, draws, settings).mean()
    loss.backward()
    optimiser.step()
    optimiser.zero_grad()
    return float(loss.detach())


def encoding_share(model: ModelSettings, encoders: EncoderSettings, size: Size, frames: int) -> float:
    """Operations of VAE and CLIP for a window and its reference, over those of the step; inside `FakeTensorMode`."""
    animator, frozen = Animator(model).train(), Encoders(encoders)
    checkpoint_activations(animator.unet)
    window, reference = torch.empty(frames + 1, 3, *size), torch.empty(1, 3, *size)
    encoding = count_flops(lambda: frozen.encode(window)) + count_flops(lambda: frozen.embed(reference))
    return encoding / count_flops(lambda: train_pass(animator, frames, size))
