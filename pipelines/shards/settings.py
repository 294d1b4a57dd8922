"""Settings of `pipelines.shards.encode`, importable without Ray."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from stableanimator.limits.checks import NotNegative, NotNegativeInt, Positive, PositiveInt, checked
from stableanimator.media.framing import Size, check_sizes

Crop = Literal["centre", "person", "half_body"]
"""How a clip is cut: see `pipelines.shards.crops`."""

References = Literal["same_clip", "same_person", "both"]

VERSION = 4
"""Raised by hand when the meaning of a shard row changes."""


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class EncodeSettings:
    """How accepted clips become training shards."""

    buckets: tuple[Size, ...] = ((512, 512), (1024, 576))
    """Heights and widths in pixels. A clip goes to the nearest aspect ratio, covers it and is cut without stretching.
    The paper mixes 512x512 and portraits of 576x1024 (width x height)."""
    crops: tuple[Crop, ...] = ("centre",)
    """Cuts of each clip, each with rows of its own: `centre`, `person`, `half_body`; see `pipelines.shards.crops`. A
    cut that shows nearly the same as one before it is left out (`same_cut`)."""
    max_enlargement: Positive = 2.0
    """Pixels of a cut for one of the video at most, along one side. A clip that needs more goes to the next bucket that
    keeps half of its picture, or is not encoded (`too_small`). Curation accepts pictures from 256 pixels on, which
    512x512 needs twice; beyond that more than three of four pixels would be invented."""
    frames_per_row: PositiveInt = 16
    """Measured frames in one shard row. Released: 16. A clip with fewer is not encoded (`too_short`)."""
    strides: tuple[PositiveInt, ...] = (1,)
    """A row of stride s holds every s-th measured frame. Each stride has rows that cover the clip once. Released: a
    spacing of 1 to 4, which is (1, 2, 3, 4)."""
    references: References = "same_clip"
    """Where the candidate references of a row come from: frames of its own clip and cut, or of other clips of the same
    person (the release says whose a clip is), each in one of `crops` and of the row's size, or half of them each
    (`pipelines.shards.references`)."""
    reference_count: PositiveInt = 4
    """Candidate references of a cut of a clip at most, spread evenly over frames with a face."""
    max_people: PositiveInt = 4
    """Skeletons kept in a frame at most, in the order of the detector (best first)."""
    reference_noise: NotNegative = 0.02
    """Standard deviation of the noise on a reference picture in [-1, 1], before the VAE. Released: 0.02. Latents are
    what shards hold, so a candidate's noise is drawn once, here."""
    batch: PositiveInt = 8
    """Frames in one pass of the encoders; bounds their memory and leaves the result as it is."""
    sheet_rows: NotNegativeInt = 12
    """Shard rows shown on the contact sheet, spread over buckets, crops, strides and clips; 0: no sheet."""
    free_gib: NotNegative = 1.0
    """GiB that must stay free on the root's disk beside what will be written; with less the job does not begin."""
    actors: PositiveInt = 1
    """Processes that encode side by side, each with the encoders in memory."""
    cpus_per_actor: Positive = 1.0
    """CPU cores reserved for each."""
    gpus_per_actor: NotNegative = 1.0
    """GPUs reserved for each; 0 encodes on the CPU."""
    node_labels: dict[str, str] = field(default_factory=dict)
    """Ray labels of the machines that these may run on, as {market: spot}; none: any machine."""

    def __post_init__(self) -> None:
        check_sizes("buckets", self.buckets)
        for name in ("crops", "strides"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name} must name at least one, and each once")

    @property
    def device(self) -> str:
        """Where an actor puts the encoders."""
        return "cuda" if self.gpus_per_actor > 0 else "cpu"
