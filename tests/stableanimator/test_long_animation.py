"""Drives of any length through the inference path: the small animation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from stableanimator.animate import Animation, Driving, Models, Reference, aligned, sampled
from stableanimator.animate_settings import AnimateSettings
from stableanimator.diffusion.sampler import karras_sigmas, sample
from stableanimator.driving import skeleton_pictures
from stableanimator.inference.conditions import ClipConditions
from stableanimator.inference.optimised_faces import face_hook
from stableanimator.media import frame_store
from stableanimator.media.tensors import to_pictures

from .small_animation import HJB, PLAIN, animate, small_pose

pytestmark = pytest.mark.numeric

WINDOWS = replace(PLAIN, window=6, overlap=2, window_offset=1)


def _drive(frames: int) -> Driving:
    """The person goes to and fro by 2 pixels, and turns away in every fifth frame."""
    poses = np.stack([small_pose(2 * np.sin(frame)) * [2, 2, 1] for frame in range(frames)]).astype(np.float32)
    poses[4::5, 0, 2] = 0
    return Driving(keypoints=poses[:, None], height=80, width=80, fps=7.0)


@torch.no_grad()
def _without_windows(models: Models, reference: Reference, driving: Driving, settings: AnimateSettings) -> np.ndarray:
    """A clip of one window as it was animated before there were windows, step by step."""
    driven = aligned(reference, driving, settings, models.aligner)
    generator = torch.Generator().manual_seed(5)
    skeletons = skeleton_pictures(driven.poses, 32, 32, "ours")
    conditions = ClipConditions(models, reference, driven, skeletons, settings, generator)
    prepared = conditions.window(slice(0, len(skeletons)))
    scales = torch.linspace(*settings.guidance, len(skeletons)).reshape(1, -1, 1, 1, 1)

    def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        nothing = models.animator.denoise(x, sigma, prepared.unconditional())
        return nothing + scales * (models.animator.denoise(x, sigma, prepared) - nothing)

    hook = None
    if settings.face_optimisation:
        hook = face_hook(models, reference, driven.poses, (32, 32), settings.hjb)
    sampler = settings.sampler
    latents = sample(
        denoise,
        sampler.sigma_max * torch.randn(1, len(skeletons), 4, 8, 8, generator=generator),
        karras_sigmas(sampler.steps, sampler.sigma_min, sampler.sigma_max, sampler.rho),
        sampler,
        hook=hook,
        correction=settings.hjb.correction,
        observe=hook.observe if hook else None,
        generator=generator,
    )
    return to_pictures(models.encoders.decode(latents[0]))


@pytest.mark.parametrize("settings", [PLAIN, HJB], ids=["plain", "hjb"])
@pytest.mark.parametrize("frames", [1, 3, 16])
def test_a_clip_of_one_window_is_what_it_was_bit_for_bit(
    frames: int, settings: AnimateSettings, models: Models, reference: Reference
) -> None:
    expected = _without_windows(models, reference, _drive(frames), settings)
    np.testing.assert_array_equal(animate(models, reference, _drive(frames), settings, seed=5).frames, expected)


def test_a_long_drive_has_all_its_frames_and_none_looks_other_than_the_rest(
    models: Models, reference: Reference
) -> None:
    clip = animate(models, reference, _drive(23), WINDOWS, seed=5)
    assert clip.frames.shape == clip.skeletons.shape == (23, 32, 32, 3)
    levels = clip.frames.astype(float).reshape(23, -1)
    assert levels.std(1).min() > 5
    middle = np.median(levels.mean(1))
    spread = np.abs(levels.mean(1) - middle)
    assert spread[0] < 3 * np.median(spread) + 2  # the first frame is one of them


def test_each_window_is_driven_by_its_own_skeletons(models: Models, reference: Reference) -> None:
    """In windows of one frame a pose reaches the latents of its own frame alone; in overlapping ones its windows'."""
    drive = _drive(9)
    moved = replace(drive, keypoints=drive.keypoints.copy())
    moved.keypoints[3, ..., 1] += 12
    sampler = replace(PLAIN.sampler, steps=1)
    reached = {
        (1, 0): [3],
        (4, 1): [0, 1, 2, 3, 4, 5, 6],  # windows begin at 0, 3 and 5, so frame 3 is in two of them
    }
    for (window, overlap), frames in reached.items():
        settings = replace(
            PLAIN,
            window=window,
            overlap=overlap,
            window_offset=0,
            alignment="none",
            guidance=(2.0, 2.0),
            sampler=sampler,
        )
        latents = [
            sampled(models, reference, aligned(reference, each, settings), settings, seed=5).latents
            for each in (drive, moved)
        ]
        differ = (latents[0] != latents[1]).flatten(1).any(1)
        assert differ.nonzero().flatten().tolist() == frames


def test_frames_leave_one_after_the_other_and_are_those_of_the_animation(models: Models, reference: Reference) -> None:
    settings = replace(WINDOWS, face_optimisation=True, hjb=HJB.hjb)
    driven = aligned(reference, _drive(14), settings, models.aligner)
    steps: list[int] = []

    def bar(indices):  # type: ignore[no-untyped-def]
        for index in indices:
            steps.append(index)
            yield index

    clip = sampled(models, reference, driven, settings, seed=5, progress=bar)
    assert steps == [0, 1, 2]
    assert clip.report is not None
    assert clip.report.final is None
    frames = clip.frames()
    first = next(frames)
    assert (first.shape, first.dtype) == ((32, 32, 3), np.uint8)
    whole = animate(models, reference, _drive(14), settings, seed=5)
    np.testing.assert_array_equal(np.stack([first, *frames]), whole.frames)
    assert whole.face_optimisation is not None
    assert clip.report.final == whole.face_optimisation.final
    assert clip.report.final is not None


def test_face_optimisation_lowers_its_loss_along_the_whole_of_a_long_drive(
    models: Models, reference: Reference
) -> None:
    settings = replace(WINDOWS, face_optimisation=True, hjb=HJB.hjb)
    report = animate(models, reference, _drive(14), settings, seed=5).face_optimisation
    assert report is not None
    assert (report.frames, report.frames_with_face, report.faces) == (14, 12, 12)
    assert [record.step for record in report.records] == [0, 1]
    for record in report.records:
        assert record.after < record.before
        assert record.carried is not None


def test_chunks_of_a_long_clip_are_decoded_with_as_much_of_their_neighbours_everywhere(
    models: Models, reference: Reference
) -> None:
    """By hand: chunks of two that share one; every frame but the first and the last is the mean of two."""
    driven = aligned(reference, _drive(8), WINDOWS, models.aligner)
    clip = sampled(models, reference, driven, WINDOWS, seed=5)
    with torch.no_grad():
        pairs = [models.encoders.decode(clip.latents[start : start + 2]) for start in range(7)]
    middle = [(pairs[frame - 1][1] + pairs[frame][0]) / 2 for frame in range(1, 7)]
    expected = to_pictures(torch.stack([pairs[0][0], *middle, pairs[6][1]]))
    assert np.abs(np.stack(list(clip.frames())).astype(int) - expected).max() <= 1


def test_in_files_the_frames_are_the_same(
    models: Models, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files for everything, as of a drive of hours."""
    expected: Animation = animate(models, reference, _drive(14), WINDOWS, seed=5)
    monkeypatch.setattr(frame_store.room, "__defaults__", (0,))
    found = animate(models, reference, _drive(14), WINDOWS, seed=5)
    assert isinstance(found.frames, np.memmap)
    assert isinstance(found.skeletons, np.memmap)
    np.testing.assert_array_equal(found.frames, expected.frames)
    np.testing.assert_array_equal(found.skeletons, expected.skeletons)
