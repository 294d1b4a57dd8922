"""What the inference path takes and gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.similarity import Similarity
from stableanimator.diffusion.hjb import FaceOptimisationReport
from stableanimator.errors import CheckpointError
from stableanimator.media.framing import Framing
from stableanimator.models.animator import Animator
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import FrameRates
from stableanimator.perception.arcface import ArcFace

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Models:
    """The networks of inference, all on one device and in evaluation mode; the aligner stays on the CPU.

    Raises:
        CheckpointError: the denoiser was not trained on what these encoders give.
    """

    animator: Animator
    rates: FrameRates
    """At which frame rates the animator was trained."""
    encoders: Encoders
    aligner: Aligner | None = None
    arcface: ArcFace | None = None
    """Needed by HJB face optimisation alone."""

    def __post_init__(self) -> None:
        model, encoders = self.animator.settings, self.encoders
        pairs = {
            "latent channels": (model.unet.latent_channels, encoders.latent_channels),
            "pixels a latent": (model.pose_net.factor, encoders.factor),
            "image embedding width": (model.unet.cross_attention_dim, encoders.embedding_width),
        }
        if self.arcface is not None:
            pairs["face embedding width"] = (model.face_encoder.embedding_width, self.arcface.embedding_width)
        for name, (wanted, given) in pairs.items():
            if wanted != given:
                raise CheckpointError(
                    f"{name}: the model was made for {wanted}, the encoders give {given}; use the encoders (sections "
                    "encoders and perception.faces) that it was trained with"
                )

    @property
    def multiple(self) -> int:
        """Of which sides in pixels must be multiples: the VAE shrinks them, and the U-Net halves them at each level
        but the first."""
        return self.encoders.factor * 2 ** (len(self.animator.settings.unet.block_out_channels) - 1)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.encoders.parameters()).device


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceFace:
    """What is known of the face of one more person of a reference."""

    box: Array
    """[4] x0, y0, x1, y1 in pixels of the picture."""
    embedding: Array
    """[E] as ArcFace's network returns it, of any length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """The people to animate."""

    picture: npt.NDArray[np.uint8]
    """uint8 RGB [H, W, 3], any size."""
    keypoints: Array
    """[P, 133, 3] in its pixels; the first person is the main one, whose face the networks are shown (the released ones
    know one)."""
    face_box: Array | None
    """[4] x0, y0, x1, y1 of the first person's face, in its pixels; None: none was found."""
    face_embedding: Array | None
    """[E] as ArcFace's network returns it, of any length; None: no face was found. The networks are then shown zeros,
    as the released ones are."""
    other_faces: tuple[ReferenceFace | None, ...] = ()
    """Of the people after the first, in their order; None, or no entry: no face was found. Face optimisation draws the
    faces of all towards their own."""

    @property
    def faces(self) -> list[ReferenceFace | None]:
        """Of everybody, in the order of the keypoints."""
        main = None
        if self.face_box is not None and self.face_embedding is not None:
            main = ReferenceFace(box=self.face_box, embedding=self.face_embedding)
        return [main, *self.other_faces]


@dataclass(frozen=True, kw_only=True, slots=True)
class Driving:
    """The motion to follow."""

    keypoints: Array
    """[F, P, 133, 3] in pixels of the driving video; person i drives the reference's person i. Joints outside the
    picture are drawn and decide nothing."""
    height: int
    """Of the driving video, pixels."""
    width: int
    fps: float
    """Frames a second of these poses: the animation plays at the same."""
    misalignment: Similarity | None = None
    """Applied to the poses first, in image heights about the clip's centroid: what MisAlign100 does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Driven:
    """What the model is driven by: known before anything dear is done."""

    poses: Array
    """[F, P, 133, 3] in pixels of what the model makes, padding included."""
    fps: float
    """Frames a second."""
    framing: Framing
    """How the reference picture becomes the model's. The truth of a self-driven pair is brought to the size of the
    frames that come out (`framing.kept`) by `Framing.cover` around the same middle, whatever the fit."""
    joints_in_picture: float
    """Share of the joints that lie in the animation, 0 to 1 (`stableanimator.driving.joints_in_picture`)."""

    @property
    def poses_in_frames(self) -> Array:
        """The poses in pixels of the frames that come out, from which padding is cut away."""
        rows, columns = self.framing.inner
        return (self.poses - np.array([columns.start, rows.start, 0], np.float32)).astype(np.float32)


@dataclass(frozen=True, kw_only=True, slots=True)
class Animation:
    """What came out. Of a long clip the arrays lie in files that go with them (`stableanimator.media.frame_store`)."""

    frames: npt.NDArray[np.uint8]
    """uint8 RGB [F, H, W, 3]."""
    skeletons: npt.NDArray[np.uint8]
    """What the model was driven by, the same shape."""
    face_optimisation: FaceOptimisationReport | None
    """Losses of HJB face optimisation; None without it."""
