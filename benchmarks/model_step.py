"""A training step from shards beside one that encodes its clip on the fly, in turns, with networks of the same widths.

Both begin with a window of one clip and end with AdamW's step. From shards: read and verify the part, draw skeletons,
forward, backward. On the fly: decode the video, VAE of the window and the reference, CLIP of the reference, then the
same; keypoints and faces are in a table in both. Widths are such that the encoders' share of a step's operations is not
above that of the full size.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.drawn_truth import true_faces, true_people
from benchmarks.harness import Figure, interleave, ratio
from benchmarks.model_cost import FRAMES, SIZES, count_flops, train_pass
from pipelines.encode_settings import EncodeSettings
from pipelines.shard_reader import ShardRows, decode_row
from pipelines.shard_rows import encode_clip
from pipelines.store import Collection, Store
from pipelines.tables import FRAMES as FRAMES_TABLE
from pipelines.tables import SHARDS
from stableanimator.framing import Size
from stableanimator.models.animator import Animator, ModelSettings
from stableanimator.models.encoders import CLIPSettings, Encoders, EncoderSettings, VAESettings
from stableanimator.models.face_encoder import FaceEncoderSettings
from stableanimator.models.unet import UNetSettings
from stableanimator.synthetic.clips import ClipSettings, write_clip
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.training import ShardRow, StepDraws, generator, make_sample, training_loss
from stableanimator.training_settings import TrainingSettings
from stableanimator.video import VideoReader, write_mp4

BAR = 0.5
REPEATS = 7
_SIZE: Size = (128, 128)
_SPACING = 3  # frames of the video between those of the window; released: 1 to 4
_FACE = 128
_MODEL = ModelSettings(
    unet=UNetSettings(
        block_out_channels=(64, 128, 256, 256),
        num_attention_heads=(1, 2, 4, 4),
        cross_attention_dim=256,
        addition_time_embed_dim=64,
    ),
    face_encoder=FaceEncoderSettings(embedding_width=_FACE, cross_attention_dim=256, layers=2, heads=4),
)
_ENCODERS = EncoderSettings(
    vae=VAESettings(block_out_channels=(32, 32, 64, 64)),
    clip=CLIPSettings(hidden_size=128, intermediate_size=512, layers=4, heads=4, image_size=112, projection_dim=256),
)
_ENCODE = EncodeSettings(buckets=(_SIZE,), frames_per_row=FRAMES, references=1, gpus_per_actor=0)
_STEP = TrainingSettings(frames=FRAMES, max_spacing=1)


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
        work: an empty folder, used for a video and its shards.
        quick: one repeat, which says nothing.
    """
    drawn, encoders = draw(work / "clip.mp4"), Encoders(_ENCODERS)
    shards = encode(work / "root", drawn, encoders)
    animator = Animator(_MODEL).train()
    animator.unet.enable_gradient_checkpointing()
    optimiser = torch.optim.AdamW(animator.parameters(), lr=1e-5)
    steps = {
        "shards": lambda: train_step(animator, optimiser, ShardRows(shards, "train")[0]),
        "on the fly": lambda: train_step(animator, optimiser, encoded_row(drawn, encoders)),
    }
    for step in steps.values():
        step()  # first calls choose kernels and make AdamW's states
    seconds = interleave(steps, 1 if quick else REPEATS, clock=time.process_time)
    value, spread = ratio(seconds["shards"], seconds["on the fly"])
    with FakeTensorMode():
        here = encoding_share(_MODEL, _ENCODERS, _SIZE)
        full = {size: encoding_share(ModelSettings(), EncoderSettings(), size) for size in SIZES}
    note = (
        f"processor time, {FRAMES} frames; operations of encoding over those of the step: {here:.2f}; at full size "
        + ", ".join(f"{share:.2f} ({size[0]}x{size[1]})" for size, share in full.items())
    )
    figures = [
        Figure("step from shards over a step that encodes on the fly, same widths", value, BAR, "lower",
               spread=spread, note=note)
    ]  # fmt: skip
    for size, share in full.items():
        name = f"the same at full size, {size[0]}x{size[1]}, by operations alone"
        figures.append(Figure(name, 1 / (1 + share), None, "lower", note="counted; VAE and U-Net equally fast"))
    return figures


def draw(path: Path) -> DrawnClip:
    """A person who dances, at twice the size of the bucket."""
    count = _SPACING * (FRAMES - 1) + 1
    seconds = (count + 1) / 25.0
    settings = ClipSettings(width=2 * _SIZE[1], height=2 * _SIZE[0], fps=25.0, min_seconds=seconds, max_seconds=seconds)
    pictures, truth = draw_clip(write_clip("dance", 3, settings), range(count))
    write_mp4(path, pictures, 25.0)
    rows = []
    for index in range(0, count, _SPACING):
        people = true_people(truth, index)
        poses = np.concatenate([truth.keypoints[index, people], np.ones((len(people), 133, 1))], -1)
        boxes = true_faces(truth, index)[1]
        row = {"shot_id": "drawn", "frame_index": index, "keypoints": poses.reshape(len(people), -1).tolist()}
        rows.append(row | {"face_boxes": boxes.tolist(), "face_embedding": [_FACE**-0.5] * _FACE})
    clip = {"shot_id": "drawn", "video_id": "drawn", "split": "train", "height": 2 * _SIZE[0], "width": 2 * _SIZE[1]}
    table = pa.Table.from_pylist([{name: row.get(name) for name in FRAMES_TABLE.names} for row in rows], FRAMES_TABLE)
    return DrawnClip(path, clip, table)


def encoded(drawn: DrawnClip, encoders: Encoders) -> pa.Table:
    """The window as a row of SHARDS, from the video."""
    with VideoReader(drawn.path) as video:
        rows = encode_clip(drawn.clip, drawn.frames, video, encoders, _ENCODE)
    return pa.Table.from_pylist(rows, schema=SHARDS)


def encoded_row(drawn: DrawnClip, encoders: Encoders) -> ShardRow:
    """What a step on the fly begins with."""
    return decode_row(encoded(drawn, encoders), _ENCODE.reference_noise)


def encode(root: Path, drawn: DrawnClip, encoders: Encoders) -> Collection:
    """The window as a collection `shards`."""
    store = Store(str(root))
    part = store.write_part("shards", "key", "drawn", encoded(drawn, encoders)) | {
        "split": "train",
        "bucket": f"{_SIZE[0]}x{_SIZE[1]}",
    }
    content = {"parts": [part], "settings": {"reference_noise": _ENCODE.reference_noise}}
    return store.commit("shards", content=content, tables={}, build={})


def train_step(animator: Animator, optimiser: torch.optim.Optimizer, row: ShardRow) -> float:
    """One step of AdamW on one row; returns its loss."""
    sample = make_sample(row, _STEP, generator(0))
    draws = StepDraws(seed=0, step=0, batch_size=1, positions=(0,))
    loss = training_loss(animator, sample, draws, _STEP).mean()
    loss.backward()
    optimiser.step()
    optimiser.zero_grad()
    return float(loss.detach())


def encoding_share(model: ModelSettings, encoders: EncoderSettings, size: Size) -> float:
    """Operations of VAE and CLIP for a window and its reference, over those of the step; inside `FakeTensorMode`."""
    animator, frozen = Animator(model).train(), Encoders(encoders)
    animator.unet.enable_gradient_checkpointing()
    window, reference = torch.empty(FRAMES + 1, 3, *size), torch.empty(1, 3, *size)
    encoding = count_flops(lambda: frozen.encode(window)) + count_flops(lambda: frozen.embed(reference))
    return encoding / count_flops(lambda: train_pass(animator, FRAMES, size))
