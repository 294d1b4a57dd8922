"""Windows and their fusion by hand, and on data whose denoiser is known in closed form."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stableanimator.diffusion import sampler as sampler_module
from stableanimator.diffusion.hjb import FaceOptimisation, OptimisedFace
from stableanimator.diffusion.long_video import (
    FaceOptimisationInParts,
    WindowedDenoiser,
    fused,
    part_by_part,
    triangle,
    windows,
)
from stableanimator.diffusion.sampler import initial_noise, karras_sigmas, sample
from stableanimator.diffusion.settings import FaceOptimisationSettings, SamplerSettings
from stableanimator.media.frame_store import room

from ...floats import assert_same

pytestmark = pytest.mark.numeric

CPU = torch.device("cpu")


def _starts(frames: int, window: int, overlap: int, offset: int = 0) -> list[int]:
    spans = windows(frames, window, overlap, offset)
    assert {span.stop - span.start for span in spans} == {min(window, frames)}
    return [span.start for span in spans]


def test_windows_are_the_released_ones_and_the_last_is_moved_back() -> None:
    assert _starts(40, 16, 4) == [0, 12, 24]
    assert _starts(41, 16, 4) == [0, 12, 24, 25]
    assert _starts(20, 16, 4) == [0, 4]
    assert [_starts(frames, 16, 4) for frames in (1, 3, 16)] == [[0], [0], [0]]
    assert _starts(40, 16, 4, offset=5) == [0, 7, 19, 24]
    assert _starts(40, 16, 4, offset=12) == _starts(40, 16, 4)
    assert _starts(16, 16, 4, offset=5) == [0]


@pytest.mark.parametrize("overlap", [0, 1, 4, 8, 15])
def test_windows_cover_every_frame_and_neighbours_share_enough(overlap: int) -> None:
    for frames in range(1, 60):
        for offset in (0, 1, 5, 11):
            spans = windows(frames, 16, overlap, offset)
            assert (spans[0].start, spans[-1].stop) == (0, frames)
            for one, other in pairwise(spans):
                assert one.start < other.start
                assert one.stop - other.start >= overlap


def test_weights_are_mimicmotions() -> None:
    assert triangle(4).tolist() == [0.25, 0.75, 0.75, 0.25]
    assert triangle(5).tolist() == pytest.approx([0.2, 0.6, 1.0, 0.6, 0.2])
    assert triangle(1).tolist() == [1.0]


def test_overlapping_stretches_are_averaged_by_their_weights() -> None:
    """Four frames of 10 and four of 20 that share two: 0.75 and 0.25 of the one, then 0.25 and 0.75 of it."""
    spans = windows(6, 4, 2)
    answers = {0: 10.0, 2: 20.0}
    runs = list(fused(spans, lambda span: torch.full((4, 1), answers[span.start])))
    assert [len(run) for run in runs] == [2, 4]
    assert torch.cat(runs)[:, 0].tolist() == [10, 10, 12.5, 17.5, 20, 20]


def test_frames_leave_as_soon_as_nothing_more_is_said_of_them_whatever_the_overlap() -> None:
    """Deep overlaps, against a sum over all windows at once."""
    generator = torch.Generator().manual_seed(0)
    for frames, window, overlap, offset in ((50, 16, 12, 3), (23, 8, 5, 0), (17, 16, 4, 1)):
        spans = windows(frames, window, overlap, offset)
        answers = [torch.randn(window, 3, generator=generator) for _ in spans]
        asked: list[int] = []

        def answer(span: slice, asked: list[int] = asked, answers: list[Tensor] = answers) -> Tensor:
            asked.append(span.start)
            return answers[len(asked) - 1]

        given = 0
        for run, span in zip(fused(spans, answer), spans, strict=True):
            assert asked[-1] == span.start
            given += len(run)
        assert given == frames
        total, weights = torch.zeros(frames, 3), torch.zeros(frames, 1)
        for span, values in zip(spans, answers, strict=True):
            total[span] += triangle(window)[:, None] * values
            weights[span] += triangle(window)[:, None]
        asked.clear()
        assert_same(torch.cat(list(fused(spans, answer))), total / weights)


def test_what_one_stretch_alone_speaks_of_is_as_it_says() -> None:
    values = torch.randn(7, 2, generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.cat(list(fused([slice(0, 7)], lambda span: values))), values)
    both = torch.randn(20, 2, generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.cat(list(fused(windows(20, 12, 4), lambda span: both[span])))[:8], both[:8])


def test_windows_move_from_evaluation_to_evaluation() -> None:
    seen: list[tuple[int, int]] = []

    def denoise(x: Tensor, sigma: Tensor, frames: slice) -> Tensor:
        seen.append((frames.start, x.shape[1]))
        return x

    model = WindowedDenoiser(denoise, 40, 16, 4, 5, CPU)
    x = torch.randn(1, 40, 2, 1, 1)
    for _ in range(2):
        assert_same(model(x, torch.tensor(1.0)), x)
    assert seen == [(start, 16) for start in (0, 12, 24, 0, 7, 19, 24)]


def _gaussian(frames: int) -> Tensor:
    """Covariance [F, F] of data whose frames are the more alike the nearer they are."""
    time = torch.arange(frames, dtype=torch.float64)
    return 0.25 * torch.exp(-(((time[:, None] - time) / 3.0) ** 2) / 2)


def _exact(x: Tensor, sigma: Tensor, frames: slice) -> Tensor:
    """E[y | y + sigma n = x] of one window."""
    own = _gaussian(frames.stop - frames.start)
    gain = own @ torch.linalg.inv(own + float(sigma) ** 2 * torch.eye(len(own), dtype=torch.float64))
    return torch.einsum("ij,bjchw->bichw", gain.float(), x)


def _sampled(overlap: int, offset: int, noise: str = "independent") -> Tensor:
    settings = SamplerSettings(steps=12, noise=noise)  # type: ignore[arg-type]
    noise_ = initial_noise((1, 76, 1, 16, 16), settings, torch.Generator().manual_seed(2), 16)
    denoise = WindowedDenoiser(_exact, 76, 16, overlap, offset, CPU)
    return sample(denoise, noise_, karras_sigmas(12, 0.002, 700.0), settings)


def test_fused_windows_have_no_seam_where_windows_side_by_side_do() -> None:
    def seam(clip: Tensor) -> float:
        steps = clip.diff(dim=1).abs().mean((0, 2, 3, 4))
        borders = torch.zeros(75, dtype=torch.bool)
        borders[[span.start - 1 for span in windows(76, 16, 4)[1:]]] = True
        borders[[span.stop - 1 for span in windows(76, 16, 4)[:-1]]] = True
        return float(steps[borders].mean() / steps[~borders].mean())

    assert seam(_sampled(4, 5)) < 1.05
    assert seam(_sampled(4, 5)) < seam(_sampled(4, 0))
    side_by_side = _sampled(0, 0).diff(dim=1).abs().mean((0, 2, 3, 4))
    assert float(side_by_side[[15, 31, 47]].mean() / side_by_side.mean()) > 2


def test_arithmetic_by_parts_and_in_files_changes_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Second order and a hook that changes every prediction; a frame at a time, and all arrays in files."""
    sigmas = karras_sigmas(5, 0.1, 20.0)
    settings = SamplerSettings(steps=5, sigma_max=20.0)
    noise = initial_noise((1, 20, 2, 3, 3), settings, torch.Generator().manual_seed(0))
    seen: dict[str, list[Tensor]] = {"at once": [], "parts": []}

    def run(name: str, **how: object) -> Tensor:
        denoise = WindowedDenoiser(_exact, 20, 16, 4, 5, CPU)
        return sample(
            denoise, noise, sigmas, settings, hook=lambda x, *_: x + 0.01, correction="carried",
            observe=lambda step, carried: seen[name].append(carried.clone()), **how,  # type: ignore[arg-type]
        )  # fmt: skip

    expected = run("at once")
    monkeypatch.setattr(sampler_module, "room", partial(room, largest=0))
    found = run("parts", over_frames=part_by_part(3))
    assert torch.equal(found, expected)
    assert all(torch.equal(*both) for both in zip(*seen.values(), strict=True))


@pytest.mark.parametrize("noise", ["independent", "shared"])
def test_noise_drawn_by_parts_is_the_noise_of_a_clip_of_one_part(noise: str) -> None:
    settings = SamplerSettings(noise=noise)  # type: ignore[arg-type]
    long = initial_noise((1, 40, 4, 4, 4), settings, torch.Generator().manual_seed(3), 16)
    short = initial_noise((1, 16, 4, 4, 4), settings, torch.Generator().manual_seed(3), 16)
    assert torch.equal(long[:, :16], short)
    assert float(long.std()) == pytest.approx(700, rel=0.1 if noise == "independent" else 0.3)
    assert bool((long[:, 1:] == long[:, :-1]).all()) == (noise == "shared")


def _hook(frames: int, **changes: object) -> FaceOptimisation:
    """The decoder is a convolution, a face what lies at a place, its embedding the mean colours of its quarters; every
    third frame shows none."""
    kernel = torch.randn(3, 4, 3, 3, generator=torch.Generator().manual_seed(4))
    points = torch.full((frames, 2, 2), 2.0) + torch.arange(2.0)[None, :, None] * 4
    points[::3] = torch.nan

    def decode(latents: Tensor, _: int) -> Tensor:
        return functional.conv2d(latents, kernel, padding=1)

    def embed(crops: Tensor) -> Tensor:
        return functional.adaptive_avg_pool2d(crops, 2).flatten(1)

    settings = FaceOptimisationSettings(optimisation_steps=2, region="frame", face_margin=None, **changes)  # type: ignore[arg-type]
    face = OptimisedFace(points=points, wanted=torch.randn(12, generator=torch.Generator().manual_seed(5)))
    return FaceOptimisation(settings, decode, lambda pictures, _: pictures, embed, [face], decode_chunk=2)


def test_parts_of_a_clip_are_optimised_as_clips_of_their_own() -> None:
    x = torch.randn(1, 10, 4, 6, 6, generator=torch.Generator().manual_seed(6))
    hook = FaceOptimisationInParts(_hook(10), 4, CPU)
    found = hook(x, 3, 25, 1.0)
    expected, faces, losses = [], [], []
    for frames in (slice(0, 4), slice(4, 8), slice(8, 10)):
        own = _hook(10).part(frames)
        expected.append(own(x[:, frames], 3, 25, 1.0))
        faces.append(own.report.faces)
        losses.append(own.report.records[0])
    assert torch.equal(found, torch.cat(expected, 1))
    assert faces == [2, 3, 1]  # frames 0, 3, 6 and 9 have none
    (record,) = hook.report.records
    assert record.before == pytest.approx(np.average([each.before for each in losses], weights=faces))
    assert record.before == pytest.approx(_hook(10).loss(x), rel=1e-5)
    assert record.after == pytest.approx(_hook(10).loss(found), rel=1e-5)
    assert record.carried is None
    hook.observe(3, found)
    assert hook.report.records[0].carried == pytest.approx(record.after, rel=1e-5)
    assert (hook.report.frames, hook.report.frames_with_face, hook.report.people) == (10, 6, 1)


def test_final_frames_are_judged_as_they_come() -> None:
    pictures = torch.randn(10, 3, 6, 6, generator=torch.Generator().manual_seed(7))
    whole, parts = _hook(10), FaceOptimisationInParts(_hook(10), 4, CPU)
    whole.judge(pictures)
    for _ in range(2):  # asked for once more, the frames are judged anew
        for first in range(0, 10, 2):
            parts.judge(pictures[first : first + 2], first)
    assert parts.report.final == pytest.approx(whole.report.final, rel=1e-6)


def test_where_nothing_is_optimised_the_very_prediction_comes_back() -> None:
    x = torch.randn(1, 10, 4, 6, 6)
    hook = FaceOptimisationInParts(_hook(10), 4, CPU)
    assert hook(x, 0, 25, 100.0) is x  # above sigma_max
    assert hook.report.records == []
