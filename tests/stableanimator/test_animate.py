"""The inference path end to end: every real class at tiny widths with random weights, and a tiny ONNX recogniser."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from stableanimator.alignment.settings import AlignmentName
from stableanimator.alignment.similarity import Similarity
from stableanimator.animate import Animation, Driving, Models, Reference, aligned
from stableanimator.driving import skeleton_pictures
from stableanimator.errors import CheckpointError
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import (
    Branches,
    EncoderSettings,
    FrameRates,
    VAESettings,
)

from .small_animation import FRAMES, HJB, PLAIN, animate, person_at, picture_of, small_pose

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


@pytest.mark.parametrize("alignment", ["none", "svd"])
def test_a_clip_that_drives_itself_stays_where_its_reference_is_cut(alignment: AlignmentName) -> None:
    person = person_at(260, 48)
    settings = replace(PLAIN, sizes=((96, 96),), alignment=alignment)
    drive = Driving(keypoints=np.stack([person, person])[:, None], height=96, width=288, fps=7.0)
    driven = aligned(picture_of(96, 288, person), drive, settings)
    np.testing.assert_allclose(driven.poses[1, 0, 0, :2], person[0, :2] - [192, 0], atol=1e-2)
    assert driven.joints_in_picture == 1
    assert driven.framing.middle == (240 / 288, 0.5)


def test_what_the_drive_and_the_reference_do_not_show_decides_nothing_and_is_drawn() -> None:
    """Ankles below both pictures, on which nothing depends but the skeleton: legs run to the edge."""
    settings, person = replace(PLAIN, sizes=((96, 96),), alignment="svd"), person_at(48, 70)
    person[11:13] = [(52, 90, 0.9), (44, 90, 0.9)]
    legs = person.copy()
    legs[13:15] = [(60, 110, 0.9), (36, 110, 0.9)]
    strayed = person.copy()
    strayed[13:15] = [(500, -40, 0.9), (-300, 200, 0.9)]
    turn = Similarity.from_degrees(torch.tensor(20.0), torch.tensor(0.5), torch.tensor([0.1, -0.1]))
    bare, whole = (
        aligned(
            picture_of(96, 288, reference),
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
    reference = picture_of(96, 96, person_at(48, 48))
    settings = replace(PLAIN, sizes=((96, 96),), alignment="none")
    leaving = Driving(keypoints=person_at(138, 48)[None, None], height=96, width=192, fps=7.0)  # cut from 48 on
    assert aligned(reference, leaving, settings).joints_in_picture == 7 / 8  # one shoulder is at 98
    far = Similarity.from_degrees(torch.tensor(0.0), torch.tensor(1.0), torch.tensor([9.0, 0.0]))
    assert aligned(reference, replace(leaving, misalignment=far), settings).joints_in_picture == 0
