"""Ranges of the training jobs' settings, and what a user reads when one is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.training.settings import AlignJobSettings, DistillSettings, EngineSettings, LoopSettings, TrainSettings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (lambda: LoopSettings(batch_size=6), r"batch_size 6 must be a multiple of workers x batch_per_pass \(8 x 1\)"),
        (lambda: AlignJobSettings(batch_size=100), r"batch_size 100 must be a multiple .* \(1 x 256\)"),
        (lambda: AlignJobSettings(steps=0), "steps must be at least 1"),
        (lambda: EngineSettings(zero_stage=0), "zero_stage 0 keeps no fp32 weights"),
        (lambda: EngineSettings(precision="fp16", gpus_per_worker=0), "fp16 needs GPUs"),
        (lambda: EngineSettings(keep_last=0), "keep_last must be at least 1"),
        (lambda: EngineSettings(betas=(0.9, 1.0)), "betas"),
        (lambda: TrainSettings(name="a/b"), "name must be 1 to 100 letters.*'a/b'"),
        (lambda: TrainSettings(name="../x"), "name must be"),
    ],
)
def test_what_cannot_work_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings()


def test_passes_make_up_the_batch() -> None:
    assert LoopSettings(batch_size=24, engine=EngineSettings(workers=2, batch_per_pass=3)).accumulation == 4
    assert LoopSettings().accumulation == 1  # the paper: one clip on each of eight GPUs


def test_the_align_section_becomes_a_loop() -> None:
    loop = AlignJobSettings(steps=7, batch_size=512, learning_rate=0.5, seed=3).loop()
    assert (loop.steps, loop.batch_size, loop.learning_rate, loop.seed, loop.accumulation) == (7, 512, 0.5, 3, 2)


def test_distillation_checks_its_ranges() -> None:
    with pytest.raises(ValueError, match="width"):
        DistillSettings(width=0)
    with pytest.raises(ValueError, match="latent_noise"):
        DistillSettings(latent_noise=-0.1)
