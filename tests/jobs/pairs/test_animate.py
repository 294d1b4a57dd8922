"""The animate job's actor on a drawn person, with the drawn world's perception and a tiny random denoiser."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from jobs.pairs.animate import AnimatePair
from jobs.pairs.animate_job import AnimateJob
from jobs.pairs.drives import read_keypoints
from jobs.pairs.files import planned
from jobs.pairs.pairs_table import URIS
from jobs.pairs.settings import AnimateJobSettings
from pipelines.storage.pair_tables import PAIRS
from pipelines.storage.store import file_sha256
from stableanimator.animate_settings import AnimateSettings
from stableanimator.diffusion.settings import SamplerSettings
from stableanimator.errors import GoneError, RowError
from stableanimator.media.video import VideoReader
from stableanimator.models.animator import Animator
from stableanimator.models.checkpoints import save_model_folder
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import (
    CLIPSettings,
    EncoderSettings,
    FaceEncoderSettings,
    FrameRates,
    ModelSettings,
    PoseNetSettings,
    UNetSettings,
    VAESettings,
)
from stableanimator.perception.person_boxes import visible
from stableanimator.perception.settings import FaceSettings, PerceptionSettings, PoseSettings
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import ClipRenderer
from stableanimator.synthetic.script import ClipSettings

ENCODERS = EncoderSettings(
    vae=VAESettings(block_out_channels=(32, 32, 32), layers_per_block=1, scaling_factor=1.0),
    clip=CLIPSettings(
        hidden_size=16, intermediate_size=16, layers=1, heads=1, image_size=28, patch_size=14, projection_dim=16
    ),
)
MODEL = ModelSettings(
    unet=UNetSettings(
        block_out_channels=(32,),
        down_block_types=("CrossAttnDownBlockSpatioTemporal",),
        up_block_types=("CrossAttnUpBlockSpatioTemporal",),
        layers_per_block=1,
        num_attention_heads=(2,),
        cross_attention_dim=16,
        addition_time_embed_dim=16,
    ),
    face_encoder=FaceEncoderSettings(
        embedding_width=128, cross_attention_dim=16, tokens=2, layers=1, heads=1, head_dim=16
    ),
    pose_net=PoseNetSettings(widths=(8, 8), final_width=8),
    skeleton="ours",
)
SETTINGS = AnimateSettings(
    sizes=((32, 32),), sampler=SamplerSettings(steps=1), alignment="svd", face_optimisation=False
)
SYNTHETIC = "package://stableanimator.synthetic/weights"
PERCEPTION = PerceptionSettings(
    faces=FaceSettings(pack_root=f"{SYNTHETIC}/insightface", pack="drawn", detector_sizes=(320,)),
    pose=PoseSettings(
        detector=f"{SYNTHETIC}/dwpose/person_detector.onnx",
        pose=f"{SYNTHETIC}/dwpose/pose.onnx",
    ),
)

EMPTY: dict[str, Any] = dict.fromkeys(PAIRS.names)
SECONDS = 3.0
STAMPS = {
    "25": np.arange(75) / 25,
    "29.97": np.arange(90) * 1001 / 30000,
    "12": np.arange(36) / 12,
    # 25 frames a second for one second, 10 for half of one, none for 0.6 of one, then 25 again
    "variable": np.concatenate([np.arange(25) / 25, 1 + np.arange(5) / 10, 2.1 + np.arange(23) / 25]),
}


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clip = write_clip("talk", 7, ClipSettings(width=192, height=192, min_seconds=0.2, max_seconds=0.2))
    path = tmp_path_factory.mktemp("person") / "person.png"
    Image.fromarray(next(iter(ClipRenderer(clip)))).save(path)
    return path


def _drive(path: Path, stamps: np.ndarray, picture: np.ndarray) -> str:
    """A video of these times, in thirty-thousandths of a second, of which each frame is the same picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 30000)
        for stamp in stamps:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(stamp * 30000), Fraction(1, 30000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with VideoReader(path) as video:
        np.testing.assert_allclose(video.info.times, stamps, atol=1e-3)
    return str(path)


def _actor(folder: Path, rates: FrameRates, fps: float | None, **job: Any) -> AnimatePair:
    torch.manual_seed(0)
    save_model_folder(folder / "model", Animator(MODEL), None, rates, {"encoders": Encoders(ENCODERS).fingerprint})
    settings = AnimateJobSettings(
        fps=fps, settings=SETTINGS, variants={"plain": SETTINGS}, precision="float32", gpus_per_actor=0, **job
    )
    return AnimatePair(
        AnimateJob(
            root=str(folder / "root"),
            settings=settings,
            encoders=ENCODERS,
            perception=PERCEPTION,
            model_folder=str(folder / "model"),
            key="k",
        )
    )


@pytest.fixture(scope="module")
def actor(tmp_path_factory: pytest.TempPathFactory) -> AnimatePair:
    """Of a model that was trained at 8 and at 4 frames a second."""
    return _actor(tmp_path_factory.mktemp("job"), FrameRates(fps=(8.0, 4.0), fps_id=None), None)


def _animate(actor: AnimatePair, person: Path, drive: str, **columns: Any) -> dict[str, Any]:
    pair = dict.fromkeys(PAIRS.names) | {"pair_id": Path(drive).stem, "reference_uri": str(person), "seed": 1}
    return actor({"pair": pair | {"driving_uri": drive} | columns, "variant": "plain"})


@pytest.mark.parametrize("name", list(STAMPS))
def test_the_result_lasts_as_long_as_what_drives_it(
    name: str, actor: AnimatePair, person: Path, tmp_path: Path
) -> None:
    stamps, picture = STAMPS[name], np.asarray(Image.open(person))
    row = _animate(actor, person, _drive(tmp_path / f"{name}.mp4", stamps, picture))
    for uri in (row["prediction_uri"], row["skeleton_uri"]):
        with VideoReader(actor.store.resolve(uri)) as video:
            played = video.info.times
            fps = video.info.fps
        assert abs(len(played) / fps - SECONDS) <= 1 / 8
        # Each frame is the nearest to its moment: as near as the video's frames lie.
        moments = stamps[row["frame_index"]]
        nearest = np.abs(stamps[:, None] - played).min(0)
        np.testing.assert_allclose(np.abs(moments - played), nearest, atol=1e-3)
    wanted = {"25": 25 / 3, "29.97": 30000 / 1001 / 4, "12": 12, "variable": 25 / 3}[name]  # whole frames of the drive
    assert fps == pytest.approx(wanted, rel=1e-3)
    other = row["detail"] is not None and "plays at 12 frames a second, and the model was trained at 8" in row["detail"]
    assert other == (name == "12")


def test_frames_without_loss_and_poses_lie_beside_the_video(actor: AnimatePair, person: Path, tmp_path: Path) -> None:
    drive = _drive(tmp_path / "short.mp4", STAMPS["25"][:10], np.asarray(Image.open(person)))
    row = _animate(actor, person, drive)
    at = actor.store.resolve
    with VideoReader(at(row["frames_uri"])) as exact, VideoReader(at(row["prediction_uri"])) as video:
        assert exact.info.frame_count == video.info.frame_count == len(row["frame_index"])
        frames = exact.read(range(exact.info.frame_count)).astype(int)
        assert 0 < np.abs(frames - video.read(range(exact.info.frame_count))).mean() < 16  # what H.264 costs such noise
    poses = read_keypoints(EMPTY | {"driving_keypoints_uri": at(row["poses_uri"])}, row["fps"], 100)
    assert (poses.height, poses.width, poses.frame_index) == (32, 32, row["frame_index"])
    assert all(len(people) == 1 and visible(people).any() for people in poses.poses)


def test_frames_without_loss_are_no_ones_who_wants_none(actor: AnimatePair, person: Path, tmp_path: Path) -> None:
    drive = _drive(tmp_path / "none.mp4", STAMPS["25"][:4], np.asarray(Image.open(person)))
    pair = EMPTY | {"pair_id": "none", "reference_uri": str(person), "seed": 1, "driving_uri": drive}
    job, store = actor.job, actor.store
    without = replace(job, settings=replace(job.settings, lossless=False))
    actor.job = without
    try:
        assert actor({"pair": pair, "variant": "plain"})["frames_uri"] is None
    finally:
        actor.job = job
    assert without.finished(store, pair, "plain") is not None
    assert job.finished(store, pair, "plain") is None  # what was made has none
    actor({"pair": pair, "variant": "plain"})
    for either in (job, without):
        row = either.finished(store, pair, "plain")
        assert row is not None
        assert row["frames_uri"] is not None  # who wants none is served as well


def test_another_picture_of_the_same_name_is_another_pair(actor: AnimatePair, person: Path, tmp_path: Path) -> None:
    """An earlier result is of the bytes that it was made of; what changes after the planning is its row's fault."""
    picture, drive = tmp_path / "me.png", _drive(tmp_path / "a.mp4", STAMPS["25"][:4], np.asarray(Image.open(person)))
    picture.write_bytes(person.read_bytes())
    pair = EMPTY | {"pair_id": "me", "reference_uri": str(picture), "seed": 1, "driving_uri": drive}
    (first,) = planned(actor.store, [pair], URIS)
    assert actor({"pair": first, "variant": "plain"})["status"] == "done"
    assert actor.job.finished(actor.store, first, "plain") is not None
    Image.open(person).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(picture)
    with pytest.raises(GoneError, match=f"changed: {picture} has changed since"):
        actor({"pair": first, "variant": "plain"})
    (second,) = planned(actor.store, [pair], URIS)
    assert actor.job.finished(actor.store, second, "plain") is None
    row = actor({"pair": second, "variant": "plain"})
    assert row["reference_sha256"] == file_sha256(picture) != first["checksums"]["reference_uri"]


def test_a_part_lasts_as_long_as_the_part(actor: AnimatePair, person: Path, tmp_path: Path) -> None:
    drive = _drive(tmp_path / "part.mp4", STAMPS["25"], np.asarray(Image.open(person)))
    row = _animate(actor, person, drive, start=10, end=50)
    assert row["frame_index"] == list(range(10, 50, 3))
    with VideoReader(actor.store.resolve(row["prediction_uri"])) as video:
        assert abs(video.info.frame_count / video.info.fps - 40 / 25) <= 1 / 8


@pytest.mark.parametrize(
    ("rates", "fps", "step"), [(FrameRates(), None, 4), (FrameRates(), 12.0, 2), (FrameRates(fps=(12.0,)), 1000.0, 1)]
)
def test_the_rate_is_the_models_or_the_settings(
    rates: FrameRates, fps: float | None, step: int, person: Path, tmp_path: Path
) -> None:
    """25 frames a second: released weights want 7 of them, which every fourth frame is nearest to."""
    drive = _drive(tmp_path / "drive.mp4", STAMPS["25"][:25], np.asarray(Image.open(person)))
    row = _animate(_actor(tmp_path, rates, fps), person, drive)
    assert row["frame_index"] == list(range(0, 25, step))


def test_a_result_has_the_sound_of_its_part_on_request_and_says_where_there_is_none(
    person: Path, tmp_path: Path
) -> None:
    """A click at 1 s of the drive, which is 0.6 s after frame 10 of 25 frames a second."""
    mute = _drive(tmp_path / "mute.mp4", STAMPS["25"], np.asarray(Image.open(person)))
    loud = str(tmp_path / "loud.mp4")
    with av.open(mute) as film, av.open(loud, "w") as container:
        pictures = container.add_stream_from_template(film.streams.video[0])
        voice = container.add_stream("aac", rate=48_000, layout="mono")
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = pictures
                container.mux(packet)
        samples = np.zeros((1, 3 * 48_000), np.float32)
        samples[:, 48_000:48_200] = 0.9
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 48_000
        container.mux(voice.encode(frame))
        container.mux(voice.encode(None))
    actor = _actor(tmp_path, FrameRates(fps=(8.0,), fps_id=None), None, audio=True)
    row = _animate(actor, person, loud, start=10, end=50)
    with av.open(actor.store.resolve(row["prediction_uri"])) as container:
        heard = np.concatenate([each.to_ndarray()[0] for each in container.decode(audio=0)])
    assert np.argmax(np.abs(heard)) / 48_000 == pytest.approx(0.6, abs=0.03)
    assert row["detail"] is None or "sound" not in row["detail"]
    assert "no sound: the drive has none" in _animate(actor, person, mute, start=10, end=50)["detail"]


def test_a_row_says_what_a_look_would_have(actor: AnimatePair, person: Path, tmp_path: Path) -> None:
    row = _animate(actor, person, _drive(tmp_path / "a.mp4", STAMPS["12"][:8], np.asarray(Image.open(person))))
    assert "face_too_small: the face will be" in row["detail"]  # in 32 pixels


@pytest.mark.parametrize("kind", ["prediction", "frames", "skeleton", "poses"])
def test_a_row_whose_file_was_damaged_or_lost_is_made_again(
    actor: AnimatePair, person: Path, tmp_path: Path, kind: str
) -> None:
    drive = _drive(tmp_path / f"{kind}.mp4", STAMPS["25"][:4], np.asarray(Image.open(person)))
    pair = EMPTY | {"pair_id": kind, "reference_uri": str(person), "seed": 1, "driving_uri": drive}
    row = actor({"pair": pair, "variant": "plain"})
    assert actor.job.finished(actor.store, pair, "plain") == row
    file = Path(actor.store.resolve(row[f"{kind}_uri"]))
    whole = file.read_bytes()
    assert row[f"{kind}_sha256"] == hashlib.sha256(whole).hexdigest()
    file.write_bytes(whole[:99] + bytes([whole[99] ^ 1]) + whole[100:])
    assert actor.job.finished(actor.store, pair, "plain") is None
    file.unlink()
    assert actor.job.finished(actor.store, pair, "plain") is None
    assert actor({"pair": pair, "variant": "plain"}) == row
    assert file.read_bytes() == whole


@pytest.mark.parametrize(("part", "what"), [("unet", "latents"), ("decoder", "decoded frames")])
def test_numbers_that_are_none_fail_their_row(
    actor: AnimatePair, person: Path, tmp_path: Path, part: str, what: str
) -> None:
    drive = _drive(tmp_path / "short.mp4", STAMPS["25"][:4], np.asarray(Image.open(person)))
    weights = list(
        {"unet": actor.models.animator.unet, "decoder": actor.models.encoders.vae.decoder}[part].parameters()
    )[-1]
    kept = weights.detach().clone()
    weights.data.fill_(torch.nan)
    try:
        with pytest.raises(RowError, match=rf"not_finite: {what} are NaN or infinite"):
            _animate(actor, person, drive)
    finally:
        weights.data.copy_(kept)
