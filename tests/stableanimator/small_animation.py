"""An animation of tiny widths and random weights, that several tests make."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from stableanimator import animate as inference
from stableanimator.animate import Animation, Driving, Models, Reference, aligned
from stableanimator.animate_settings import AnimateSettings
from stableanimator.diffusion.settings import FaceOptimisationSettings, SamplerSettings
from stableanimator.models.animator import Animator
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import (
    CLIPSettings,
    EncoderSettings,
    FaceEncoderSettings,
    FrameRates,
    ModelSettings,
    PoseNetSettings,
    UNetSettings,
    VAESettings,
)
from stableanimator.perception.arcface import ArcFace

EMBEDDING = 8
FRAMES = 3


def write_recogniser(path: Path) -> Path:
    """An ONNX file with a recogniser's interface: [N, 3, 112, 112] -> [N, 8], random weights."""
    generator = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        values = generator.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        return numpy_helper.from_array(values.astype(np.float32), name)

    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "kernel"], ["features"], strides=[14, 14], kernel_shape=[14, 14]),
            helper.make_node("Relu", ["features"], ["active"]),
            helper.make_node("Flatten", ["active"], ["flat"]),
            helper.make_node("Gemm", ["flat", "matrix"], ["embedding"], transB=1),
        ],
        "recogniser",
        [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["N", 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, ["N", EMBEDDING])],
        [weights("kernel", 16, 3, 14, 14), weights("matrix", EMBEDDING, 16 * 8 * 8)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


def small_models(folder: Path) -> Models:
    """Every real class, with random weights; `folder` holds the recogniser."""
    torch.manual_seed(0)
    settings = ModelSettings(
        unet=UNetSettings(
            block_out_channels=(32, 64),
            down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
            up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
            layers_per_block=1,
            num_attention_heads=(2, 2),
            cross_attention_dim=16,
            addition_time_embed_dim=32,
        ),
        face_encoder=FaceEncoderSettings(
            embedding_width=EMBEDDING, cross_attention_dim=16, layers=1, heads=1, head_dim=16
        ),
        pose_net=PoseNetSettings(widths=(8, 8), final_width=8),
        reference_gain=1.0,
        skeleton="ours",
    )
    encoders = EncoderSettings(
        vae=VAESettings(block_out_channels=(32, 32, 32), layers_per_block=1, scaling_factor=1.0),
        clip=CLIPSettings(
            hidden_size=16, intermediate_size=16, layers=1, heads=1, image_size=28, patch_size=14, projection_dim=16
        ),
        decode_chunk=2,
    )
    animator = Animator(settings).eval()
    for parameter in animator.parameters():  # away from the zeros that new parts start with
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    path = write_recogniser(folder / "recogniser.onnx")
    return Models(
        animator=animator,
        rates=FrameRates(),
        encoders=Encoders(encoders),
        arcface=ArcFace.from_onnx(path, 127.5, 127.5),
    )


def small_pose(offset: float = 0.0) -> np.ndarray:
    """A face of three points, shoulders and hips, in a picture of 40x40."""
    pose = np.full((133, 3), np.nan, np.float32)
    pose[:, 2] = 0
    places = {0: (20, 16), 1: (24, 11), 2: (16, 11), 5: (28, 24), 6: (12, 24), 11: (25, 36), 12: (15, 36)}
    for joint, place in places.items():
        pose[joint] = (place[0] + offset, place[1], 0.9)
    return pose


def small_reference() -> Reference:
    """Noise, with somebody in it."""
    picture = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    embedding = 7 * np.random.default_rng(2).normal(size=EMBEDDING).astype(np.float32)  # of length 20, about
    box = np.array([14, 8, 26, 20], np.float32)
    return Reference(picture=picture, keypoints=small_pose()[None], face_box=box, face_embedding=embedding)


def small_driving() -> Driving:
    """Twice as large a video; the person moves by a pixel a frame, and turns away in the last one."""
    poses = np.stack([small_pose(offset) * [2, 2, 1] for offset in range(FRAMES)]).astype(np.float32)
    poses[-1, 0, 2] = 0
    return Driving(keypoints=poses[:, None], height=80, width=80, fps=7.0)


def person_at(x: float, y: float, scale: float = 1.0) -> np.ndarray:
    """The person of `small_pose` with the middle of the body at a place."""
    pose = small_pose()
    pose[:, :2] = (pose[:, :2] - [20, 23.5]) * scale + [x, y]
    return pose


def picture_of(height: int, width: int, *people: np.ndarray) -> Reference:
    nose = people[0][0, :2]
    return Reference(
        picture=np.zeros((height, width, 3), np.uint8),
        keypoints=np.stack(people),
        face_box=(nose[[0, 1, 0, 1]] + np.array([-6, -8, 6, 4])).astype(np.float32),
        face_embedding=np.ones(EMBEDDING, np.float32),
    )


PLAIN = AnimateSettings(
    sizes=((32, 32),),
    sampler=SamplerSettings(steps=3, sigma_max=20.0, s_churn=1.0),
    alignment="svd",
    face_optimisation=False,
)
HJB = replace(
    PLAIN, face_optimisation=True, hjb=FaceOptimisationSettings(sigma_min=0.2, sigma_max=100.0, optimisation_steps=4)
)


def animate(
    models: Models, reference: Reference, driving: Driving, settings: AnimateSettings, seed: int = 0
) -> Animation:
    return inference.animate(models, reference, aligned(reference, driving, settings, models.aligner), settings, seed)
