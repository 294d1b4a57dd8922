"""Weights files to the networks that metrics see with, or to the reason why a column is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stableanimator.errors import CheckpointError, WeightsError
from stableanimator.metrics.networks.i3d import I3d
from stableanimator.metrics.networks.inception import Inception
from stableanimator.metrics.networks.lpips import Heads, Lpips, Trunk, trunk_channels, trunk_name
from stableanimator.metrics.networks.preparing import Frame, for_i3d, for_inception, for_resnet3d
from stableanimator.metrics.networks.published import PUBLISHED, FeatureKind, column_name, sha256
from stableanimator.metrics.networks.resnet3d import ResNet3d
from stableanimator.metrics.settings import MetricNetworkSettings
from stableanimator.paths import local_path
from stableanimator.perception.settings import Device
from stableanimator.state_files import check_state_dict, read_checkpoint, require_state_dict

_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureNetwork:
    """A network whose features of frames or clips are compared as distributions."""

    kind: FeatureKind
    column: str
    """What the distance of its features is called."""
    prepare: Callable[[Frame], Tensor]
    """A frame to what the network reads, float32 [3, h, w]."""
    network: Callable[[Tensor], Tensor]
    """[B, 3, h, w], or clips [B, 3, T, h, w], to features [B, D]."""
    device: Device = "cpu"

    @torch.inference_mode()
    def __call__(self, batch: Tensor) -> Tensor:
        """Features [B, D], float32 on the CPU."""
        return self.network(batch.to(self.device)).float().cpu()


@dataclass(frozen=True, kw_only=True, slots=True)
class Networks:
    """All that are there; `Networks()` has none, and every column of theirs is missing."""

    lpips: Lpips | None = None
    lpips_column: str | None = None
    features: tuple[FeatureNetwork, ...] = ()
    remarks: Mapping[str, str] = field(default_factory=dict)
    """Why a column is missing or has another name than the published one, by published name."""
    device: Device = "cpu"
    batch: int = 4
    """Clips at once, or four times as many frames."""


def load_networks(settings: MetricNetworkSettings) -> Networks:
    """The networks that the settings name.

    Raises:
        WeightsError: a file is missing, unreadable, or of something else.
        CheckpointError: its names or shapes are not those of the network.
    """
    lpips, lpips_column = None, None
    if settings.lpips_trunk is not None and settings.lpips_heads is not None:
        trunk, heads = local_path(settings.lpips_trunk), local_path(settings.lpips_heads)
        lpips = _ready(_lpips(trunk, heads), settings)
        lpips_column = column_name("lpips", (sha256(trunk), sha256(heads)), settings.published)
    kinds: list[tuple[FeatureKind, str | None, Any, Callable[[Frame], Tensor]]] = [
        ("fvd", settings.i3d, I3d, for_i3d),
        ("fid_vid", settings.resnet3d, ResNet3d, for_resnet3d),
        ("fid", settings.inception, Inception, for_inception),
    ]
    features = [
        FeatureNetwork(
            network=_ready(_like(network, local_path(path)), settings),
            kind=kind,
            column=column_name(kind, (sha256(local_path(path)),), settings.published),
            prepare=prepare,
            device=settings.device,
        )
        for kind, path, network, prepare in kinds
        if path is not None
    ]
    if settings.i3d_torchscript is not None:
        features.append(_torchscript(local_path(settings.i3d_torchscript), settings))
    columns = [each.column for each in features] + [lpips_column]
    return Networks(
        lpips=lpips,
        lpips_column=lpips_column,
        features=tuple(features),
        remarks=_remarks(settings, [each for each in columns if each is not None]),
        device=settings.device,
        batch=settings.batch,
    )


def _remarks(settings: MetricNetworkSettings, columns: list[str]) -> dict[str, str]:
    wanted = {"lpips": "lpips_trunk", "fvd": "i3d", "fid_vid": "resnet3d", "fid": "inception"}
    remarks = {}
    for published, setting in wanted.items():
        if getattr(settings, setting) is None:
            remarks[published] = f"no weights file is named ({setting})"
        elif published not in columns:
            remarks[published] = f"{getattr(settings, setting)} is not known to be the published file"
    return remarks


def _lpips(trunk: Path, heads: Path) -> Lpips:
    state = _state(trunk, Trunk.UNUSED)
    name = trunk_name(state)
    try:
        channels = trunk_channels(state, name)
    except KeyError as error:
        raise WeightsError(f"weights file {trunk} is of no VGG16, AlexNet or SqueezeNet: {error} is missing") from error
    network = Lpips(Trunk(name, channels), Heads(channels))
    _load(network.trunk, state, trunk)
    _load(network.heads, _state(heads), heads)
    return network


def _like(kind: Any, path: Path) -> nn.Module:
    """A network with the channels of a file, and its weights."""
    state = _state(path, kind.UNUSED)
    try:
        network: nn.Module = kind.like(state)
    except KeyError as error:
        raise WeightsError(f"weights file {path} is of no {kind.__name__}: {error} is missing") from error
    _load(network, state, path)
    return network


def _state(path: Path, unused: str | None = None) -> dict[str, Tensor]:
    """A public state dict: out of a training's checkpoint, without DataParallel's prefix and without layers that
    nothing here reads.

    Raises:
        WeightsError: the file is missing, unreadable, or holds something else.
    """
    state = read_checkpoint(path)
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    named = {name.removeprefix("module."): value for name, value in require_state_dict(state, path).items()}
    return {name: value for name, value in named.items() if unused is None or not name.startswith(unused)}


def _load(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    # Files of before PyTorch 0.4.1 do not count the batches of batch norms, which matters to trainings alone.
    counters = {name: value for name, value in network.state_dict().items() if name.endswith(_COUNTER)}
    state = counters | state
    try:
        check_state_dict(network, state, str(path))
    except CheckpointError as error:
        raise CheckpointError(f"{error} (evaluate.networks)") from error
    network.load_state_dict(state, strict=True)


def _ready(network: Any, settings: MetricNetworkSettings) -> Any:
    return network.float().eval().requires_grad_(False).to(settings.device)


def _torchscript(path: Path, settings: MetricNetworkSettings) -> FeatureNetwork:
    """I3D with StyleGAN-V's interface: clips that are scaled already, to 400 logits.

    Raises:
        WeightsError: the file is missing, is vouched for by nobody, or is no TorchScript program.
    """
    if not path.is_file():
        raise WeightsError(f"weights file {path} is missing")
    digest = sha256(path)
    if ("fvd_torchscript", (digest,)) not in PUBLISHED and digest not in settings.published:
        raise WeightsError(
            f"{path} is a program that nobody vouches for, and running it may do anything; if you trust it, add its "
            f"SHA-256 {digest} to evaluate.networks.published"
        )
    try:
        program = torch.jit.load(str(path), map_location=settings.device).eval()
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path} is no TorchScript program, fetch it again: {reason}") from error
    return FeatureNetwork(
        kind="fvd",
        column=column_name("fvd_torchscript", (digest,), settings.published),
        prepare=for_i3d,
        network=lambda clips: program(clips, rescale=False, resize=False, return_features=True),
        device=settings.device,
    )
