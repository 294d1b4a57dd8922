"""What is true of a drawn clip, frame by frame, beside its pixels.

F frames   P people of the clip's cast   S shots
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stableanimator.errors import InputError
from stableanimator.synthetic.scene.camera import step_similarities

VERSION = 3
"""Raise when a field's meaning changes."""

OUTSIDE, HIDDEN, SEEN = 0, 1, 2
"""Visibility of a keypoint: outside the picture, behind something (or on the far side of the body), or seen."""

KNOWN_HIDDEN_SCORE = 0.1
"""Score of hidden keypoints in `Truth.scored_keypoints`: their place is known, but they are not visible (0.3)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """Everything known about the frames of one clip. Coordinates are pixels of the picture from its top-left corner.

    Someone who is not in the shot of a frame is NaN there, with visibility `OUTSIDE`.
    """

    size: NDArray[np.int64]
    """[2] height and width in pixels."""
    fps: NDArray[np.float64]
    """[1] frames per second."""
    frames: NDArray[np.int64]
    """[F] which frames of the clip these are."""
    keypoints: NDArray[np.float32]
    """[F, P, 133, 2] whole-body keypoints in DWPose's order, whether seen or not."""
    visibility: NDArray[np.uint8]
    """[F, P, 133] `OUTSIDE`, `HIDDEN` or `SEEN`."""
    person_boxes: NDArray[np.float32]
    """[F, P, 4] left, top, right, bottom of what is drawn of a person, cut to the picture; NaN if nothing is left."""
    person_pixels: NDArray[np.int32]
    """[F, P] pixels that show the person, without outlines; what others hide is left out."""
    face_boxes: NDArray[np.float32]
    """[F, P, 4] from hairline to chin and ear to ear, not cut to the picture; NaN where no face is visible, that is
    where fewer than three of the five landmarks are seen."""
    face_landmarks: NDArray[np.float32]
    """[F, P, 5, 2] eyes, nose, corners of the mouth in InsightFace's order; NaN where no face is visible."""
    head_angles: NDArray[np.float32]
    """[F, P, 3] degrees: yaw (to the picture's right), pitch (down), roll (clockwise)."""
    statures: NDArray[np.float32]
    """[F, P] pixels from the ground to the crown of the person standing upright there, whatever they do and however
    much of them is in the picture."""
    identities: NDArray[np.float32]
    """[P, G] the genes of each face (stableanimator.synthetic.figure.identity.GENES)."""
    alive: NDArray[np.bool_]
    """[P] false for statues."""
    camera: NDArray[np.float64]
    """[F, 2, 3] the similarity from the plane of the set (body heights) to pixels. The background moves by it exactly,
    unless it is `living`; it means nothing across a cut."""
    shots: NDArray[np.int64]
    """[F] number of the shot."""
    sets: NDArray[np.int64]
    """[F] number of the set: a cut inside one set changes the shot and not the set."""
    living: NDArray[np.bool_]
    """[F] whether the background changes by itself (stableanimator.synthetic.scene.living)."""
    flash: NDArray[np.float32]
    """[F] share of white mixed into the picture."""

    @property
    def cuts(self) -> NDArray[np.int64]:
        """Frames that begin a new shot, the first frame excepted."""
        return self.frames[1:][np.diff(self.shots) != 0]

    def scored_keypoints(self, frame: int) -> NDArray[np.float32]:
        """[Q, 133, 3] x, y, score of those of the cast that are in row `frame`, as far as the picture shows them.

        Seen keypoints score 1, hidden ones `KNOWN_HIDDEN_SCORE`, those outside the picture are NaN with score 0.
        """
        inside = self.visibility[frame] > OUTSIDE
        people = inside.any(-1)
        scores = np.array([0.0, KNOWN_HIDDEN_SCORE, 1.0], np.float32)[self.visibility[frame]]
        places = np.where(inside[..., None], self.keypoints[frame], np.nan)
        return np.concatenate([places, scores[..., None]], -1)[people].astype(np.float32)

    def camera_steps(self) -> NDArray[np.float64]:
        """[F - 1, 4] the camera between consecutive rows: dx, dy of the picture's centre in pixels, rotation in
        degrees (clockwise on a screen), scale (above 1 the picture grows). NaN across cuts.
        """
        height, width = (int(side) for side in self.size)
        steps = step_similarities(self.camera, height, width)
        steps[np.diff(self.shots) != 0] = np.nan
        return steps

    def save(self, path: str | Path) -> None:
        """Write a compressed .npz; the same truth gives the same bytes."""
        np.savez_compressed(path, version=VERSION, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: str | Path) -> Truth:
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing, or is no truth of this version.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                if "version" not in stored or int(stored["version"]) != VERSION:
                    raise InputError(f"{path} is no truth of version {VERSION}; draw the clips again")
                return cls(**{field.name: stored[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path} cannot be read as a clip's truth: {error}") from error


def truth_path(video: str | Path) -> Path:
    """Where the truth of a video lies: `clip.truth.npz` beside `clip.mp4`."""
    return Path(video).with_suffix(".truth.npz")
