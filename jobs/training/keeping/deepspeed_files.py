"""DeepSpeed's part of a checkpoint: written, read and put together. Tags name its folders: one of the weights, and one
of their running mean in place of the weights, where there is a mean."""

from __future__ import annotations

import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jobs.training.keeping.checksums import DEEPSPEED
from jobs.training.weight_average import TAG as MEAN
from jobs.training.weight_average import WeightAverage
from stableanimator.errors import CheckpointError, storage_error

_TAG = "state"


def write(engine: Any, mean: WeightAverage | None, folder: Path) -> None:
    """On all workers; each writes its share.

    Raises:
        StorageError: the disk is full. What is half written has no state, and does not exist.
    """
    try:
        engine.save_checkpoint(str(folder / DEEPSPEED), tag=_TAG)
        if mean is not None:
            with mean.in_place_of_weights():
                engine.save_checkpoint(str(folder / DEEPSPEED), tag=MEAN)
    except Exception as error:
        if (full := storage_error(error, folder)) is None:
            raise
        raise full from error


def load(engine: Any, mean: WeightAverage | None, folder: Path) -> None:
    """On all workers, after the checksums were checked.

    Raises:
        CheckpointError: there is nothing to be read.
    """
    for tag in (_TAG,) if mean is None else (MEAN, _TAG):
        loaded, _ = engine.load_checkpoint(str(folder / DEEPSPEED), tag=tag)
        if loaded is None:
            raise CheckpointError(f"{folder}/{DEEPSPEED} cannot be read; delete {folder} to resume before it")
        if mean is not None and tag == MEAN:
            mean.take_weights()


def exported(folder: Path, zero_stage: int, *, mean: bool) -> dict[str, Tensor]:
    """The fp32 weights of all workers together, or their mean, on the CPU, from what was just written."""
    tag, whole = MEAN if mean else _TAG, dict[str, Tensor]()
    if zero_stage <= 1:  # below ZeRO 2 what does not learn is nowhere else
        file = folder / DEEPSPEED / tag / "mp_rank_00_model_states.pt"
        whole = torch.load(file, map_location="cpu", weights_only=False)["module"]  # our own file
    if zero_stage == 0:
        return whole
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    # From the files: with ZeRO 3 no worker's memory holds the whole. It talks much and to no purpose.
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return whole | get_fp32_state_dict_from_zero_checkpoint(str(folder / DEEPSPEED), tag=tag)
