"""Our modules beside the released ones on the same random weights: the largest difference of their outputs.

    SA_RELEASED=/path/to/StableAnimator python -m benchmarks.model

The checkout (github.com/Francis-Rings/StableAnimator) is imported in a process of its own. It insists on xformers, of
whose functions it calls one, memory-efficient attention, which is PyTorch's scaled dot product; that stands in for it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.harness import Figure
from stableanimator.errors import InputError
from stableanimator.models.face_encoder import FaceEncoder
from stableanimator.models.id_adapter import IDAttention
from stableanimator.models.pose_net import PoseNet
from stableanimator.models.settings import FaceEncoderSettings, PoseNetSettings, UNetSettings
from stableanimator.models.unet import build_unet, run_unet
from stableanimator.perception.skeleton import draw_skeleton, to_openpose18

VARIABLE = "SA_RELEASED"
BAR = 1e-5

_NARROW = UNetSettings(
    block_out_channels=(32, 64),
    down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    num_attention_heads=(1, 2),
    layers_per_block=1,
    cross_attention_dim=32,
    addition_time_embed_dim=32,
)
_TOKENS = 4


def released_figures() -> list[Figure]:
    """One figure a module; none, with a printed line, where no checkout is named.

    Raises:
        InputError: the folder is no checkout.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        print(f"{VARIABLE} names no checkout of the released code: the differences to it are not measured")
        return []
    if not (Path(named) / "animation" / "modules").is_dir():
        raise InputError(
            f"{VARIABLE}: {named} has no animation/modules; name a checkout of the released StableAnimator"
        )
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(differences, named).result()
    return [
        Figure(f"{name}, largest difference to the released module", worst, BAR, "lower",
               note=f"fp32, same random weights; mean magnitude of the output {size:.2g}")
        for name, (worst, size) in found.items()
    ]  # fmt: skip


def differences(checkout: str) -> dict[str, tuple[float, float]]:
    """Of each module: the largest difference of the outputs, and the mean magnitude of the released one's."""
    sys.path.insert(0, checkout)
    _stand_in_for_xformers()
    torch.manual_seed(0)
    with torch.no_grad():
        pairs = {
            name: pair for part in (_face_encoder, _pose_net, _id_adapter, _unet, _skeletons) for name, pair in part()
        }
    return {
        name: (float((ours - theirs).abs().max()), float(theirs.abs().mean())) for name, (ours, theirs) in pairs.items()
    }


def _stand_in_for_xformers() -> None:
    from diffusers.utils import import_utils

    def attention(query: Tensor, key: Tensor, value: Tensor, attn_bias: Tensor | None = None, **_: Any) -> Tensor:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=attn_bias)

    package, operators = ModuleType("xformers"), ModuleType("xformers.ops")
    operators.memory_efficient_attention = attention  # type: ignore[attr-defined]
    package.ops = operators  # type: ignore[attr-defined]
    sys.modules |= {"xformers": package, "xformers.ops": operators}
    import_utils.is_xformers_available = lambda: True


Pairs = Iterator[tuple[str, tuple[Tensor, Tensor]]]


def _face_encoder() -> Pairs:
    from animation.modules.id_encoder import FusionFaceId

    theirs = _randomised(FusionFaceId(1024, 512, 1024, _TOKENS))
    ours = FaceEncoder(FaceEncoderSettings())
    ours.load_state_dict(theirs.state_dict())
    face, image = torch.randn(2, 512), torch.randn(2, 1, 1024)
    yield "FaceEncoder", (ours(face, image), theirs(face, image))


def _pose_net() -> Pairs:
    from animation.modules.pose_net import PoseNet as Released

    theirs = _randomised(Released(320))
    ours = PoseNet(PoseNetSettings(), 320)
    ours.load_state_dict(theirs.state_dict())
    pictures = torch.rand(2, 3, 64, 64) * 2 - 1
    yield "PoseNet", (ours(pictures), theirs(pictures))


def _id_adapter() -> Pairs:
    from animation.modules.attention_processor_normalized import AnimationIDAttnNormalizedProcessor
    from diffusers.models.attention_processor import Attention

    attention = Attention(64, cross_attention_dim=32, heads=4, dim_head=16)
    ours = _randomised(IDAttention(attention, _TOKENS, "distribution"))
    theirs = AnimationIDAttnNormalizedProcessor(64, 32)
    theirs.load_state_dict(ours.state_dict())
    queries, context = torch.randn(3, 20, 64), torch.randn(3, 1 + _TOKENS, 32)
    outputs = []
    for processor in (ours, theirs):
        attention.set_processor(processor)
        outputs.append(attention(queries, context))
    yield "ID adapter", (outputs[0], outputs[1])


def _unet() -> Pairs:
    ours = _randomised(build_unet(_NARROW, _TOKENS, "distribution"))
    theirs = _released_unet()
    theirs.load_state_dict(ours.state_dict())
    sample, noise = torch.randn(2, 3, 8, 16, 16), torch.tensor([0.3, -0.5])
    context, ids = torch.randn(2, 1 + _TOKENS, 32), torch.tensor([[6.0, 127.0, 0.02]] * 2)
    for name, pose in (("U-Net", torch.randn(2, 3, 32, 16, 16)), ("U-Net without a pose", None)):
        flat = None if pose is None else pose.flatten(0, 1)
        output = theirs(sample, noise, context, ids, pose_latents=flat).sample
        yield name, (run_unet(ours, sample, noise, context, ids, pose), output)


def _released_unet() -> Any:
    """The released U-Net at the narrow sizes, with the processors that its scripts give it."""
    from animation.modules.attention_processor import AnimationAttnProcessor
    from animation.modules.attention_processor_normalized import AnimationIDAttnNormalizedProcessor
    from animation.modules.unet import UNetSpatioTemporalConditionModel
    from diffusers.models.attention_processor import AttnProcessor2_0

    sizes = {name: getattr(_NARROW, name) for name in UNetSettings.__slots__ if name != "latent_channels"}
    unet = UNetSpatioTemporalConditionModel(
        in_channels=8, out_channels=4, projection_class_embeddings_input_dim=96, **sizes
    )
    processors = {}
    for name in unet.attn_processors:
        if ".temporal_transformer_blocks." in name:
            processors[name] = AttnProcessor2_0()  # theirs is xformers', the same function
        elif name.endswith("attn1.processor"):
            processors[name] = AnimationAttnProcessor()
        else:
            width = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape[0]
            processors[name] = AnimationIDAttnNormalizedProcessor(width, _NARROW.cross_attention_dim)
    unet.set_attn_processor(processors)
    return unet


def _skeletons() -> Pairs:
    """Pictures of random people in grey levels, joints out of the picture and scores above 1 included."""
    detector = ModuleType("dwpose_utils.dwpose_detector")  # what runs the networks: not needed to draw
    detector.dwpose_detector_aligned = None  # type: ignore[attr-defined]
    sys.modules |= {"dwpose_utils": ModuleType("dwpose_utils"), "dwpose_utils.dwpose_detector": detector}
    from DWPose.skeleton_extraction import draw_pose

    random = np.random.default_rng(0)
    pictures = []
    for height, width in ((512, 512), (1024, 576), (96, 160)):
        people = (random.normal(0.5, 0.25, (2, 133, 3)) * (width, height, 1)).astype(np.float32)
        people[..., 2] = random.uniform(0.01, 1.2, (2, 133))
        # Theirs is BGR for OpenCV's writer, channels first.
        theirs = draw_pose(_as_released(people, height, width), height, width).transpose(1, 2, 0)[..., ::-1]
        pictures.append((draw_skeleton(people, height, width, "released"), np.ascontiguousarray(theirs)))
    ours, theirs = (
        torch.cat([torch.from_numpy(side).float().flatten() for side in sides]) for sides in zip(*pictures, strict=True)
    )
    yield "skeleton pictures, grey levels", (ours, theirs)


def _as_released(people: npt.NDArray[np.float32], height: int, width: int) -> dict[str, Any]:
    """What the released detector gives for people [P, 133, 3]: it counts from the centre of the first pixel, in shares
    of the picture, and its neck scores 1 between two visible shoulders."""
    bodies = to_openpose18(people)
    bodies[:, 1, 2] = (people[:, [5, 6], 2] > 0.3).all(-1)
    places = [(part[..., :2].astype(np.float64) - 0.5) / (width, height) for part in (bodies, people)]
    scores = bodies[..., 2]
    numbers = np.where(scores > 0.3, np.arange(scores.size).reshape(scores.shape), -1)
    hands = (slice(91, 112), slice(112, 133))
    return {
        "bodies": {"candidate": places[0].reshape(-1, 2), "subset": numbers.astype(float), "score": scores},
        "hands": np.concatenate([places[1][:, hand] for hand in hands]),
        "hands_score": np.concatenate([people[:, hand, 2] for hand in hands]),
        "faces": places[1][:, 23:91],
        "faces_score": people[:, 23:91, 2],
    }


def _randomised(module: nn.Module) -> nn.Module:
    """With random weights everywhere, those included that start at zero, that keep signals at about their size."""
    for parameter in module.parameters():
        parameter.data.normal_(std=parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.5)
    return module.eval()
