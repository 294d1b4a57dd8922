"""Aligner folders: `aligner.safetensors` and `config.json`, written last."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.settings import AlignerSettings
from stableanimator.errors import WeightsError
from stableanimator.state_files import FORMAT, check_format, load_weights, save_weights, settings_from_dict, whole_file


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
        description = json.loads(path.read_text())
        settings = description["aligner"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} does not describe an aligner; run the align job again") from error
    check_format(description, path)
    aligner = Aligner(settings_from_dict(AlignerSettings, settings, f"{path}: aligner"))
    load_weights(aligner, Path(folder) / "aligner.safetensors")
    return aligner.eval()
