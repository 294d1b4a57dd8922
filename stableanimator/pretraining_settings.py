"""Settings of `stableanimator.pretraining`, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainingSettings:
    """What the VAE and the image encoder are trained towards."""

    crop: int = 48
    """Side in pixels of the squares that the VAE learns from, cut at random; a multiple of the VAE's factor."""
    whitening: float = 0.5
    """How far the channels of the latent are brought to equal spread: 1 makes them equal, 0 leaves them as far apart as
    the pictures' principal components are. In between, coarse channels are clearer in noise than fine ones."""
    latent_noise: float = 0.1
    """Largest standard deviation of the noise that the decoder learns to see through, drawn from 0 to it. The spread of
    all latents together is 1."""
    own_codes_from: float = 0.5
    """Share of the training after which the decoder reads the encoder's latents rather than exact principal
    components."""
    gradient_weight: float = 0.5
    """Weight of the absolute error of horizontal and vertical differences, beside that of the pixels."""
    square_weight: float = 0.5
    """Weight of the squared error of the pixels."""
    code_weight: float = 1.0
    """Weight of the squared distance between the encoder's latents and the principal components, which keeps every
    channel in use (from a random start alone, colours collapse)."""
    temperature: float = 0.1
    """Of the image encoder's cosines: it learns to tell which two pictures of a batch are of one clip."""

    def __post_init__(self) -> None:
        if self.crop < 8:
            raise ValueError("crop must be at least 8")
        for name in ("whitening", "own_codes_from"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in 0 to 1")
        for name in ("latent_noise", "gradient_weight", "square_weight", "code_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        if self.temperature <= 0:
            raise ValueError("temperature must be above 0")
