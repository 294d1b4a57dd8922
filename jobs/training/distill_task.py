"""Distillation of a small decoder as a training task."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn

from jobs.training.sample_order import Pass
from jobs.training.settings import DistillSettings
from jobs.training.task import OnPictures
from stableanimator.distillation import TinyStudent, taught
from stableanimator.media.tensors import to_tensor
from stableanimator.models.encoders import Encoders, tiny_autoencoder
from stableanimator.models.settings import EncoderSettings
from stableanimator.training import generator

Batch = tuple[Tensor, Tensor]
"""Squares [B, 3, s, s] in [-1, 1] and the noise on their latents [B, C, s/f, s/f]."""


class DistillTask(OnPictures):
    """Training of a small decoder on pictures of clips.

    Args:
        settings: its size, and how it is trained.
        encoders: the VAE that teaches it.
        factor, channels: its pixels a latent and its latent's channels, so that who prepares batches need not load it.
        training: stem of the training pictures (`pipelines.shards.pictures`).
        held_out: of held-out ones, or None.
    """

    def __init__(
        self,
        settings: DistillSettings,
        encoders: EncoderSettings,
        factor: int,
        channels: int,
        training: Path,
        held_out: Path | None,
    ) -> None:
        self.settings, self.encoders, self.factor, self.channels = settings, encoders, factor, channels
        super().__init__(settings.loop, training, held_out)

    @cached_property
    def teacher(self) -> Encoders:
        """The VAE, frozen; no part of what is trained and written."""
        return Encoders(self.encoders)

    def load(self, piece: Pass) -> Batch:
        pictures = self.held_out if piece.validation else self.pictures
        assert pictures is not None
        squares, noise = [], []
        side, latent = self.settings.crop, self.settings.crop // self.factor
        for draw in piece.draws:
            random = generator(self.settings.loop.seed, draw.epoch, draw.index, piece.validation)
            which = int(torch.randint(0, 2, (), generator=random))
            picture = to_tensor(np.asarray(pictures[draw.index])[which : which + 1])[0]
            top, left = (int(torch.randint(0, size - side + 1, (), generator=random)) for size in picture.shape[-2:])
            strength = self.settings.latent_noise * torch.rand((), generator=random)
            squares.append(picture[:, top : top + side, left : left + side])
            noise.append(strength * torch.randn(self.channels, latent, latent, generator=random))
        return torch.stack(squares), torch.stack(noise)

    def build(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.loop.seed)
            return TinyStudent(self._network())

    def loss(self, module: nn.Module, batch: Batch, piece: Pass, device: torch.device) -> Tensor:
        squares, noise = (each.to(device) for each in batch)
        loss: Tensor = module(*taught(self.teacher.to(device), squares, noise))
        return loss

    def export(self, folder: Path, state: dict[str, Tensor]) -> None:
        network = self._network()
        network.decoder.load_state_dict({name.removeprefix("decoder."): state[name] for name in state})
        network.to(torch.float16 if self.settings.half else torch.float32).save_pretrained(folder)

    def _network(self) -> AutoencoderTiny:
        return tiny_autoencoder(self.factor, self.channels, self.settings.width, self.settings.blocks)
