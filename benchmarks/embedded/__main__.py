"""`python -m benchmarks.embedded`: see the package. Settings are chosen on people of another --seed."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.drawn.clips import FIRST_SEED, WEIGHTS
from benchmarks.embedded import far, misaligned, own_frame
from benchmarks.embedded.judge import Judge, Pictures
from benchmarks.harness import RESULTS, Figure, report
from jobs.running.config import Config, load
from stableanimator import alignment
from stableanimator.alignment.aligner_folder import load_aligner_folder
from stableanimator.animate import Models
from stableanimator.models.checkpoints import load_model_folder
from stableanimator.models.encoders import Encoders
from stableanimator.perception.arcface import ArcFace
from stableanimator.perception.faces import FaceAnalyser

_ROOT = Path(__file__).resolve().parents[2]
_CONFIG = _ROOT / "jobs" / "configs" / "base_tiny.yaml"
_PARTS = ("own_frame", "far", "misaligned", "package", "demo")
_PACKAGES = ("stableanimator", "pipelines", "jobs")
_REPORTED = 500_000


def main() -> int:
    """Returns 0, or 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default=",".join(_PARTS), help="what is measured (default: %(default)s)")
    parser.add_argument("--model", default=str(WEIGHTS / "base"), help="a model folder; by default the package's")
    parser.add_argument("--clips", type=int, default=40, help="people of each kind")
    parser.add_argument(
        "--seed", type=int, default=_REPORTED, help="of the people, after the first (default: %(default)s)"
    )
    parser.add_argument("--sheet", type=Path, help="also write pictures of some results")
    parser.add_argument(
        "overrides", nargs="*", metavar="a.b=value", help="settings that replace those of base_tiny.yaml"
    )
    arguments = parser.parse_intermixed_args()
    parts = arguments.parts.split(",")
    if unknown := set(parts) - set(_PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(_PARTS)}")
    figures, pictures = _animated(parts, arguments)
    if "package" in parts:
        figures.append(Figure("size of the packages", _package_mb(), 25.0, "lower", "MB"))
    if "demo" in parts:
        figures.append(Figure("seconds of the demo", _demo_seconds(), 600.0, "lower", "s"))
    if arguments.sheet is not None and pictures:
        width = max(each.shape[1] for each in pictures)
        whole = np.vstack([np.pad(each, ((0, 0), (0, width - each.shape[1]), (0, 0))) for each in pictures])
        cv2.imwrite(str(arguments.sheet), whole[..., ::-1])
    reported = arguments.clips >= 40 and arguments.seed == _REPORTED and set(parts) == set(_PARTS)
    return report("embedded", figures, folder=RESULTS if reported else None)


def settings_of(overrides: Sequence[str]) -> Config:
    """Those of the base model's recipe."""
    return load(str(_CONFIG), ["root=/nowhere", *overrides])


def models_of(config: Config, folder: str = str(WEIGHTS / "base")) -> Models:
    """The networks of a model folder, with the aligner and the recogniser of the package."""
    assert config.perception is not None
    loaded = load_model_folder(folder)
    return Models(
        animator=loaded.animator,
        rates=loaded.rates,
        encoders=Encoders(config.encoders),
        aligner=load_aligner_folder(Path(alignment.__file__).parent / "weights"),
        arcface=ArcFace.from_onnx(FaceAnalyser(config.perception.faces).recogniser_path),
    )


def _animated(parts: list[str], arguments: argparse.Namespace) -> tuple[list[Figure], list[Pictures]]:
    config = settings_of(arguments.overrides)
    models, judge = models_of(config, arguments.model), Judge()
    settings = config.animate.variants["plain"]
    seed, clips = FIRST_SEED + arguments.seed, arguments.clips
    figures: list[Figure] = []
    pictures: list[Pictures] = []
    if "own_frame" in parts:
        found, cases = own_frame.measure(models, settings, judge, clips, seed)
        figures += found
        pictures.append(own_frame.sheet(cases))
    if "far" in parts:
        found, people = far.measure(models, settings, judge, clips, seed + 10_000)
        figures += found
        pictures.append(far.sheet(people))
    if "misaligned" in parts:
        figures += misaligned.measure(models, settings, judge, clips, seed + 20_000)
    return figures, pictures


def _package_mb() -> float:
    """Of what is installed: code, tables and weights."""
    files = [path for package in _PACKAGES for path in (_ROOT / package).rglob("*")]
    return sum(path.stat().st_size for path in files if path.is_file() and "__pycache__" not in path.parts) / 1e6


def _demo_seconds() -> float:
    """Of the demo in a new folder; infinite where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        code = subprocess.run([sys.executable, "-m", "jobs.demo", "--folder", folder], cwd=_ROOT).returncode
        return time.monotonic() - started if code == 0 else float("inf")


if __name__ == "__main__":
    raise SystemExit(main())
