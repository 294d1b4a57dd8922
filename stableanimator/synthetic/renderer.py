"""From scripts to pictures and their truth.

F frames   P people of the clip's cast
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from stableanimator.synthetic.clips import PLINTH
from stableanimator.synthetic.figure.actor import KEYPOINTS, figure_of, owners
from stableanimator.synthetic.figure.geometry import Array, View
from stableanimator.synthetic.figure.identity import GENES
from stableanimator.synthetic.figure.motions import move
from stableanimator.synthetic.figure.patches import Figure
from stableanimator.synthetic.scene.camera import Course, course
from stableanimator.synthetic.scene.canvas import Canvas, Image
from stableanimator.synthetic.scene.drawing import FigureArtist, part_table, to_picture
from stableanimator.synthetic.scene.living import LIVING, grain
from stableanimator.synthetic.scene.sets import plinth
from stableanimator.synthetic.script import Clip, Role, Shot
from stableanimator.synthetic.truth import HIDDEN, OUTSIDE, SEEN, Truth

_DISTANCE = 6.0
"""Body heights from the camera to where people stand; who comes nearer grows."""
_EYE_LEVEL = -0.6
"""Height of the camera in the plane of the set: who comes nearer stands lower in the picture."""
_OUTLINE = 0.0042
"""Width of outlines in heights of the picture."""
_MOST_PIXELS = 24e6
"""Of a painted background; beyond that it is painted more coarsely."""
_SOFTNESS = {"full body": 0.0025, "half body": 0.005, "close-up": 0.006, "far": 0.0, "empty": 0.0}
"""Blur of the background by framing, body heights: the closer the person, the less is in focus."""
_LEAST_LANDMARKS = 3
_OWNERS = owners()


class ClipRenderer:
    """Draws a clip, frame after frame; `truth` is complete once all frames have been drawn.

        renderer = ClipRenderer(write_clip("dance", seed=1))
        pictures = list(renderer)               # uint8 RGB [H, W, 3] each
        renderer.truth.keypoints                # [F, P, 133, 2]

    `frames` asks for some frames only, in ascending order; they are the same as in the whole clip.

    Raises:
        ValueError: `frames` that the clip does not have, or not in ascending order.
    """

    def __init__(self, clip: Clip, frames: Sequence[int] | NDArray[np.integer] | None = None) -> None:
        wanted = np.arange(clip.frame_count) if frames is None else np.asarray(frames, np.int64)
        if wanted.size == 0 or np.any(np.diff(wanted) <= 0) or wanted[0] < 0 or wanted[-1] >= clip.frame_count:
            raise ValueError(f"frames must be ascending numbers from 0 to {clip.frame_count - 1}")
        self.clip = clip
        self._settings = clip.settings
        self._frames = wanted
        self.truth = self._blank()
        self._canvas = Canvas(self._settings.height, self._settings.width, self._settings.supersample)

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Image]:
        for number, shot in enumerate(self.clip.shots):
            rows = np.flatnonzero((self._frames >= shot.start) & (self._frames < shot.end))
            if len(rows):
                yield from self._draw_shot(number, shot, rows)

    def _blank(self) -> Truth:
        count, people = len(self._frames), len(self.clip.cast)
        missing = np.full((count, people, KEYPOINTS, 2), np.nan, np.float32)
        identities = [actor.identity for actor in self.clip.cast]
        flash = dict(self.clip.flashes)
        return Truth(
            size=np.array([self._settings.height, self._settings.width]),
            fps=np.array([self._settings.fps]),
            frames=self._frames,
            keypoints=missing,
            visibility=np.full((count, people, KEYPOINTS), OUTSIDE, np.uint8),
            person_boxes=np.full((count, people, 4), np.nan, np.float32),
            person_pixels=np.zeros((count, people), np.int32),
            face_boxes=np.full((count, people, 4), np.nan, np.float32),
            face_landmarks=np.full((count, people, 5, 2), np.nan, np.float32),
            head_angles=np.full((count, people, 3), np.nan, np.float32),
            statures=np.full((count, people), np.nan, np.float32),
            identities=np.array(identities, np.float32).reshape(people, len(GENES)),
            alive=np.array([actor.alive for actor in self.clip.cast], bool),
            camera=np.zeros((count, 2, 3)),
            shots=np.zeros(count, np.int64),
            sets=np.zeros(count, np.int64),
            living=np.zeros(count, bool),
            flash=np.array([flash.get(int(frame), 0.0) for frame in self._frames], np.float32),
        )

    def _draw_shot(self, number: int, shot: Shot, rows: NDArray[np.int64]) -> Iterator[Image]:
        times = self._frames[rows] / self._settings.fps
        camera = self._course(shot, times).matrices(self._settings.height, self._settings.width)
        sets = list(dict.fromkeys(other.set for other in self.clip.shots))
        truth = self.truth
        truth.camera[rows], truth.shots[rows], truth.sets[rows] = camera, number, sets.index(shot.set)
        truth.living[rows] = shot.set.life in LIVING
        roles = sorted(shot.roles, key=lambda role: role.y)  # who stands lower in the picture is nearer
        figures = [self._figure(shot, role, times) for role in roles]
        artists = []
        for role, figure in zip(roles, figures, strict=True):
            self._record(role.person, figure, camera, rows)
            outline = _OUTLINE * self._settings.height * max(role.scale, 0.5)
            artists.append(FigureArtist(self._canvas, figure, camera, role.person, shot.set.light, outline))
        background = _Background(shot, camera, self._canvas)
        softness = 0.022 * float(np.median(camera[:, 0, 0] ** 2 + camera[:, 1, 0] ** 2) ** 0.5)
        for frame, row in enumerate(rows):
            self._canvas.begin(background.at(frame, float(times[frame])))
            for artist in artists:
                artist.draw_shadow(frame)
            for artist in artists:
                artist.draw(frame)
            for role, figure, artist in zip(roles, figures, artists, strict=True):
                self._look(role.person, figure, artist, frame, int(row))
            yield self._canvas.finish(softness, float(truth.flash[row]))

    def _course(self, shot: Shot, times: Array) -> Course:
        aspect = self._settings.width / self._settings.height
        start, duration = shot.start / self._settings.fps, (shot.end - shot.start) / self._settings.fps
        path = course(shot.camera, shot.view, times - start, aspect, duration, self.clip.seed)
        if shot.camera == "follow" and shot.roles:
            path = replace(path, centre=path.centre + self._travel(shot, shot.roles[0], times) * np.array([1.0, 0.0]))
        return path

    def _travel(self, shot: Shot, role: Role, times: Array) -> Array:
        """[F, 2] over the ground from the place of the role, where the person is when the shot is half over."""
        middle = np.array([(shot.start + shot.end) / 2 / self._settings.fps])
        seed = self.clip.seed + role.person
        return move(role.motion, times, seed).travel - move(role.motion, middle, seed).travel

    def _figure(self, shot: Shot, role: Role, times: Array) -> Figure:
        motion = move(role.motion, times, self.clip.seed + role.person)
        travel = self._travel(shot, role, times)
        nearer = _DISTANCE / (_DISTANCE - np.clip(travel[:, 1], -20, 0.6 * _DISTANCE))
        ground = np.stack([role.x + travel[:, 0] * nearer, _EYE_LEVEL + (role.y - _EYE_LEVEL) * nearer], -1)
        view = View(ground, role.scale * nearer)
        return figure_of(self.clip.cast[role.person], motion.poses, motion.expression, view)

    def _record(self, person: int, figure: Figure, camera: Array, rows: NDArray[np.int64]) -> None:
        """What is true before anything is drawn."""
        truth = self.truth
        truth.keypoints[rows, person] = to_picture(figure.keypoints, camera)
        face = to_picture(figure.face, camera)
        truth.face_boxes[rows, person] = np.concatenate([face.min(1), face.max(1)], -1)
        truth.face_landmarks[rows, person] = to_picture(figure.landmarks, camera)
        roll = np.degrees(np.arctan2(camera[:, 1, 0], camera[:, 0, 0]))
        truth.head_angles[rows, person] = figure.head_angles + roll[:, None] * (0, 0, 1)
        truth.statures[rows, person] = figure.stature * np.hypot(camera[:, 0, 0], camera[:, 1, 0])

    def _look(self, person: int, figure: Figure, artist: FigureArtist, frame: int, row: int) -> None:
        """What can be seen of a person in the picture that has just been drawn."""
        truth, scale = self.truth, self._canvas.supersample
        height, width = self._settings.height, self._settings.width
        points = truth.keypoints[row, person]
        inside = ((points >= 0) & (points < (width, height))).all(-1)
        truth.visibility[row, person] = np.where(inside, HIDDEN, OUTSIDE)
        table = part_table(person)
        owned = _owned(self._canvas.surfaces, table, points * scale, _OWNERS, max(1.0, 0.004 * height * scale))
        truth.visibility[row, person][inside & figure.facing[frame] & owned] = SEEN
        box = np.clip(artist.extent[frame], 0, (width, height, width, height))
        if min(box[2] - box[0], box[3] - box[1]) > 1:
            truth.person_boxes[row, person] = box
            x0, y0, x1, y1 = (int(side) for side in (box * scale).round())
            shown = cv2.LUT(self._canvas.surfaces[y0:y1, x0:x1], table)
            truth.person_pixels[row, person] = round(cv2.countNonZero(shown) / scale**2)
        five = np.array([truth.visibility[row, person][number] == SEEN for number in _FIVE])
        if five.sum() < _LEAST_LANDMARKS or not figure.face_seen[frame]:
            truth.face_boxes[row, person] = truth.face_landmarks[row, person] = np.nan


_FIVE = (2, 1, 0, 23 + 48, 23 + 54)  # the keypoints that are InsightFace's five landmarks


def _owned(
    surfaces: Image, parts: NDArray[np.uint8], places: Array, owners: NDArray[np.bool_], reach: float
) -> NDArray[np.bool_]:
    """[K] which places [K, 2] of the enlarged picture have a surface that shows their keypoint, within `reach`."""
    height, width = surfaces.shape
    around = places + reach * np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]])[:, None]
    x = np.minimum(np.maximum(around[..., 0], 0), width - 1).astype(int)
    y = np.minimum(np.maximum(around[..., 1], 0), height - 1).astype(int)
    return np.asarray(owners[np.arange(len(places)), parts[surfaces[y, x]]].any(0))


class _Background:
    """The painted set as the camera sees it, enlarged like the canvas."""

    def __init__(self, shot: Shot, camera: Array, canvas: Canvas) -> None:
        self._size, self._set = canvas.size, shot.set
        enlarged = camera * canvas.supersample
        corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * self._size
        linear = np.linalg.inv(enlarged[:, :, :2])
        seen = (corners[None] - enlarged[:, None, :, 2]) @ linear.transpose(0, 2, 1)
        window = np.concatenate([seen.min((0, 1)), seen.max((0, 1))])
        scales = np.sqrt(np.linalg.det(enlarged[:, :, :2]))
        density = float(np.sqrt(scales.min() * scales.max()))
        self._moving = bool(np.ptp(enlarged, axis=0).max() > 0)
        if self._moving:
            window += np.array([-2, -2, 2, 2]) / density
        area = (window[2] - window[0]) * (window[3] - window[1])
        density = min(density, float(np.sqrt(_MOST_PIXELS / area)))
        softness = _SOFTNESS[shot.framing]
        painter = shot.set.paint((window[0], window[1], window[2], window[3]), density, softness)
        for role in shot.roles:
            if role.motion == "statue":
                plinth(painter, role.x, PLINTH)
        self._picture = painter.picture
        plane = np.linalg.inv(np.vstack([painter.matrix(), [0, 0, 1]]))
        self._matrices = enlarged @ plane
        # OpenCV counts from the centre of a pixel, we from its corner
        self._matrices[:, :, 2] += 0.5 * self._matrices[:, :, :2].sum(-1) - 0.5
        self._last: Image | None = None

    def at(self, frame: int, seconds: float) -> Image:
        """The background of a frame at a time of the clip, [h, w, 3]."""
        picture = self._still(frame)
        looks = {**LIVING, "grain": grain}
        return looks[self._set.life](picture, seconds, self._set.seed) if self._set.life else picture

    def _still(self, frame: int) -> Image:
        if self._last is None or self._moving:
            self._last = np.asarray(
                cv2.warpAffine(
                    self._picture,
                    self._matrices[frame],
                    self._size,
                    flags=cv2.INTER_LINEAR,
                    borderMode=cv2.BORDER_REFLECT_101,
                ),
                np.uint8,
            )
        return self._last


def draw_clip(clip: Clip, frames: Sequence[int] | NDArray[np.integer] | None = None) -> tuple[NDArray[np.uint8], Truth]:
    """All frames of a clip, or some of them, [F, H, W, 3] uint8 RGB, and their truth."""
    renderer = ClipRenderer(clip, frames)
    pictures = np.stack(list(renderer))
    return pictures, renderer.truth
