"""The metrics once more, slow and literal: what they are held against. Nothing here is shared with them.

Networks are functions of a state dict, written from the papers' tables and the layout of the public files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import sqrtm
from skimage.metrics import structural_similarity
from torch import Tensor
from torch.nn import functional

Array = npt.NDArray[np.floating]
Frame = npt.NDArray[np.uint8]
State = Mapping[str, Tensor]


def disco_script(generated: Sequence[Frame], truth: Sequence[Frame], size: tuple[int, int] | None) -> dict[str, float]:
    """L1, PSNR, the PSNR that overflows, and SSIM, each in a pass of its own over the frames, as DisCo's script has
    them; both sides are resized in each."""
    scores: dict[str, list[float]] = {}
    for metric in ("l1", "psnr", "psnr_uint8", "ssim"):
        for pair in zip(generated, truth, strict=True):
            first, second = (each if size is None else resized(each, size, cv2.INTER_LINEAR) for each in pair)
            scores.setdefault(metric, []).append(_disco_metric(metric, first, second))
    return {name: float(np.mean(values)) for name, values in scores.items()}


def resized(frame: Frame, size: tuple[int, int], interpolation: int) -> Frame:
    """By OpenCV, to (height, width)."""
    return np.asarray(cv2.resize(frame, (size[1], size[0]), interpolation=interpolation), np.uint8)


def _disco_metric(metric: str, first: Frame, second: Frame) -> float:
    if metric == "l1":
        error = np.absolute(first.astype(float) - second.astype(float))
        error /= float(first.shape[0] * first.shape[1])
        return float(np.mean(error))
    if metric == "ssim":
        grey = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (first, second))
        return float(structural_similarity(*grey, full=True)[0])
    if metric == "psnr":
        mean_square = np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2)
    else:
        mean_square = np.mean((first - second) ** 2)
    return 100.0 if mean_square == 0 else float(20 * np.log10(255.0 / np.sqrt(mean_square)))


def textbook(first: Frame, second: Frame) -> dict[str, float]:
    """L1 with white = 1, PSNR, and scikit-image's SSIM with Wang's Gaussian window."""
    difference = first.astype(np.float64) - second
    similarity = structural_similarity(
        *(first, second), channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return {
        "l1": float(np.abs(difference).mean() / 255),
        "psnr": float(10 * np.log10(255**2 / np.square(difference).mean())),
        "ssim": float(similarity),
    }


def frechet(first: Array, second: Array) -> float:
    """By scipy's matrix root of the product of numpy's covariances, as the scripts do."""
    means = [np.mean(each, 0, dtype=np.float64) for each in (first, second)]
    a, b = (np.cov(each.astype(np.float64), rowvar=False) for each in (first, second))
    root = np.asarray(sqrtm(a @ b)).real
    return float(np.square(means[0] - means[1]).sum() + np.trace(a) + np.trace(b) - 2 * np.trace(root))


def lpips(trunk: State, heads: State, name: str, first: Tensor, second: Tensor) -> Tensor:
    """[B] of pictures [B, 3, H, W] in [-1, 1]."""
    means, scales = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    both = torch.cat([first, second])
    layers = _LAYERS[name](trunk, (both - means[None, :, None, None]) / scales[None, :, None, None])
    total = torch.zeros(len(first))
    for number, layer in enumerate(layers):
        unit = layer / (layer.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)
        a, b = unit.chunk(2)
        total += functional.conv2d((a - b) ** 2, heads[f"lin{number}.model.1.weight"]).mean((2, 3)).flatten()
    return total


def _conv(state: State, number: int, x: Tensor, stride: int = 1, padding: int = 1) -> Tensor:
    weight, bias = state[f"features.{number}.weight"], state[f"features.{number}.bias"]
    return functional.relu(functional.conv2d(x, weight, bias, stride, padding))


def _vgg(state: State, x: Tensor) -> list[Tensor]:
    found = []
    for number, stage in enumerate(((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))):
        x = functional.max_pool2d(x, 2) if number else x
        for layer in stage:
            x = _conv(state, layer, x)
        found.append(x)
    return found


def _alex(state: State, x: Tensor) -> list[Tensor]:
    one = _conv(state, 0, x, 4, 2)
    two = _conv(state, 3, functional.max_pool2d(one, 3, 2), 1, 2)
    three = _conv(state, 6, functional.max_pool2d(two, 3, 2))
    four = _conv(state, 8, three)
    return [one, two, three, four, _conv(state, 10, four)]


def _squeeze(state: State, x: Tensor) -> list[Tensor]:
    def fire(number: int, x: Tensor) -> Tensor:
        layer = {key: state[f"features.{number}.{key}"] for key in _FIRE}
        x = functional.relu(functional.conv2d(x, layer["squeeze.weight"], layer["squeeze.bias"]))
        one = functional.conv2d(x, layer["expand1x1.weight"], layer["expand1x1.bias"])
        three = functional.conv2d(x, layer["expand3x3.weight"], layer["expand3x3.bias"], padding=1)
        return functional.relu(torch.cat([one, three], 1))

    found = [_conv(state, 0, x, 2, 0)]
    for pooled, fires in ((True, (3, 4)), (True, (6, 7)), (True, (9,)), (False, (10,)), (False, (11,)), (False, (12,))):
        x = functional.max_pool2d(found[-1], 3, 2, ceil_mode=True) if pooled else found[-1]
        for number in fires:
            x = fire(number, x)
        found.append(x)
    return found


_FIRE = [f"{layer}.{what}" for layer in ("squeeze", "expand1x1", "expand3x3") for what in ("weight", "bias")]
_LAYERS = {"vgg": _vgg, "alex": _alex, "squeeze": _squeeze}


def _normed(state: State, name: str, x: Tensor, eps: float) -> Tensor:
    parts = [state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    mean, variance, weight, bias = (part.reshape(-1, *[1] * (x.ndim - 2)) for part in parts)
    return (x - mean) / torch.sqrt(variance + eps) * weight + bias


def i3d(state: State, clips: Tensor) -> Tensor:
    """[B, classes] of clips [B, 3, T, 224, 224] in [-1, 1]; T and the sides divisible by 32, where SAME is plain."""

    def unit(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = state[f"{name}.conv3d.weight"]
        size = weight.shape[-1]
        before = (size - stride) // 2
        x = functional.pad(x, [before, size - stride - before] * 3)
        return functional.relu(_normed(state, f"{name}.bn", functional.conv3d(x, weight, stride=stride), 1e-3))

    def pool(x: Tensor, time: int, stride: int) -> Tensor:
        pads = [0, 1, 0, 1, 0, 1 if time == 3 and stride == 2 else 0]
        return functional.max_pool3d(functional.pad(x, pads), (time, 3, 3), (stride, 2, 2))

    def mixed(name: str, x: Tensor) -> Tensor:
        pooled = functional.max_pool3d(functional.pad(x, [1] * 6), 3, 1)
        two, three = (unit(f"{name}.{b}b", unit(f"{name}.{b}a", x)) for b in ("b1", "b2"))
        return torch.cat([unit(f"{name}.b0", x), two, three, unit(f"{name}.b3b", pooled)], 1)

    x = pool(unit("Conv3d_1a_7x7", clips, 2), 1, 1)
    x = pool(unit("Conv3d_2c_3x3", unit("Conv3d_2b_1x1", x)), 1, 1)
    for name in ("3b", "3c"):
        x = mixed(f"Mixed_{name}", x)
    x = pool(x, 3, 2)
    for name in ("4b", "4c", "4d", "4e", "4f"):
        x = mixed(f"Mixed_{name}", x)
    x = functional.max_pool3d(x, 2)
    for name in ("5b", "5c"):
        x = mixed(f"Mixed_{name}", x)
    x = functional.avg_pool3d(x, (1, 7, 7))
    logits = functional.conv3d(x, state["logits.conv3d.weight"], state["logits.conv3d.bias"])
    return logits[..., 0, 0].mean(2)


def resnet3d(state: State, clips: Tensor) -> Tensor:
    """[B, D] of clips [B, 3, 16, 112, 112]."""

    def norm(name: str, x: Tensor) -> Tensor:
        return _normed(state, name, x, 1e-5)

    x = functional.conv3d(clips, state["conv1.weight"], stride=(1, 2, 2), padding=3)
    x = functional.max_pool3d(functional.relu(norm("bn1", x)), 3, 2, 1)
    for stage, depth in enumerate((3, 4, 6, 3)):
        for block in range(depth):
            name, stride = f"layer{stage + 1}.{block}", 2 if stage and not block else 1
            y = functional.relu(norm(f"{name}.bn1", functional.conv3d(x, state[f"{name}.conv1.weight"])))
            y = functional.conv3d(y, state[f"{name}.conv2.weight"], stride=stride, padding=1)
            y = functional.conv3d(functional.relu(norm(f"{name}.bn2", y)), state[f"{name}.conv3.weight"])
            if block == 0:
                x = functional.conv3d(x, state[f"{name}.downsample.0.weight"], stride=stride)
                x = norm(f"{name}.downsample.1", x)
            x = functional.relu(x + norm(f"{name}.bn3", y))
    return functional.avg_pool3d(x, (1, 4, 4)).flatten(1)


def inception(state: State, frames: Tensor) -> Tensor:
    """[B, D] of frames [B, 3, H, W] in [0, 1]."""

    def conv(name: str, x: Tensor, stride: int = 1, valid: bool = False) -> Tensor:
        weight = state[f"{name}.conv.weight"]
        padding = (0, 0) if valid else (weight.shape[2] // 2, weight.shape[3] // 2)
        return functional.relu(_normed(state, f"{name}.bn", functional.conv2d(x, weight, None, stride, padding), 1e-3))

    def chain(block: str, names: str, x: Tensor, last: int = 1) -> Tensor:
        parts = names.split()
        for name in parts:
            stride = last if name == parts[-1] else 1
            x = conv(f"{block}.{name}", x, stride, valid=stride == 2)
        return x

    def mean(x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

    x = 2 * functional.interpolate(frames, (299, 299), mode="bilinear", align_corners=False) - 1
    x = conv("Conv2d_2a_3x3", conv("Conv2d_1a_3x3", x, 2, True), valid=True)
    x = functional.max_pool2d(conv("Conv2d_2b_3x3", x), 3, 2)
    x = functional.max_pool2d(conv("Conv2d_4a_3x3", conv("Conv2d_3b_1x1", x), valid=True), 3, 2)
    for block in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        dbl = "branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3"
        parts = [chain(block, names, x) for names in ("branch1x1", "branch5x5_1 branch5x5_2", dbl)]
        x = torch.cat([*parts, conv(f"{block}.branch_pool", mean(x))], 1)
    dbl = "branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3"
    parts = [chain("Mixed_6a", names, x, 2) for names in ("branch3x3", dbl)]
    x = torch.cat([*parts, functional.max_pool2d(x, 3, 2)], 1)
    for block in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        double = " ".join(f"branch7x7dbl_{number}" for number in range(1, 6))
        parts = [chain(block, names, x) for names in ("branch1x1", "branch7x7_1 branch7x7_2 branch7x7_3", double)]
        x = torch.cat([*parts, conv(f"{block}.branch_pool", mean(x))], 1)
    seven = " ".join(f"branch7x7x3_{number}" for number in range(1, 5))
    parts = [chain("Mixed_7a", names, x, 2) for names in ("branch3x3_1 branch3x3_2", seven)]
    x = torch.cat([*parts, functional.max_pool2d(x, 3, 2)], 1)
    for block in ("Mixed_7b", "Mixed_7c"):
        one, two = chain(block, "branch3x3_1", x), chain(block, "branch3x3dbl_1 branch3x3dbl_2", x)
        sides = [conv(f"{block}.branch3x3_2{side}", one) for side in "ab"]
        sides += [conv(f"{block}.branch3x3dbl_3{side}", two) for side in "ab"]
        pooled = mean(x) if block == "Mixed_7b" else functional.max_pool2d(x, 3, 1, 1)
        x = torch.cat([chain(block, "branch1x1", x), *sides, conv(f"{block}.branch_pool", pooled)], 1)
    return x.mean((2, 3))
