"""The inference path end to end: every real class at tiny widths with random weights, and a tiny ONNX recogniser."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from stableanimator import animate as inference
from stableanimator.alignment.settings import AlignmentName
from stableanimator.alignment.similarity import Similarity
from stableanimator.animate import Animation, Driving, Models, Reference, aligned, framing_of
from stableanimator.driving import skeleton_pictures
from stableanimator.errors import CheckpointError, ConfigError
from stableanimator.media.framing import Framing
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import (
    Branches,
    EncoderSettings,
    FrameRates,
    VAESettings,
)

from .small_animation import EMBEDDING, FRAMES, HJB, PLAIN, animate, small_pose

pytestmark = pytest.mark.numeric


def test_the_same_seed_gives_the_same_frames_and_another_gives_others(
    models: Models, reference: Reference, driving: Driving, plain: Animation
) -> None:
    assert plain.frames.shape == (FRAMES, 32, 32, 3)
    assert plain.frames.std() > 5
    assert plain.face_optimisation is None
    np.testing.assert_array_equal(animate(models, reference, driving, PLAIN, seed=5).frames, plain.frames)
    assert (animate(models, reference, driving, PLAIN, seed=6).frames != plain.frames).mean() > 0.3


def test_the_model_is_told_the_drives_rate_unless_it_knows_one_alone(
    models: Models, reference: Reference, driving: Driving, plain: Animation
) -> None:
    """Of the released rates, whose fps_id is 6, `plain` was made; 7 frames a second have this one of their own."""
    own = replace(models, rates=FrameRates(fps=(8.0,), fps_id=None))
    np.testing.assert_array_equal(animate(own, reference, driving, PLAIN, seed=5).frames, plain.frames)
    faster = replace(driving, fps=30.0)
    assert (animate(own, reference, faster, PLAIN, seed=5).frames != plain.frames).mean() > 0.01
    np.testing.assert_array_equal(animate(models, reference, faster, PLAIN, seed=5).frames, plain.frames)


def test_the_model_is_driven_by_the_aligned_skeleton(plain: Animation) -> None:
    # Motions of 0, 1 and 2 pixels on the reference's scale, about their median: -1, 0, 1; 40 pixels become 32.
    poses = np.stack([small_pose(offset) * [0.8, 0.8, 1] for offset in (-1, 0, 1)]).astype(np.float32)
    poses[-1, 0, 2] = 0
    expected = skeleton_pictures(poses[:, None], 32, 32, "ours")
    difference = np.abs(plain.skeletons.astype(int) - expected)
    assert expected.mean() > 5
    assert difference.mean() < 0.05 * expected.mean()  # rounding of the fit moves a line's edge by a grey level


@pytest.mark.parametrize("part", ["pose", "face", "picture"])
def test_every_input_reaches_the_frames(
    part: str, models: Models, reference: Reference, driving: Driving, plain: Animation
) -> None:
    if part == "pose":
        driving = replace(driving, keypoints=driving.keypoints * np.array([1, 0.7, 1], np.float32))
    elif part == "face":
        reference = replace(reference, face_embedding=-reference.face_embedding)
    else:
        reference = replace(reference, picture=255 - reference.picture)
    assert (animate(models, reference, driving, PLAIN, seed=5).frames != plain.frames).mean() > 0.01


def test_without_the_face_nothing_of_it_reaches_the_frames(
    models: Models, reference: Reference, driving: Driving, plain: Animation
) -> None:
    off = replace(PLAIN, face=False)
    without = animate(models, reference, driving, off, seed=5).frames
    other = replace(reference, face_embedding=-reference.face_embedding)
    np.testing.assert_array_equal(animate(models, other, driving, off, seed=5).frames, without)
    assert (without != plain.frames).mean() > 0.01


def test_what_does_not_fit_is_refused(models: Models, reference: Reference, driving: Driving) -> None:
    with pytest.raises(ValueError, match="max_frames"):
        animate(models, reference, driving, replace(PLAIN, max_frames=2))
    two = replace(reference, keypoints=np.repeat(reference.keypoints, 2, 0))
    with pytest.raises(ValueError, match="2 people in the reference are driven by 1"):
        animate(models, two, driving, PLAIN)
    with pytest.raises(ValueError, match="reads 8 values"):
        animate(models, replace(reference, face_embedding=np.ones(4, np.float32)), driving, PLAIN)
    with pytest.raises(ValueError, match="needs ArcFace"):
        animate(replace(models, arcface=None), reference, driving, HJB)
    with pytest.raises(ValueError, match="learned"):
        animate(models, reference, driving, replace(PLAIN, alignment="learned"))
    vae = VAESettings(block_out_channels=(32, 32), layers_per_block=1)
    other = EncoderSettings(vae=vae, clip=models.encoders.settings.clip)
    with pytest.raises(CheckpointError, match="pixels a latent: the model was made for 4, the encoders give 2"):
        replace(models, encoders=Encoders(other))


@pytest.mark.parametrize(("branches", "unet_calls"), [("apart", 10), ("together", 5)])
def test_what_no_step_changes_is_computed_once(
    branches: Branches, unet_calls: int, models: Models, reference: Reference, driving: Driving, plain: Animation
) -> None:
    """Three steps, two of them corrected: five evaluations of two branches."""
    calls: Counter[str] = Counter()
    animator = copy.deepcopy(models.animator)
    for name in ("unet", "face_encoder", "pose_net"):
        getattr(animator, name).register_forward_hook(lambda *_, name=name: calls.update([name]))
    settings = replace(PLAIN, branches=branches)
    frames = animate(replace(models, animator=animator), reference, driving, settings, seed=5).frames
    assert calls == {"unet": unet_calls, "face_encoder": 1, "pose_net": 1}
    assert np.abs(frames.astype(int) - plain.frames).max() <= 1  # rounding, at most a grey level


@pytest.mark.parametrize(("dtype", "share"), [(torch.bfloat16, 0.1), (torch.float16, 0.02)])
def test_a_denoiser_of_half_precision_gives_nearly_the_same_frames(
    dtype: torch.dtype, share: float, models: Models, reference: Reference, driving: Driving, plain: Animation
) -> None:
    half = replace(models, animator=copy.deepcopy(models.animator).to(dtype))
    frames = animate(half, reference, driving, PLAIN, seed=5).frames
    assert np.abs(frames.astype(int) - plain.frames).mean() < share * plain.frames.std()


def _at(x: float, y: float, scale: float = 1.0) -> np.ndarray:
    """The person of `small_pose` with the middle of the body at a place."""
    pose = small_pose()
    pose[:, :2] = (pose[:, :2] - [20, 23.5]) * scale + [x, y]
    return pose


def _picture_of(height: int, width: int, *people: np.ndarray) -> Reference:
    nose = people[0][0, :2]
    return Reference(
        picture=np.zeros((height, width, 3), np.uint8),
        keypoints=np.stack(people),
        face_box=(nose[[0, 1, 0, 1]] + np.array([-6, -8, 6, 4])).astype(np.float32),
        face_embedding=np.ones(EMBEDDING, np.float32),
    )


def test_the_reference_is_cut_around_its_people() -> None:
    """Bodies reach 8 to each side and 12.5 up and down; heads 12 to each side of the nose, 14 above and 10 below it."""
    sizes = ((96, 96),)
    at_the_side = framing_of(_picture_of(96, 288, _at(260, 48)), sizes)
    assert (at_the_side.left, at_the_side.size) == (192, (96, 96))
    assert framing_of(_picture_of(96, 288, _at(120, 48)), sizes).left == 72
    two = framing_of(_picture_of(96, 288, _at(110, 48), _at(170, 48)), sizes)
    assert two.left == 90  # between the head of the one at 98 and the shoulder of the other at 178
    too_far = framing_of(_picture_of(96, 288, _at(60, 48), _at(260, 48)), sizes)
    assert too_far.left == 48  # where the first one's head begins
    giant = _at(48, 19)
    giant[:, 1] *= 10  # taller than the cut, and no wider
    tall = framing_of(_picture_of(384, 96, giant), sizes)
    assert tall.top == 101  # the nose is at 115


@pytest.mark.parametrize("alignment", ["none", "svd"])
def test_a_clip_that_drives_itself_stays_where_its_reference_is_cut(alignment: AlignmentName) -> None:
    person = _at(260, 48)
    settings = replace(PLAIN, sizes=((96, 96),), alignment=alignment)
    drive = Driving(keypoints=np.stack([person, person])[:, None], height=96, width=288, fps=7.0)
    driven = aligned(_picture_of(96, 288, person), drive, settings)
    np.testing.assert_allclose(driven.poses[1, 0, 0, :2], person[0, :2] - [192, 0], atol=1e-2)
    assert driven.joints_in_picture == 1
    assert driven.framing.middle == (240 / 288, 0.5)


def test_what_the_drive_and_the_reference_do_not_show_decides_nothing_and_is_drawn() -> None:
    """Ankles below both pictures, on which nothing depends but the skeleton: legs run to the edge."""
    settings, person = replace(PLAIN, sizes=((96, 96),), alignment="svd"), _at(48, 70)
    person[11:13] = [(52, 90, 0.9), (44, 90, 0.9)]
    legs = person.copy()
    legs[13:15] = [(60, 110, 0.9), (36, 110, 0.9)]
    strayed = person.copy()
    strayed[13:15] = [(500, -40, 0.9), (-300, 200, 0.9)]
    turn = Similarity.from_degrees(torch.tensor(20.0), torch.tensor(0.5), torch.tensor([0.1, -0.1]))
    bare, whole = (
        aligned(
            _picture_of(96, 288, reference),
            Driving(keypoints=drive[None, None], height=96, width=288, fps=7.0, misalignment=turn),
            settings,
        )
        for reference, drive in ((person, person), (strayed, legs))
    )
    assert whole.framing == bare.framing
    assert whole.joints_in_picture == bare.joints_in_picture == 1
    there = bare.poses[..., 2] > 0
    np.testing.assert_array_equal(whole.poses[there], bare.poses[there])
    np.testing.assert_allclose(whole.poses[0, 0, 13:15, :2], legs[13:15, :2], atol=1e-3)
    pictures = [skeleton_pictures(driven.poses, 96, 96, "ours")[0] for driven in (bare, whole)]
    assert not pictures[0][95].any()
    assert pictures[1][95].any()


def test_poses_that_leave_the_picture_are_counted() -> None:
    reference = _picture_of(96, 96, _at(48, 48))
    settings = replace(PLAIN, sizes=((96, 96),), alignment="none")
    leaving = Driving(keypoints=_at(138, 48)[None, None], height=96, width=192, fps=7.0)  # cut from 48 on
    assert aligned(reference, leaving, settings).joints_in_picture == 7 / 8  # one shoulder is at 98
    far = Similarity.from_degrees(torch.tensor(0.0), torch.tensor(1.0), torch.tensor([9.0, 0.0]))
    assert aligned(reference, replace(leaving, misalignment=far), settings).joints_in_picture == 0


def test_a_padded_reference_gives_frames_without_the_padding(models: Models) -> None:
    """A picture of 40 x 20 in one of 32 x 32: 32 x 16 come out, and what drives them lies where it is drawn."""
    person = small_pose()
    person[:, 0] = person[:, 0] / 2
    reference = replace(
        _picture_of(40, 20, person), picture=np.random.default_rng(1).integers(0, 256, (40, 20, 3), dtype=np.uint8)
    )
    drive = Driving(keypoints=np.stack([person, person])[:, None] * np.float32(2), height=80, width=40, fps=7.0)
    drive.keypoints[..., 2] /= 2
    settings = replace(PLAIN, fit="contain", alignment="none")
    driven = aligned(reference, drive, settings)
    assert (driven.framing.size, driven.framing.kept.size, driven.framing.middle) == ((32, 32), (32, 16), (0.5, 0.5))
    assert driven.joints_in_picture == 1
    np.testing.assert_allclose(driven.poses[0, 0, 0, :2], person[0, :2] * 0.8 + [8, 0], atol=1e-4)
    np.testing.assert_allclose(driven.poses_in_frames[0, 0, 0, :2], person[0, :2] * 0.8, atol=1e-4)
    animation = animate(models, reference, drive, settings)
    assert animation.frames.shape == animation.skeletons.shape == (2, 32, 16, 3)
    shown = skeleton_pictures(driven.poses, 32, 32, "ours")[:, :, 8:24]
    np.testing.assert_array_equal(animation.skeletons, shown)
    aside = Similarity.from_degrees(torch.tensor(0.0), torch.tensor(1.0), torch.tensor([0.2, 0.0]))
    moved = aligned(reference, replace(drive, misalignment=aside), settings)
    assert moved.poses[0, 0, 5, 0] < 32  # a shoulder lies in the padding
    assert moved.joints_in_picture < 1


def test_a_native_size_keeps_the_shape_and_one_that_does_not_fit_the_network_is_refused(models: Models) -> None:
    person = small_pose()
    reference = _picture_of(40, 60, person)
    drive = Driving(keypoints=person[None, None], height=40, width=60, fps=7.0)
    settings = replace(PLAIN, fit="native", multiple=8, alignment="none")
    driven = aligned(reference, drive, settings)
    assert driven.framing.size == (24, 40)
    assert animate(models, reference, drive, settings).frames.shape == (1, 24, 40, 3)
    assert models.multiple == 8  # the VAE's 4, and one more level of the U-Net
    with pytest.raises(ConfigError, match="36x32 pixels do not fit this model, whose sides are multiples of 8"):
        inference.animate(models, reference, replace(driven, framing=Framing.cover((40, 60), (36, 32))), settings)
