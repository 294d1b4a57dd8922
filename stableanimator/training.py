"""One training step: a shard's row becomes a sample, samples become a batch, and a batch becomes a loss (SA++ III-D).

    sample = make_sample(row, settings, generator(seed, epoch, index), aligner)
    batch = join([sample, …])
    losses = training_loss(animator, batch, StepDraws(seed=0, step=7, batch_size=8, positions=(0, 1)), settings)

Random numbers belong to a sample (its window, its reference) or to a place in a step's batch (its noise), never to a
process: how many workers share a step, and in how many passes, does not change what is learned.

    B clips   F frames   C h w latent   H W picture   P people   K candidate references   D image, E face embedding
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.similarity import Similarity
from stableanimator.alignment.training_data.misalignment import random_misalignment
from stableanimator.diffusion.edm import add_noise, diffusion_loss, draw_sigmas
from stableanimator.driving import align_driving, skeleton_pictures
from stableanimator.media.framing import Framing, Size, box_mask
from stableanimator.media.tensors import to_tensor
from stableanimator.models.animator import CONDITIONS, Animator, Conditioning, added_time_ids, drop_conditions
from stableanimator.models.settings import FrameRates, MicroConditions
from stableanimator.perception.hands import hand_boxes
from stableanimator.perception.person_boxes import in_picture
from stableanimator.perception.settings import SkeletonStyle
from stableanimator.training_settings import TrainingSettings

Array = npt.NDArray[np.float32]
Denoise = Callable[[Tensor, Tensor, Conditioning], Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardRow:
    """One row of the shards, decoded."""

    latents: Array
    """[F, C, h, w], scaled."""
    face_mask: Array
    """[F, h, w], 0 or 1."""
    keypoints: Array
    """[F, P, 133, 3], pixels of the bucket."""
    reference_latent: Array
    """[K, C, h, w], of noise-augmented pictures."""
    clip_embedding: Array
    """[K, 1, D]."""
    face_embedding: Array
    """[K, E], as ArcFace's network returns them."""
    reference_keypoints: Array
    """[K, 133, 3], the main person's, pixels of the bucket."""
    size: Size
    """Height and width of the pictures in pixels."""
    fps: float
    """Frames a second."""
    reference_noise: float
    """Strength of the noise on the reference pictures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingBatch:
    """What the networks see of B clips."""

    latents: Tensor
    """[B, F, C, h, w] true latents, float32."""
    face_mask: Tensor
    """[B, F, h, w] float32."""
    hand_mask: Tensor
    """[B, F, h, w] float32, 1 around the hands of everybody in the picture."""
    conditioning: Conditioning
    """Of the same clips and frames."""

    def to(self, device: torch.device | str) -> TrainingBatch:
        """On another device."""
        return TrainingBatch(
            latents=self.latents.to(device),
            face_mask=self.face_mask.to(device),
            hand_mask=self.hand_mask.to(device),
            conditioning=self.conditioning.to(device),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class StepDraws:
    """Whose random numbers a pass uses: some places of one step's batch."""

    seed: int
    """Of the training."""
    step: int
    """Optimiser step, from 0."""
    batch_size: int
    """Clips of the whole step."""
    positions: Sequence[int]
    """Places of this pass's clips in the step's batch, each from 0 to batch_size - 1."""


def generator(*numbers: int) -> torch.Generator:
    """A stream of random numbers of its own for every tuple of non-negative integers."""
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def draw_window(row_frames: int, settings: TrainingSettings, random: torch.Generator) -> list[int]:
    """Places of a sample's frames in its row: neighbours, their start drawn uniformly.

    Raises:
        ValueError: the row has fewer frames than a sample.
    """
    frames = settings.frames
    if row_frames < frames:
        raise ValueError(f"a row has {row_frames} frames, fewer than the {frames} of a sample")
    start = int(torch.randint(0, row_frames - frames + 1, (), generator=random))
    return list(range(start, start + frames))


def make_sample(
    row: ShardRow,
    settings: TrainingSettings,
    random: torch.Generator,
    aligner: Aligner | None = None,
    skeleton: SkeletonStyle = "released",
) -> TrainingBatch:
    """A window of the row with one of its candidate references, as a batch of one.

    Args:
        random: of this row in this epoch; the same stream gives the same sample.
        aligner: for `settings.needs_aligner`.
        skeleton: how poses are drawn: the model's.

    Raises:
        ValueError: the row is too short, or the aligner is missing.
    """
    window = draw_window(len(row.latents), settings, random)
    reference = int(torch.randint(0, len(row.reference_latent), (), generator=random))
    keypoints = row.keypoints[window]
    if settings.misalignment is not None and keypoints.shape[1] == 1:
        moved = random_misalignment(settings.misalignment, random, 1)
        keypoints = realigned(keypoints, row.reference_keypoints[reference], row.size, moved, settings, aligner)
    micro = MicroConditions(
        fps_id=FrameRates(fps=(row.fps,), fps_id=settings.fps_id).id_at(row.fps),
        motion_bucket=settings.motion_bucket,
        reference_noise=row.reference_noise,
    )
    return TrainingBatch(
        latents=_tensor(row.latents[window]),
        face_mask=_tensor(row.face_mask[window]),
        hand_mask=_tensor(hand_masks(row.keypoints[window], row.size, row.size[0] // row.latents.shape[-2])),
        conditioning=Conditioning(
            reference_latent=_tensor(row.reference_latent[reference]),
            clip_embedding=_tensor(row.clip_embedding[reference]),
            face_embedding=_tensor(row.face_embedding[reference]),
            pose=to_tensor(skeleton_pictures(keypoints, *row.size, skeleton))[None],
            added_time_ids=added_time_ids(micro, 1),
        ),
    )


def realigned(
    keypoints: Array,
    reference: Array,
    size: Size,
    misalignment: Similarity,
    settings: TrainingSettings,
    aligner: Aligner | None = None,
) -> Array:
    """Poses [F, 1, 133, 3] of pictures of `size`, misaligned by one transform [1] and aligned again to the reference
    pose [133, 3] of the same size, by what these pictures show."""
    one = Similarity(*(part[0] for part in misalignment))
    same = Framing.cover(size, size)  # both poses are in pixels of the bucket already
    return align_driving(
        keypoints,
        reference[None],
        (same, same),
        settings.alignment,
        settings.alignment_scope,
        aligner,
        one,
    )


def hand_masks(keypoints: Array, size: Size, factor: int) -> Array:
    """[F, h, w] at latent size, 1 around the hands whose arms a picture of `size` shows, of true poses
    [F, P, 133, 3]."""
    seen = in_picture(keypoints, size)
    return np.stack([box_mask(hand_boxes(people), size, factor) for people in seen]).astype(np.float32)


def join(samples: Sequence[TrainingBatch]) -> TrainingBatch:
    """One batch of several, all of one size."""
    conditionings = [sample.conditioning for sample in samples]
    joined = {
        each.name: torch.cat([getattr(conditioning, each.name) for conditioning in conditionings])
        for each in fields(Conditioning)
        if getattr(conditionings[0], each.name) is not None
    }
    return TrainingBatch(
        latents=torch.cat([sample.latents for sample in samples]),
        face_mask=torch.cat([sample.face_mask for sample in samples]),
        hand_mask=torch.cat([sample.hand_mask for sample in samples]),
        conditioning=Conditioning(**joined),
    )


def training_loss(denoise: Denoise, batch: TrainingBatch, draws: StepDraws, settings: TrainingSettings) -> Tensor:
    """SA++ Eq. 25 with z_eps = D(z_gt + sigma n; sigma, conditioning): the loss of each clip, float32 [B].

    Noise levels are drawn for the whole step at once, in strata, so that every step covers their range.

    Args:
        denoise: an `Animator`, or what wraps one: (x, sigma, conditioning) -> predicted clean latents.
        batch: on the networks' device.
        draws: as many positions as the batch has clips.
    """
    streams = [generator(draws.seed, draws.step, 1 + position) for position in draws.positions]
    sigma = draw_sigmas(draws.batch_size, settings.noise, generator(draws.seed, draws.step, 0))[list(draws.positions)]
    clips = range(len(streams))
    x = torch.cat([add_noise(batch.latents[i : i + 1], sigma[i : i + 1], streams[i]) for i in clips])
    keep = torch.cat([_kept(settings, stream) for stream in streams])
    sigma = sigma.to(x.device)
    conditioning = replace(batch.conditioning, keep=keep.to(x.device))
    predicted = denoise(x, sigma, conditioning)
    return diffusion_loss(predicted, batch.latents, sigma, batch.face_mask, settings.loss, batch.hand_mask)


def freeze_all_but(animator: Animator, trainable: Literal["all", "attention"]) -> None:
    """Let only the named weights of the U-Net learn; FaceEncoder and PoseNet stay as they are."""
    if trainable == "attention":
        for name, parameter in animator.unet.named_parameters():
            parameter.requires_grad_("attentions" in name)


def _kept(settings: TrainingSettings, random: torch.Generator) -> Tensor:
    """Which conditions of one clip are kept, [1, 4]: by `drop_conditions`, and the face by a draw of its own."""
    nothing = torch.zeros(1)
    one = Conditioning(
        reference_latent=nothing, clip_embedding=nothing, face_embedding=nothing, pose=nothing, added_time_ids=nothing
    )
    keep = drop_conditions(one, settings.conditioning_dropout, random).keep
    assert keep is not None
    if settings.face_dropout > 0:  # else nothing is drawn, and older trainings keep their random numbers
        keep[:, CONDITIONS.index("face")] &= torch.rand(1, generator=random) >= settings.face_dropout
    return keep


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))[None]
