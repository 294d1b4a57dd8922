"""Settings of the inference path; importable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from stableanimator.alignment.settings import AlignmentName, AlignmentScope
from stableanimator.diffusion.settings import FaceOptimisationSettings, SamplerSettings
from stableanimator.limits.checks import Bucket, Level, NotNegative, NotNegativeInt, PositiveInt, Range, checked
from stableanimator.media.framing import Fit, Size, check_sizes
from stableanimator.models.settings import Branches


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class AnimateSettings:
    """Everything about inference that is not the input; the defaults are the released settings, with Algorithm 1."""

    sizes: tuple[Size, ...] = ((512, 512), (1024, 576))
    """Heights and widths in pixels. That of the aspect ratio nearest to the reference's is taken."""
    fit: Fit = "cover"
    """How a reference of another aspect ratio comes to that size. `cover`: it is cut around its people; `contain`: it
    is padded by its own border, and the padding is cut away from the result; `native`: the size is none of `sizes` but
    that of which least has to be cut, of as many pixels as the nearest of them. Nothing is ever stretched."""
    multiple: Annotated[int, Range(8, 4096)] = 64
    """Pixels of which the sides of a `native` size are multiples: what the VAE and the U-Net shrink a picture by.
    Released: 64."""
    background: tuple[Level, Level, Level] = (255, 255, 255)
    """Red, green and blue, 0 to 255, of what shows through transparent parts of a reference picture; white, as most
    viewers show them."""
    window: PositiveInt = 16
    """Frames that the denoiser sees at once: as many as it was trained on. Released: 16. A longer drive is animated in
    overlapping windows that are fused at every denoising step."""
    overlap: NotNegativeInt = 4
    """Frames that neighbouring windows share at least. Released: 4. More of them blend longer, at a cost of
    window / (window - overlap) of the time of windows side by side."""
    window_offset: NotNegativeInt = 5
    """Frames by which windows begin earlier at each evaluation of the denoiser than at the one before, so that no frame
    lies at a window's end in every step; 0: they stay (released)."""
    max_frames: PositiveInt | None = None
    """Frames of the drive that are animated at most, from its start; null: all of them."""
    guidance: tuple[NotNegative, NotNegative] = (1.0, 3.0)
    """Guidance of the first and of the last frame of a window's length, linear between; a longer clip keeps the last
    value from there on. Released: 1 to 3 is the pipeline's default; the commands that come with it pass 3 for both."""
    branches: Branches = "auto"
    """Whether guidance's two branches run as one batch (`together`) or one after the other in half the memory
    (`apart`); the results differ by rounding. `auto`: together, until a GPU's memory does not hold it."""
    offload: bool = False
    """Whether networks wait in the machine's main memory while they have nothing to do: image encoder and VAE while
    frames are sampled, the denoiser while the result is decoded. Saves GPU memory for a second or two; without a GPU
    it changes nothing."""
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    """Steps, noise levels, churn, second order, shared noise."""
    motion_bucket: Bucket = 127.0
    """Micro-condition: how much motion, 0 to 255. Released: 127. `fps_id` follows from the drive and the model."""
    reference_noise: NotNegative = 0.02
    """Standard deviation of the noise on the reference picture, which lies in [-1, 1], before the VAE; the third
    micro-condition. Released: 0.02."""
    alignment: AlignmentName = "learned"
    """How driven poses are aligned to the reference; `learned` needs a model folder with an aligner."""
    alignment_scope: AlignmentScope = "clip"
    """One transform a clip, one a frame, or the clip's rotation and scale with a place for each frame (`steady`). The
    paper aligns image by image; one a clip keeps the motion of the whole person, and is nearer to the truth on clips;
    `steady` is for driving cameras that move."""
    face: bool = True
    """Whether the networks are shown the reference's face embedding. Off: the face tokens are zeros, as in guidance's
    unconditional branch. A model that was trained without `train.step.face_dropout` never saw that, and what is then
    lost is the face and what the networks do when they lack it."""
    face_optimisation: bool = True
    """HJB face optimisation (SA++ Algorithm 1) on, or plain sampling."""
    hjb: FaceOptimisationSettings = field(default_factory=FaceOptimisationSettings)
    """Steps and rate of HJB face optimisation; nothing reads them where it is off."""

    def __post_init__(self) -> None:
        check_sizes("sizes", self.sizes)
        if self.multiple % 8:
            raise ValueError("multiple must be a multiple of 8")
        if self.overlap >= self.window:
            raise ValueError("overlap must lie in 0 to window - 1")
