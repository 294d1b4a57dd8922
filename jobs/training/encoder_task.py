"""Pretraining of a VAE and an image encoder as a training task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from jobs.training.sample_order import Pass
from jobs.training.settings import PretrainSettings
from jobs.training.task import OnPictures
from stableanimator.media.tensors import to_tensor
from stableanimator.models.encoders import random_encoders, save_encoders
from stableanimator.models.settings import EncoderSettings
from stableanimator.models.spatio_temporal import begin_without_time, leave_time_out
from stableanimator.pretraining import EncoderPair, PretrainingBatch, patch_basis, without_sampling
from stableanimator.training import generator

_BASIS_PICTURES = 1000  # that the principal components are taken from


class EncoderTask(OnPictures):
    """Training of VAE and image encoder on pairs of pictures of a clip.

    Args:
        settings: what they are trained towards, and how long.
        encoders: their sizes.
        training: stem of the training pictures (`pipelines.shards.pictures`).
        held_out: of held-out ones, or None.
    """

    def __init__(
        self, settings: PretrainSettings, encoders: EncoderSettings, training: Path, held_out: Path | None
    ) -> None:
        self.settings, self.encoders = settings, encoders
        super().__init__(settings.loop, training, held_out)

    def load(self, piece: Pass) -> PretrainingBatch:
        pictures = self.held_out if piece.validation else self.pictures
        assert pictures is not None
        streams = [generator(self.settings.loop.seed, draw.epoch, draw.index, piece.validation) for draw in piece.draws]
        pairs = [to_tensor(np.asarray(pictures[draw.index])) for draw in piece.draws]
        first = torch.stack([pair[0] for pair in pairs])
        progress = 1.0 if piece.validation else piece.step / self.steps
        crops, noise = zip(
            *(self._crop(picture, random) for picture, random in zip(first, streams, strict=True)), strict=True
        )
        return PretrainingBatch(
            pictures=first,
            partners=torch.stack([pair[1] for pair in pairs]),
            crops=torch.stack(crops),
            noise=torch.stack(noise),
            own_codes=progress >= self.settings.step.own_codes_from,
        )

    def _crop(self, picture: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """A square [3, s, s] of a picture [3, H, W], and the noise [C, s/f, s/f] on its latent."""
        side, vae = self.settings.step.crop, self.encoders.vae
        top, left = (int(torch.randint(0, size - side + 1, (), generator=random)) for size in picture.shape[-2:])
        strength = self.settings.step.latent_noise * torch.rand((), generator=random)
        latent = side // 2 ** (len(vae.block_out_channels) - 1)
        noise = strength * torch.randn(vae.latent_channels, latent, latent, generator=random)
        return picture[:, top : top + side, left : left + side], noise

    def build(self) -> nn.Module:
        seeded = replace(self.encoders, seed=self.settings.loop.seed)
        vae, clip = random_encoders(seeded)
        begin_without_time(vae)
        leave_time_out(vae)
        without_sampling(vae)
        count = len(self.pictures)
        chosen = np.unique(np.linspace(0, count - 1, min(count, _BASIS_PICTURES)).astype(int))
        pictures = to_tensor(np.asarray(self.pictures[chosen, 0]))
        factor = 2 ** (len(self.encoders.vae.block_out_channels) - 1)
        basis = patch_basis(pictures, factor, self.encoders.vae.latent_channels, self.settings.step.whitening)
        return EncoderPair(vae, clip, basis, self.settings.step)

    def loss(self, module: nn.Module, batch: PretrainingBatch, piece: Pass, device: torch.device) -> Tensor:
        loss: Tensor = module(batch.to(device))
        return loss

    def export(self, folder: Path, state: dict[str, Tensor]) -> None:
        vae, clip = random_encoders(self.encoders)
        for name, part in (("vae", vae), ("clip", clip)):
            prefix = f"{name}."
            part.load_state_dict({key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)})
        save_encoders(folder, vae, clip, self.settings.half)
