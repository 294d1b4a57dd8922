"""The faces that an animation's face optimisation draws towards the reference's: where they are in each frame, and what
they should look like.

    hook = face_hook(models, reference, driven.poses, driven.framing.size, settings.hjb)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stableanimator.diffusion.hjb import FaceOptimisation, OptimisedFace
from stableanimator.diffusion.settings import FaceOptimisationSettings
from stableanimator.driving import face_boxes, face_points, face_yaw
from stableanimator.inference.inputs import Models, Reference, ReferenceFace
from stableanimator.media.framing import Size, box_mask
from stableanimator.media.tensors import to_tensor
from stableanimator.models.group_norm_statistics import GroupNormStatistics
from stableanimator.perception.arcface import TEMPLATE, ArcFace, align_crops, crop_boxes

Array = npt.NDArray[np.float32]


def face_hook(
    models: Models, reference: Reference, poses: Array, size: Size, settings: FaceOptimisationSettings
) -> FaceOptimisation:
    """Algorithm 1 on the face of everybody who has one in the reference, cropped in both pictures where the skeletons
    have the same points.

    Args:
        poses: [F, P, 133, 3] in pixels of the animation; person i of it is the reference's person i.
        size: height and width of the animation.

    Raises:
        ValueError: decoder `tiny` without one, or nobody in the reference has a face.
    """
    assert models.arcface is not None
    encoders, exact = models.encoders, settings.decoder == "exact"
    faces = [
        _optimised(models, reference, person, face, poses[:, person], size, settings)
        for person, face in enumerate(reference.faces[: poses.shape[1]])
        if face is not None
    ]
    return FaceOptimisation(
        settings,
        encoders.decode if exact else encoders.decode_tiny,
        _crop,
        models.arcface,
        faces,
        decode_chunk=encoders.settings.decode_chunk,
        whole_frame=GroupNormStatistics(encoders.vae.decoder) if exact else None,
    )


def _optimised(
    models: Models,
    reference: Reference,
    person: int,
    face: ReferenceFace,
    poses: Array,
    size: Size,
    settings: FaceOptimisationSettings,
) -> OptimisedFace:
    """One person's face, of poses [F, 133, 3]."""
    assert models.arcface is not None
    points = face_points(poses, *size)
    if settings.max_yaw is not None:
        points[np.abs(face_yaw(points)) > settings.max_yaw] = np.nan
    factor, boxes, mask = models.encoders.factor, face_boxes(poses, points), None
    wanted = _wanted(models.arcface, reference.picture, reference.keypoints[person], face.embedding, points)
    if settings.face_margin is not None:
        margins = settings.face_margin * (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True)
        wide = boxes + margins * np.array([-1, -1, 1, 1], np.float32)
        mask = torch.from_numpy(np.stack([box_mask(box[None][np.isfinite(box[:1])], size, factor) for box in wide]))
    seen = np.stack([crop_boxes(torch.from_numpy(points)).numpy(), boxes])
    return OptimisedFace(
        points=torch.from_numpy(points).to(models.device),
        wanted=wanted,
        mask=mask,
        boxes=torch.from_numpy(np.concatenate([seen[..., :2].min(0), seen[..., 2:].max(0)], -1)) / factor,
    )


def _crop(pictures: Tensor, points: Tensor) -> Tensor:
    return align_crops(pictures, points, torch.from_numpy(TEMPLATE).to(pictures.device))


def _wanted(
    arcface: ArcFace, picture: npt.NDArray[np.uint8], keypoints: Array, embedding: Array, points: Array
) -> Tensor:
    """Embeddings [F, E] of one person's face in a reference picture, cropped by those points that a frame has too: what
    is right is then at the minimum. Where the reference's skeleton has no face, its own embedding stands in.

    Also takes the mouth out of frames' `points` [F, 5, 2], in place, where the reference's skeleton has none.
    """
    own = face_points(keypoints[None], *picture.shape[:2])  # [1, 5, 2]
    device = next(arcface.buffers(), torch.empty(0)).device
    if not np.isfinite(own[0, :3]).all():
        return torch.from_numpy(embedding).to(device).expand(len(points), -1)
    points[:, ~np.isfinite(own[0]).all(-1)] = np.nan
    shared = np.where(np.isfinite(points), own, np.float32(np.nan))
    shared[~np.isfinite(points[:, :2]).all((1, 2))] = own  # no face in this frame: not read
    patterns, which = np.unique(np.isfinite(shared).all(-1), axis=0, return_inverse=True)
    whole = to_tensor(picture[None])
    crops = [_crop(whole, torch.from_numpy(shared[which == number][:1])) for number in range(len(patterns))]
    embeddings = torch.cat([arcface(crop.to(device)) for crop in crops])
    return embeddings[torch.from_numpy(which.reshape(-1))]
