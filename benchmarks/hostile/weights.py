"""Hostile weights, each where a job reads such a file: pickles, safetensors, ONNX, TorchScript, descriptions."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from transformers.utils import logging as transformers_logging

from benchmarks.hostile.answers import Answer, by_command, by_reading, with_canary
from benchmarks.hostile.weights_files import CONFIGS, ONNX, PICKLES, SAFETENSORS, Write, described, program
from jobs.pairs.model import named_model
from jobs.weights.__main__ import main
from pipelines.storage.store import Store
from stableanimator.alignment.aligner_folder import load_aligner_folder
from stableanimator.metrics.networks.loading import load_networks
from stableanimator.metrics.settings import MetricNetworkSettings
from stableanimator.models.checkpoints import load_model_folder
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import EncoderSettings
from stableanimator.paths import local_path
from stableanimator.perception.arcface import ArcFace
from stableanimator.perception.cotracker_tracks import load_network
from stableanimator.perception.dwpose import PersonDetector, WholeBodyPose
from stableanimator.perception.faces import FaceAnalyser
from stableanimator.perception.held_out import HeldOutRecogniser
from stableanimator.perception.settings import CoTrackerSettings, FaceSettings

_BASE = "package://stableanimator.synthetic/weights/base"
_ALIGNER = "package://stableanimator.alignment/weights"

Reader = Callable[[Path], object]
"""Reads a folder in which a file is hostile, as a job does."""


def _model(folder: Path) -> object:
    return load_model_folder(folder)


def _networks(setting: str, file: str) -> Reader:
    def read(folder: Path) -> object:
        named: dict[str, Any] = {setting: str(folder / file)}
        return load_networks(MetricNetworkSettings(**named))

    return read


def _lpips(folder: Path) -> object:
    file = str(folder / "w.pth")
    return load_networks(MetricNetworkSettings(lpips_trunk=file, lpips_heads=file))


def _faces(folder: Path) -> object:
    return FaceAnalyser(FaceSettings(pack_root=str(folder), pack="p"))


def _judge(folder: Path) -> object:
    return HeldOutRecogniser.from_settings(FaceSettings(pack_root=str(folder), pack="q", held_out="p"))


PICKLE_READERS: dict[str, tuple[str, Reader]] = {
    "model": ("unet.pth", _model),
    "metrics": ("w.pth", _networks("i3d", "w.pth")),
    "lpips": ("w.pth", _lpips),
    "cotracker": ("w.pth", lambda folder: load_network(CoTrackerSettings(checkpoint=str(folder / "w.pth")), "cpu")),
}
SAFETENSORS_READERS: dict[str, tuple[str, Reader]] = {
    "model": ("unet.safetensors", _model),
    "encoders": ("vae/diffusion_pytorch_model.safetensors", lambda folder: Encoders(EncoderSettings(svd=str(folder)))),
}
ONNX_READERS: dict[str, tuple[str, Reader]] = {
    "faces": ("models/p/w.onnx", _faces),
    "recogniser": ("w.onnx", lambda folder: ArcFace.from_onnx(folder / "w.onnx")),
    "judge": ("models/p/w.onnx", _judge),
    "people": ("w.onnx", lambda folder: PersonDetector(str(folder / "w.onnx"))),
    "poses": ("w.onnx", lambda folder: WholeBodyPose(str(folder / "w.onnx"))),
}
CONFIG_READERS: dict[str, tuple[str, Reader]] = {
    "model": ("config.json", _model),
    "aligner": ("aligner/config.json", lambda folder: load_aligner_folder(folder / "aligner")),
    "vae": ("vae/config.json", lambda folder: Encoders(EncoderSettings(svd=str(folder)))),
    "image encoder": ("image_encoder/config.json", lambda folder: Encoders(EncoderSettings(svd=str(folder)))),
    "tiny decoder": (
        "tiny_decoder/config.json",
        lambda folder: Encoders(EncoderSettings(svd=str(folder), tiny_decoder=str(folder / "tiny_decoder"))),
    ),
}
"""By who reads it, the file that is hostile."""


_LEFT_OUT = {
    "encoders": ("150,000 names", "a name of a megabyte", "a name with NUL and lines"),  # diffusers passes them over
    # `faces` has opened the file before, and refused it
    "recogniser": ("a node without inputs", "shapes that do not fit", "a constant of eight gigabytes"),
    "judge": ("a constant of eight gigabytes",),  # it is a program of its own, which takes this when it is run
}
"""What is no mistake to a reader, or another's to tell."""


def answers(folder: Path) -> Iterator[Answer]:
    """Of every file, to every reader of its kind."""
    transformers_logging.disable_progress_bar()
    yield from _files(folder / "pickles", PICKLES, PICKLE_READERS)
    yield from _files(folder / "safetensors", SAFETENSORS, SAFETENSORS_READERS)
    yield from _files(folder / "onnx", ONNX, ONNX_READERS)
    yield from _descriptions(folder / "config")
    yield from _others(folder / "others")


def _files(folder: Path, files: dict[str, Write], readers: dict[str, tuple[str, Reader]]) -> Iterator[Answer]:
    for reader, (file, read) in readers.items():
        for number, (name, write) in enumerate(files.items()):
            if name in _LEFT_OUT.get(reader, ()) or (file == "unet.pth" and "code" not in name):  # it takes a second
                continue
            place, canary = folder / f"{reader}{number}", folder / f"{reader}{number}.ran"
            if file.startswith(("unet", "vae")):
                _base(place)
                for known in (place / file).parent.glob(f"{Path(file).stem}*"):
                    known.unlink()
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            write(place / file, canary)
            yield with_canary(by_reading(f"{reader}: {name}", functools.partial(read, place)), canary)


def _base(place: Path) -> None:
    """The small model, by links."""
    shutil.copytree(local_path(_BASE), place, copy_function=lambda old, new: Path(new).symlink_to(old))


def _descriptions(folder: Path) -> Iterator[Answer]:
    for reader, (file, read) in CONFIG_READERS.items():
        for number, (name, change) in enumerate(CONFIGS.items()):
            place = folder / f"{reader}{number}"
            _base(place)
            shutil.copytree(local_path(_ALIGNER), place / "aligner")
            known = json.loads((place / file).read_text())
            if change(known) == known:
                continue
            (place / file).unlink()
            (place / file).write_bytes(described(known, change))
            answer = by_reading(f"{reader} described by {name}", functools.partial(read, place))
            if (
                name not in ("code to import", "numbers as settings") or answer.code != 0
            ):  # passed over, which is as well
                yield answer


def _others(folder: Path) -> Iterator[Answer]:
    folder.mkdir()
    canary = folder / "ran"
    (folder / "w.pt").write_bytes(program(canary))
    canary.unlink(missing_ok=True)
    read = functools.partial(_networks("i3d_torchscript", "w.pt"), folder)
    yield with_canary(by_reading("a TorchScript program that writes a file", read), canary)
    for number, (name, change) in enumerate(CONFIGS.items()):
        root = folder / f"root{number}"
        root.mkdir()
        known = {"insightface/models/antelopev2.zip": {"sha256": "0", "size": 1, "mtime_ns": 1, "trust": "x"}}
        (root / "checksums.json").write_bytes(described(known, change))
        answer = by_command(f"records of {name}", main, ["verify", "--root", str(root)])
        yield answer
        model = folder / f"model{number}"
        _base(model)
        (model / "state.json").write_bytes(described({"step": 3}, change))
        if not _is_steps(change({"step": 3})):
            which = functools.partial(named_model, Store(str(folder / "store")), str(model))
            yield by_reading(f"a training's state of {name}", which)


def _is_steps(state: object) -> bool:
    return isinstance(state, dict) and isinstance(state.get("step"), int)
