from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from jobs.weights.catalogue import CATALOGUE, HUGGING_FACE

ROOT = Path(__file__).resolve().parents[3]
FULL = ROOT / "jobs" / "configs" / "full.yaml"
FILES = [file for entry in CATALOGUE for file in entry.files]
DOWNLOADS = [file for entry in CATALOGUE for file in (*entry.files, entry.archive) if file is not None]


def _below_weights(value: Any) -> set[str]:
    """Every path below SA_WEIGHTS that a configuration names."""
    if isinstance(value, dict):
        return set().union(*map(_below_weights, value.values()))
    if isinstance(value, list):
        return set().union(*map(_below_weights, value))
    return {value.removeprefix("${SA_WEIGHTS}/")} if str(value).startswith("${SA_WEIGHTS}/") else set()


def _holds(path: str, file: str) -> bool:
    return path == file or PurePosixPath(path) in PurePosixPath(file).parents


def test_every_path_that_full_names_is_in_the_catalogue_and_marked_as_full():
    config = yaml.safe_load(FULL.read_text())
    named = _below_weights(config)
    assert len(named) == 8, "the test reads the file wrongly, or the file has changed"
    of_full = [file.path for entry in CATALOGUE if entry.full for file in entry.files]
    for path in named:
        assert any(_holds(path, file) for file in of_full), path
    faces = config["perception"]["faces"]
    pack = f"{faces['pack_root'].removeprefix('${SA_WEIGHTS}/')}/models/{faces['pack']}"
    assert {PurePosixPath(path).suffix for path in of_full if _holds(pack, path)} == {".onnx"}
    for entry in CATALOGUE:
        if entry.full:
            assert any(_holds(path, file.path) for path in named for file in entry.files), entry.name


def test_what_the_loaders_read_of_stable_video_diffusion_is_there():
    (svd,) = [entry for entry in CATALOGUE if entry.name == "svd-xt"]
    files = {file.path.removeprefix(f"{svd.path}/") for file in svd.files}
    parts = {"vae/diffusion_pytorch_model.safetensors", "image_encoder/model.safetensors"}
    assert parts | {"vae/config.json", "image_encoder/config.json", "unet/diffusion_pytorch_model.safetensors"} <= files
    assert svd.path == "stable-video-diffusion-img2vid-xt"


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_an_entry_says_where_it_comes_from_and_under_which_terms(entry: Any):
    assert entry.licence
    assert entry.home.startswith("https://")
    for file in entry.files:
        assert (file.url is None) == (entry.archive is not None)
        assert entry.path == file.path or PurePosixPath(entry.path) in PurePosixPath(file.path).parents
    if entry.archive is not None:
        assert entry.archive.sha256  # what is in it is trusted: it is unpacked whole, and by these names
        assert len({PurePosixPath(file.path).name for file in entry.files}) == len(entry.files)


def test_names_and_places_are_unique_and_stay_in_the_folder():
    assert len({entry.name for entry in CATALOGUE}) == len(CATALOGUE)
    assert not {"all", "full"} & {entry.name for entry in CATALOGUE}
    paths = [file.path for file in DOWNLOADS]
    assert len(set(paths)) == len(paths)
    assert not [path for path in paths if ".." in path or path.startswith("/")]


def test_checksums_are_sha256_and_only_two_that_nobody_states_are_missing():
    assert [file.path for file in DOWNLOADS if file.sha256 and not re.fullmatch("[0-9a-f]{64}", file.sha256)] == []
    unknown = {file.path for file in DOWNLOADS if file.sha256 is None}
    released = {f"stableanimator/{name}.pth" for name in ("unet", "pose_net", "face_encoder")}
    assert unknown == released | {"fvd/resnet-50-kinetics.pth"}
    unsized = {"taesd/config.json", "fvd/i3d_pretrained_400.pt"}
    assert {file.path for file in DOWNLOADS if file.size is None} == unknown | unsized


def test_the_small_decoder_is_a_folder_that_diffusers_reads():
    (taesd,) = [entry for entry in CATALOGUE if entry.name == "taesd"]
    assert {file.path.removeprefix("taesd/") for file in taesd.files} == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
    }
    assert (taesd.path, taesd.licence, taesd.full) == ("taesd", "MIT", False)


def test_files_of_hugging_face_with_a_checksum_are_pinned_to_a_revision():
    urls = [file.url for file in FILES if file.url and file.url.startswith(HUGGING_FACE) and file.sha256]
    assert urls
    assert [url for url in urls if not re.search("/resolve/[0-9a-f]{40}/", url)] == []


def test_places_are_those_of_the_packs_and_repositories():
    urls = {file.path: file.url for file in DOWNLOADS}
    commit = "9e43909513c6714f1bc78bcb44d96e733cd242aa"
    assert urls["stable-video-diffusion-img2vid-xt/vae/config.json"] == (
        f"{HUGGING_FACE}/stabilityai/stable-video-diffusion-img2vid-xt/resolve/{commit}/vae/config.json"
    )
    assert (
        urls["stableanimator/unet.pth"] == f"{HUGGING_FACE}/FrancisRing/StableAnimator/resolve/main/Animation/unet.pth"
    )
    assert urls["insightface/models/antelopev2.zip"] == (
        "https://github.com/deepinsight/insightface/releases/download/v0.7/antelopev2.zip"
    )


def test_torchvisions_names_agree_with_their_checksums():
    names = [re.search("-([0-9a-f]{8}).pth$", file.path) for file in FILES]
    pairs = [(match[1], file.sha256) for match, file in zip(names, FILES, strict=True) if match and file.sha256]
    assert len(pairs) == 4
    assert all(sha256.startswith(start) for start, sha256 in pairs)
