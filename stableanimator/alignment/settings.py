"""All settings of alignment and of its pretraining; importable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from stableanimator.limits.checks import NotNegative, NotNegativeInt, Positive, PositiveInt, Range, Seed, Share, checked

AlignmentName = Literal[
    "none", "linear", "linear_aspect_bug", "svd_literal", "svd", "svd_no_arms", "per_bone", "learned"
]

AlignmentScope = Literal["clip", "steady", "frame"]
"""`frame`: every frame has a transform of its own. `clip`: one for all frames, so that the skeleton does not jitter and
a person who comes nearer does so. `steady`: the clip's rotation and scale, and a translation for each frame that keeps
the person where the reference is, whatever the camera does."""


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class MisalignmentSettings:
    """Ranges of the misalignment, each drawn by itself. The papers say "random rotation, scale and translation" and no
    more; these ranges are this project's choice."""

    rotation_degrees: Annotated[float, Range(0, 180)] = 45.0
    """Degrees. Rotation is uniform in plus or minus this; a clip that lies on its side carries rotation metadata."""
    scale: tuple[Positive, Positive] = (0.5, 2.0)
    """Smallest and largest scale, log-uniform, so that halving is as likely as doubling."""
    translation: NotNegative = 0.3
    """Image heights. Both offsets are uniform in plus or minus this."""

    def __post_init__(self) -> None:
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale must have the smaller value first, not {self.scale}")


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class AlignerSettings:
    """Shape of the aligner. The papers give the numbers of modules, not the widths."""

    mode: Literal["weights", "residual", "absolute"] = "weights"
    """`absolute`: the paper's, the head gives the whole transform (Eq. 10-11). `residual`: the head gives what is left
    after the SVD alignment. `weights`: the head says how far each joint can be trusted, and Eq. 2-7 are solved once
    more with these weights. It cannot move a person to where their joints are not: trained on the same few people, it
    stayed near SVD on others, where `residual` was worse than SVD (docs/alignment.md)."""
    width: PositiveInt = 32
    """Channels of a token. Twice as many were no better and less than half as fast."""
    heads: PositiveInt = 4
    """Attention heads."""
    encoder_modules: Annotated[int, Range(1, 1000)] = 2
    """Self-attention modules in Encoder_m and in Encoder_svd; 2 in the paper."""
    fusion_modules: Annotated[int, Range(1, 1000)] = 4
    """Cross-attention modules in PFusion; 4 in the paper."""
    expansion: PositiveInt = 2
    """Width of the hidden layer of each feed-forward network, in token widths."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class ProceduralSettings:
    """How procedural people stand before the camera."""

    whole_body_share: Share = 0.4
    """Share of pairs framed from head to foot; of the rest two thirds are half bodies and one third close-ups."""
    turn_share: Share = 0.3
    """Share of pairs in which the person turns far, the back included; the others stay within about 45 degrees."""
    seated_share: Share = 0.1
    """Share of pairs in which the person sits."""
    occlusion: Annotated[float, Range(0, 0.5)] = 0.06
    """Probability that a limb is hidden from some joint on, in each pose. Above a half few joints would be left."""
    noise: NotNegative = 0.006
    """Standard deviation of the detector's error, in heights of what the picture shows of the body, since that is what
    the detector magnifies to its own size; wrists, hips and ankles have half as much again."""
    camera_motion: NotNegative = 0.02
    """Standard deviation of the camera's shift between the two poses in image heights, and of its zoom as a ratio."""


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class PairsSettings:
    """Which pairs of poses the aligner sees."""

    procedural_share: Share = 0.5
    """Share of pairs that are procedural skeletons; the others are frames of the release's clips. Half and half did
    better on people not trained on than procedural pairs alone. Without clips all pairs are procedural."""
    minimum_joints: Annotated[int, Range(2, 18)] = 4
    """Joints that both poses of a pair must show."""
    augment: bool = True
    """Change the release's people: mirror them, stretch their bones, crop them, lose joints
    (`stableanimator.alignment.training_data.augmentation`). With few people an aligner learns these people
    otherwise."""
    procedural: ProceduralSettings = field(default_factory=ProceduralSettings)
    """How procedural people stand before the camera."""


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class EvaluationSettings:
    """What Dis is measured on: drives, each a reference and a misaligned clip of the same person."""

    methods: tuple[AlignmentName, ...] = (
        *("none", "linear", "svd_literal", "svd", "svd_no_arms", "per_bone", "learned"),
    )
    """Alignments to compare. On drives made of one clip `linear_aspect_bug` is the same as `linear`."""
    clips: PositiveInt = 100
    """Held-out clips at most (MisAlign100 has 100)."""
    drives_per_clip: PositiveInt = 4
    """Drives of each clip, each with its own reference and misalignment."""
    frames: PositiveInt = 24
    """Frames of a drive at most, spread over the clip."""
    worst: NotNegativeInt = 8
    """Drives that are drawn: those with the largest Dis by the learned alignment; 0: none."""

    def __post_init__(self) -> None:
        if "learned" not in self.methods:
            raise ValueError("methods must have learned: it is what is trained")


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class AlignSettings:
    """Alignment pretraining and its evaluation."""

    aligner: AlignerSettings = field(default_factory=AlignerSettings)
    """Shape of the network."""
    misalignment: MisalignmentSettings = field(default_factory=MisalignmentSettings)
    """What the driven poses are moved by."""
    pairs: PairsSettings = field(default_factory=PairsSettings)
    """Which pairs of poses are shown."""
    steps: PositiveInt = 20_000
    """Optimiser steps. The paper counts 50 epochs over 5,000 videos; at 256 pairs a step this many are 5 M pairs."""
    batch_size: PositiveInt = 256
    """Pairs of one step over all workers together. The papers do not say."""
    learning_rate: Positive = 2e-3
    """Peak learning rate of AdamW. The papers do not say; in short runs 1e-3 to 4e-3 end within 3 % of each other."""
    seed: Seed = 0
    """Of the network's first weights and of every pair."""
    validation_pairs: PositiveInt = 256
    """Held-out pairs that the loss is measured on."""
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    """What Dis is measured on."""
