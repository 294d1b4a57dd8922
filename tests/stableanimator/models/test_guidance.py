from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from stableanimator.models.animator import Animator, Conditioning, Prepared
from stableanimator.models.guidance import Guided, guidance_scales, guided
from stableanimator.models.settings import Branches

from ...floats import assert_same

pytestmark = pytest.mark.numeric

FRAMES = 3


def _prepared() -> Prepared:
    """One clip, nothing but ones, so that the other branch is known by its zeros."""
    one = torch.ones(1, 1, 1)
    pose = torch.ones(1, FRAMES, 1, 1, 1)
    return Prepared(reference=torch.ones(1, 4, 2, 2), context=one, pose_features=pose, added_time_ids=torch.ones(1, 3))


class _Answers:
    """A denoiser that says 3 with conditions and 1 without, and remembers the clips of each call."""

    def __init__(self, most_clips: int = 2) -> None:
        self.calls: list[list[float]] = []
        self.most_clips = most_clips

    def __call__(self, x: Tensor, sigma: Tensor, given: Prepared) -> Tensor:
        assert len(x) == len(given.context) == len(given.pose_features) == len(given.added_time_ids)
        self.calls.append(given.context.flatten().tolist())
        if len(x) > self.most_clips:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return x * 0 + (1 + 2 * given.context.reshape(-1, 1, 1, 1, 1))


def _x() -> Tensor:
    return torch.zeros(1, FRAMES, 4, 2, 2)


@pytest.mark.parametrize("branches", ["auto", "together", "apart"])
def test_guidance_extrapolates_frame_by_frame(branches: Branches) -> None:
    assert torch.equal(guidance_scales(1.0, 3.0, FRAMES, 16), torch.tensor([1.0, 2.0, 3.0]))
    predict = guided(_Answers(), _prepared(), guidance_scales(1.0, 3.0, FRAMES, 16), branches)
    result = predict(_x(), torch.tensor(1.0))
    # 1 + scale * (3 - 1)
    assert [result[:, frame].unique().tolist() for frame in range(FRAMES)] == [[3.0], [5.0], [7.0]]


@pytest.mark.parametrize(("branches", "calls"), [("together", [[0, 1]]), ("apart", [[0], [1]])])
def test_branches_run_as_one_batch_or_one_after_the_other(branches: Branches, calls: list[list[float]]) -> None:
    denoise = _Answers()
    guided(denoise, _prepared(), guidance_scales(1.0, 3.0, FRAMES, 16), branches)(_x(), torch.tensor(1.0))
    assert denoise.calls == calls


@pytest.mark.parametrize("branches", ["auto", "together", "apart"])
def test_guidance_of_one_runs_the_conditional_branch_alone(branches: Branches) -> None:
    denoise = _Answers()
    guided(denoise, _prepared(), torch.ones(FRAMES), branches)(_x(), torch.tensor(1.0))
    assert denoise.calls == [[1]]


def test_what_memory_does_not_hold_together_runs_apart_from_then_on(caplog: pytest.LogCaptureFixture) -> None:
    denoise = _Answers(most_clips=1)
    predict = Guided(denoise, _prepared(), guidance_scales(1.0, 3.0, FRAMES, 16), together=True, may_part=True)
    results = [predict(_x(), torch.tensor(1.0)) for _ in range(3)]
    assert denoise.calls == [[0, 1]] + 3 * [[0], [1]]
    assert [result[0, :, 0, 0, 0].tolist() for result in results] == [[3.0, 5.0, 7.0]] * 3
    assert len(caplog.records) == 1
    assert "one after the other" in caplog.records[0].message
    with pytest.raises(torch.cuda.OutOfMemoryError):
        guided(denoise, _prepared(), guidance_scales(1.0, 3.0, FRAMES, 16), "together")(_x(), torch.tensor(1.0))


@torch.no_grad()
def test_together_and_apart_agree_on_the_real_network(animator: Animator, conditioning: Conditioning) -> None:
    """Two clips a branch, at the ends and in the middle of the sampler's levels."""
    prepared, scales = animator.prepare(conditioning), guidance_scales(1.0, 3.0, FRAMES, 16)
    x = torch.randn(2, FRAMES, 4, 4, 2, generator=torch.Generator().manual_seed(2))
    for level in (0.002, 1.0, 700.0):
        noisy, sigma = x * (1 + level), torch.tensor(level)
        both: list[Any] = [
            guided(animator.denoise, prepared, scales, name)(noisy, sigma) for name in ("together", "apart")
        ]
        assert_same(both[0], both[1])


@torch.no_grad()
def test_the_other_branch_reads_nothing_of_the_conditions(animator: Animator, conditioning: Conditioning) -> None:
    x, sigma = torch.randn(2, FRAMES, 4, 4, 2), torch.tensor(1.0)
    other = replace(
        conditioning,
        reference_latent=conditioning.reference_latent + 1,
        clip_embedding=conditioning.clip_embedding + 1,
        face_embedding=conditioning.face_embedding + 1,
        pose=-conditioning.pose,
    )
    no_guidance = torch.zeros(FRAMES)  # D_u alone
    one, same = (guided(animator.denoise, animator.prepare(c), no_guidance)(x, sigma) for c in (conditioning, other))
    assert torch.equal(one, same)
