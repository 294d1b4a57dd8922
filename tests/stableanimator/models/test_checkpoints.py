from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel
from safetensors.torch import load_file

from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.settings import AlignerSettings
from stableanimator.errors import CheckpointError, WeightsError
from stableanimator.models.animator import Animator, Conditioning
from stableanimator.models.checkpoints import load_model_folder, load_svd_unet, save_model_folder, save_released_folder
from stableanimator.models.settings import FrameRates, ModelSettings
from stableanimator.state_files import FORMAT

from ...floats import assert_same


@torch.no_grad()
def test_a_model_folder_comes_back_as_it_was(
    tmp_path: Path, tiny_settings: ModelSettings, animator: Animator, conditioning: Conditioning
) -> None:
    aligner = Aligner(AlignerSettings(width=8, heads=2))
    rates = FrameRates(fps=(8.0, 4.0), fps_id=None)
    save_model_folder(tmp_path / "model", animator, aligner, rates, {"seed": 3, "note": "é"})
    loaded = load_model_folder(tmp_path / "model")
    assert loaded.config == {"seed": 3, "note": "é"}
    assert loaded.rates == rates
    assert loaded.animator.settings == tiny_settings
    x, sigma = torch.randn(2, 3, 4, 4, 2), torch.tensor([0.5, 2.0])
    assert_same(loaded.animator(x, sigma, conditioning), animator(x, sigma, conditioning))
    assert loaded.aligner is not None
    assert loaded.aligner.settings == aligner.settings
    assert all(torch.equal(value, loaded.aligner.state_dict()[name]) for name, value in aligner.state_dict().items())


def test_a_later_save_leaves_nothing_of_the_former(tmp_path: Path, animator: Animator) -> None:
    save_model_folder(tmp_path, animator, Aligner(AlignerSettings()), FrameRates(), {})
    save_model_folder(tmp_path, animator, None, FrameRates(), {})
    assert load_model_folder(tmp_path).aligner is None
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"unet.safetensors", "pose_net.safetensors", "face_encoder.safetensors", "config.json"}


def test_a_folder_without_its_last_file_is_refused(tmp_path: Path, animator: Animator) -> None:
    save_model_folder(tmp_path, animator, None, FrameRates(), {})
    (tmp_path / "config.json").unlink()
    with pytest.raises(WeightsError, match="was not written to its end"):
        load_model_folder(tmp_path)
    with pytest.raises(WeightsError, match="missing"):
        load_model_folder(tmp_path / "nowhere")


def test_released_pth_files_load_beside_a_config(tmp_path: Path, animator: Animator) -> None:
    save_model_folder(tmp_path, animator, None, FrameRates(), {})
    for part in ("unet", "pose_net", "face_encoder"):
        safe = tmp_path / f"{part}.safetensors"
        torch.save({name: value.half() for name, value in load_file(safe).items()}, tmp_path / f"{part}.pth")
        safe.unlink()
    loaded = load_model_folder(tmp_path).animator
    for name, value in animator.state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.float32
        assert torch.equal(loaded.state_dict()[name], value.half().float()), name


def test_released_files_are_plain_state_dicts_of_their_own_size(tmp_path: Path, animator: Animator) -> None:
    flat = torch.randn(1000)
    animator.pose_net.scale = torch.nn.Parameter(flat[7:8])  # a view, as ZeRO keeps its weights
    save_released_folder(tmp_path, animator)
    assert {path.name for path in tmp_path.iterdir()} == {"unet.pth", "pose_net.pth", "face_encoder.pth"}
    for part in ("unet", "pose_net", "face_encoder"):
        state = torch.load(tmp_path / f"{part}.pth", weights_only=True)
        assert type(state) is dict
        getattr(animator, part).load_state_dict(state, strict=True)
        assert all(value.untyped_storage().nbytes() == value.nbytes for value in state.values())


def test_settings_of_another_version_are_named(tmp_path: Path, animator: Animator) -> None:
    save_model_folder(tmp_path, animator, None, FrameRates(), {})
    path = tmp_path / "config.json"
    description = json.loads(path.read_text())
    description["model"]["pose_net"]["depth"] = 3
    path.write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match=r"config\.json: model\.pose_net: unknown setting 'depth'"):
        load_model_folder(tmp_path)


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_stable_video_diffusions_unet_starts_the_training(
    tmp_path: Path, tiny_settings: ModelSettings, variant: str | None
) -> None:
    animator = Animator(replace(tiny_settings, id_fusion="off"))
    stored = torch.float16 if variant == "fp16" else torch.float32
    animator.unet.to(stored).save_pretrained(tmp_path / "unet", variant=variant)
    start = Animator(tiny_settings)
    load_svd_unet(start, tmp_path)
    state = start.unet.state_dict()
    for name, value in animator.unet.state_dict().items():
        assert state[name].dtype == torch.float32
        assert torch.equal(state[name], value.float()), name
    adapters = [name for name in state if "id_to_" in name]
    assert len(adapters) == 8  # one block down, one in the middle, two up: keys and values
    for name in adapters:
        own = name.replace("processor.id_to_k", "to_k").replace("processor.id_to_v", "to_v")
        assert torch.equal(state[name], state[own]), name


def test_another_unet_is_no_start(tmp_path: Path, tiny_settings: ModelSettings) -> None:
    small = tiny_settings.unet
    UNetSpatioTemporalConditionModel(
        block_out_channels=(32,),
        down_block_types=("DownBlockSpatioTemporal",),
        up_block_types=("UpBlockSpatioTemporal",),
        num_attention_heads=(1,),
        cross_attention_dim=small.cross_attention_dim,
    ).save_pretrained(tmp_path / "unet")
    with pytest.raises(CheckpointError, match=r"does not fit the model: \d+ missing"):
        load_svd_unet(Animator(tiny_settings), tmp_path)


def test_a_model_folder_of_another_format_is_refused(tmp_path: Path, animator: Animator) -> None:
    save_model_folder(tmp_path, animator, None, FrameRates(), {})
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace(f'"format": {FORMAT}', '"format": 1'))
    with pytest.raises(CheckpointError, match=f"is of format 1, not {FORMAT}"):
        load_model_folder(tmp_path)
