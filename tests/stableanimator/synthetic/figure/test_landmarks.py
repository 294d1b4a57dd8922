from __future__ import annotations

import numpy as np
import pytest

from stableanimator.synthetic.figure.actor import Actor, draw_actor, figure_of
from stableanimator.synthetic.figure.body import stand
from stableanimator.synthetic.figure.geometry import View
from stableanimator.synthetic.figure.head import Head, HeadShape
from stableanimator.synthetic.figure.landmarks import Expression, Features, five_points
from stableanimator.synthetic.figure.patches import Figure
from stableanimator.synthetic.figure.poses import COLUMN, pose

ACTOR = draw_actor(np.random.default_rng(2))
MIRROR = np.concatenate(  # iBUG's points in the order of their mirror images
    [
        np.arange(17)[::-1],
        np.arange(17, 27)[::-1],
        np.arange(27, 31),
        np.arange(31, 36)[::-1],
        [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40],
        [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55],
        [64, 63, 62, 61, 60, 67, 66, 65],
    ]
)


def looks(count: int, mouth: float = 0.0, eyes: float = 1.0, smile: float = 0.0) -> Expression:
    full = np.ones(count)
    return Expression(smile * full, mouth * full, eyes * full, 0 * full, np.zeros((count, 2)))


def points(poses: np.ndarray, expression: Expression, actor: Actor = ACTOR) -> np.ndarray:
    """[F, 68, 2] in the plane of the set."""
    skeleton = stand(actor.body, poses, View(np.zeros((len(poses), 2)), np.ones(len(poses))))
    head = Head(HeadShape(actor.traits), skeleton, actor.body.head)
    return head.place(Features(head, actor.traits, expression).points().local)


def figure(**angles: float) -> Figure:
    row = pose()
    for name, value in angles.items():
        row[COLUMN[name]] = value
    return figure_of(ACTOR, row[None], looks(1), View(np.zeros((1, 2)), np.ones(1)))


def test_a_straight_face_is_symmetric_in_ibugs_order() -> None:
    face = points(pose()[None], looks(1, mouth=0.3))[0]
    middle = face[[27, 28, 29, 30, 33, 51, 57, 8], 0]
    np.testing.assert_allclose(middle, middle[0], atol=1e-9)
    np.testing.assert_allclose(face[MIRROR] * (-1, 1) + (2 * middle[0], 0), face, atol=1e-9)


def test_features_are_where_a_face_has_them() -> None:
    face = points(pose()[None], looks(1, mouth=0.5))[0]
    assert face[36, 0] < face[39, 0] < face[27, 0] < face[42, 0] < face[45, 0]  # eyes, from the picture's left
    assert face[19, 1] < face[37, 1] < face[41, 1] < face[30, 1] < face[33, 1] < face[51, 1] < face[57, 1] < face[8, 1]
    assert (face[37:39, 1] < face[40:42, 1][::-1]).all()  # upper above lower lid
    assert face[62, 1] < face[66, 1]  # the mouth is open
    assert face[0, 0] == pytest.approx(face[:, 0].min())
    assert face[16, 0] == pytest.approx(face[:, 0].max(), abs=2e-3)


def test_closed_eyes_and_mouths_are_closed() -> None:
    face = points(pose()[None], looks(1, eyes=0.0))[0]
    np.testing.assert_allclose(face[[37, 38, 43, 44]], face[[41, 40, 47, 46]], atol=1e-9)
    np.testing.assert_allclose(face[[61, 62, 63]], face[[67, 66, 65]], atol=1e-9)
    opened = points(pose()[None], looks(1, mouth=1.0))[0]
    assert opened[66, 1] - opened[62, 1] > 0.1 * (opened[8, 1] - opened[27, 1])


def test_a_smile_lifts_and_parts_the_corners_of_the_mouth() -> None:
    sober, happy = (points(pose()[None], looks(1, smile=smile))[0] for smile in (0.0, 1.0))
    assert (happy[[48, 54], 1] < sober[[48, 54], 1]).all()
    assert np.ptp(happy[[48, 54], 0]) > np.ptp(sober[[48, 54], 0])


def test_the_five_landmarks_are_those_of_insightface() -> None:
    face = points(pose()[None], looks(1))
    five = five_points(face)[0]
    np.testing.assert_allclose(five[0], face[0, 36:42].mean(0))
    assert five[0, 0] < five[2, 0] < five[1, 0]
    assert five[3, 0] < five[4, 0]
    assert five[:2, 1].max() < five[2, 1] < five[3:, 1].min()


@pytest.mark.parametrize(("name", "column"), [("head_yaw", 0), ("head_nod", 1), ("head_tilt", 2)])
def test_head_angles_are_those_of_the_pose(name: str, column: int) -> None:
    straight = figure().head_angles[0]
    for degrees in (-20.0, 25.0):
        change = figure(**{name: degrees}).head_angles[0] - straight
        # the camera looks down by 6 degrees, which mixes the axes a little
        np.testing.assert_allclose(change, degrees * np.eye(3)[column], atol=3.0)


def test_a_face_turned_to_the_right_shows_its_nose_there() -> None:
    drawn = figure(head_yaw=40)
    five = drawn.landmarks[0]
    assert five[2, 0] - five[0, 0] > 1.5 * (five[1, 0] - five[2, 0])  # the nose nears the far eye
    assert drawn.face_seen[0]
    assert not figure(yaw=180).face_seen[0]
    assert not figure(yaw=180).facing[0, 23 + 17 : 91].any()  # nothing of brows, nose, eyes, mouth
