"""Settings of the metrics, importable without torch: protocols, networks that see features, what is accepted."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Literal

from stableanimator.limits.checks import Cosine, NotNegative, PositiveInt, Share, checked
from stableanimator.limits.places import AbsolutePath
from stableanimator.perception.settings import Device

ProtocolName = Literal["standard", "disco", "one_to_all", "steady_dancer"]
"""How frames and features become numbers: `stableanimator.metrics.protocol` defines each, docs/evaluation.md tells."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class MetricNetworkSettings:
    """Weights of the networks behind LPIPS, FVD, FID-VID and FID. What names no file has no column.

    A column has the published name only where its file is, by SHA-256, the one that the published numbers were made
    with; with any other weights of the same architecture it is called otherwise (`lpips_own`, `fvd_own`, …).
    """

    lpips_trunk: AbsolutePath | None = None
    """torchvision's `vgg16-397923af.pth`, `alexnet-owt-7be5be79.pth` or `squeezenet1_1-b8a52dc0.pth`."""
    lpips_heads: AbsolutePath | None = None
    """The linear heads of LPIPS v0.1 for that trunk: `vgg.pth`, `alex.pth` or `squeeze.pth`."""
    i3d: AbsolutePath | None = None
    """FVD's I3D as DisCo loads it, `i3d_pretrained_400.pt`."""
    i3d_torchscript: AbsolutePath | None = None
    """Another I3D, as a TorchScript program with StyleGAN-V's interface; a column of its own, `fvd_torchscript`, since
    its weights are others. It is run, so it must be the published file or one that `published` names."""
    resnet3d: AbsolutePath | None = None
    """FID-VID's 3D ResNet-50, `resnet-50-kinetics.pth`."""
    inception: AbsolutePath | None = None
    """FID's Inception, `pt_inception-2015-12-05-6726825d.pth`."""
    published: tuple[str, ...] = ()
    """SHA-256 (hex) of further files that you vouch for. Nobody states that of `resnet-50-kinetics.pth` in public, so
    without this its column is `fid_vid_own`; the same weights may also lie in a file that was written anew."""
    device: Device = "cpu"
    """Where they run."""
    batch: PositiveInt = 4
    """Windows of 16 frames, or four times as many single frames, that go through a network at once."""

    def __post_init__(self) -> None:
        if (self.lpips_trunk is None) != (self.lpips_heads is None):
            raise ValueError("lpips_trunk and lpips_heads belong together; give both or neither")
        for digest in self.published:
            if not _SHA256.fullmatch(digest):
                raise ValueError(f"published: {digest!r} is no SHA-256, 64 hexadecimal digits in small letters")


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class AcceptSettings:
    """What an animation must reach to be accepted, by columns of `stableanimator.metrics.scoring`; null: not asked.

    What good values are depends on the networks that look: `stableanimator.metrics.verdict.proposed` takes them from
    examples that a person accepted.
    """

    min_pck_drive_10: Share | None = None
    """Least share of the aligned drive's joints that are found again within a tenth of the stature, 0 to 1."""
    min_velocity_drive: Cosine | None = None
    """Least agreement of the joints' velocities with the aligned drive's, up to 1; not asked where the drive hardly
    moves."""
    max_delay_drive: NotNegative | None = None
    """Seconds by which the motion may come late or early; not asked where the drive hardly moves."""
    min_csim_held_out: Cosine | None = None
    """Least mean cosine of the faces to the reference's by the recogniser against which nothing is optimised, -1 to 1;
    not asked where none is named or the reference shows no face."""
    min_csim: Cosine | None = None
    """The same by the pack's own recogniser, which face optimisation raises: it can refuse a stranger whom the other
    takes for the person, and vouches for nobody."""
    min_face_found: Share | None = None
    """Least share of frames with a face, 0 to 1; not asked where the reference shows none."""
    max_flicker: NotNegative | None = None
    """Most temporal noise of what stands still, grey levels."""
    max_seam: NotNegative | None = None
    """Most of a frame's jump over its neighbours' (1: even; people who dance reach 1.5 to 2)."""

    @property
    def thresholds(self) -> dict[str, float]:
        """What is asked: thresholds by setting."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value is not None}
