"""Where a reference is cut or padded, and what comes out of it: the small animation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from stableanimator import animate as inference
from stableanimator.alignment.similarity import Similarity
from stableanimator.animate import Driving, Models, aligned
from stableanimator.driving import skeleton_pictures
from stableanimator.errors import ConfigError
from stableanimator.inference.cut import framing_of
from stableanimator.media.framing import Framing

from ..small_animation import PLAIN, animate, person_at, picture_of, small_pose


def test_the_reference_is_cut_around_its_people() -> None:
    """Bodies reach 8 to each side and 12.5 up and down; heads 12 to each side of the nose, 14 above and 10 below it."""
    sizes = ((96, 96),)
    at_the_side = framing_of(picture_of(96, 288, person_at(260, 48)), sizes)
    assert (at_the_side.left, at_the_side.size) == (192, (96, 96))
    assert framing_of(picture_of(96, 288, person_at(120, 48)), sizes).left == 72
    two = framing_of(picture_of(96, 288, person_at(110, 48), person_at(170, 48)), sizes)
    assert two.left == 90  # between the head of the one at 98 and the shoulder of the other at 178
    too_far = framing_of(picture_of(96, 288, person_at(60, 48), person_at(260, 48)), sizes)
    assert too_far.left == 48  # where the first one's head begins
    giant = person_at(48, 19)
    giant[:, 1] *= 10  # taller than the cut, and no wider
    tall = framing_of(picture_of(384, 96, giant), sizes)
    assert tall.top == 101  # the nose is at 115


def test_a_padded_reference_gives_frames_without_the_padding(models: Models) -> None:
    """A picture of 40 x 20 in one of 32 x 32: 32 x 16 come out, and what drives them lies where it is drawn."""
    person = small_pose()
    person[:, 0] = person[:, 0] / 2
    reference = replace(
        picture_of(40, 20, person), picture=np.random.default_rng(1).integers(0, 256, (40, 20, 3), dtype=np.uint8)
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
    reference = picture_of(40, 60, person)
    drive = Driving(keypoints=person[None, None], height=40, width=60, fps=7.0)
    settings = replace(PLAIN, fit="native", multiple=8, alignment="none")
    driven = aligned(reference, drive, settings)
    assert driven.framing.size == (24, 40)
    assert animate(models, reference, drive, settings).frames.shape == (1, 24, 40, 3)
    assert models.multiple == 8  # the VAE's 4, and one more level of the U-Net
    with pytest.raises(ConfigError, match="36x32 pixels do not fit this model, whose sides are multiples of 8"):
        inference.animate(models, reference, replace(driven, framing=Framing.cover((40, 60), (36, 32))), settings)
