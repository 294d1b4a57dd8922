"""Which weights there are: where each file comes from, where it lies, its size, SHA-256, licence and home page.

Places are below the weights folder (SA_WEIGHTS), as `jobs/configs/full.yaml` expects them. Sizes and checksums are what
publishers (Hugging Face's LFS records) and projects that pin the same files have written down in public; where none was
found it is None, and such a file is never called verified.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

HUGGING_FACE = "https://huggingface.co"
"""What HF_ENDPOINT replaces."""

_INSIGHTFACE = "https://github.com/deepinsight/insightface/releases/download/v0.7"
_DWPOSE = f"{HUGGING_FACE}/yzd-v/DWPose/resolve/1a7144101628d69ee7a3768d1ee3a094070dc388"
_COTRACKER = f"{HUGGING_FACE}/facebook/cotracker3/resolve/bf55ea50d4390e1820a267f131cd6587240fb2c5"
_SVD = f"{HUGGING_FACE}/stabilityai/stable-video-diffusion-img2vid-xt/resolve/9e43909513c6714f1bc78bcb44d96e733cd242aa"
_STABLE_ANIMATOR = f"{HUGGING_FACE}/FrancisRing/StableAnimator/resolve/main/Animation"
_I3D = f"{HUGGING_FACE}/flateon/FVD-I3D-torchscript/resolve/1c2d61711c52571ad617a1063e6fa691b212e184"
_LPIPS = (
    "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/082bb24f84c091ea94de2867d34c4544f68e0963/"
    "lpips/weights/v0.1"
)
_TORCH = "https://download.pytorch.org/models"


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsFile:
    """A file that our code reads."""

    path: str
    """Below the weights folder, with `/`."""
    size: int | None
    """Bytes; None where nobody has written it down."""
    sha256: str | None
    """Hex; None where nobody has written it down."""
    url: str | None = None
    """Where it is downloaded; None for a member of the entry's archive."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """Files that are of use together, under one licence."""

    name: str
    """What `jobs.weights` calls it."""
    what: str
    """What it is, in a few words."""
    licence: str
    home: str
    """The publisher's page, with the terms."""
    files: tuple[WeightsFile, ...]
    archive: WeightsFile | None = None
    """The zip that the files come in, whatever its folders; it is deleted when they are there."""
    full: bool = False
    """Whether `jobs/configs/full.yaml` names it as it is shipped."""

    @property
    def path(self) -> str:
        """The entry's one file, or the folder that holds all of its files; below the weights folder."""
        if len(self.files) == 1:
            return self.files[0].path
        parents = [PurePosixPath(file.path).parents for file in self.files]
        shared = set(parents[0]).intersection(*map(set, parents[1:]))
        return str(max(shared, key=lambda parent: len(parent.parts)))


_FACE_LICENCE = "non-commercial research"
_FACE_HOME = "https://github.com/deepinsight/insightface/tree/master/model_zoo"


def _pack(name: str, size: int, sha256: str, *members: tuple[str, int, str], full: bool = False) -> Entry:
    """A pack of InsightFace: a zip of ONNX files, found by its name below `insightface/models/`."""
    folder = f"insightface/models/{name}"
    files = (WeightsFile(path=f"{folder}/{member}", size=bytes_, sha256=sha) for member, bytes_, sha in members)
    return Entry(
        name=name,
        what="InsightFace: face detector and recogniser",
        licence=_FACE_LICENCE,
        home=_FACE_HOME,
        files=tuple(files),
        archive=WeightsFile(path=f"{folder}.zip", url=f"{_INSIGHTFACE}/{name}.zip", size=size, sha256=sha256),
        full=full,
    )


# The same bytes in both packs.
_LANDMARKS = (
    ("1k3d68.onnx", 143607619, "df5c06b8a0c12e422b2ed8947b8869faa4105387f199c477af038aa01f9a45cc"),
    ("2d106det.onnx", 5030888, "f001b856447c413801ef5c42091ed0cd516fcd21f2d6b79635b1e733a7109dbf"),
    ("genderage.onnx", 1322532, "4fde69b1c810857b88c64a335084f1c3fe8f01246c9a191b48c7bb756d6652fb"),
)
_DETECTOR = (16923827, "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91")


def _single(entry: str, what: str, licence: str, home: str, file: WeightsFile, full: bool = False) -> Entry:
    return Entry(name=entry, what=what, licence=licence, home=home, files=(file,), full=full)


def _cotracker(mode: str, size: int, sha256: str, full: bool) -> Entry:
    name = f"scaled_{mode}.pth"
    file = WeightsFile(path=f"cotracker3/{name}", url=f"{_COTRACKER}/{name}", size=size, sha256=sha256)
    home = f"{HUGGING_FACE}/facebook/cotracker3"
    return _single(f"cotracker3-{mode}", f"CoTracker3 {mode}: point tracks", "CC BY-NC 4.0", home, file, full)


def _lpips(net: str, size: int, sha256: str, trunk: tuple[str, int, str]) -> Entry:
    """LPIPS needs two files: ImageNet features, and what weighs them."""
    name, trunk_size, trunk_sha256 = trunk
    return Entry(
        name=f"lpips-{net}",
        what=f"LPIPS v0.1 {net}: linear layers, and torchvision's trunk",
        licence="BSD-2-Clause, BSD-3-Clause",
        home="https://github.com/richzhang/PerceptualSimilarity",
        files=(
            WeightsFile(path=f"lpips/{net}.pth", url=f"{_LPIPS}/{net}.pth", size=size, sha256=sha256),
            WeightsFile(path=f"lpips/{name}", url=f"{_TORCH}/{name}", size=trunk_size, sha256=trunk_sha256),
        ),
    )


def _svd(path: str, size: int, sha256: str) -> WeightsFile:
    folder = "stable-video-diffusion-img2vid-xt"
    return WeightsFile(path=f"{folder}/{path}", url=f"{_SVD}/{path}", size=size, sha256=sha256)


def _released(name: str) -> WeightsFile:
    # No public source that was found states size or checksum of these three.
    return WeightsFile(path=f"stableanimator/{name}", url=f"{_STABLE_ANIMATOR}/{name}", size=None, sha256=None)


def _dwpose(name: str, size: int, sha256: str) -> WeightsFile:
    return WeightsFile(path=f"dwpose/{name}", url=f"{_DWPOSE}/{name}", size=size, sha256=sha256)


CATALOGUE = (
    _pack(
        "antelopev2",
        360662982,
        "8e182f14fc6e80b3bfa375b33eb6cff7ee05d8ef7633e738d1c89021dcf0c5c5",
        *_LANDMARKS,
        ("glintr100.onnx", 260665334, "4ab1d6435d639628a6f3e5008dd4f929edf4c4124b1a7169e1048f9fef534cdf"),
        ("scrfd_10g_bnkps.onnx", *_DETECTOR),
        full=True,
    ),
    _pack(
        "buffalo_l",
        288621354,
        "80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f",
        *_LANDMARKS,
        ("det_10g.onnx", *_DETECTOR),
        ("w600k_r50.onnx", 174383860, "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43"),
    ),
    Entry(
        name="dwpose",
        what="DWPose: person detector and 133 keypoints",
        licence="Apache-2.0",
        home=f"{HUGGING_FACE}/yzd-v/DWPose",
        files=(
            _dwpose("yolox_l.onnx", 216746733, "7860ae79de6c89a3c1eb72ae9a2756c0ccfbe04b7791bb5880afabd97855a411"),
            _dwpose(
                "dw-ll_ucoco_384.onnx", 134399116, "724f4ff2439ed61afb86fb8a1951ec39c6220682803b4a8bd4f598cd913b1843"
            ),
        ),
        full=True,
    ),
    _cotracker("online", 101695610, "205d34789f19699d64b22cf93f9b697f15f28d4025240e31532e504109837218", True),
    _cotracker("offline", 101890938, "2670d4562ed69326dda775a26e54883925cd11b6fc9b24cb7aa9f8078bce7834", False),
    Entry(
        name="svd-xt",
        what="Stable Video Diffusion img2vid-xt, float32: VAE, image encoder, U-Net",
        licence="Stability AI Community",
        home=f"{HUGGING_FACE}/stabilityai/stable-video-diffusion-img2vid-xt",
        files=(
            # The licence asks to travel with the weights.
            _svd("LICENSE.md", 11852, "d6f6b1a4dce5c852bd6d7d9482d002baf0ccdb71e662250b73be9eec8764ee8d"),
            _svd(
                "feature_extractor/preprocessor_config.json",
                518,
                "4db495644e3e5bd8fcac52f70e7fc0b413c911086021acf73ac30e5911166e95",
            ),
            _svd("vae/config.json", 607, "8f34272db69f7e2c615da6142ca3f9fdcd7b682bcfd903ceb15035fea79a8303"),
            _svd(
                "vae/diffusion_pytorch_model.safetensors",
                391017740,
                "5d92aa595a53d9da9faf594f09910ee869d5d567c8bb0362d5095673c69997d6",
            ),
            _svd("image_encoder/config.json", 685, "65da4496f116d2b297fe864e0f31242fbc57e26a5d95b93310f2034e1e90d0ec"),
            _svd(
                "image_encoder/model.safetensors",
                2528371296,
                "ed1e5af7b4042ca30ec29999a4a5cfcac90b7fb610fd05ace834f2dcbb763eab",
            ),
            _svd(
                "unet/diffusion_pytorch_model.safetensors",
                6098682464,
                "7783d82729af04f26ded4641a5952617fe331fc46add332fb9e47674fecc6ad7",
            ),
        ),
        full=True,
    ),
    Entry(
        name="stableanimator",
        what="StableAnimator as released: a model folder for animate.model",
        licence="Apache-2.0, made from Stability AI Community",
        home=f"{HUGGING_FACE}/FrancisRing/StableAnimator",
        files=(_released("unet.pth"), _released("pose_net.pth"), _released("face_encoder.pth")),
    ),
    _single(
        "i3d",
        "I3D as TorchScript: features for FVD, as in StyleGAN-V",
        "none stated",
        "https://github.com/universome/stylegan-v",
        # A copy of https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt with the same SHA-256.
        WeightsFile(
            path="fvd/i3d_torchscript.pt",
            url=f"{_I3D}/i3d_torchscript.pt",
            size=51235320,
            sha256="bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",
        ),
    ),
    _lpips(
        "alex",
        6009,
        "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        (
            "alexnet-owt-7be5be79.pth",
            244408911,
            "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        ),
    ),
    _lpips(
        "vgg",
        7289,
        "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        ("vgg16-397923af.pth", 553433881, "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"),
    ),
)
