"""The preview's actor on drawn people: with the package's perception, a model folder without networks."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from jobs.pairs.animate_job import AnimateJob
from jobs.pairs.drives import keypoint_table
from jobs.pairs.settings import AnimateJobSettings
from jobs.preview.page import preview_page, sheet_of
from jobs.preview.pair import PreviewPair, alike, failed_row
from pipelines.storage.pair_tables import PAIRS, PREVIEWS
from pipelines.storage.store import Store, parquet_bytes
from stableanimator.animate_settings import AnimateSettings
from stableanimator.errors import CheckpointError, PersonError
from stableanimator.media.video import write_mp4
from stableanimator.models.settings import EncoderSettings, FrameRates, ModelSettings
from stableanimator.perception.settings import FaceSettings, PerceptionSettings, PoseSettings
from stableanimator.state_files import FORMAT
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.script import ClipSettings

SYNTHETIC = "package://stableanimator.synthetic/weights"
PERCEPTION = PerceptionSettings(
    faces=FaceSettings(pack_root=f"{SYNTHETIC}/insightface", pack="drawn", detector_sizes=(320,)),
    pose=PoseSettings(detector=f"{SYNTHETIC}/dwpose/person_detector.onnx", pose=f"{SYNTHETIC}/dwpose/pose.onnx"),
)
SETTINGS = AnimateSettings(sizes=((320, 320),), alignment="svd")
SHORT = ClipSettings(width=192, height=192, fps=8.0)


def test_variants_that_look_alike_share_a_look() -> None:
    variants = {
        "plain": replace(SETTINGS, face_optimisation=False),
        "hjb": SETTINGS,
        "none": replace(SETTINGS, alignment="none"),
        "large": replace(SETTINGS, sizes=((512, 512),)),
        "slow": replace(SETTINGS, reference_noise=0.0),
    }
    assert alike(variants) == [["plain", "hjb", "slow"], ["none"], ["large"]]


def _job(folder: Path, settings: AnimateSettings = SETTINGS) -> AnimateJob:
    """Of a model folder that holds no network: a look needs none."""
    described = {"format": FORMAT, "model": asdict(ModelSettings()), "aligner": None, "config": {}}
    (folder / "model").mkdir(exist_ok=True)
    rates = asdict(FrameRates(fps=(8.0,), fps_id=None))
    (folder / "model" / "config.json").write_text(json.dumps(described | {"rates": rates}))
    return AnimateJob(
        root=str(folder / "root"),
        settings=AnimateJobSettings(settings=settings, variants={"plain": settings}),
        encoders=EncoderSettings(),
        perception=PERCEPTION,
        model_folder=str(folder / "model"),
        key="k",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dancer, another one who drives, and one who is seen from the waist up."""
    folder = tmp_path_factory.mktemp("preview")
    Image.fromarray(draw_clip(write_clip("dance", 5, SHORT), [0])[0][0]).save(folder / "person.png")
    for name, kind in (("dance", "dance"), ("half", "gesture")):
        write_mp4(folder / f"{name}.mp4", draw_clip(write_clip(kind, 8, SHORT), range(8))[0], 8.0)
    return folder


@pytest.fixture(scope="module")
def actor(folder: Path) -> PreviewPair:
    return PreviewPair(_job(folder))


def _pair(folder: Path, drive: str, **columns: Any) -> dict[str, Any]:
    known = {"pair_id": f"to {drive}", "reference_uri": str(folder / "person.png")}
    return dict.fromkeys(PAIRS.names) | known | {"driving_uri": str(folder / f"{drive}.mp4")} | columns


def test_a_pair_becomes_a_row_and_a_sheet(actor: PreviewPair, folder: Path) -> None:
    row = actor({"pair": _pair(folder, "dance"), "variants": ["plain"]})
    assert (row["status"], row["warnings"], row["detail"]) == ("done", [], None)
    assert (row["frames"], row["height"], row["animated_people"], row["found"]) == (8, 320, 1, 1.0)
    assert row["scale"] == pytest.approx(1, abs=0.1)
    assert row["face"] > 32
    sheet = cv2.imread(actor.store.resolve(row["sheet_uri"]))
    assert sheet is not None
    assert sheet.shape[1] > 1000
    assert np.ptp(sheet) == 255
    assert pa.Table.from_pylist([row], schema=PREVIEWS).num_rows == 1


def test_what_would_spoil_a_pair_is_named_in_its_row(actor: PreviewPair, folder: Path) -> None:
    row = actor({"pair": _pair(folder, "half"), "variants": ["plain"]})
    assert row["warnings"] == ["feet_cut"]
    assert row["detail"].startswith("feet_cut: the reference shows the feet, and 100%")


def test_a_drive_of_keypoints_has_a_sheet_too(actor: PreviewPair, folder: Path) -> None:
    poses = actor.reader.drive(_pair(folder, "dance"), 8.0, None).poses
    table = keypoint_table(np.stack([each[:1] for each in poses]), list(range(8)), 8.0, (192, 192))
    (folder / "poses.parquet").write_bytes(parquet_bytes(table))
    pair = _pair(folder, "dance", driving_uri=None, driving_keypoints_uri=str(folder / "poses.parquet"))
    row = actor({"pair": pair, "variants": ["plain"]})
    assert row["warnings"] == []
    assert actor.store.exists(row["sheet_uri"])


def test_a_model_without_an_aligner_is_refused_before_any_pair(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="has no aligner, which the variant plain needs"):
        PreviewPair(_job(folder, replace(SETTINGS, alignment="learned")))


def test_the_page_shows_warned_pairs_first_and_says_what_failed(actor: PreviewPair, folder: Path) -> None:
    rows = [actor({"pair": _pair(folder, name), "variants": ["plain"]}) for name in ("dance", "half")]
    lost = _pair(folder, "gone", pair_id="<lost>")
    rows.append(failed_row(lost, ["plain"], PersonError("no_driving_person", "in none of 3 frames")))
    page = preview_page(Store(str(folder / "root")), rows)
    assert 0 < page.index("to half") < page.index("to dance") < page.index("&lt;lost&gt;")
    assert "1 feet_cut" in page
    assert "no_driving_person: in none of 3 frames" in page
    assert page.count("data:image/webp;base64,") == 2
    assert 'src="http' not in page
    assert sheet_of(Store(str(folder / "root")), rows[0]).shape[2] == 3
