"""`python -m jobs.export --model M --out DIR --to released | safetensors`: a model in another format, in a new folder.

`released` writes `unet.pth`, `pose_net.pth` and `face_encoder.pth`, which the scripts of the released StableAnimator
load; `safetensors` writes our model folder, also from released files. A plain command: it needs no Ray, and ends with 2
after a user's mistake.
"""

from __future__ import annotations

from jobs.running import ending

if __name__ == "__main__":
    ending.until_begun()

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobs.running.config import load
from jobs.training.run_folder import trained_folder
from pipelines.storage.store import Store
from stableanimator.errors import InputError
from stableanimator.models.checkpoints import LoadedModel, load_model_folder, save_model_folder, save_released_folder
from stableanimator.models.settings import FrameRates, ModelSettings


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    result = argparse.ArgumentParser(prog="python -m jobs.export", description=__doc__.splitlines()[0])
    model_help = "a model folder, a folder of released files, or, with --config, an id, its first characters, or latest"
    result.add_argument("--model", required=True, help=model_help)
    result.add_argument("--out", required=True, type=Path, help="a folder that is new or empty")
    result.add_argument("--to", required=True, choices=("released", "safetensors"), help="the format to write")
    result.add_argument("--config", help="a YAML file whose root holds the model; not needed for a folder")
    return result.parse_args(argv)


def model_folder(which: str, config: str | None) -> Path:
    """Where the model lies.

    Raises:
        UserError: it is named by an id without a configuration, or there is none.
    """
    if config is not None and "/" not in which:
        return trained_folder(Store(load(config).root), "models", which)[1]
    folder = Path(which)
    if not folder.is_dir():
        raise InputError(f"--model: there is no folder {which}; a trained model's id, or latest, needs --config too")
    return folder


def export(model: LoadedModel, out: Path, to: str) -> str:
    """Write the model and say what was made and what the format leaves out.

    Raises:
        InputError: the folder holds something, or cannot be made.
        StorageError: the disk is full.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out: {out} is there and not an empty folder; name a new one")
    remarks = []
    try:
        if to == "safetensors":
            save_model_folder(out, model.animator, model.aligner, model.rates, model.config)
        else:
            save_released_folder(out, model.animator)
            remarks = _not_in_released(model)
    except OSError as error:
        raise InputError(f"--out: {out} cannot be written ({error.strerror}); name another folder") from error
    size = sum(path.stat().st_size for path in out.iterdir())
    return "; ".join([f"export: {to} files, {size / 1e6:,.0f} MB, in {out}", *remarks])


def _not_in_released(model: LoadedModel) -> list[str]:
    """What the released files have no place for."""
    remarks = ["without the aligner, which the released scripts do not know"] if model.aligner else []
    if model.rates.fps_id != FrameRates().fps_id:
        rates = ", ".join(f"{fps:.3g}" for fps in model.rates.fps)
        remarks.append(f"trained at {rates} frames a second, and the released scripts say fps_id 6, 7 a second")
    changed = _differences(asdict(ModelSettings()), asdict(model.animator.settings))
    if changed:
        remarks.append(f"the released scripts expect other settings: {', '.join(changed)}")
    return remarks


def _differences(released: dict[str, Any], ours: dict[str, Any], prefix: str = "") -> list[str]:
    """Settings that are not the released ones, as `section.key=value`."""
    found = []
    for name, value in ours.items():
        if isinstance(value, dict):
            found += _differences(released[name], value, f"{prefix}{name}.")
        elif value != released[name]:
            found.append(f"{prefix}{name}={value}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns its exit code (`jobs.running.ending`)."""
    arguments = _arguments(argv)

    def write() -> int:
        model = load_model_folder(model_folder(arguments.model, arguments.config))
        print(export(model, arguments.out, arguments.to))
        return ending.EXIT_OK

    return ending.ended(write, kept=f"what lies in {arguments.out} is not whole: delete it before the next export")


if __name__ == "__main__":
    ending.leave(main())
