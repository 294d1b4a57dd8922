"""Conditions of windows beside those of the whole clip: the small animation."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from stableanimator.animate import Driving, Models, Reference, aligned
from stableanimator.inference.conditions import ClipConditions
from stableanimator.media.tensors import to_tensor
from stableanimator.models.animator import Prepared

from ...floats import assert_same
from ..small_animation import PLAIN

pytestmark = pytest.mark.numeric

SKELETONS = np.random.default_rng(3).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)


def _conditions(models: Models, reference: Reference, driving: Driving) -> ClipConditions:
    driven = aligned(reference, driving, PLAIN)
    return ClipConditions(models, reference, driven, SKELETONS, PLAIN, torch.Generator().manual_seed(5))


@torch.no_grad()
def test_a_windows_conditions_are_those_of_its_frames(models: Models, reference: Reference, driving: Driving) -> None:
    conditions = _conditions(models, reference, driving)
    whole = conditions.window(slice(0, 7))
    for window in (slice(0, 4), slice(3, 7)):
        found = conditions.window(window)
        assert_same(found.pose_features, whole.pose_features[:, window])
        for name in ("reference", "context", "added_time_ids"):
            assert_same(getattr(found, name), getattr(whole, name))
    by_hand = models.animator.pose_net(to_tensor(SKELETONS[3:7]))
    assert_same(conditions.window(slice(3, 7)).pose_features[0], by_hand)


@torch.no_grad()
def test_what_was_asked_for_last_is_not_computed_again(models: Models, reference: Reference, driving: Driving) -> None:
    seen: Counter[int] = Counter()
    animator = copy.deepcopy(models.animator)
    animator.pose_net.register_forward_hook(lambda _, given, __: seen.update([len(given[0])]))
    conditions = _conditions(replace(models, animator=animator), reference, driving)
    first: Prepared = conditions.window(slice(0, 4))
    assert conditions.window(slice(0, 4)) is first
    conditions.window(slice(4, 7))
    conditions.window(slice(0, 4))
    assert seen == {4: 2, 3: 1}  # and never all seven at once
