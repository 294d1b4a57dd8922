from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel
from safetensors.torch import load_file

from stableanimator.alignment.aligner import Aligner, AlignerSettings
from stableanimator.errors import CheckpointError, WeightsError
from stableanimator.models.animator import Animator, Conditioning, ModelSettings
from stableanimator.models.checkpoints import (
    load_model_folder,
    load_svd_unet,
    load_weights,
    read_state_dict,
    save_model_folder,
    save_weights,
)
from stableanimator.models.pose_net import PoseNet, PoseNetSettings


@torch.no_grad()
def test_a_model_folder_comes_back_as_it_was(
    tmp_path: Path, tiny_settings: ModelSettings, animator: Animator, conditioning: Conditioning
) -> None:
    aligner = Aligner(AlignerSettings(width=8, heads=2))
    save_model_folder(tmp_path / "model", animator, aligner, {"seed": 3, "note": "é"})
    loaded = load_model_folder(tmp_path / "model")
    assert loaded.config == {"seed": 3, "note": "é"}
    assert loaded.animator.settings == tiny_settings
    x, sigma = torch.randn(2, 3, 4, 4, 2), torch.tensor([0.5, 2.0])
    assert torch.equal(loaded.animator(x, sigma, conditioning), animator(x, sigma, conditioning))
    assert loaded.aligner is not None
    assert loaded.aligner.settings == aligner.settings
    assert all(torch.equal(value, loaded.aligner.state_dict()[name]) for name, value in aligner.state_dict().items())


def test_a_later_save_leaves_nothing_of_the_former(tmp_path: Path, animator: Animator) -> None:
    save_model_folder(tmp_path, animator, Aligner(AlignerSettings()), {})
    save_model_folder(tmp_path, animator, None, {})
    assert load_model_folder(tmp_path).aligner is None
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"unet.safetensors", "pose_net.safetensors", "face_encoder.safetensors", "config.json"}


def test_a_folder_without_its_last_file_is_refused(tmp_path: Path, animator: Animator) -> None:
    save_model_folder(tmp_path, animator, None, {})
    (tmp_path / "config.json").unlink()
    with pytest.raises(WeightsError, match="was not written to its end"):
        load_model_folder(tmp_path)
    with pytest.raises(WeightsError, match="missing"):
        load_model_folder(tmp_path / "nowhere")


def test_a_mismatch_lists_names_and_shapes_in_one_bounded_line(tmp_path: Path) -> None:
    save_weights(PoseNet(PoseNetSettings(widths=(4, 8, 8)), out_channels=5), tmp_path / "pose_net.safetensors")
    with pytest.raises(CheckpointError) as error:
        load_weights(PoseNet(PoseNetSettings(widths=(4, 6)), out_channels=5), tmp_path / "pose_net.safetensors")
    message = str(error.value)
    assert "\n" not in message
    assert "4 unexpected (conv_layers.12.bias, conv_layers.12.weight, conv_layers.14.bias, …)" in message
    assert "conv_layers.10.bias [8] instead of [128]" in message
    assert "missing" not in message
    assert len(message) < 600


def test_a_mismatch_leaves_the_model_untouched(tmp_path: Path) -> None:
    network = PoseNet(PoseNetSettings(widths=(4,)), out_channels=5)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.save({"scale": torch.zeros(1)}, tmp_path / "pose_net.pth")
    with pytest.raises(CheckpointError, match="10 missing"):
        load_weights(network, tmp_path / "pose_net.pth")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_released_pth_files_load_beside_a_config(tmp_path: Path, animator: Animator) -> None:
    save_model_folder(tmp_path, animator, None, {})
    for part in ("unet", "pose_net", "face_encoder"):
        safe = tmp_path / f"{part}.safetensors"
        torch.save({name: value.half() for name, value in load_file(safe).items()}, tmp_path / f"{part}.pth")
        safe.unlink()
    loaded = load_model_folder(tmp_path).animator
    for name, value in animator.state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.float32
        assert torch.equal(loaded.state_dict()[name], value.half().float()), name


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return (Path.touch, (tmp_path / "touched",))

    torch.save({"weight": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match=r"evil\.pth is unreadable"):
        read_state_dict(tmp_path / "evil.pth")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pth"])
def test_a_truncated_file_is_a_users_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    network = PoseNet(PoseNetSettings(widths=(4,)), out_channels=5)
    if path.suffix == ".pth":
        torch.save(network.state_dict(), path)
    else:
        save_weights(network, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="unreadable"):
        read_state_dict(path)
    path.write_bytes(pickle.dumps([1, 2], protocol=2))
    with pytest.raises(WeightsError, match=r"unreadable|not a state dict"):
        read_state_dict(path)


def test_settings_of_another_version_are_named(tmp_path: Path, animator: Animator) -> None:
    save_model_folder(tmp_path, animator, None, {})
    path = tmp_path / "config.json"
    description = json.loads(path.read_text())
    description["model"]["pose_net"]["depth"] = 3
    path.write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match=r"config\.json: model\.pose_net: unknown setting 'depth'"):
        load_model_folder(tmp_path)


def test_stable_video_diffusions_unet_starts_the_training(tmp_path: Path, tiny_settings: ModelSettings) -> None:
    animator = Animator(replace(tiny_settings, id_fusion="off"))
    animator.unet.save_pretrained(tmp_path / "unet")
    start = Animator(tiny_settings)
    load_svd_unet(start, tmp_path)
    state = start.unet.state_dict()
    for name, value in animator.unet.state_dict().items():
        assert torch.equal(state[name], value), name
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
