from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from benchmarks.evaluate import restated
from benchmarks.evaluate.agreement import drawn
from stableanimator.errors import CheckpointError, WeightsError
from stableanimator.metrics.networks import published
from stableanimator.metrics.networks.i3d import I3d
from stableanimator.metrics.networks.inception import Inception
from stableanimator.metrics.networks.loading import load_networks
from stableanimator.metrics.networks.lpips import Heads, Trunk, TrunkName
from stableanimator.metrics.networks.resnet3d import ResNet3d
from stableanimator.metrics.settings import MetricNetworkSettings

ROOT = Path(__file__).resolve().parents[4]


def _saved(path: Path, network: torch.nn.Module, **more: Any) -> str:
    torch.save(network.state_dict() | more, path)
    return str(path)


def _small_i3d(path: Path) -> str:
    torch.manual_seed(0)
    return _saved(path, drawn(I3d(6, 0.0625)))


def test_files_of_other_weights_have_columns_of_other_names(tmp_path: Path) -> None:
    channels = (8, 8, 16, 8, 8)
    torch.manual_seed(0)
    classifier = {"classifier.0.weight": torch.zeros(4, 8)}
    resnet = {f"module.{name}": value for name, value in drawn(ResNet3d(8, (1, 1, 1, 1))).state_dict().items()}
    without = {name: value for name, value in resnet.items() if "num_batches_tracked" not in name}
    torch.save({"arch": "resnet-50", "epoch": 3, "state_dict": without}, tmp_path / "resnet.pth")
    networks = load_networks(
        MetricNetworkSettings(
            lpips_trunk=_saved(tmp_path / "vgg.pth", drawn(Trunk("vgg", channels)), **classifier),
            lpips_heads=_saved(tmp_path / "heads.pth", drawn(Heads(channels))),
            i3d=_small_i3d(tmp_path / "i3d.pt"),
            resnet3d=str(tmp_path / "resnet.pth"),
            inception=_saved(tmp_path / "inception.pth", drawn(Inception(0.0625))),
        )
    )
    assert networks.lpips_column == "lpips_own"
    assert [each.column for each in networks.features] == ["fvd_own", "fid_vid_own", "fid_own"]
    assert set(networks.remarks) == {"lpips", "fvd", "fid_vid", "fid"}
    assert "not known to be the published file" in networks.remarks["fvd"]
    fvd, fid_vid, fid = networks.features
    assert fvd(torch.rand(2, 3, 9, 64, 64)).shape == (2, 6)
    assert fid_vid(torch.rand(1, 3, 16, 112, 112)).shape == (1, 256)
    assert fid(torch.rand(1, 3, 40, 50)).shape == (1, 128)


def test_a_file_that_is_vouched_for_has_the_published_name(tmp_path: Path) -> None:
    path = _small_i3d(tmp_path / "i3d.pt")
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    networks = load_networks(MetricNetworkSettings(i3d=path, published=(digest,)))
    assert [each.column for each in networks.features] == ["fvd"]
    assert networks.remarks["fid"] == "no weights file is named (inception)"
    with pytest.raises(ValueError, match="no SHA-256"):
        MetricNetworkSettings(i3d=path, published=("0123",))


def test_no_file_no_column() -> None:
    networks = load_networks(MetricNetworkSettings())
    assert (networks.lpips, networks.features) == (None, ())
    assert set(networks.remarks) == {"lpips", "fvd", "fid_vid", "fid"}
    with pytest.raises(ValueError, match="belong together"):
        MetricNetworkSettings(lpips_trunk="/weights/vgg16.pth")


def test_published_names_go_with_the_catalogues_files() -> None:
    catalogue = yaml.safe_load((ROOT / "jobs" / "weights" / "catalogue.yaml").read_text())
    digests = {file.get("sha256") for entry in catalogue.values() for file in entry["files"]}
    assert {digest for _, files in published.PUBLISHED for digest in files} <= digests
    names = {column: (kind, files) for (kind, files), column in published.PUBLISHED.items()}
    assert published.column_name(*names["lpips"]) == "lpips"
    kind, (trunk, heads) = names["lpips"]
    assert published.column_name(kind, (heads, trunk)) == "lpips_own"


def test_a_torchscript_program_has_a_column_of_its_own(tmp_path: Path) -> None:
    class Program(torch.nn.Module):
        def forward(self, clips: torch.Tensor, rescale: bool, resize: bool, return_features: bool) -> torch.Tensor:
            assert return_features
            assert not rescale
            assert not resize
            return clips.mean((2, 3, 4))

    torch.jit.script(Program()).save(str(tmp_path / "i3d.ts"))
    program = str(tmp_path / "i3d.ts")
    with pytest.raises(WeightsError, match="nobody vouches for"):  # else it would run
        load_networks(MetricNetworkSettings(i3d_torchscript=program))
    vouched = (published.sha256(tmp_path / "i3d.ts"),)
    networks = load_networks(MetricNetworkSettings(i3d_torchscript=program, published=vouched))
    (network,) = networks.features
    assert (network.kind, network.column) == ("fvd", "fvd_torchscript")
    assert network(torch.ones(2, 3, 16, 8, 8)).tolist() == [[1, 1, 1]] * 2
    assert "fvd" in networks.remarks


def test_files_of_something_else_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is missing"):
        load_networks(MetricNetworkSettings(i3d=str(tmp_path / "gone.pt")))
    other = _saved(tmp_path / "other.pth", torch.nn.Linear(2, 2))
    with pytest.raises(WeightsError, match="of no I3d"):
        load_networks(MetricNetworkSettings(i3d=other))
    with pytest.raises(WeightsError, match="of no VGG16"):
        load_networks(MetricNetworkSettings(lpips_trunk=other, lpips_heads=other))
    cut = I3d(6, 0.0625).state_dict()
    del cut["Mixed_4d.b2b.bn.weight"]
    torch.save(cut, tmp_path / "cut.pt")
    with pytest.raises(CheckpointError, match=r"Mixed_4d\.b2b\.bn\.weight"):
        load_networks(MetricNetworkSettings(i3d=str(tmp_path / "cut.pt")))
    (tmp_path / "text.ts").write_text("no program")
    with pytest.raises(WeightsError, match="no TorchScript program"):
        load_networks(
            MetricNetworkSettings(
                i3d_torchscript=str(tmp_path / "text.ts"), published=(published.sha256(tmp_path / "text.ts"),)
            )
        )


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["vgg", "alex", "squeeze"])
def test_the_published_heads_fit_and_are_known(name: TrunkName, real_data: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    heads, trunk = real_data / "weights" / "lpips" / f"{name}.pth", drawn(Trunk(name))
    networks = load_networks(
        MetricNetworkSettings(lpips_trunk=_saved(tmp_path / "trunk.pth", trunk), lpips_heads=str(heads))
    )
    assert networks.lpips_column == "lpips_own"  # the trunk is drawn
    assert published.sha256(heads) in {digest for _, files in published.PUBLISHED for digest in files}
    assert networks.lpips is not None
    assert min(float(weights.min()) for weights in networks.lpips.heads.weights()) >= 0
    first, second = torch.rand(2, 1, 3, 64, 64) * 2 - 1
    wanted = restated.lpips(trunk.state_dict(), networks.lpips.heads.state_dict(), name, first, second)
    value = networks.lpips.distance(networks.lpips.layers(first), networks.lpips.layers(second))
    assert value.tolist() == pytest.approx(wanted.tolist(), rel=1e-5)
