"""Settings of training noise and loss, of the sampler and of face optimisation; importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from stableanimator.limits.checks import NotNegative, NotNegativeInt, Positive, PositiveInt, Range, checked


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class EDMSettings:
    """Noise of training: the cosine-interpolated schedule of "simple diffusion" with StableAnimator's numbers."""

    distribution: Literal["cosine", "lognormal"] = "cosine"
    """`cosine`: the interpolated schedule (released); `lognormal`: EDM's (its Table 1), for small latents, of which the
    schedule would spend most of the training on noise that hides everything."""
    log_mean: Annotated[float, Range()] = 0.7
    """Of `lognormal`: mean of ln sigma. Stable Video Diffusion's own training: 0.7, then 1.0 (arXiv 2311.15127, D)."""
    log_deviation: Positive = 1.6
    """Of `lognormal`: standard deviation of ln sigma. Stable Video Diffusion: 1.6."""
    sigma_min: Positive = 0.002
    """Smallest noise level, in standard deviations of the scaled latents. Released: 0.002."""
    sigma_max: Positive = 700.0
    """Largest noise level, in the same unit. Released: 700, the maximum of Stable Video Diffusion."""
    image_d: Positive = 64.0
    """Side that the noise schedule is stated for, in latent pixels. Released: 64 (pictures of 512)."""
    noise_d_low: Positive = 32.0
    """Side whose schedule is followed where the noise is strong. Released: 32, which shifts it to more noise."""
    noise_d_high: Positive = 64.0
    """Side whose schedule is followed where the noise is weak. Released: 64, no shift."""
    schedule_sigma_data: Positive = 0.5
    """Spread of the data that the schedule assumes; the preconditioning's is 1. Released: 0.5."""

    def __post_init__(self) -> None:
        if self.sigma_min >= self.sigma_max:
            raise ValueError("sigma_min must be below sigma_max")


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class LossSettings:
    """What Eq. 25 leaves open, and where the released code differs from it."""

    face_mask: bool = True
    """Whether errors inside faces weigh more (Table II, "w/o Face Masks")."""
    mask_power: Literal[1, 2] = 2
    """Power of (1 + M) on the squared error: 2 is Eq. 25, 1 is the released code."""
    sigma_weight: Literal["edm", "none"] = "edm"
    """`edm`: weight (1 + sigma^2) / sigma^2 (released); `none`: Eq. 25 as printed."""
    hand_weight: Positive = 1.0
    """Weight of errors around the hands (`stableanimator.perception.hands`), beside Eq. 25; 1: none of their own.
    MimicMotion (arXiv 2406.19680) has 10."""


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class SamplerSettings:
    """EDM's sampler; the names are those of its Algorithm 2."""

    steps: PositiveInt = 25
    """Denoising steps. Released: 25."""
    sigma_min: Positive = 0.002
    """Last noise level before 0. Stable Video Diffusion: 0.002."""
    sigma_max: Positive = 700.0
    """First noise level. Stable Video Diffusion: 700."""
    rho: Positive = 7.0
    """Exponent of the spacing (EDM Eq. 5); 7 is EDM's."""
    s_churn: NotNegative = 0.0
    """Amount of fresh noise over the whole run; 0 gives the deterministic sampler. The paper states no value."""
    s_tmin: NotNegative = 0.0
    """Lowest noise level at which fresh noise is added."""
    s_tmax: NotNegative = 1e6
    """Highest noise level at which fresh noise is added; the default is above every level."""
    s_noise: NotNegative = 1.0
    """Standard deviation of the fresh noise."""
    second_order: bool = True
    """Heun's correction (SA++ Algorithm 1); the released code leaves it out, which halves the cost of a step."""
    noise: Literal["independent", "shared"] = "independent"
    """Initial noise of the frames; `shared` repeats one frame's, which steadies backgrounds in small models."""

    def __post_init__(self) -> None:
        if self.sigma_min > self.sigma_max:
            raise ValueError("sigma_min must be at most sigma_max")
        if self.s_tmax < self.s_tmin:
            raise ValueError("s_tmax must not be below s_tmin")


Correction = Literal["carried", "euler", "plain"]
"""What becomes of Heun's correction in a step whose prediction face optimisation changed. `carried`: the second
prediction is moved by as much as the first was; `euler`: there is none; `plain`: the plain prediction (SA++ Algorithm 1
to the letter), which takes most of the change back."""

Region = Literal["frame", "face"]
DecoderName = Literal["exact", "tiny"]


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class FaceOptimisationSettings:
    """At which noise levels, how often and how strongly the predicted sample is drawn towards the reference face.

    The defaults are the preset `effective`.
    """

    sigma_max: NotNegative = 25.0
    """Highest noise level at which a step is optimised, in standard deviations of the scaled latents. What is changed
    at stronger noise is forgotten: of a change at level s about S / sqrt(S^2 + s^2) is left in the end, where S is what
    the steps before leave open."""
    sigma_min: NotNegative = 0.1
    """Lowest noise level at which a step is optimised."""
    optimisation_steps: NotNegativeInt = 3
    """Updates in each."""
    learning_rate: Positive = 0.2
    """How far an update moves the sample, in units of the scaled latents. Released: 0.1; the paper names eta without a
    value."""
    update: Literal["adam", "gradient"] = "adam"
    """`adam`: by Adam (paper and released), which moves every value about as far as the rate, however small its
    gradient; `gradient`: along the gradient, whose root mean square becomes the rate."""
    decay: Literal["linear", "none"] = "linear"
    """`linear`: the rate of denoising step i of N is learning_rate * (1 - i / N) (released); `none`: constant."""
    correction: Correction = "carried"
    """Of an optimised step, where the sampler is of second order."""
    face_margin: NotNegative | None = 0.6
    """The change is confined to the latents of the face's box, widened on each side by this share of its larger side.
    Null: the whole frame (paper and released), of which Adam moves every value as far as the face's."""
    max_yaw: Annotated[float, Range(above=0, high=90)] | None = 60.0
    """Degrees: where a face is turned farther to the side it is left as it is, since recognisers know little of
    profiles. Null: every face that shows its eyes and nose."""
    region: Region = "face"
    """What is decoded for the gradient: a window around each face, in a fraction of memory and time, or whole frames
    (paper and released). Outside of a window the gradient is nothing."""
    region_margin: NotNegativeInt = 8
    """Latents by which the window is larger on each side than what the recogniser sees: the decoder's convolutions and
    norms look at these as well."""
    region_statistics: bool = False
    """Whether the decoder's group norms use, in a window, the statistics of the whole frame, which are taken once for
    each optimised step: one more decoding, without a gradient. The tiny decoder has no such norms."""
    decoder: DecoderName = "exact"
    """What gives the gradient: the VAE's decoder, or `encoders.tiny_decoder`, a small one that was distilled from it.
    The final frames are the VAE's in both cases."""

    def __post_init__(self) -> None:
        if self.sigma_min > self.sigma_max:
            raise ValueError("sigma_min must not be above sigma_max")


FACE_OPTIMISATION_PRESETS = {
    "effective": FaceOptimisationSettings(),
    # The first 10 of 25 levels from 700 to 0.002 (EDM Eq. 5) end at 49.8; the next is 34.5.
    "paper": FaceOptimisationSettings(
        sigma_max=1000.0,
        sigma_min=42.0,
        optimisation_steps=10,
        learning_rate=0.1,
        correction="plain",
        face_margin=None,
        max_yaw=None,
        region="frame",
    ),
    # Steps 0 to 20 of the same levels end at 0.157; the next is 0.066.
    "released": FaceOptimisationSettings(
        sigma_max=1000.0,
        sigma_min=0.1,
        learning_rate=0.1,
        correction="euler",
        face_margin=None,
        max_yaw=None,
        region="frame",
    ),
}
"""By name: ours; Algorithm 1 as the paper states it; the released code. In a configuration `hjb: {preset: paper}`."""
