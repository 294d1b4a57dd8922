"""What cheaper decoders cost and what their gradients are worth, beside whole frames by the VAE.

Gradients, time and memory: a drawn face of 10x10 latents in a frame of 72x128, the package's VAE, ArcFace and small
decoder. Gains: final frames of the small base model, decoded by the VAE. The full size is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.face_optimisation.analytic import crop
from benchmarks.face_optimisation.base_model import Task, bench, optimised, results_of
from benchmarks.face_optimisation.gains import PLAIN, gain_of, values_of
from benchmarks.face_optimisation.people import Case
from benchmarks.harness import Figure, interleave, ratio
from benchmarks.model.cost import SIZES, face_optimisation_figures
from benchmarks.processes import spread
from stableanimator.diffusion.hjb import FaceOptimisation, OptimisedFace
from stableanimator.diffusion.settings import FACE_OPTIMISATION_PRESETS, FaceOptimisationSettings
from stableanimator.media.tensors import to_tensor
from stableanimator.metrics.intervals import bootstrap
from stableanimator.models.counting import peak_bytes
from stableanimator.models.encoders import Encoders
from stableanimator.models.group_norm_statistics import GroupNormStatistics
from stableanimator.models.settings import EncoderSettings
from stableanimator.perception.arcface import TEMPLATE, ArcFace, crop_boxes
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.script import ClipSettings

WEIGHTS = "package://stableanimator.synthetic/weights"
HEIGHT, WIDTH, FACE = 288, 512, 40  # 72x128 latents, the face 10x10
X, Y = 256.0, 120.0
FRAMES, _SCENES, _REPEATS = 16, 4, 2
MODES: dict[str, dict[str, Any]] = {
    "face": {"region": "face"},
    "face, statistics of the frame": {"region": "face", "region_statistics": True},
    "tiny": {"decoder": "tiny"},
    "face and tiny": {"region": "face", "decoder": "tiny"},
}
_WHOLE = FaceOptimisationSettings(region="frame")
_COSINES = {"face": 0.95, "face, statistics of the frame": 0.95}
_SHARES = {"face": 1 / 8, "face and tiny": 1 / 30}
_OF_EXACT = 0.8


def encoders_of(*, checkpoint: bool = True) -> Encoders:
    """The package's VAE and small decoder."""
    base = f"{WEIGHTS}/base"
    return Encoders(EncoderSettings(svd=base, tiny_decoder=f"{base}/tiny_decoder", checkpoint_decoder=checkpoint))


def arcface_of() -> ArcFace:
    """The package's."""
    return ArcFace.from_onnx(f"{WEIGHTS}/insightface/models/drawn/recogniser.onnx")


def picture(seed: int) -> Tensor:
    """[1, 3, H, W] of somebody whose face is `FACE` pixels large and lies around (X, Y)."""
    frames, truth = draw_clip(write_clip("talk", seed, ClipSettings()), [0])
    left, top, right, bottom = truth.face_boxes[0, 0].tolist()
    scale = FACE / max(right - left, bottom - top)
    place = np.array([[scale, 0, X - scale * (left + right) / 2], [0, scale, Y - scale * (top + bottom) / 2]])
    placed = cv2.warpAffine(frames[0], place, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    return to_tensor(np.asarray(placed, np.uint8)[None])


def hook_on(
    encoders: Encoders, arcface: ArcFace, wanted: int, settings: FaceOptimisationSettings, frames: int = 1
) -> FaceOptimisation:
    """A face that stays where it is and shall become that of the picture with the seed `wanted`."""
    box = torch.tensor([[X - FACE / 2, Y - FACE / 2, X + FACE / 2, Y + FACE / 2]])
    points = ((torch.from_numpy(TEMPLATE) - 56) * FACE / 70 + torch.tensor([X, Y])).float()[None]
    seen = torch.stack([crop_boxes(points), box])
    boxes = torch.cat([seen[..., :2].amin(0), seen[..., 2:].amax(0)], -1) / encoders.factor
    with torch.no_grad():
        embedding = arcface(crop(picture(wanted), points))[0]
    face = OptimisedFace(points=points.expand(frames, -1, -1), wanted=embedding, boxes=boxes.expand(frames, -1))
    decode = encoders.decode if settings.decoder == "exact" else encoders.decode_tiny
    chunk, whole = encoders.settings.decode_chunk, GroupNormStatistics(encoders.vae.decoder)
    return FaceOptimisation(settings, decode, crop, arcface, [face], chunk, whole)


def gradient_cosine(encoders: Encoders, arcface: ArcFace, seed: int, mode: dict[str, Any]) -> float:
    """Of the gradient inside the face with that of whole frames by the VAE; noisy latents, towards somebody else."""
    latents = encoders.encode(picture(seed))
    noise = 0.2 * torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    gradients = []
    for settings in (_WHOLE, replace(_WHOLE, **mode)):
        hook = hook_on(encoders, arcface, seed + 1, settings)
        gradients.append(hook.loss_and_gradient((latents + noise)[None])[1][0, 0, :, 25:35, 59:69].flatten())
    return float(functional.cosine_similarity(*gradients, dim=0))


def _gradients() -> list[Figure]:
    encoders, arcface, figures = encoders_of(), arcface_of(), []
    for name, mode in MODES.items():
        cosines = [gradient_cosine(encoders, arcface, 900 + 10 * scene, mode) for scene in range(_SCENES)]
        note = f"lowest {min(cosines):.3f}; {_SCENES} scenes"
        what = f"gradient inside the face, {name}: cosine with that of whole frames by the VAE"
        figures.append(Figure(what, float(np.mean(cosines)), _COSINES.get(name), "higher", note=note))
    return figures


def _costs() -> list[Figure]:
    """Time and memory of one iteration, over one graph of all frames."""
    arcface, latents = arcface_of(), encoders_of().encode(picture(900)).expand(FRAMES, -1, -1, -1)[None]
    whole, chunked = encoders_of(checkpoint=False), encoders_of()
    whole.settings = replace(whole.settings, decode_chunk=FRAMES)
    plans = {"one graph": (whole, _WHOLE)}
    plans |= {name: (chunked, replace(_WHOLE, **MODES[name])) for name in _SHARES}
    works: dict[str, Callable[[], object]] = {}
    for name, (encoders, settings) in plans.items():
        hook = hook_on(encoders, arcface, 901, settings, FRAMES)
        works[name] = lambda hook=hook: hook.loss_and_gradient(latents)  # type: ignore[misc]
    memory = {name: peak_bytes(work) for name, work in works.items()}
    seconds = interleave(works, _REPEATS)
    figures = []
    for name, bar in _SHARES.items():
        time, half = ratio(seconds[name], seconds["one graph"])
        note = f"{np.median(seconds[name]):.2f} s for {np.median(seconds['one graph']):.1f} s"
        figures.append(Figure(f"an iteration, {name}: time over one graph", time, bar, "lower", spread=half, note=note))
        note = f"{memory[name] / 2**30:.2f} GiB for {memory['one graph'] / 2**30:.1f} GiB, weights not in it"
        share = memory[name] / memory["one graph"]
        figures.append(Figure(f"an iteration, {name}: memory over one graph", share, bar, "lower", note=note))
    return figures


def _gains(cases: Sequence[Case], workers: int) -> list[Figure]:
    """Of final frames, by the recogniser that nothing optimises."""
    effective, sampler = replace(FACE_OPTIMISATION_PRESETS["effective"], region="frame"), bench().settings.sampler
    modes = {"exact": {}, **{name: MODES[name] for name in ("face", "tiny", "face and tiny")}}
    variants = {name: optimised(replace(effective, **mode), sampler) for name, mode in modes.items()}
    tasks = [Task(number, case.far, sampler, variants) for number, case in enumerate(cases)]
    people = list(spread(results_of, tasks, "animating by each decoder", workers))
    plain, exact = (values_of(people, name, "held_out") for name in (PLAIN, "exact"))
    figures = []
    for name in list(modes)[1:]:
        share = bootstrap(lambda a, b: a / b, values_of(people, name, "held_out") - plain, exact - plain)
        gain = gain_of(people, name, "held_out")
        note = f"gain {gain.value:+.3f}, 95 % interval {gain.low:+.3f} to {gain.high:+.3f}; {len(people)} people"
        what = f"held-out gain after decoding by the VAE, {name} over exact"
        half = (share.high - share.low) / 2
        figures.append(Figure(what, share.value, _OF_EXACT, "higher", spread=half, note=note))
    return figures


def figures(cases: Sequence[Case], workers: int) -> list[Figure]:
    """Everything; the gains are those of people from afar, with the small model's own number of steps."""
    return [*_gradients(), *_costs(), *_gains(cases, workers), *face_optimisation_figures(SIZES[0])]
