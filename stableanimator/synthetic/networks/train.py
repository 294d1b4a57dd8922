"""Draw, train, export: `python -m stableanimator.synthetic.networks.train --work FOLDER [--only pose …]`.

What is in FOLDER already is not made again, so an interrupted run goes on; a finished training is only exported. On two
CPU cores everything takes about three hours.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from torch import nn

from stableanimator.errors import UserError
from stableanimator.synthetic.networks.export import Interface, export
from stableanimator.synthetic.networks.face_detector import STRIDES, FaceDetector, FaceSamples, face_loss
from stableanimator.synthetic.networks.pasted_scenes import SceneSamples
from stableanimator.synthetic.networks.person_detector import SIDE, PersonDetector, PersonSamples, person_loss
from stableanimator.synthetic.networks.pose_network import HEIGHT, WIDTH, PoseNetwork, PoseSamples, pose_loss
from stableanimator.synthetic.networks.recognisers import (
    CropSamples,
    MarginHead,
    MixerRecogniser,
    ResidualRecogniser,
    recogniser_loss,
)
from stableanimator.synthetic.networks.training import Loss, Sampler, Schedule, train
from stableanimator.synthetic.networks.training_frames import (
    EVERYTHING,
    FACES,
    NOBODY,
    OTHER_FACES,
    FrameSet,
    TrainingFrames,
    draw_frames,
)

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
"""Where the shipped files lie."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Everything that makes one network."""

    file: str
    """Below the weights' folder."""
    frames: tuple[FrameSet, ...]
    network: Callable[[], nn.Module]
    sampler: Callable[[TrainingFrames], Sampler]
    loss: Loss
    schedule: Schedule
    interface: Interface
    kept: Callable[[nn.Module], nn.Module] = lambda network: network
    """What of the trained network is exported."""


def _crop_interface() -> Interface:
    return Interface(inputs="input.1", shape=(1, 3, 112, 112), outputs=("embedding",), dynamic={0: "batch"})


RECIPES: dict[str, Recipe] = {
    "pose": Recipe(
        file="dwpose/pose.onnx",
        frames=(EVERYTHING,),
        network=PoseNetwork,
        sampler=PoseSamples,
        loss=pose_loss,
        schedule=Schedule(steps=3000, batch=48),
        interface=Interface(
            inputs="input", shape=(1, 3, HEIGHT, WIDTH), outputs=("simcc_x", "simcc_y"), dynamic={0: "batch"}
        ),
    ),
    "face_detector": Recipe(
        file="insightface/models/drawn/detector.onnx",
        frames=(EVERYTHING, NOBODY),
        network=FaceDetector,
        sampler=lambda frames: FaceSamples(SceneSamples(frames, 256, (0.5, 2.0))),
        loss=face_loss,
        schedule=Schedule(steps=9200, batch=24, settled_from=0.87),
        interface=Interface(
            inputs="input.1",
            shape=(1, 3, 320, 320),
            outputs=tuple(f"{what}_{stride}" for what in ("score", "bbox", "kps") for stride in STRIDES),
            dynamic={2: "height", 3: "width"},
        ),
    ),
    "person_detector": Recipe(
        file="dwpose/person_detector.onnx",
        frames=(EVERYTHING, NOBODY),
        network=PersonDetector,
        sampler=lambda frames: PersonSamples(SceneSamples(frames, SIDE, (0.5, 1.3))),
        loss=person_loss,
        schedule=Schedule(steps=4500, batch=24),
        interface=Interface(inputs="images", shape=(1, 3, SIDE, SIDE), outputs=("output",), dynamic={}),
    ),
    "recogniser": Recipe(
        file="insightface/models/drawn/recogniser.onnx",
        frames=(FACES,),
        network=lambda: MarginHead(ResidualRecogniser(), FACES.identities, angular=0.3),
        sampler=lambda frames: CropSamples(frames, FACES),
        loss=recogniser_loss,
        schedule=Schedule(steps=2000, batch=64),
        interface=_crop_interface(),
        kept=lambda head: head.recogniser,
    ),
    "held_out_recogniser": Recipe(
        file="held_out_recogniser.onnx",
        frames=(OTHER_FACES,),
        network=lambda: MarginHead(MixerRecogniser(), OTHER_FACES.identities, additive=0.25),
        sampler=lambda frames: CropSamples(frames, OTHER_FACES),
        loss=recogniser_loss,
        schedule=Schedule(steps=1600, batch=64, seed=1),
        interface=_crop_interface(),
        kept=lambda head: head.recogniser,
    ),
}
"""The five networks by name."""


def make(name: str, work: Path, out: Path, device: str, workers: int) -> Path:
    """Draw what is missing, train to the end of the schedule, export; returns the file."""
    recipe = RECIPES[name]
    for wanted in recipe.frames:
        draw_frames(work / "frames", wanted, workers)
    frames = TrainingFrames(work / "frames", *recipe.frames)
    torch.manual_seed(recipe.schedule.seed)
    network = recipe.network()
    print(f"{name}: {sum(one.numel() for one in network.parameters())} parameters, {len(frames)} frames", flush=True)
    trained = train(network, recipe.sampler(frames), recipe.loss, recipe.schedule, work / name, device)
    export(recipe.kept(trained), recipe.interface, out / recipe.file)
    return out / recipe.file


def main(argv: list[str] | None = None) -> int:
    """Make the networks that are asked for, and print a line for the card of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for drawn frames and checkpoints, 2 GB")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder for the files; default: the package")
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES), help="default: all five")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        for name in arguments.only:
            file = make(name, arguments.work, arguments.out, arguments.device, arguments.workers)
            data = file.read_bytes()
            print(
                f"| {file.relative_to(arguments.out)} | {len(data)} | {hashlib.sha256(data).hexdigest()} |", flush=True
            )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
