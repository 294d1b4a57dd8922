"""Procedural pairs of OpenPose-18 skeletons: one person in two poses before one camera, as a detector would see them.

A person is a set of bone lengths; a pose is a set of joint angles inside the limits of a body; a camera crops, and
foreshortens what turns away; a detector misses joints and is off by a little. Body frame, in body heights: x to the
right of the picture when the person faces it, y down, z towards the camera.

    B rows   J = 18 nodes
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from stableanimator.alignment.poses import NODES
from stableanimator.alignment.settings import ProceduralSettings
from stableanimator.alignment.training_data.draws import RowDraws

Array = NDArray[np.float64]

# Bones in body heights: Drillis and Contini's proportions, with shoulders and hips narrower, since a detector marks the
# centre of a joint and not the outline of the body.
_BONES = {
    "shoulder": 0.105,
    "hip": 0.055,
    "torso": 0.290,
    "upper_arm": 0.180,
    "forearm": 0.146,
    "thigh": 0.245,
    "shank": 0.246,
    "head": 1.0,
}
_HEAD = np.array(  # nose, right eye, left eye, right ear, left ear from the neck, facing the camera
    [[0, -0.108, 0.075], [-0.019, -0.136, 0.055], [0.019, -0.136, 0.055], [-0.043, -0.122, 0], [0.043, -0.122, 0]]
)
_HEAD_NODES = (0, 14, 15, 16, 17)
_LATENTS = 30  # standard normal numbers that make a pose
_ATTEMPTS = 100
_LEAST_CHANGE = 0.05
"""Of a pair's second pose, as a share of what people do; log-uniform from here to 1."""
_STEP = np.array([0.15, 0.05, 0.1])
"""Standard deviation of how far all of somebody goes when everything changes: sideways, up or down, towards the camera,
in body heights. Who talks sways, who dances steps aside."""


def procedural_pairs(
    settings: ProceduralSettings,
    seed: int,
    rows: NDArray[np.int64],
    minimum_joints: int = 4,
    stream: int = 0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """References and truths, each [B, 18, 3] in image heights, of the rows [B] of the data set that `seed` names.

    A row depends on (seed, stream, row) alone. Both poses of a row show at least `minimum_joints` joints in common;
    missing joints are NaN with score 0.

    Raises:
        ValueError: no such pair came up in a hundred attempts, so the settings hide too much.
    """
    poses = np.empty((2, len(rows), NODES, 3), dtype=np.float32)
    open_rows = np.arange(len(rows))
    for attempt in range(_ATTEMPTS):
        fresh = _draw(settings, RowDraws(seed, stream * _ATTEMPTS + attempt, rows[open_rows]))
        poses[:, open_rows] = fresh
        common = (fresh[..., 2] > 0).all(0).sum(-1)
        open_rows = open_rows[common < minimum_joints]
        if not len(open_rows):
            return poses[0], poses[1]
    raise ValueError(f"procedural poses rarely share {minimum_joints} joints: lower occlusion or minimum_joints")


def _draw(settings: ProceduralSettings, draws: RowDraws) -> NDArray[np.float32]:
    """Both poses of each row: [2, B, 18, 3]."""
    bones = _person(draws)
    first = draws.normal(_LATENTS)
    view = draws.uniform(5)
    # The second pose differs from the first to a degree of its own, from the next frame of a talk to another move of a
    # dance. Both are ordinary poses: what is extreme in one is likely to be less so in the other.
    change = _LEAST_CHANGE ** draws.uniform(1)
    second = np.sqrt(1 - change**2) * first + change * draws.normal(_LATENTS)
    turn = np.where(draws.uniform(1) < settings.turn_share, 80.0, 20.0)[:, 0]
    seated = np.where(draws.uniform(1)[:, 0] < settings.seated_share, 1.0, 0.0)
    distance = 2.5 + 6 * draws.uniform(1)[:, 0]
    there = [_body(bones, latent, turn, seated) for latent in (first, second)]
    there[1] += (change * _STEP * draws.normal(3))[:, None]
    bodies = [_project(body, distance) for body in there]
    scale, origin, width = _framing(settings, view, bodies[0])
    poses = []
    for number, body in enumerate(bodies):
        pixels = scale[:, None, None] * body[..., :2] + origin[:, None]
        if number:
            moved = settings.camera_motion * draws.normal(3)
            pixels = 0.5 + np.exp(moved[:, :1, None]) * (pixels - 0.5) + moved[:, None, 1:]
        poses.append(_detect(settings, draws, pixels, body[..., 2], scale, width))
    return np.stack(poses)


def _person(draws: RowDraws) -> dict[str, Array]:
    """Bone lengths [B] of each person in body heights."""
    varied = np.exp(0.08 * draws.normal(len(_BONES)))
    return {name: length * varied[:, index] for index, (name, length) in enumerate(_BONES.items())}


def _body(bones: dict[str, Array], latent: Array, turn: Array, seated: Array) -> Array:
    """Forward kinematics: joints [B, 18, 3] about the middle of the hips, from latents [B, 30]."""
    body = np.zeros((len(latent), NODES, 3))
    yaw, roll, pitch = turn * latent[:, 0], 6 * latent[:, 1], 4 + 7 * latent[:, 2]
    # Upper body: built about the neck, turned as the torso is, then put on top of the spine.
    upper = np.zeros((len(latent), NODES, 3))
    for side, (shoulder, angles) in {-1: (2, latent[:, 3:9]), 1: (5, latent[:, 9:15])}.items():
        upper[:, shoulder, 0] = side * bones["shoulder"]
        _arm(upper, shoulder, side, bones, angles)
    upper[:, _HEAD_NODES] = _turned(_HEAD * bones["head"][:, None, None], 8 * latent[:, 17], (0, 1))
    upper[:, _HEAD_NODES] = _turned(upper[:, _HEAD_NODES], 10 * latent[:, 16], (1, 2))
    upper[:, _HEAD_NODES] = _turned(upper[:, _HEAD_NODES], 20 * latent[:, 15], (2, 0))
    upper = _turned(upper, 8 * latent[:, 18], (2, 0))
    upper[..., 1] -= bones["torso"][:, None]
    upper = _turned(_turned(upper, -pitch, (1, 2)), roll, (0, 1))
    lower_nodes = (8, 9, 10, 11, 12, 13)
    for side, (hip, angles) in {-1: (8, latent[:, 19:23]), 1: (11, latent[:, 23:27])}.items():
        body[:, hip, 0] = side * bones["hip"]
        _leg(body, hip, side, bones, angles, seated)
    body[:, lower_nodes] = _turned(body[:, lower_nodes], 5 * latent[:, 27], (0, 1))
    upper_nodes = [node for node in range(NODES) if node not in lower_nodes]
    body[:, upper_nodes] = upper[:, upper_nodes]
    return _turned(body, yaw, (2, 0))


def _arm(upper: Array, shoulder: int, side: int, bones: dict[str, Array], latent: Array) -> None:
    """Elbow and wrist from six latents: how far the arm is raised, where to, how far and which way the elbow bends."""
    raised = np.radians(175 * ndtr(latent[:, 0] - 0.7))
    forward = np.radians(-20 + 125 * ndtr(latent[:, 1]))
    bend = np.radians(145 * ndtr(latent[:, 2] - 0.3))
    along = np.stack(
        [side * np.sin(raised) * np.cos(forward), np.cos(raised), np.sin(raised) * np.sin(forward)], axis=-1
    )
    # The forearm folds forwards, upwards and to the middle of the body, more or less of each.
    towards = np.stack([-side * (0.5 + 0.5 * latent[:, 3]), -0.3 - 0.8 * latent[:, 4], 0.7 + 0.4 * latent[:, 5]], -1)
    across = towards - (towards * along).sum(-1, keepdims=True) * along
    across /= np.linalg.norm(across, axis=-1, keepdims=True) + 1e-9
    fold = np.cos(bend)[:, None] * along + np.sin(bend)[:, None] * across
    upper[:, shoulder + 1] = upper[:, shoulder] + bones["upper_arm"][:, None] * along
    upper[:, shoulder + 2] = upper[:, shoulder + 1] + bones["forearm"][:, None] * fold


def _leg(body: Array, hip: int, side: int, bones: dict[str, Array], latent: Array, seated: Array) -> None:
    """Knee and ankle from four latents: thigh forwards, thigh outwards, knee bent, and one that lifts the leg."""
    lift = 60 * np.maximum(latent[:, 3] - 1.5, 0)
    forward = np.radians(np.clip(6 + 10 * latent[:, 0] + 70 * seated + lift, -25, 115))
    outward = side * np.radians(np.clip(6 + 5 * latent[:, 1], -8, 45))
    knee = np.radians(np.clip(np.abs(12 * latent[:, 2]) + 70 * seated + lift, 0, 135))
    for joint, bone, angle in ((1, "thigh", forward), (2, "shank", forward - knee)):
        along = np.stack([np.sin(outward) * np.cos(angle), np.cos(outward) * np.cos(angle), np.sin(angle)], axis=-1)
        body[:, hip + joint] = body[:, hip + joint - 1] + bones[bone][:, None] * along


def _turned(points: Array, degrees: Array, plane: tuple[int, int]) -> Array:
    """Points [B, N, 3] turned in one plane of axes, from the first axis towards the second."""
    first, second = plane
    cosine, sine = np.cos(np.radians(degrees))[:, None], np.sin(np.radians(degrees))[:, None]
    turned = points.copy()
    turned[..., first] = cosine * points[..., first] - sine * points[..., second]
    turned[..., second] = sine * points[..., first] + cosine * points[..., second]
    return turned


def _project(body: Array, distance: Array) -> Array:
    """Perspective from `distance` [B] body heights; the third column becomes the depth behind the head's middle."""
    projected = body * (distance[:, None] / (distance[:, None] - body[..., 2]))[..., None]
    projected[..., 2] = body[:, (16, 17), 2].mean(1)[:, None] - body[..., 2]
    return projected


def _framing(settings: ProceduralSettings, view: Array, body: Array) -> tuple[Array, Array, Array]:
    """Body height in image heights [B], position of the middle of the hips [B, 2], and image width [B].

    `view` [B, 5] is uniform in [0, 1): which framing, how near, where (x, y), and the picture's aspect ratio.
    """
    kind, size, x, y, aspect = view.T
    width = np.exp(np.log(9 / 16) + aspect * np.log(16 / 9 / (9 / 16)))
    whole = kind < settings.whole_body_share
    close = ~whole & (kind > settings.whole_body_share + (1 - settings.whole_body_share) * 2 / 3)
    scale = np.where(whole, 0.5 + 0.4 * size, np.where(close, 2 + 4 * size, 1.1 + 0.9 * size))
    # A whole body is placed by its hips, a crop by its nose.
    anchor = np.where(whole[:, None], 0, body[:, 0, :2])
    place = np.stack([width * (0.38 + 0.24 * x), np.where(whole, 0.47 + 0.1 * y, 0.15 + 0.2 * y)], axis=-1)
    # The nearer the face, the nearer its nose to the middle of the picture.
    place[close, 1] += 0.1 + 0.15 * size[close]
    return scale, place - scale[:, None] * anchor, width


def _detect(
    settings: ProceduralSettings, draws: RowDraws, pixels: Array, depth: Array, scale: Array, width: Array
) -> NDArray[np.float32]:
    """What a detector reports [B, 18, 3] of joints [B, 18, 2] at depths [B, 18] behind the head's middle."""
    shaky = np.ones(NODES)
    shaky[[4, 7, 8, 10, 11, 13]] = 1.5
    level = settings.noise * np.minimum(scale, 1) * np.exp(0.5 * draws.normal(1)[:, 0])
    noise = draws.normal(2 * NODES).reshape(-1, NODES, 2)
    pixels = pixels + level[:, None, None] * shaky[:, None] * noise
    inside = (pixels >= 0).all(-1) & (pixels[..., 0] <= width[:, None]) & (pixels[..., 1] <= 1)
    hidden = ~inside
    hidden[:, _HEAD_NODES] |= depth[:, _HEAD_NODES] > 0.02  # on the far side of the head
    cut = draws.uniform(4) < settings.occlusion  # each limb, from its second or from its last joint on
    from_middle = draws.uniform(4) < 0.4
    for limb, root in enumerate((2, 5, 8, 11)):
        hidden[:, root + 1] |= cut[:, limb] & from_middle[:, limb]
        hidden[:, root + 2] |= cut[:, limb]
    hidden[:, 1] |= hidden[:, 2] | hidden[:, 5]  # the neck is the middle of the shoulders
    scores = np.where(hidden, 0, 0.45 + 0.5 * draws.uniform(NODES))
    pose = np.concatenate([np.where(hidden[..., None], np.nan, pixels), scores[..., None]], axis=-1)
    return pose.astype(np.float32)
