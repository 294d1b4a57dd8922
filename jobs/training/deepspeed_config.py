"""DeepSpeed's configuration, derived: what `LoopSettings` says is said nowhere else."""

from __future__ import annotations

import math
from typing import Any

from jobs.training.settings import LoopSettings


def deepspeed_config(loop: LoopSettings) -> dict[str, Any]:
    """The dict for `deepspeed.initialize`.

    The learning rate is set by the loop at every step (`learning_rate`), so no scheduler is named. AdamW is PyTorch's:
    DeepSpeed's own needs a CUDA compiler on every machine.
    """
    engine = loop.engine
    return {
        "train_batch_size": loop.batch_size,
        "train_micro_batch_size_per_gpu": engine.batch_per_pass,
        "gradient_accumulation_steps": loop.accumulation,
        "gradient_clipping": engine.gradient_clipping,
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": loop.learning_rate,
                "betas": list(engine.betas),
                "eps": engine.epsilon,
                "weight_decay": engine.weight_decay,
                "torch_adam": True,
            },
        },
        "zero_optimization": {"stage": engine.zero_stage},
        "bf16": {"enabled": engine.precision == "bf16"},
        "fp16": {"enabled": engine.precision == "fp16"},
        "steps_per_print": 1 << 40,  # the loop reports its own progress
        "wall_clock_breakdown": False,
    }


def learning_rate(loop: LoopSettings, step: int, steps: int) -> float:
    """Of optimiser step `step` (from 0) of `steps`: linear warm-up from above 0, then as `engine.decay` says."""
    warmup = loop.engine.warmup_steps
    if step < warmup:
        return loop.learning_rate * (step + 1) / warmup
    if loop.engine.decay == "none":
        return loop.learning_rate
    return loop.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
