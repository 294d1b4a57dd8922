"""Settings of `stableanimator.pretraining`, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from stableanimator.limits.checks import LARGEST, NotNegative, Positive, Range, Share, checked


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class PretrainingSettings:
    """What the VAE and the image encoder are trained towards."""

    crop: Annotated[int, Range(8, LARGEST)] = 48
    """Side in pixels of the squares that the VAE learns from, cut at random; a multiple of the VAE's factor."""
    whitening: Share = 0.5
    """How far the channels of the latent are brought to equal spread: 1 makes them equal, 0 leaves them as far apart as
    the pictures' principal components are. In between, coarse channels are clearer in noise than fine ones."""
    latent_noise: NotNegative = 0.1
    """Largest standard deviation of the noise that the decoder learns to see through, drawn from 0 to it. The spread of
    all latents together is 1."""
    own_codes_from: Share = 0.5
    """Share of the training after which the decoder reads the encoder's latents rather than exact principal
    components."""
    gradient_weight: NotNegative = 0.5
    """Weight of the absolute error of horizontal and vertical differences, beside that of the pixels."""
    square_weight: NotNegative = 0.5
    """Weight of the squared error of the pixels."""
    code_weight: NotNegative = 1.0
    """Weight of the squared distance between the encoder's latents and the principal components, which keeps every
    channel in use (from a random start alone, colours collapse)."""
    temperature: Positive = 0.1
    """Of the image encoder's cosines: it learns to tell which two pictures of a batch are of one clip."""
