"""Encoding of drawn people of whom there are several clips: whose pictures their rows are given, and at which rates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipelines.releases import select
from pipelines.shards.encode import EncodeVideo, encode_release
from pipelines.shards.encode_plan import amount_of_release
from pipelines.shards.reader import ShardRows
from pipelines.shards.settings import EncodeSettings
from pipelines.shards.videos import videos_of
from pipelines.storage.store import Collection, Store, media_path
from pipelines.storage.tables import CLIPS, FRAMES
from stableanimator.errors import GoneError
from stableanimator.media.video import VideoReader, write_mp4
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import CLIPSettings, EncoderSettings, VAESettings
from stableanimator.perception.faces import FaceAnalyser
from stableanimator.perception.settings import FaceSettings
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.figure.identity import draw_identity
from stableanimator.synthetic.renderer import ClipRenderer
from stableanimator.synthetic.script import ClipSettings

pytestmark = pytest.mark.usefixtures("cluster")

ENCODERS = EncoderSettings(
    vae=VAESettings(block_out_channels=(32, 32, 32), layers_per_block=1, scaling_factor=0.5),
    clip=CLIPSettings(
        hidden_size=32, intermediate_size=32, layers=1, heads=2, image_size=28, patch_size=14, projection_dim=16
    ),
)
SETTINGS = EncodeSettings(
    buckets=((64, 64),), frames_per_row=3, strides=(1, 2), references="same_person", reference_count=2,
    reference_noise=0.0, gpus_per_actor=0, cpus_per_actor=0.5, sheet_rows=8,
)  # fmt: skip
SHORT = ClipSettings(min_seconds=0.6, max_seconds=0.6)
WHO = {  # kind of clip, whose face, split; all by one uploader
    "far": ("dance", 0, "train"),
    "near": ("talk", 0, "train"),
    "somebody else": ("gesture", 1, "train"),
    "kept out": ("gesture", 0, "heldout"),
}


def _frames(shot: str, renderer: ClipRenderer, pictures: list[np.ndarray], faces: FaceAnalyser) -> list[dict[str, Any]]:
    """Every third of 15 frames at 25 a second: true joints, and the face as it is recognised."""
    rows = []
    for index in range(0, 15, 3):
        (face, *_) = faces(pictures[index])
        pose = np.concatenate([renderer.truth.keypoints[index, 0], np.full((133, 1), 0.9)], -1)
        row = {"shot_id": shot, "frame_index": index, "time": index / 25, "keypoints": [pose.ravel().tolist()]}
        assert face.embedding is not None
        rows.append(row | {"face_boxes": [face.box.tolist()], "face_embedding": face.embedding.tolist()})
    return rows


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("release")
    store = Store(str(folder / "root"))
    weights = "package://stableanimator.synthetic/weights/insightface"
    faces = FaceAnalyser(FaceSettings(pack_root=weights, pack="drawn", detector_sizes=(320,)))
    people = [draw_identity(np.random.default_rng([4_000_000, person])) for person in (0, 1)]
    clips, frames = [], []
    for number, (kind, person, split) in enumerate(WHO.values()):
        renderer = ClipRenderer(write_clip(kind, 4_000_000 + number, SHORT, [people[person]]))
        pictures = list(renderer)
        write_mp4(folder / f"{number}.mp4", pictures, 25)
        video_id = store.put_media(folder / f"{number}.mp4", ".mp4")[0]
        shot = f"{video_id}:0-15"
        where = {"shot_id": shot, "video_id": video_id, "media": media_path(video_id, ".mp4"), "uploader": "ann"}
        size = {"fps": 25.0, "width": 256, "height": 256, "seconds": 0.6}
        clips.append({**where, **size, "start": 0, "end": 15, "split": split, "person": f"{person}"})
        frames += _frames(shot, renderer, pictures, faces)
    tables = {"clips": pa.Table.from_pylist(clips, CLIPS), "frames": pa.Table.from_pylist(frames, FRAMES)}
    return store.commit("releases", content={"version": select.VERSION}, tables=tables, build={})


@pytest.fixture(scope="module")
def shots(release: Collection) -> dict[str, str]:
    return dict(zip(WHO, release.table("clips")["shot_id"].to_pylist(), strict=True))


@pytest.fixture(scope="module")
def shards(release: Collection) -> Collection:
    return encode_release(release, SETTINGS, ENCODERS)


def _rows(shards: Collection) -> list[dict[str, Any]]:
    tables = [shards.store.read_parquet(part["path"], part["sha256"]) for part in shards.manifest["parts"]]
    return [row for table in tables for row in table.to_pylist()]


def test_a_row_is_given_pictures_of_the_same_face_in_other_clips_of_its_split(
    shards: Collection, shots: dict[str, str]
) -> None:
    given = {
        name: {shot for row in _rows(shards) if row["shot_id"] == own for shot in row["reference_shot_id"]}
        for name, own in shots.items()
    }
    assert given == {
        "far": {shots["near"]},
        "near": {shots["far"]},
        "somebody else": {shots["somebody else"]},  # of the same uploader, and nobody else has this face
        "kept out": {shots["kept out"]},
    }
    report = {(row["shot_id"], row["stride"]): row for row in shards.table("report").to_pylist()}
    for name, own in shots.items():
        source = "same_person" if name in ("far", "near") else "same_clip"
        assert [report[own, stride]["references"] for stride in (1, 2)] == [source] * 2
        assert report[own, 1]["reference_shots"] == sorted(given[name])


def test_a_borrowed_reference_is_that_frame_encoded_by_hand(
    release: Collection, shards: Collection, shots: dict[str, str]
) -> None:
    row = next(row for row in _rows(shards) if row["shot_id"] == shots["near"])
    assert row["reference_index"] == [0, 12]
    assert row["reference_crop"] == ["centre"] * 2
    frames = {row["frame_index"]: row for row in release.table("frames").to_pylist() if row["shot_id"] == shots["far"]}
    with VideoReader(release.store.local_path(media_path(shots["far"].split(":")[0], ".mp4"))) as video:
        pictures = torch.from_numpy(video.read([0, 12])).permute(0, 3, 1, 2).double()
    small = pictures.unfold(2, 4, 4).unfold(3, 4, 4).mean((-1, -2)).round()  # 256 pixels become 64
    encoders, tensors = Encoders(ENCODERS), (small / 127.5 - 1).float()
    expected = encoders.encode(tensors).numpy()
    latents = np.array(row["reference_latent"], np.float32).reshape(expected.shape)
    np.testing.assert_allclose(latents, expected, atol=0.05 * expected.std())
    embedding = np.array(row["clip_embedding"], np.float32).reshape(2, 1, 16)
    np.testing.assert_allclose(embedding, encoders.embed(tensors).numpy(), atol=5e-3)
    for place, index in enumerate((0, 12)):
        face = np.array(row["face_embedding"]).reshape(2, -1)[place]
        np.testing.assert_allclose(face, frames[index]["face_embedding"], atol=0.02)
        pose = np.array(frames[index]["keypoints"]).reshape(133, 3) * [0.25, 0.25, 1]
        found = np.array(row["reference_keypoints"]).reshape(2, 133, 3)[place]
        np.testing.assert_allclose(found, pose, rtol=1e-5)


def test_the_plan_counts_what_is_borrowed(release: Collection, shards: Collection) -> None:
    amount = amount_of_release(release, SETTINGS, ENCODERS)
    assert (amount.rows, amount.lent) == (len(_rows(shards)), 2 * 2)
    assert amount_of_release(release, replace(SETTINGS, references="same_clip"), ENCODERS).lent == 0


def test_a_lost_video_costs_those_who_borrow_of_it_alone(
    release: Collection, shots: dict[str, str], tmp_path: Path
) -> None:
    lost = Path(release.store.local_path(media_path(shots["far"].split(":")[0], ".mp4")))
    lost.rename(tmp_path / "elsewhere.mp4")
    try:
        encode = EncodeVideo(release.store.root, SETTINGS, ENCODERS)
        done = {}
        for video in videos_of(release, SETTINGS):
            try:
                done[video.video_id] = encode({"key": "k", "rows": video})["rows"]
            except GoneError:  # it may come back, so nothing is remembered
                done[video.video_id] = 0
                assert not release.store.parts("encode_report", "k", video.video_id)
    finally:
        (tmp_path / "elsewhere.mp4").rename(lost)
    assert {name: done[shot.split(":")[0]] > 0 for name, shot in shots.items()} == {
        "far": False, "near": False, "somebody else": True, "kept out": True
    }  # fmt: skip


def test_rows_and_manifest_say_how_many_frames_a_second(shards: Collection) -> None:
    """Every third frame of 25 a second is measured, and a row of stride 2 has every second of those."""
    rates = {1: 25 / 3, 2: 25 / 6}
    assert all(row["fps"] == pytest.approx(rates[row["stride"]]) for row in _rows(shards))
    counts = {("train", 1): 6, ("train", 2): 3, ("heldout", 1): 2, ("heldout", 2): 1}
    found = {(each["split"], each["stride"]): (each["rows"], each["fps"]) for each in shards.manifest["rates"]}
    assert found == {key: (rows, pytest.approx(rates[key[1]])) for key, rows in counts.items()}
    assert all(row["fps"] == pytest.approx(rates[row["stride"]]) for row in shards.table("report").to_pylist())
    assert ShardRows(shards, "train").rates == (pytest.approx(25 / 3), pytest.approx(25 / 6))
