"""What the denoiser reads of a clip of any length, a window of frames at a time.

The reference becomes a latent (with Stable Video Diffusion's noise), an image embedding and a face embedding once for
the clip; features of skeletons are computed when a window asks for them, so that no others are on the device.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stableanimator.animate_settings import AnimateSettings
from stableanimator.diffusion.edm import augment_reference
from stableanimator.inference.inputs import Driven, Models, Reference
from stableanimator.media.tensors import to_tensor
from stableanimator.models.animator import CONDITIONS, Conditioning, Prepared, added_time_ids
from stableanimator.models.settings import MicroConditions


class ClipConditions:
    """`window(frames)` gives the conditions of some frames; those asked for last are kept, so that a clip of one window
    computes them once.

    Args:
        models, reference, driven, settings: as `animate` takes them.
        skeletons: uint8 [F, H, W, 3], read a window at a time.
        generator: of the reference's noise.
    """

    def __init__(
        self,
        models: Models,
        reference: Reference,
        driven: Driven,
        skeletons: npt.NDArray[np.uint8],
        settings: AnimateSettings,
        generator: torch.Generator,
    ) -> None:
        self._animator, self._skeletons, self.device = models.animator, skeletons, models.device
        picture = to_tensor(driven.framing.pictures(reference.picture[None]))
        noisy = augment_reference(picture, settings.reference_noise, generator)
        micro = MicroConditions(
            fps_id=models.rates.id_at(driven.fps),
            motion_bucket=settings.motion_bucket,
            reference_noise=settings.reference_noise,
        )
        self._of_no_frame = Conditioning(
            reference_latent=models.encoders.encode(noisy.to(models.device)),
            clip_embedding=models.encoders.embed(picture.to(models.device)),
            face_embedding=_embedding(models, reference)[None],
            pose=to_tensor(skeletons[:0])[None],
            added_time_ids=added_time_ids(micro, 1),
            keep=torch.tensor([[name != "face" or settings.face for name in CONDITIONS]]),
        ).to(models.device)
        self._last: tuple[slice, Prepared] | None = None

    def window(self, frames: slice) -> Prepared:
        """The conditions of these frames."""
        if self._last is None or self._last[0] != frames:
            pose = to_tensor(np.ascontiguousarray(self._skeletons[frames]))[None].to(self.device)
            self._last = None  # its memory is the new one's
            self._last = frames, self._animator.prepare(replace(self._of_no_frame, pose=pose))
        return self._last[1]


def _embedding(models: Models, reference: Reference) -> Tensor:
    if reference.face_embedding is None:
        return torch.zeros(models.animator.settings.face_encoder.embedding_width)
    return torch.from_numpy(reference.face_embedding)
