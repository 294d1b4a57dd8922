"""What a GPU does with the full size, in at most ten minutes: every network forward and backward, face optimisation, a
whole animation, and the tests that need a GPU.

    make gpu                                       # the full size on the GPU; results in benchmarks/results/gpu.json
    make gpu ARGS='--small --out results'          # the small base model, on a GPU or on the CPU

Weights of the full size are random, which changes neither seconds nor memory. It is what `benchmarks.model.cost`
counts, on a real machine. Where there is no GPU the small size runs on the CPU, so that nothing but the card is new.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import harness
from benchmarks.harness import Figure, half_range, report
from benchmarks.model.cost import FRAMES, SIZES
from jobs.pairs.latency import still_person
from stableanimator.animate import Driven, Models, Reference, animate
from stableanimator.animate_cost import blank_clip
from stableanimator.animate_settings import AnimateSettings
from stableanimator.diffusion.settings import FaceOptimisationSettings, SamplerSettings
from stableanimator.inference.optimised_faces import face_hook
from stableanimator.media.framing import Size
from stableanimator.models.animator import Animator, Conditioning
from stableanimator.models.checkpoints import load_model_folder
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import EncoderSettings, FrameRates, ModelSettings
from stableanimator.models.unet import checkpoint_activations
from stableanimator.paths import local_path
from stableanimator.perception.arcface import ArcFace

SECONDS = 600.0
"""For everything; what is then not done is left out, and the table says so."""
_TESTS_S = 180.0
"""Of these, kept for the tests."""
_REPEATS = 3
_GIB = 2**30
_WEIGHTS = "package://stableanimator.synthetic/weights"
_REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(kw_only=True)
class Card:
    """A device, and how long it may be used."""

    device: str
    """`cuda` or `cpu`."""
    ends: float
    """On `time.monotonic`."""
    figures: list[Figure] = field(default_factory=list)

    def measure(self, name: str, work: Callable[[], object], repeats: int = _REPEATS) -> None:
        """Median seconds of `work`, and the most memory that PyTorch had allocated on the GPU, weights included.

        Where memory or time does not suffice the values are NaN and the note says so.
        """
        seconds, note = list[float](), f"{repeats} repeats after one to warm up"
        if self.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            while len(seconds) < 1 + repeats:
                if time.monotonic() + (seconds[-1] if seconds else 0) > self.ends:
                    note = f"{len(seconds)} passes, then the time was over"
                    break
                seconds.append(self._timed(work))
        except torch.OutOfMemoryError:
            seconds, note = [], "out of memory"
        timed = seconds[1:] or seconds or [float("nan")]
        self.figures.append(
            Figure(f"seconds of {name}", statistics.median(timed), None, "lower", "s", half_range(timed), note)
        )
        if self.device == "cuda":
            peak = torch.cuda.max_memory_allocated() / _GIB if seconds else float("nan")
            self.figures.append(Figure(f"memory of {name}", peak, None, "lower", "GiB", note="weights are in it"))

    def _timed(self, work: Callable[[], object]) -> float:
        synchronise = torch.cuda.synchronize if self.device == "cuda" else lambda: None
        synchronise()
        started = time.perf_counter()
        work()
        synchronise()
        return time.perf_counter() - started


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """What is run, and how large."""

    models: Callable[[str], Models]
    """Makes the networks, on a device."""
    frames: int
    size: Size
    steps: int
    """Of the sampler in the whole animation."""

    @property
    def words(self) -> str:
        """For the names of figures."""
        return f"{self.frames} x {self.size[0]}x{self.size[1]}"


def full_models(device: str) -> Models:
    """Published shapes and random weights: the denoiser's in bfloat16, those of VAE and CLIP in float32."""
    torch.manual_seed(0)
    arcface = _recogniser()
    usual = ModelSettings()
    face_encoder = replace(usual.face_encoder, embedding_width=arcface.embedding_width)
    with torch.device(device):
        animator = Animator(replace(usual, face_encoder=face_encoder)).to(torch.bfloat16)
    return _together(animator, FrameRates(), Encoders(EncoderSettings()), arcface, device)


def small_models(device: str) -> Models:
    """The base model of the package, with its VAE and CLIP."""
    base = f"{_WEIGHTS}/base"
    loaded = load_model_folder(local_path(base))
    return _together(loaded.animator, loaded.rates, Encoders(EncoderSettings(svd=base)), _recogniser(), device)


def _recogniser() -> ArcFace:
    """The package's: a published one costs about a hundredth of what the full size's decoder does."""
    return ArcFace.from_onnx(f"{_WEIGHTS}/insightface/models/drawn/recogniser.onnx")


def _together(animator: Animator, rates: FrameRates, encoders: Encoders, arcface: ArcFace, device: str) -> Models:
    checkpoint_activations(animator.unet)
    return Models(
        animator=animator.eval().to(device), rates=rates, encoders=encoders.to(device), arcface=arcface.to(device)
    )


FULL = Sizes(models=full_models, frames=FRAMES, size=SIZES[0], steps=2)
SMALL = Sizes(models=small_models, frames=4, size=(96, 96), steps=2)


def measure_all(card: Card, sizes: Sizes) -> None:
    """Everything, the dearest last."""
    models = sizes.models(card.device)
    _denoiser(card, models, sizes)
    _encoders(card, models, sizes)
    _face_optimisation(card, models, sizes)
    _animation(card, models, sizes)


def _denoiser(card: Card, models: Models, sizes: Sizes) -> None:
    """U-Net, PoseNet and FaceEncoder of one clip."""
    x, sigma, conditioning = _clip(card, models, sizes)
    animator = models.animator

    @torch.no_grad()
    def forward() -> None:
        animator.eval().denoise(x, sigma, conditioning)

    def backward() -> None:
        animator.train().denoise(x, sigma, conditioning).square().mean().backward()
        animator.zero_grad()

    card.measure(f"forward, {sizes.words}", forward)
    card.measure(f"forward and backward, checkpointing, {sizes.words}", backward)
    animator.eval()


def _clip(card: Card, models: Models, sizes: Sizes) -> tuple[Tensor, Tensor, Conditioning]:
    x, _, conditioning = blank_clip(models.animator.settings, sizes.frames, sizes.size)
    for value in (conditioning.reference_latent, conditioning.clip_embedding, conditioning.face_embedding):
        value.normal_()
    conditioning.pose.uniform_(-1, 1)
    conditioning.added_time_ids.fill_(1)
    return torch.randn_like(x).to(card.device), torch.ones(1, device=card.device), conditioning.to(card.device)


def _encoders(card: Card, models: Models, sizes: Sizes) -> None:
    """VAE and CLIP, a picture or a chunk of latents at a time."""
    encoders, chunk = models.encoders, min(models.encoders.settings.decode_chunk, sizes.frames)
    picture = torch.rand(1, 3, *sizes.size, device=card.device) * 2 - 1
    latents = _latents(card, models, sizes)[0, :chunk]
    for name, work in {
        "VAE encoding a frame": lambda: encoders.encode(picture),
        "CLIP of a picture": lambda: encoders.embed(picture),
        f"VAE decoding {chunk} frames": lambda: encoders.decode(latents),
    }.items():
        card.measure(f"{name}, {sizes.size[0]}x{sizes.size[1]}", torch.no_grad()(work))


def _latents(card: Card, models: Models, sizes: Sizes) -> Tensor:
    factor = models.encoders.factor
    shape = (1, sizes.frames, models.encoders.latent_channels, sizes.size[0] // factor, sizes.size[1] // factor)
    return torch.randn(shape, device=card.device)


def _face_optimisation(card: Card, models: Models, sizes: Sizes) -> None:
    """The gradient of one iteration, through decoder and recogniser, of a face in every frame."""
    reference, driven = _person(models, sizes)
    hook = face_hook(models, reference, driven.poses, sizes.size, FaceOptimisationSettings())
    latents = _latents(card, models, sizes)
    card.measure(f"an iteration of face optimisation, {sizes.words}", lambda: hook.loss_and_gradient(latents))


def _animation(card: Card, models: Models, sizes: Sizes) -> None:
    """From a picture and poses to frames, with face optimisation in every step."""
    reference, driven = _person(models, sizes)
    settings = AnimateSettings(
        sizes=(sizes.size,),
        sampler=SamplerSettings(steps=sizes.steps),
        hjb=FaceOptimisationSettings(optimisation_steps=1, sigma_max=700.0, sigma_min=0.0),
    )
    name = f"an animation of {sizes.steps} sampling steps, {sizes.words}"
    card.measure(name, lambda: animate(models, reference, driven, settings), repeats=1)


def _person(models: Models, sizes: Sizes) -> tuple[Reference, Driven]:
    return still_person(
        sizes.size, sizes.frames, models.rates.fps[0], models.animator.settings.face_encoder.embedding_width
    )


def run_tests(device: str, seconds: float) -> Figure:
    """The tests that need a GPU; without one, those of the same numbers on the CPU. The value is pytest's exit code."""
    marker = "gpu" if device == "cuda" else "device and not gpu"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", marker, "tests"]
    try:
        run = subprocess.run(command, cwd=_REPOSITORY, capture_output=True, text=True, timeout=max(seconds, 0.01))
        print(run.stdout[-4000:] + run.stderr[-2000:])
        summary = (run.stdout.strip().splitlines() or ["nothing said"])[-1]
        return Figure(f"exit code of the tests marked {marker}", run.returncode, 0, "lower", note=summary)
    except subprocess.TimeoutExpired:
        note = f"not done after {seconds:.0f} s"
        return Figure(f"exit code of the tests marked {marker}", float("nan"), 0, "lower", note=note)


def main(argv: Sequence[str] | None = None) -> int:
    """Run everything. Returns 0, or 1 where a test failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="the small base model, as where there is no GPU")
    parser.add_argument("--out", type=Path, help="folder of gpu.json; without it only the full size writes one")
    arguments = parser.parse_args(argv)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    full = device == "cuda" and not arguments.small
    began = time.monotonic()
    card = Card(device=device, ends=began + SECONDS - _TESTS_S)
    measure_all(card, FULL if full else SMALL)
    if device == "cuda":
        torch.cuda.empty_cache()
    figures = [*card.figures, run_tests(device, began + SECONDS - time.monotonic())]
    figures.append(Figure("seconds of everything", time.monotonic() - began, SECONDS, "lower", "s"))
    return report("gpu", figures, folder=arguments.out or (harness.RESULTS if full else None))


if __name__ == "__main__":
    sys.exit(main())
