"""What the full size costs, counted without running it: operations and memory of every network, on fake tensors.

`stableanimator.models.counting` counts. Seconds on an A100 are computed from published peaks at an assumed utilisation,
never measured.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.harness import Figure
from benchmarks.model.recogniser import IResNet100
from stableanimator.animate_cost import AnimateCost, animate_costs, blank_clip, denoise
from stableanimator.animate_settings import AnimateSettings
from stableanimator.diffusion.settings import SamplerSettings
from stableanimator.media.framing import Size
from stableanimator.models.animator import Animator
from stableanimator.models.counting import count_flops, fake_tensors, peak_bytes
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import EncoderSettings, ModelSettings
from stableanimator.models.unet import checkpoint_activations

FRAMES = 16
SIZES: tuple[Size, ...] = ((576, 1024), (512, 512))
"""Height and width in pixels; portraits of 1024x576 cost the same as 576x1024."""
GPUS = 8
UTILISATION = 0.4
"""Assumed share of an A100's peak."""
A100_BF16, A100_TF32 = 312e12, 156e12
"""Published peaks, operations a second. PyTorch runs float32 convolutions in TF32, and so the encoders."""

_TERA, _GIB = 1e12, 2**30
_A100 = f"computed: A100 at {UTILISATION:.0%} of {A100_BF16 / _TERA:.0f} (bf16) and {A100_TF32 / _TERA:.0f} (TF32)"
_HOW = {"without": False, "with": True}


def train_pass(animator: Animator, frames: int, size: Size) -> None:
    """Forward and backward. Gradients of weights are dropped as they come, as ZeRO hands them on."""
    handles = [each.register_post_accumulate_grad_hook(_drop) for each in animator.parameters()]
    denoise(animator, frames, size).mean().backward()
    for handle in handles:
        handle.remove()


def _drop(parameter: Tensor) -> None:
    parameter.grad = None


def state_bytes(parameters: int, precision: str, stage: int, gpus: int) -> float:
    """Bytes a GPU of weights, their gradients and AdamW's states under DeepSpeed ZeRO (arXiv 1910.02054, section 3).

    16 bits: weights 2, gradients 2, states 12 (fp32 weights and two moments); fp32: 4, 4 and 8. From stage 1 on the
    states are spread over the GPUs, from 2 the gradients, from 3 the weights.
    """
    parts = {"bf16": (2, 2, 12), "fp32": (4, 4, 8)}[precision]
    return parameters * sum(
        part / (gpus if stage >= first else 1) for part, first in zip(parts, (3, 2, 1), strict=True)
    )


def cost_figures() -> list[Figure]:
    """Everything about the full size that can be counted; no figure has a bar."""
    figures: list[Figure] = []
    with fake_tensors(torch.bfloat16):
        animators = {how: Animator(ModelSettings()).train() for how in _HOW}
        checkpoint_activations(animators["with"].unet)
        torch.set_default_dtype(torch.float32)
        encoders = {how: Encoders(EncoderSettings(checkpoint_decoder=on)) for how, on in _HOW.items()}
        figures += _parameters(animators["with"], encoders["with"])
        for size in SIZES:
            figures += _one_size(animators, encoders, size)
    figures += [figure for size in SIZES for figure in face_optimisation_figures(size)]
    trained = _count(animators["with"])
    figures += [
        _figure(f"weights, gradients and AdamW of a GPU of {GPUS}, {precision}, ZeRO {stage}",
                state_bytes(trained, precision, stage, GPUS) / _GIB, "GiB")
        for precision, stages in (("fp32", (0, 1, 2, 3)), ("bf16", (1, 2, 3)))
        for stage in stages
    ]  # fmt: skip
    return figures


def _figure(name: str, value: float, unit: str, note: str = "counted") -> Figure:
    return Figure(name, value, None, "lower", unit, note=note)


def _parameters(animator: Animator, encoders: Encoders) -> list[Figure]:
    networks = {
        "U-Net": animator.unet,
        "PoseNet": animator.pose_net,
        "FaceEncoder": animator.face_encoder,
        "VAE": encoders.vae,
        "CLIP image encoder": encoders.clip,
    }
    return [_figure(f"parameters, {name}", _count(network) / 1e6, "M") for name, network in networks.items()]


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _one_size(animators: dict[str, Animator], encoders: dict[str, Encoders], size: Size) -> list[Figure]:
    """Operations, memory and computed seconds at one picture size, of networks without and with checkpointing."""
    where = f"{FRAMES} x {size[0]}x{size[1]}"
    flops: dict[str, float] = {}
    memory: dict[str, float] = {}
    animator, coder = animators["with"], encoders["with"]
    latents = _latents(coder, size, coder.settings.decode_chunk)
    with torch.no_grad():
        flops["denoiser, forward"] = count_flops(lambda: denoise(animator, FRAMES, size))
        memory["denoiser, forward, without gradients"] = peak_bytes(lambda: denoise(animator, FRAMES, size))
        memory["VAE decoding a chunk"] = peak_bytes(lambda: coder.decode(latents))
        flops |= {name: count_flops(work) for name, work in _pieces(animator, coder, size).items()}
    for how in _HOW:
        name = f"denoiser, forward and backward, {how} checkpointing"
        work = partial(train_pass, animators[how], FRAMES, size)
        flops[name], memory[name] = count_flops(work), peak_bytes(work)
        name = f"forward and backward, {how} checkpointing"
        flops[f"VAE decoding a frame, {name}"] = count_flops(partial(_decode_pass, encoders[how], latents[:1]))
        memory[f"VAE decoding a chunk, {name}"] = peak_bytes(partial(_decode_pass, encoders[how], latents))
    return [
        *(_figure(f"{name}, {where}", value / _TERA, "TFLOP") for name, value in flops.items()),
        *(_figure(f"memory of {name}, {where}", value / _GIB, "GiB", "counted, weights not in it")
          for name, value in memory.items()),
        *_peaks(memory, animator, coder, where),
        *_seconds(flops, where),
    ]  # fmt: skip


def _peaks(memory: dict[str, float], animator: Animator, encoders: Encoders, where: str) -> list[Figure]:
    """What a GPU needs for training and for inference, weights included."""
    states = state_bytes(_count(animator), "bf16", 2, GPUS)
    weights = 2 * _count(animator) + 4 * _count(encoders)
    plain = max(memory["denoiser, forward, without gradients"], memory["VAE decoding a chunk"])
    peaks = {
        f"training on {GPUS} GPUs, bf16, ZeRO 2, with checkpointing":
            states + memory["denoiser, forward and backward, with checkpointing"],
        "inference without face optimisation": weights + plain,
    }  # fmt: skip
    note = "counted, weights in it: the denoiser's bf16, the encoders' float32"
    return [_figure(f"memory of a GPU, {name}, {where}", peak / _GIB, "GiB", note) for name, peak in peaks.items()]


def _latents(encoders: Encoders, size: Size, frames: int) -> Tensor:
    return torch.empty(frames, encoders.latent_channels, size[0] // encoders.factor, size[1] // encoders.factor)


def _decode_pass(encoders: Encoders, latents: Tensor) -> None:
    """Decoding and its gradient, as in face optimisation."""
    encoders.decode(latents.clone().requires_grad_()).sum().backward()


def _pieces(animator: Animator, encoders: Encoders, size: Size) -> dict[str, Callable[[], object]]:
    """The networks beside the U-Net, by name."""
    picture = torch.empty(1, 3, *size)
    latent = _latents(encoders, size, 1)
    conditioning = blank_clip(animator.settings, 1, size)[2]
    face, image = conditioning.face_embedding.bfloat16(), conditioning.clip_embedding.bfloat16()
    return {
        "VAE encoding a frame": lambda: encoders.encode(picture),
        "VAE decoding a frame": lambda: encoders.decode(latent),
        "CLIP of a picture": lambda: encoders.embed(picture),
        "FaceEncoder of a picture": lambda: animator.face_encoder(face, image),
        "PoseNet of a frame": lambda: animator.pose_net(picture.bfloat16()),
    }


def _seconds(flops: dict[str, float], where: str) -> list[Figure]:
    """On one A100, from operations alone."""
    sampler = SamplerSettings()
    passes = 2 * (2 * sampler.steps - 1 if sampler.second_order else sampler.steps)  # two branches of guidance
    fast, slow = A100_BF16 * UTILISATION, A100_TF32 * UTILISATION
    sampling = passes * flops["denoiser, forward"] / fast + FRAMES * flops["VAE decoding a frame"] / slow
    step = flops["denoiser, forward and backward, with checkpointing"] / fast
    note = _A100
    return [
        _figure(f"A100: pass of a training step, {where}", step, "s", note),
        _figure(f"A100: sampling and decoding, {where}", sampling, "s", f"{note}; {passes} passes"),
    ]


def face_optimisation_figures(size: Size) -> list[Figure]:
    """Memory of the whole process and seconds of face optimisation in each mode, a face of 10 of 72 latents' height in
    every frame, ResNet-100 as the recogniser; with and without networks that wait in the main memory."""
    figures, where = [], f"{FRAMES} x {size[0]}x{size[1]}"
    note = "counted, weights in it: the denoiser's bf16, all others float32"
    for offload in (False, True):
        settings, how = AnimateSettings(window=FRAMES, offload=offload), ", offload" * offload
        for cost in animate_costs(ModelSettings(), EncoderSettings(), settings, size, torch.bfloat16,
                                  recogniser=IResNet100):  # fmt: skip
            mode = f"{cost.region} and {cost.decoder}"
            bar = _BARS.get((mode, offload)) if size == SIZES[0] else None
            name = f"memory of a GPU, face optimisation, {mode}{how}, {where}"
            figures.append(Figure(name, cost.peak_bytes / _GIB, bar, "lower", "GiB", note=note))
            if not offload:
                figures += _optimising_seconds(cost, mode, where)
    return figures


_BARS = {("face and exact", False): 16.0, ("face and exact", True): 16.0, ("face and tiny", True): 12.0}
"""GiB at the larger size."""


def _optimising_seconds(cost: AnimateCost, mode: str, where: str) -> list[Figure]:
    fast, slow = A100_BF16 * UTILISATION, A100_TF32 * UTILISATION
    seconds = cost.optimising_flops / slow
    share = seconds / (cost.sampling_flops / fast + cost.decoding_flops / slow)
    bar = 0.5 if mode == "face and tiny" else None
    return [
        _figure(f"A100: face optimisation, {mode}, {where}", seconds, "s", _A100),
        Figure(f"the same over plain sampling, {mode}, {where}", share, bar, "lower", note=_A100),
    ]
