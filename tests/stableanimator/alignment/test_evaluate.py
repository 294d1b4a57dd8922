from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.baselines import align
from stableanimator.alignment.evaluate import compare, dis
from stableanimator.alignment.settings import AlignSettings, PairsSettings
from stableanimator.alignment.training_pairs import AlignmentPairs

SETTINGS = AlignSettings(evaluation_pairs=300, pairs=PairsSettings(procedural_share=0.3))


def frozen_person(seed: int) -> np.ndarray:
    """A clip in which nobody moves."""
    pose = np.random.default_rng(seed).uniform(0.2, 0.8, (1, 18, 3)).astype(np.float32)
    pose[..., 2] = 0.9
    return np.repeat(pose, 6, axis=0)


def test_dis_by_hand() -> None:
    truth = torch.zeros(2, 18, 3)
    truth[0, :3, 2] = 0.9
    truth[1, 0, 2] = 0.2
    aligned = torch.zeros(2, 18, 2)
    aligned[0, 0], aligned[0, 1], aligned[0, 2] = torch.tensor([[3.0, 4], [0, 1], [float("nan"), 0]])
    result = dis(aligned, truth)
    assert float(result[0]) == 3  # (5 + 1) / 2: the third joint is missing in `aligned`
    assert torch.isnan(result[1])  # nothing is visible


def test_svd_is_right_where_nobody_moves_and_none_is_off_by_the_misalignment() -> None:
    settings = replace(SETTINGS, pairs=PairsSettings(procedural_share=0))
    pairs = AlignmentPairs(settings, [frozen_person(0), frozen_person(1)], "evaluation")
    result = compare(("none", "svd", "learned"), pairs, Aligner(settings.aligner))
    assert result["svd"].mean < 1e-5
    assert result["learned"].mean < 1e-5  # an untrained residual is the SVD alignment
    batch = pairs.batch(range(300))
    expected = (batch["driven"] - batch["truth"])[..., :2].norm(dim=-1).mean()
    assert result["none"].mean == pytest.approx(float(expected), rel=1e-5)


def test_means_by_clip_make_up_the_whole() -> None:
    pairs = AlignmentPairs(SETTINGS, [frozen_person(0), frozen_person(1)], "evaluation")
    result = compare(("svd",), pairs)["svd"]
    assert set(result.by_clip) == {-1, 0, 1}
    assert sum(result.pairs_by_clip.values()) == 300
    total = sum(result.by_clip[clip] * result.pairs_by_clip[clip] for clip in result.by_clip)
    assert result.mean == pytest.approx(total / 300)
    batch = pairs.batch(range(300))
    procedural = batch["clip"] == -1
    aligned = align("svd", batch["reference"], batch["driven"]).apply(batch["driven"][..., :2])
    assert result.by_clip[-1] == pytest.approx(float(dis(aligned, batch["truth"])[procedural].mean()))


def test_learned_without_an_aligner_is_refused() -> None:
    with pytest.raises(ValueError, match="aligner"):
        compare(("learned",), AlignmentPairs(SETTINGS, [], "evaluation"))
