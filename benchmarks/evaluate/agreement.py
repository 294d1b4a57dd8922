"""The relative difference of each metric to an independent computation of the same."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from benchmarks.evaluate import restated
from benchmarks.evaluate.image import BLIND
from benchmarks.harness import Figure
from stableanimator.metrics.clips import ClipFeatures
from stableanimator.metrics.flicker import Flicker
from stableanimator.metrics.frechet import Gaussian, frechet_distance
from stableanimator.metrics.identity import cosine
from stableanimator.metrics.motion import dis, velocity_agreement
from stableanimator.metrics.networks.i3d import I3d
from stableanimator.metrics.networks.inception import Inception
from stableanimator.metrics.networks.loading import FeatureNetwork, Networks
from stableanimator.metrics.networks.lpips import Heads, Lpips, Trunk, TrunkName
from stableanimator.metrics.networks.preparing import for_i3d, for_inception, for_resnet3d
from stableanimator.metrics.networks.resnet3d import ResNet3d
from stableanimator.metrics.pose import pose_agreement
from stableanimator.metrics.protocol import PROTOCOLS, bicubic
from stableanimator.metrics.scoring import picture_metrics, set_metrics
from stableanimator.metrics.seen import Seen

EXACT, DISTANCES, FEATURES = 1e-5, 1e-3, 1e-4
"""Bars: of metrics, of FVD and FID, of the features behind these."""
_WIDTH = 0.25
"""Of the networks, in published channels; weights are drawn."""

Row = Mapping[str, float]


def figures(arguments: argparse.Namespace) -> list[Figure]:
    """One figure for each metric."""
    generator = np.random.default_rng(arguments.seed)
    torch.manual_seed(arguments.seed)
    parts: list[tuple[float, Row]] = [
        (EXACT, pictures(generator)),
        (EXACT, perceptual()),
        (EXACT, over_time(generator)),
        (EXACT, motion(generator)),
        (FEATURES, features()),
        (DISTANCES, distances(generator)),
    ]
    return [Figure(f"agreement: {name}", value, bar, "lower") for bar, row in parts for name, value in row.items()]


def relative(value: float, wanted: float) -> float:
    """|value - wanted| in parts of what is wanted."""
    return abs(value - wanted) / abs(wanted)


def _most(values: Tensor, wanted: Tensor) -> float:
    """The largest difference, in parts of the largest value."""
    return float((values - wanted).abs().max() / wanted.abs().max())


def _scene(generator: np.random.Generator, frames: int, height: int, width: int) -> list[npt.NDArray[np.uint8]]:
    """Smooth coloured shapes that drift, with a little noise."""
    y, x = np.mgrid[:height, :width]
    phase = generator.uniform(0, 6, 3)
    waves = [
        np.stack([127 + 90 * np.sin(x / 9 + y / (11 + c) + phase[c] + 0.2 * t) for c in range(3)], -1)
        for t in range(frames)
    ]
    return [np.clip(np.rint(each + generator.normal(0, 6, each.shape)), 0, 255).astype(np.uint8) for each in waves]


def pictures(generator: np.random.Generator) -> Row:
    """L1, PSNR and SSIM of each protocol."""
    (result,), (truth,) = _scene(generator, 1, 120, 160), _scene(generator, 1, 150, 130)
    first, second = Seen(result, BLIND), Seen(truth, BLIND)
    wanted = {
        "disco": restated.disco_script([result], [truth], (256, 256)),
        "standard": restated.textbook(result, restated.resized(truth, (120, 160), cv2.INTER_AREA)),
        "one_to_all": restated.disco_script([bicubic(result, (150, 130))], [truth], None),
        "steady_dancer": restated.textbook(bicubic(result, (150, 130)), truth),
    }
    found = {}
    for name in PROTOCOLS:
        for metric, value in picture_metrics(name, first, second).items():
            found[f"{name}/{metric}"] = relative(value, wanted[name][metric])
    return found


def perceptual() -> Row:
    """LPIPS over each trunk, with drawn weights."""
    found = {}
    names: tuple[TrunkName, ...] = ("vgg", "alex", "squeeze")
    for name in names:
        channels = {"vgg": (16, 24, 32, 40, 48), "alex": (16, 24, 32, 24, 16), "squeeze": (8, 16, 24, 32, 32, 40, 48)}
        network = Lpips(drawn(Trunk(name, channels[name])), drawn(Heads(channels[name])))
        first = torch.rand(2, 3, 80, 96) * 2 - 1
        second = 0.7 * first + 0.3 * torch.rand_like(first)
        value = network.distance(network.layers(first), network.layers(second))
        wanted = restated.lpips(network.trunk.state_dict(), network.heads.state_dict(), name, first, second)
        found[f"lpips, {name}"] = _most(value, wanted)
    return found


def drawn(network: Any) -> Any:
    """The network with weights that keep features about as large as they come; for tests of what it computes."""
    state = network.state_dict()
    for name, value in state.items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            value.normal_(0, 0.2)
        elif value.ndim > 1:
            value.normal_(0, (1.6 / value[0].numel()) ** 0.5)
        elif value.is_floating_point():
            value.normal_(1.0 if name.endswith("weight") else 0.0, 0.1)
    if isinstance(network, Heads):
        for value in state.values():
            value.abs_()
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


_NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[..., Tensor], tuple[int, ...], float]] = {
    "i3d": (lambda: I3d(40, _WIDTH), restated.i3d, (2, 3, 16, 224, 224), 1.0),
    "resnet3d": (lambda: ResNet3d(16), restated.resnet3d, (2, 3, 16, 112, 112), 60.0),
    "inception": (lambda: Inception(_WIDTH), restated.inception, (2, 3, 200, 170), 0.5),
}


@torch.inference_mode()
def features() -> Row:
    """Of each network behind FVD, FID-VID and FID, with drawn weights."""
    found = {}
    for name, (make, wanted, shape, spread) in _NETWORKS.items():
        network = drawn(make())
        clips = (torch.rand(shape) * 2 - 1) * spread + (0.5 if name == "inception" else 0)
        found[f"features of {name}"] = _most(network(clips), wanted(network.state_dict(), clips))
    return found


def distances(generator: np.random.Generator) -> Row:
    """FVD, FID-VID and FID of a small set of videos, by protocol; and of features, of few rows too."""
    networks = Networks(
        features=(
            FeatureNetwork(kind="fvd", column="fvd", prepare=for_i3d, network=_tiny(7)),
            FeatureNetwork(kind="fid_vid", column="fid_vid", prepare=for_resnet3d, network=_tiny(5)),
            FeatureNetwork(kind="fid", column="fid", prepare=for_inception, network=_tiny(6)),
        )
    )
    names = tuple(PROTOCOLS)
    videos = [[_scene(generator, 35, 40, 48) for _ in range(4)] for _ in range(2)]
    sides: list[list[dict[str, npt.NDArray[np.float32]]]] = []
    for side in videos:
        sides.append([])
        for frames in side:
            clips = ClipFeatures(networks, names)
            for frame in frames:
                clips.add(Seen(frame, BLIND))
            sides[-1].append(clips.finish())
    found = {name: relative(value, _by_hand(name, networks, videos)) for name, value in set_metrics(*sides).items()}
    for rows, width in ((3000, 48), (40, 120)):
        mixing = generator.normal(size=(width, width)) / width**0.5
        first, second = (generator.normal(shift, 1, (rows, width)) @ mixing for shift in (0, 0.3))
        gaussians = Gaussian(), Gaussian()
        for gaussian, side_rows in zip(gaussians, (first, second), strict=True):
            for batch in np.array_split(side_rows, 7):
                gaussian.add(batch)
        value, wanted = frechet_distance(*gaussians), restated.frechet(first, second)
        found[f"Fréchet distance, {rows} rows of {width}"] = relative(value, wanted)
    return found


def _tiny(width: int) -> Callable[[Tensor], Tensor]:
    """Features that depend on place, time and colour, and that anybody can compute."""

    def network(batch: Tensor) -> Tensor:
        rows = batch[..., ::9, ::9].flatten(1)
        weights = torch.linspace(0.2, 2.0, rows.shape[1])[:, None] * torch.arange(1, width + 1)
        return rows @ weights.sin() / len(weights)

    return network


def _by_hand(name: str, networks: Networks, videos: list[list[list[npt.NDArray[np.uint8]]]]) -> float:
    """One distance, written from the description of its protocol."""
    protocol, _, column = name.partition("/")
    (network,) = (each for each in networks.features if each.column == column)
    rows: list[list[npt.NDArray[np.float32]]] = []
    for side in videos:
        rows.append([])
        for frames in side:
            sized = [cv2.resize(each, (256, 256)) for each in frames] if protocol == "disco" else frames
            seen = [network.prepare(np.asarray(each, np.uint8)) for each in sized]
            if column == "fid":
                rows[-1].append(network(torch.stack(seen)).numpy())
                continue
            step = 1 if protocol == "disco" else 16
            starts = range(0, len(seen) - 15, step)
            clips = [seen[start : start + 16] for start in starts]
            if protocol == "one_to_all":
                clips = [seen] if column == "fvd" else [*clips, seen[32:] + seen[-1:] * 13]
            found = np.concatenate([network(torch.stack(clip, 1)[None]).numpy() for clip in clips])
            rows[-1].append(found.mean(0, keepdims=True) if protocol == "one_to_all" else found)
    if (protocol, column) == ("one_to_all", "fid"):
        return float(np.mean([restated.frechet(a, b) for a, b in zip(*rows, strict=True)]))
    first, second = (np.concatenate(side) for side in rows)
    return restated.frechet(first, second)


def over_time(generator: np.random.Generator) -> Row:
    """Flicker and seams of a clip, by loops over its frames; CSIM of drawn faces."""
    truth = [each[..., 1].astype(np.float32) for each in _scene(generator, 12, 30, 40)]
    result = [each + generator.normal(0, 4, each.shape).astype(np.float32) for each in truth]
    flicker = Flicker()
    for pair in zip(result, truth, strict=True):
        flicker.add(*pair)
    wide = [each.astype(np.float64) for each in result]
    still = np.mean(
        [1.4826 * np.median(abs(a - 2 * b + c)) / np.sqrt(6) for a, b, c in zip(wide, wide[1:], wide[2:], strict=False)]
    )
    errors = [each.astype(np.float64) - true for each, true in zip(result, truth, strict=True)]
    changes = np.concatenate([(b - a).ravel() for a, b in itertools.pairwise(errors)])
    jumps = [float(np.abs(b - a).mean()) + 0.1 for a, b in itertools.pairwise(wide)]
    borders = (4, 8)
    elsewhere = [jump for number, jump in enumerate(jumps, 1) if number not in borders]
    seam = np.mean([jumps[number - 1] for number in borders]) / np.mean(elsewhere)
    vectors = generator.normal(size=(2, 64)).astype(np.float32)
    lengths = [sum(float(value) ** 2 for value in vector) ** 0.5 for vector in vectors]
    angle = sum(float(a) * float(b) for a, b in vectors.T) / (lengths[0] * lengths[1])
    found = {
        "flicker": relative(float(flicker.still or 0), float(still)),
        "flicker_truth": relative(float(flicker.unexplained or 0), float(np.sqrt(np.mean(changes**2) / 2))),
        "seam": relative(float(flicker.seam(borders) or 0), float(seam)),
        "csim": relative(cosine(*vectors) or 0, angle),
    }
    return found


def motion(generator: np.random.Generator) -> Row:
    """PCK, joint error, velocity agreement and Dis of somebody who walks, by loops over joints."""
    truth, result = _walk(generator, 0.0), _walk(generator, 3.0)
    unit = _stature_by_hand(truth)
    apart = [
        float(np.hypot(*(a[:2] - b[:2]))) / unit
        for a_frame, b_frame in zip(result, truth, strict=True)
        for a, b in zip(_joints(a_frame[0]), _joints(b_frame[0]), strict=True)
        if a[2] and b[2]
    ]
    fps, step = 20.0, 4
    above = below = 0.0
    for t in range(len(truth) - step):
        for joint in range(18):
            four = [_joints(frames[t + s][0])[joint] for frames in (result, truth) for s in (0, step)]
            if all(each[2] for each in four):
                v, w = (four[1][:2] - four[0][:2]) / unit, (four[3][:2] - four[2][:2]) / unit
                above, below = above + np.hypot(*(v - w)), below + np.hypot(*v) + np.hypot(*w)
    pose, velocity = pose_agreement(result, truth), velocity_agreement(result, truth, fps)
    shown = sum(joint[2] > 0 for frame in truth for joint in _joints(frame[0]))
    return {
        "pck_05": relative(pose.pck_05 or 0, sum(each <= 0.05 for each in apart) / shown),
        "pck_10": relative(pose.pck_10 or 0, sum(each <= 0.1 for each in apart) / shown),
        "joint_error": relative(pose.joint_error or 0, float(np.mean(apart))),
        "velocity": relative(velocity.agreement or 0, 1 - above / below),
        "dis": relative(float(dis(result, truth, 320).mean()), float(np.mean(apart)) * unit / 320),
    }


_COCO = {0: (50, 18), 5: (76, 36), 6: (24, 36), 11: (60, 94), 12: (40, 94), 13: (60, 143), 14: (40, 143)}
_COCO |= {15: (60, 192), 16: (40, 192), 7: (82, 60), 8: (18, 60), 9: (84, 84), 10: (16, 84)}


def _walk(generator: np.random.Generator, noise: float) -> list[npt.NDArray[np.float32]]:
    """[F] of [1, 133, 3]: somebody of 200 pixels who walks to the right and swings the arms."""
    frames = []
    for t in range(24):
        person = np.zeros((1, 133, 3), np.float32)
        for joint, (x, y) in _COCO.items():
            swing = 12 * np.sin(t / 3) if joint in (9, 10) else 0
            person[0, joint] = (x + 3 * t + swing, y + swing / 2, 1)
            person[0, joint, :2] += generator.normal(0, noise, 2)
        frames.append(person)
    return frames


def _joints(person: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float64]]:
    """OpenPose's 18 of COCO's; the neck between the shoulders."""
    order = [0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]
    neck = (person[5] + person[6]) / 2
    return [np.asarray(neck if joint is None else person[joint], np.float64) for joint in order]


def _stature_by_hand(frames: list[npt.NDArray[np.float32]]) -> float:
    """Nose, neck, hips, knee and ankle, along; 0.871 of a stature (Drillis and Contini)."""
    lengths = []
    for frame in frames:
        joints = _joints(frame[0])
        hips = (joints[8] + joints[11]) / 2
        chains = [[joints[0], joints[1], hips, joints[knee], joints[knee + 1]] for knee in (9, 12)]
        lengths.append(
            max(sum(float(np.hypot(*(a - b)[:2])) for a, b in itertools.pairwise(chain)) for chain in chains)
        )
    return float(np.percentile(lengths, 90)) / 0.871
