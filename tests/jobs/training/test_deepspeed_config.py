"""DeepSpeed's configuration is read by DeepSpeed's own parser."""

from __future__ import annotations

import os

import pytest

from jobs.training.deepspeed_config import deepspeed_config, learning_rate
from jobs.training.settings import EngineSettings, LoopSettings


def test_deepspeed_reads_what_the_settings_say() -> None:
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    from deepspeed.runtime.config import DeepSpeedConfig

    engine = EngineSettings(
        workers=1, batch_per_pass=2, zero_stage=3, precision="bf16", gradient_clipping=0.7, gpus_per_worker=0
    )
    read = DeepSpeedConfig(deepspeed_config(LoopSettings(batch_size=6, learning_rate=3e-4, engine=engine)))
    assert (read.train_batch_size, read.train_micro_batch_size_per_gpu, read.gradient_accumulation_steps) == (6, 2, 3)
    assert read.zero_optimization_stage == 3
    assert (read.bfloat16_config.enabled, read.float16_config.enabled) == (True, False)
    assert read.gradient_clipping == 0.7
    assert read.optimizer_name == "adamw"
    assert read.optimizer_params["lr"] == 3e-4


def test_the_rate_grows_linearly_and_stays() -> None:
    loop = LoopSettings(learning_rate=1e-2, engine=EngineSettings(warmup_steps=4))
    rates = [learning_rate(loop, step, 2000) for step in (0, 1, 3, 4, 1000)]
    assert rates == pytest.approx([0.0025, 0.005, 0.01, 0.01, 0.01])
    assert learning_rate(LoopSettings(learning_rate=1e-2, engine=EngineSettings(warmup_steps=0)), 0, 9) == 1e-2


def test_the_rate_falls_along_half_a_cosine() -> None:
    loop = LoopSettings(learning_rate=1e-2, engine=EngineSettings(warmup_steps=4, decay="cosine"))
    rates = [learning_rate(loop, step, 104) for step in (3, 4, 29, 54, 79, 103)]
    half = 0.5 * 2**-0.5
    assert rates == pytest.approx([0.01, 0.01, 0.01 * (0.5 + half), 0.005, 0.01 * (0.5 - half), 0.0], abs=1e-5)
