from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.shards import rows as shard_rows
from pipelines.shards.plan import MeasuredFrame
from stableanimator.errors import RowError


def _frame(index: int, people: int) -> MeasuredFrame:
    keypoints = np.full((people, 133, 3), float(index), np.float32)
    faces = np.zeros((0, 4), np.float32)
    return MeasuredFrame(index=index, time=index / 8, keypoints=keypoints, faces=faces, embedding=None)


def test_absent_people_are_missing_points_with_score_zero() -> None:
    people = shard_rows.people_array([_frame(7, people=3), _frame(8, people=1)], 2)
    assert people.shape == (2, 2, 133, 3)
    assert (people[0] == 7).all()
    assert (people[1, 0] == 8).all()
    assert np.isnan(people[1, 1, :, :2]).all()
    assert (people[1, 1, :, 2] == 0).all()


def test_what_16_bits_cannot_hold_is_an_error_with_a_reason() -> None:
    assert shard_rows.half(torch.tensor([65504.0]), "latents")[0] == 65504
    for value in (7e4, float("nan")):
        with pytest.raises(RowError) as caught:
            shard_rows.half(torch.tensor([value]), "latents")
        assert caught.value.reason == "latent_overflow"
