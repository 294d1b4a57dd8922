"""Aligner folders: `aligner.safetensors` and `config.json`, written last."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.settings import AlignerSettings
from stableanimator.errors import CheckpointError, WeightsError
from stableanimator.paths import read_json
from stableanimator.state_files import (
    FORMAT,
    check_format,
    check_state_dict,
    load_weights,
    read_state_dict,
    save_weights,
    settings_from_dict,
    whole_file,
)


def save_aligner_folder(
    folder: str | Path, settings: AlignerSettings, state: dict[str, Tensor], config: dict[str, Any]
) -> None:
    """Write an aligner.

    Args:
        folder: a local folder that exists.
        settings: the network's shape.
        state: its state dict.
        config: anything that JSON can hold, for people.
    """
    root = Path(folder)
    aligner = Aligner(settings)
    aligner.load_state_dict(state)
    save_weights(aligner, root / "aligner.safetensors")
    description = {"format": FORMAT, "aligner": asdict(settings), "config": config}
    with whole_file(root / "config.json") as partial:
        partial.write_text(json.dumps(description, indent=1, sort_keys=True))


def load_aligner_folder(folder: str | Path) -> Aligner:
    """Read what `save_aligner_folder` wrote: an aligner on the CPU, in evaluation mode.

    Raises:
        WeightsError: a file is missing or unreadable.
        CheckpointError: names, shapes or settings do not fit.
    """
    path = Path(folder) / "config.json"
    try:
        description = read_json(path)
        settings = description["aligner"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} does not describe an aligner; run the align job again") from error
    check_format(description, path)
    return read_aligner(
        settings_from_dict(AlignerSettings, settings, f"{path}: aligner"), Path(folder) / "aligner.safetensors"
    )


def read_aligner(settings: AlignerSettings, path: Path) -> Aligner:
    """An aligner on the CPU, in evaluation mode. It is built after its weights were found to be of this size.

    Raises:
        WeightsError: the file is missing or unreadable.
        CheckpointError: names or shapes do not fit.
    """
    state = read_state_dict(path)
    try:
        with torch.device("meta"):
            outline = Aligner(settings)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: no aligner has these settings: {settings}") from error
    check_state_dict(outline, state, str(path))
    aligner = Aligner(settings)
    load_weights(aligner, path)
    return aligner.eval()
