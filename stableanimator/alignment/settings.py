"""The settings of alignment pretraining, put together from those of its parts."""

from __future__ import annotations

from dataclasses import dataclass, field

from stableanimator.alignment.aligner import AlignerSettings
from stableanimator.alignment.methods import AlignmentName
from stableanimator.alignment.misalignment_settings import MisalignmentSettings
from stableanimator.alignment.procedural import ProceduralSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class PairsSettings:
    """Which pairs of poses the aligner sees."""

    procedural_share: float = 0.5
    """Share of pairs that are procedural skeletons; the others are frames of the release's clips. Half and half did
    better on people not trained on than procedural pairs alone. Without clips all pairs are procedural."""
    minimum_joints: int = 4
    """Joints that both poses of a pair must show."""
    augment: bool = True
    """Change the release's people: mirror them, stretch their bones, crop them, lose joints
    (`stableanimator.alignment.augmentation`). With few people an aligner learns these people otherwise."""
    procedural: ProceduralSettings = field(default_factory=ProceduralSettings)
    """How procedural people stand before the camera."""

    def __post_init__(self) -> None:
        if not 0 <= self.procedural_share <= 1:
            raise ValueError(f"procedural_share must lie in 0 to 1, not {self.procedural_share}")
        if not 2 <= self.minimum_joints <= 18:
            raise ValueError(f"minimum_joints must lie in 2 to 18, not {self.minimum_joints}")


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSettings:
    """What Dis is measured on: drives, each a reference and a misaligned clip of the same person."""

    methods: tuple[AlignmentName, ...] = (
        *("none", "linear", "svd_literal", "svd", "svd_no_arms", "per_bone", "learned"),
    )
    """Alignments to compare. On drives made of one clip `linear_aspect_bug` is the same as `linear`."""
    clips: int = 100
    """Held-out clips at most (MisAlign100 has 100)."""
    drives_per_clip: int = 4
    """Drives of each clip, each with its own reference and misalignment."""
    frames: int = 24
    """Frames of a drive at most, spread over the clip."""
    worst: int = 8
    """Drives that are drawn: those with the largest Dis by the learned alignment; 0: none."""

    def __post_init__(self) -> None:
        for name in ("clips", "drives_per_clip", "frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.worst < 0:
            raise ValueError(f"worst must not be negative, not {self.worst}")
        if "learned" not in self.methods:
            raise ValueError("methods must have learned: it is what is trained")


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignSettings:
    """Alignment pretraining and its evaluation."""

    aligner: AlignerSettings = field(default_factory=AlignerSettings)
    """Shape of the network."""
    misalignment: MisalignmentSettings = field(default_factory=MisalignmentSettings)
    """What the driven poses are moved by."""
    pairs: PairsSettings = field(default_factory=PairsSettings)
    """Which pairs of poses are shown."""
    steps: int = 20_000
    """Optimiser steps. The paper counts 50 epochs over 5,000 videos; at 256 pairs a step this many are 5 M pairs."""
    batch_size: int = 256
    """Pairs of one step over all workers together. The papers do not say."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW. The papers do not say; in short runs 1e-3 to 4e-3 end within 3 % of each other."""
    seed: int = 0
    """Of the network's first weights and of every pair."""
    validation_pairs: int = 256
    """Held-out pairs that the loss is measured on."""
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    """What Dis is measured on."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "validation_pairs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, not {self.seed}")
