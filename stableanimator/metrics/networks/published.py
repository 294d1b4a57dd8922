"""Which files the published numbers were made with, and what a column made with a file is called: the one rule."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

FeatureKind = Literal["fvd", "fid_vid", "fid"]
Kind = FeatureKind | Literal["lpips", "fvd_torchscript"]

VGG16 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
ALEXNET = "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"
SQUEEZENET = "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b"
VGG_HEADS = "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"
ALEX_HEADS = "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"
SQUEEZE_HEADS = "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76"
I3D = "55095f049e706479d48e221adcdb145b2b9dc930ba28b081ed72367ffaa32343"
FID_INCEPTION = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
I3D_TORCHSCRIPT = "bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2"

PUBLISHED: dict[tuple[Kind, tuple[str, ...]], str] = {
    ("lpips", (VGG16, VGG_HEADS)): "lpips",
    ("lpips", (ALEXNET, ALEX_HEADS)): "lpips_alex",
    ("lpips", (SQUEEZENET, SQUEEZE_HEADS)): "lpips_squeeze",
    ("fvd", (I3D,)): "fvd",
    ("fid", (FID_INCEPTION,)): "fid",
    ("fvd_torchscript", (I3D_TORCHSCRIPT,)): "fvd_torchscript",
}
"""Columns by what they measure and the SHA-256 of their files, as jobs.weights catalogues them. Nobody states that of
`resnet-50-kinetics.pth` in public, so FID-VID has its name by the user's word alone."""


def column_name(kind: Kind, digests: Sequence[str], vouched: Collection[str] = ()) -> str:
    """What a column is called: the published name where the files are the published ones, or the user vouches for each
    of them; `<kind>_own` with any others."""
    known = PUBLISHED.get((kind, tuple(digests)))
    return known or (kind if set(digests) <= set(vouched) else f"{kind}_own")


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
