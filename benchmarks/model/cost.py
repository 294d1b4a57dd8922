"""What the full size costs, counted without running it: operations and memory of every network, on fake tensors.

`FakeTensorMode` runs the real code on tensors that have shapes and no data. Operations are those of matrix products,
convolutions and attention, two for a multiply-add (`torch.utils.flop_counter`). Memory is the greatest sum of storages
alive at one time, with attention that keeps no score matrix (as flash attention on a GPU); what an allocator or cuDNN
adds is not in it. Seconds on an A100 are computed from published peaks at an assumed utilisation, never measured.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import flop_counter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.harness import Figure
from stableanimator.diffusion.sampler import karras_sigmas
from stableanimator.diffusion.settings import FaceOptimisationSettings, SamplerSettings
from stableanimator.media.framing import Size
from stableanimator.models.animator import Animator, Conditioning
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
_HOW = {"without": False, "with": True}


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(flop_counter.sdpa_flop_count(query, key, value))


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(flop_counter.sdpa_backward_flop_count(gradient, query, key, value))


# Fake tensors are on the CPU, whose attention the counter does not know.
_CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def count_flops(work: Callable[[], object]) -> int:
    """Operations of matrix products, convolutions and attention in `work`, two for a multiply-add."""
    with flop_counter.FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter:
        work()
    return int(counter.get_total_flops())


class _Storages(TorchDispatchMode):
    """Adds up the storages that operations make, each until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        known = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in known | self._alive:
                self._watch(leaf.untyped_storage())
        return result

    def _watch(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self._alive.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.now -= size


def peak_bytes(work: Callable[[], object]) -> int:
    """Most bytes alive at one time of what `work` makes; what existed before does not count."""
    with _Storages() as storages:
        work()
    return storages.peak


@contextmanager
def fake_bf16() -> Iterator[None]:
    """Tensors without data; what is built inside has bfloat16 weights unless it says otherwise."""
    with FakeTensorMode():
        torch.set_default_dtype(torch.bfloat16)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


def blank_clip(model: ModelSettings, frames: int, size: Size) -> tuple[Tensor, Tensor, Conditioning]:
    """Noisy latents [1, F, C, h, w], a noise level [1] and conditions, for one clip; uninitialised."""
    height, width = size
    factor, channels = model.pose_net.factor, model.unet.latent_channels
    h, w = height // factor, width // factor

    def blank(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.float32)

    conditioning = Conditioning(
        reference_latent=blank(1, channels, h, w),
        clip_embedding=blank(1, 1, model.unet.cross_attention_dim),
        face_embedding=blank(1, model.face_encoder.embedding_width),
        pose=blank(1, frames, 3, height, width),
        added_time_ids=blank(1, 3),
    )
    return blank(1, frames, channels, h, w), blank(1), conditioning


def denoise(animator: Animator, frames: int, size: Size) -> Tensor:
    """One forward pass."""
    return animator.denoise(*blank_clip(animator.settings, frames, size))


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
    with fake_bf16():
        animators = {how: Animator(ModelSettings()).train() for how in _HOW}
        checkpoint_activations(animators["with"].unet)
        torch.set_default_dtype(torch.float32)
        encoders = {how: Encoders(EncoderSettings(checkpoint_decoder=on)) for how, on in _HOW.items()}
        figures += _parameters(animators["with"], encoders["with"])
        for size in SIZES:
            figures += _one_size(animators, encoders, size)
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
    optimised = memory["VAE decoding a chunk, forward and backward, with checkpointing"]
    peaks = {
        f"training on {GPUS} GPUs, bf16, ZeRO 2, with checkpointing":
            states + memory["denoiser, forward and backward, with checkpointing"],
        "inference without face optimisation": weights + plain,
        "inference with face optimisation": weights + max(plain, optimised),
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
    sampler, face = SamplerSettings(), FaceOptimisationSettings()
    passes = 2 * (2 * sampler.steps - 1 if sampler.second_order else sampler.steps)  # two branches of guidance
    levels = karras_sigmas(sampler.steps, sampler.sigma_min, sampler.sigma_max, sampler.rho)[:-1].tolist()
    optimised = sum(face.sigma_min <= level <= face.sigma_max for level in levels)
    updates = optimised * face.optimisation_steps * FRAMES
    fast, slow = A100_BF16 * UTILISATION, A100_TF32 * UTILISATION
    sampling = passes * flops["denoiser, forward"] / fast + FRAMES * flops["VAE decoding a frame"] / slow
    optimising = updates * flops["VAE decoding a frame, forward and backward, with checkpointing"] / slow
    step = flops["denoiser, forward and backward, with checkpointing"] / fast
    note = f"computed: A100 at {UTILISATION:.0%} of {A100_BF16 / _TERA:.0f} (bf16) and {A100_TF32 / _TERA:.0f} (TF32)"
    return [
        _figure(f"A100: pass of a training step, {where}", step, "s", note),
        _figure(f"A100: sampling and decoding, {where}", sampling, "s", f"{note}; {passes} passes"),
        _figure(f"A100: face optimisation, {where}", optimising, "s", f"{note}; {updates} decoded frames"),
    ]
