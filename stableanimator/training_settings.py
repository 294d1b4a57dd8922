"""Settings of `stableanimator.training`, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from stableanimator.alignment.settings import AlignmentName, AlignmentScope, MisalignmentSettings
from stableanimator.diffusion.settings import EDMSettings, LossSettings
from stableanimator.limits.checks import Bucket, NotNegative, PositiveInt, Range, Share, checked


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class TrainingSettings:
    """What one sample is and what its loss is; the defaults are the released settings with the loss of Eq. 25."""

    frames: PositiveInt = 16
    """Frames of a sample, neighbours in their row. Released: 16. No more than a shard's rows have."""
    noise: EDMSettings = field(default_factory=EDMSettings)
    """How noise levels are drawn."""
    loss: LossSettings = field(default_factory=LossSettings)
    """Eq. 25, and where the released code differs from it."""
    conditioning_dropout: Annotated[float, Range(0, 1 / 3)] = 0.1
    """Probability q of each of: no image embedding, no reference latent, neither. Released: 0.1; 0: none;
    1/3: always one of them."""
    fps_id: NotNegative | None = None
    """Micro-condition, frames a second less one. Null: of each sample's own row; a number: the same for all, whatever
    their rates, as the released code has it (6)."""
    face_dropout: Share = 0.0
    """Probability that a clip's face tokens are left out, drawn on its own. Released: never; a model that shall be
    animated with `face: off` must have seen it. 0.15 is a usual value."""
    motion_bucket: Bucket = 127.0
    """Micro-condition: how much motion, 0 to 255. Released: 127. The third one is the shard's own reference noise."""
    trainable: Literal["all", "attention"] = "all"
    """Which weights of the U-Net learn, beside FaceEncoder and PoseNet: all (SA++ III-D), or those with "attentions" in
    their name (released)."""
    temporal: bool = True
    """Whether the layers over time run and learn. Off: every frame is denoised alone, in half the time; with
    `frames: 1` it is training on pictures, from which a training on clips goes on (`train.start`)."""
    gradient_checkpointing: bool = True
    """Compute activations of the U-Net again in the backward pass, which saves memory and costs time. Released: on."""
    compile: bool = False
    """Compile the U-Net (`torch.compile`): minutes at the first pass of each size, faster passes after them; needs a
    C++ compiler on every node."""
    misalignment: MisalignmentSettings | None = None
    """Move each clip's poses at random and align them back to the reference, so that the networks learn to live with
    what alignment leaves over. Null: true poses. Clips of several people keep true poses: a shard has the reference
    pose of the main person alone."""
    alignment: AlignmentName = "learned"
    """How misaligned poses are aligned; `learned` needs the aligner. Not used without `misalignment`."""
    alignment_scope: AlignmentScope = "clip"
    """One transform a clip, one a frame, or the clip's with a place for each frame (`steady`)."""

    @property
    def needs_aligner(self) -> bool:
        """Whether samples cannot be made without the aligner."""
        return self.misalignment is not None and self.alignment == "learned"
