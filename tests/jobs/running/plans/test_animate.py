from __future__ import annotations

from pathlib import Path

import pytest

from jobs.running.config import load
from jobs.running.plans.animate import animate_plan, encoder_sizes
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import EncoderSettings
from stableanimator.paths import local_path

TINY = Path(__file__).resolve().parents[4] / "jobs" / "configs" / "tiny.yaml"


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SA_ROOT", str(tmp_path))


def test_every_mode_has_a_line_and_the_chosen_one_is_marked() -> None:
    lines = animate_plan(load(str(TINY), ["animate.settings.hjb.region=face"]), costs=True).splitlines()
    assert lines[0] == "animate makes of every pair: plain, hjb"
    assert "face optimisation of hjb, 8 frames of 96x96" in lines[2]
    modes = [line.split(":")[0].strip() for line in lines[3:7]]
    assert modes == [
        f"region {region}, decoder {decoder}" for decoder in ("exact", "tiny") for region in ("frame", "face")
    ]
    assert [line.endswith("(chosen)") for line in lines[3:7]].count(True) == 1
    assert all("GiB beside" in line and "TFLOP beside" in line for line in lines[3:7])
    assert lines[7].startswith("each frame more: ")
    assert "no more GPU memory" in lines[7]


def test_thresholds_and_tries_are_told_where_results_are_judged() -> None:
    asked = ["animate.accept.max_flicker=2", "animate.accept.min_face_found=0.9", "animate.tries=3"]
    judged = "results are accepted by min_face_found 0.9, max_flicker 2; up to 3 tries, each of which is stored"
    assert judged in animate_plan(load(str(TINY), ["animate.accept=null", *asked])).splitlines()


def test_without_face_optimisation_or_encoders_it_says_so(tmp_path: Path) -> None:
    plain = animate_plan(load(str(TINY), ["animate.variants={plain: {face_optimisation: off}}"]))
    assert plain.splitlines()[0].endswith(": plain")
    assert "face" not in plain
    assert "with --costs" in animate_plan(load(str(TINY), [])).splitlines()[2]
    missing = animate_plan(load(str(TINY), [f"encoders.svd={tmp_path}/none"]), costs=True)
    assert "known when there are encoders" in missing.splitlines()[2]


def test_the_room_of_lossless_frames_is_told_where_they_are_wanted() -> None:
    # 100 frames of 96x96 are 2.7648 MB of raw pixels
    told = animate_plan(load(str(TINY), [])).splitlines()[1]
    assert "0.111 to 1.11 MB for 100 frames of 96x96" in told
    assert "without loss" not in animate_plan(load(str(TINY), ["animate.lossless=false"]))


def test_sizes_are_those_of_the_encoders_that_are_loaded() -> None:
    settings = EncoderSettings(svd="package://stableanimator.synthetic/weights/base")
    loaded, described = Encoders(settings), encoder_sizes(settings)
    assert local_path(str(settings.svd)).is_dir()
    empty = Encoders(EncoderSettings(vae=described.vae, clip=described.clip))
    shapes = [
        {name: each.shape for name, each in encoders.state_dict().items() if not name.startswith("tiny.")}
        for encoders in (loaded, empty)
    ]
    assert shapes[0] == shapes[1]
