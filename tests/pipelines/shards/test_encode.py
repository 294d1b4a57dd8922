"""Encoding of a small release, made here of real files and the real schemas, with tiny random encoders."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
import torch

from pipelines.releases import select
from pipelines.shards import sheet
from pipelines.shards.encode import EncodeVideo, encode_release
from pipelines.shards.encode_plan import ROW_OVERHEAD, amount_of_release
from pipelines.shards.settings import EncodeSettings
from pipelines.shards.sheet import draw_sheet
from pipelines.shards.videos import videos_of
from pipelines.storage.store import Collection, Store, media_path
from pipelines.storage.tables import CLIPS, FRAMES, SHARDS
from stableanimator.errors import ConfigError, InputError, StorageError
from stableanimator.media.video import VideoReader, write_mp4
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import CLIPSettings, EncoderSettings, VAESettings

pytestmark = pytest.mark.usefixtures("cluster")

ENCODERS = EncoderSettings(
    vae=VAESettings(block_out_channels=(32, 32, 32), layers_per_block=1, scaling_factor=0.5),
    clip=CLIPSettings(
        hidden_size=32, intermediate_size=32, layers=1, heads=2, image_size=28, patch_size=14, projection_dim=16
    ),
)
SETTINGS = EncodeSettings(
    buckets=((32, 32), (32, 64)), frames_per_row=4, reference_count=3, batch=3, gpus_per_actor=0, cpus_per_actor=0.5
)
VARIED = replace(
    SETTINGS, crops=("centre", "person", "half_body"), strides=(1, 2), frames_per_row=3, buckets=((32, 32),)
)
HEIGHT, WIDTH = 48, 100  # nearest to 32x64: scaled by 2/3 to 32x67, one column cut on the left
SCALE_X, SCALE_Y, LEFT = 67 / 100, 32 / 48, 1
EMBEDDING = np.array([0.6, 0.8, 0, 0], np.float32)


def _put_video(store: Store, folder: Path, seed: int) -> str:
    """A smooth moving pattern, so that H.264 keeps it."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = [np.sin((x + 3 * t) / (9 + seed)) + np.cos((y - 2 * t) / 7) for t in range(24)]
    frames = [np.stack([127 + 50 * wave, 90 + 40 * wave, 200 - 40 * wave], -1).astype(np.uint8) for wave in waves]
    path = folder / f"{seed}.mp4"
    write_mp4(path, frames, 12)
    return store.put_media(path, ".mp4")[0]


def _clip(video_id: str, start: int, end: int) -> dict[str, Any]:
    where = {"shot_id": f"{video_id}:{start}-{end}", "video_id": video_id, "media": media_path(video_id, ".mp4")}
    size = {"fps": 12.0, "width": WIDTH, "height": HEIGHT, "seconds": (end - start) / 12}
    return {**where, **size, "start": start, "end": end, "split": "train"}


def _frame(shot_id: str, index: int, *, face: bool) -> dict[str, Any]:
    """A person whose nose is at (20 + index, 10), and a face box of 12x12 around (30, 24)."""
    keypoints = np.zeros((133, 3), np.float32)
    keypoints[0] = [20 + index, 10, 0.9]
    keypoints[1:] = [np.nan, np.nan, 0]
    return {
        "shot_id": shot_id,
        "frame_index": index,
        "time": index / 12,
        "person_boxes": [[0, 0, 50, 48]],
        "person_scores": [0.9],
        "keypoints": [keypoints.ravel().tolist()],
        "face_boxes": [[24.0, 18.0, 36.0, 30.0]] if face else [],
        "face_scores": [0.9] if face else [],
        "face_landmarks": [[0.0] * 10] if face else [],
        "face_embedding": EMBEDDING.tolist() if face else None,
    }


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Video A: a shot of six frames measured (every second one), a shot with three. Video B: a shot without a face."""
    folder = tmp_path_factory.mktemp("release")
    store = Store(str(folder / "root"))
    a, b = _put_video(store, folder, 0), _put_video(store, folder, 1)
    clips = [_clip(a, 0, 12), _clip(a, 12, 18), _clip(b, 0, 12)]
    frames = [_frame(clips[0]["shot_id"], i, face=i != 4) for i in range(0, 12, 2)]
    frames += [_frame(clips[1]["shot_id"], i, face=True) for i in range(12, 18, 2)]
    frames += [_frame(clips[2]["shot_id"], i, face=False) for i in range(0, 12, 2)]
    unmeasured = _frame(clips[0]["shot_id"], 5, face=True) | {"keypoints": None, "person_boxes": None}
    tables = {
        "clips": pa.Table.from_pylist(clips, schema=CLIPS),
        "frames": pa.Table.from_pylist([*frames, unmeasured], schema=FRAMES),
    }
    return store.commit("releases", content={"version": select.VERSION}, tables=tables, build={})


@pytest.fixture(scope="module")
def shards(release: Collection) -> Collection:
    return encode_release(release, SETTINGS, ENCODERS)


def test_a_video_on_which_the_work_breaks_down_is_lines_and_its_neighbours_are_encoded(release: Collection) -> None:
    """Embeddings of several widths, which no curation writes."""
    frames = release.table("frames").to_pylist()
    broken = release.table("clips")["shot_id"].to_pylist()[0]
    for frame in frames:
        if frame["shot_id"] == broken and frame["face_embedding"] is not None:
            frame["face_embedding"] = [1.0] * (1 + frame["frame_index"])
        elif frame["shot_id"] != broken and frame["face_boxes"] == []:
            frame |= {
                name: frames[0][name] for name in ("face_boxes", "face_scores", "face_landmarks", "face_embedding")
            }
    tables = {"clips": release.table("clips"), "frames": pa.Table.from_pylist(frames, schema=FRAMES)}
    odd = release.store.commit("releases", content={"version": select.VERSION, "odd": True}, tables=tables, build={})
    several = replace(SETTINGS, frames_per_row=2, reference_count=5)
    report = encode_release(odd, several, ENCODERS).table("report").to_pylist()
    of_broken = [line for line in report if line["shot_id"].split(":")[0] == broken.split(":")[0]]
    assert {line["reason"] for line in of_broken} == {"unexpected_error"}
    assert all(line["detail"].startswith("ValueError: ") for line in of_broken)
    assert sum(line["rows"] for line in report if line not in of_broken) > 0


def _rows(shards: Collection) -> list[dict[str, Any]]:
    tables = [shards.store.read_parquet(part["path"], part["sha256"]) for part in shards.manifest["parts"]]
    assert all(table.schema == SHARDS for table in tables)
    return [row for table in tables for row in table.to_pylist()]


def _direct(release: Collection, indices: list[int]) -> tuple[Encoders, torch.Tensor]:
    """The same frames by another way: area resampling by torch, then one pass of the encoders."""
    media = release.table("clips")["media"][0].as_py()
    with VideoReader(release.store.local_path(media)) as video:
        frames = video.read(indices)
    pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).double()
    # Exact area resampling as a matrix: row i of the target covers source [i / scale, (i + 1) / scale).
    rows, columns = _area(HEIGHT, 32), _area(WIDTH, 67)
    resized = (rows @ pictures @ columns.T).round()[..., LEFT : LEFT + 64]
    return Encoders(ENCODERS), (resized / 127.5 - 1).float()


def _area(source: int, target: int) -> torch.Tensor:
    edges = torch.arange(target + 1, dtype=torch.float64) * source / target
    cells = torch.arange(source, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], cells + 1) - torch.maximum(edges[:-1, None], cells)
    return overlap.clamp(min=0) * target / source


def test_the_report_says_what_became_of_every_accepted_clip(release: Collection, shards: Collection) -> None:
    report = {row["shot_id"]: row for row in shards.table("report").to_pylist()}
    by_clip = [report[clip["shot_id"]] for clip in release.table("clips").to_pylist()]
    assert [(row["rows"], row["reason"]) for row in by_clip] == [(2, None), (0, "too_short"), (0, "no_reference_face")]
    assert by_clip[1]["detail"] == "3 measured frames, a row needs 4"
    assert {(row["crop"], row["stride"]) for row in by_clip} == {("centre", 1)}
    assert shards.manifest["release"] == release.id
    assert shards.manifest["counts"] == {
        "clips": 3,
        "encoded": 1,
        "rows": 2,
        "reasons": {"no_reference_face": 1, "too_short": 1},
    }
    (part,) = shards.manifest["parts"]
    assert (part["rows"], part["split"], part["bucket"]) == (2, "train", "32x64")


def test_rows_are_windows_of_the_measured_frames(shards: Collection) -> None:
    rows = _rows(shards)
    assert [row["frame_index"] for row in rows] == [[0, 2, 4, 6], [4, 6, 8, 10]]  # 5 has no keypoints
    # Frames with a face are 0 2 6 8 10; three of them evenly spread are 0, 6, 10, and those inside the window go.
    assert [row["reference_index"] for row in rows] == [[10], [0]]
    assert {row["bucket"] for row in rows} == {"32x64"}
    assert {row["encoders"] for row in rows} == {Encoders(ENCODERS).fingerprint}


def test_latents_equal_a_direct_encoding_of_the_same_frames(release: Collection, shards: Collection) -> None:
    encoders, pictures = _direct(release, [0, 2, 4, 6])
    row = _rows(shards)[0]
    latents = np.array(row["latents"], np.float32).reshape(4, 4, 8, 16)
    expected = encoders.encode(pictures).numpy()
    assert expected.std() > 0.05
    # 16-bit floats, and a grey level here and there by the rounding of two resamplers.
    np.testing.assert_allclose(latents, expected, atol=0.05 * expected.std())
    assert np.abs(latents - expected[::-1]).max() > 0.2 * expected.std()


def test_references_carry_their_embeddings_and_keypoints(release: Collection, shards: Collection) -> None:
    encoders, pictures = _direct(release, [10])
    row = _rows(shards)[0]
    embedding = np.array(row["clip_embedding"], np.float32).reshape(1, 1, 16)
    np.testing.assert_allclose(embedding, encoders.embed(pictures).numpy(), atol=5e-3)
    np.testing.assert_allclose(row["face_embedding"], EMBEDDING, atol=1e-3)
    keypoints = np.array(row["reference_keypoints"]).reshape(1, 133, 3)
    np.testing.assert_allclose(keypoints[0, 0], [30 * SCALE_X - LEFT, 10 * SCALE_Y, 0.9], rtol=1e-6)
    # The reference is the picture with noise of 0.02 before the VAE: near the clean latent, and not equal to it.
    latent = np.array(row["reference_latent"], np.float32).reshape(1, 4, 8, 16)
    clean = encoders.encode(pictures).numpy()
    noisy = encoders.encode(pictures + 0.02 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1)))
    wanted = np.abs(noisy.numpy() - clean).mean()
    assert np.abs(latent - clean).mean() == pytest.approx(wanted, rel=0.3)


def test_keypoints_masks_and_presence(shards: Collection) -> None:
    row = _rows(shards)[0]
    assert row["people"] == 1
    keypoints = np.array(row["keypoints"]).reshape(4, 1, 133, 3)
    nose_x = np.array([20, 22, 24, 26]) * SCALE_X - LEFT
    np.testing.assert_allclose(keypoints[:, 0, 0, 0], nose_x, rtol=1e-6)
    assert np.isnan(keypoints[:, 0, 1:, :2]).all()
    assert row["face_present"] == [True, True, False, True]
    # x 24..36 -> 15.08..23.12, in cells of 4 pixels 3..5; y 18..30 -> 12..20, cells 3..4.
    expected = np.zeros((8, 16), np.uint8)
    expected[3:5, 3:6] = 1
    masks = np.array(row["face_mask"], np.uint8).reshape(4, 8, 16)
    np.testing.assert_array_equal(masks, [expected, expected, np.zeros_like(expected), expected])


def test_a_second_run_encodes_nothing_and_gives_the_same_collection(release: Collection, shards: Collection) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in Path(release.store.root, "parts").rglob("*.parquet")}
    picture = Path(release.store.root, shards.folder, "contact_sheet.jpg")
    drawn = picture.stat().st_mtime_ns
    again = encode_release(release, SETTINGS, ENCODERS)
    after = {path.name: path.stat().st_mtime_ns for path in Path(release.store.root, "parts").rglob("*.parquet")}
    assert after == before
    assert again.id == shards.id
    assert picture.stat().st_mtime_ns == drawn


def test_a_lost_or_damaged_part_is_made_again_with_the_same_bytes(release: Collection, shards: Collection) -> None:
    path = Path(release.store.root, shards.manifest["parts"][0]["path"])
    whole = path.read_bytes()
    for damaged in (None, whole[:500] + bytes([whole[500] ^ 1]) + whole[501:]):
        path.unlink() if damaged is None else path.write_bytes(damaged)
        assert encode_release(release, SETTINGS, ENCODERS).id == shards.id
        assert path.read_bytes() == whole


@pytest.fixture(scope="module")
def varied(release: Collection, shards: Collection) -> Collection:
    """All crops with two strides, after the plain shards. The person stands on the left and shows a nose only."""
    return encode_release(release, VARIED, ENCODERS)


def test_crops_and_strides_have_rows_of_their_own_or_a_reason(release: Collection, varied: Collection) -> None:
    shot = release.table("clips")["shot_id"][0].as_py()
    report = [row for row in varied.table("report").to_pylist() if row["shot_id"] == shot]
    assert [(row["crop"], row["stride"], row["rows"], row["reason"]) for row in report] == [
        ("centre", 1, 2, None),
        ("centre", 2, 1, None),
        ("half_body", 1, 0, "no_half_body"),
        ("half_body", 2, 0, "no_half_body"),
        ("person", 1, 2, None),
        ("person", 2, 1, None),
    ]
    assert {(row["crop"], row["stride"], *row["frame_index"]) for row in _rows(varied) if row["shot_id"] == shot} == {
        *((crop, 1, *frames) for crop in ("centre", "person") for frames in ((0, 2, 4), (6, 8, 10))),
        *((crop, 2, 0, 4, 8) for crop in ("centre", "person")),
    }


def test_a_frame_of_another_stride_is_the_same_latent(varied: Collection) -> None:
    latents: dict[tuple[str, int, int], list[np.ndarray]] = {}
    for row in _rows(varied):
        for index, latent in zip(row["frame_index"], np.array(row["latents"]).reshape(3, -1), strict=True):
            latents.setdefault((row["shot_id"], row["crop"], index), []).append(latent)
    twice = [both for both in latents.values() if len(both) == 2]
    assert len(twice) >= 6
    for one, other in twice:
        np.testing.assert_array_equal(one, other)


def test_the_persons_cut_lies_around_the_person(release: Collection, varied: Collection) -> None:
    # Noses are at 20 to 30 of 100 columns, scaled to 67: their middle at 16.75, so that the cut begins at 1.
    row = next(row for row in _rows(varied) if (row["crop"], row["stride"]) == ("person", 1))
    keypoints = np.array(row["keypoints"]).reshape(3, 1, 133, 3)
    np.testing.assert_allclose(keypoints[:, 0, 0, 0], np.array([20, 22, 24]) * SCALE_X - 1, rtol=1e-6)
    encoders, pictures = _direct(release, [0, 2, 4])
    expected = encoders.encode(pictures[..., :32]).numpy()
    latents = np.array(row["latents"], np.float32).reshape(3, 4, 8, 8)
    np.testing.assert_allclose(latents, expected, atol=0.05 * expected.std())


def test_the_plan_is_what_was_written(release: Collection, shards: Collection, varied: Collection) -> None:
    for written, settings in ((shards, SETTINGS), (varied, VARIED)):
        amount = amount_of_release(release, settings, ENCODERS)
        parts = written.manifest["parts"]
        assert amount.rows == sum(part["rows"] for part in parts)
        tables = [written.store.read_parquet(part["path"], part["sha256"]) for part in parts]
        values = sum(_value_bits(column) for table in tables for column in table.itercolumns()) / 8
        assert values <= amount.bytes - amount.rows * ROW_OVERHEAD < values + amount.rows  # up to a byte a row
        size = sum(Path(written.store.root, part["path"]).stat().st_size for part in parts)
        assert 0.5 * values < size < amount.bytes


def _value_bits(column: pa.ChunkedArray) -> int:
    """Of all values of a column, whatever Parquet does to store them."""
    if pa.types.is_string(column.type):
        return 8 * sum(len(text.as_py()) for text in column)
    if pa.types.is_list(column.type) and pa.types.is_string(column.type.value_type):
        return 8 * sum(len(text) for texts in column.to_pylist() for text in texts)
    if pa.types.is_list(column.type):
        return len(column.combine_chunks().flatten()) * column.type.value_type.bit_width
    return len(column) * column.type.bit_width


def test_the_contact_sheet_shows_the_rows_and_is_no_part_of_the_id(release: Collection, varied: Collection) -> None:
    path = Path(varied.store.root, varied.folder, "contact_sheet.jpg")
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    # Two crops of two shots with stride 1, of one with stride 2. Each has titles of 24 pixels, pictures of 192, a gap
    # of 4, a caption of 24 and another gap; a note is at the foot.
    assert picture.shape[0] == 6 * (24 + 192 + 4 + 24 + 4) + 24
    # The first strip: frame, latent, pose, then the mask over the frame. The centre cut has the face at -0.9 to 7.1 of
    # 32 columns and 12 to 20 of 32 rows; cells are four pixels, each shown as six.
    frame, mask = (picture[24:216, left : left + 192].astype(int) for left in (0, 3 * 196))
    redder = (mask - frame)[..., 0] - (mask - frame)[..., 2]
    assert redder[76:116, 4:44].mean() > 30
    assert abs(redder[:68]).mean() < 10
    assert abs(redder[:, 54:]).mean() < 10
    assert "contact_sheet" not in str(varied.manifest)


def test_what_a_full_disk_stopped_goes_on_with_more_room(
    release: Collection, shards: Collection, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted by root")
    try:
        shutil.copytree(release.store.root, disk / "root", ignore=shutil.ignore_patterns("parts", "shards"))
        copy = Store(str(disk / "root")).open("releases", release.id)
        with pytest.raises(StorageError, match=r"root has 0\.0. GiB free, and encode would write"):
            encode_release(copy, replace(SETTINGS, free_gib=1.0), ENCODERS)
        ballast = disk / "ballast"
        free = shutil.disk_usage(disk).free
        ballast.write_bytes(b"x" * (free - (3 << 12)))  # what the plan needs is there by a hair, and folders take it
        with pytest.raises(StorageError, match=r"root is full \(No space left on device, while writing parts/"):
            _actor_on(copy)
        ballast.unlink()
        assert encode_release(copy, replace(SETTINGS, free_gib=0.0), ENCODERS).id == shards.id
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _actor_on(release: Collection) -> None:
    """What an actor does, in this process."""
    encode = EncodeVideo(release.store.root, SETTINGS, ENCODERS)
    for rows in videos_of(release, SETTINGS):
        encode({"key": "k", "rows": rows})


def test_an_actor_that_fits_nowhere_is_an_error_and_not_a_wait(release: Collection) -> None:
    with pytest.raises(ConfigError, match=r"encode\.cpus_per_actor"):
        encode_release(release, EncodeSettings(cpus_per_actor=64, gpus_per_actor=0), ENCODERS)


def test_a_release_of_another_version_is_refused(release: Collection) -> None:
    tables = {name: release.table(name) for name in ("clips", "frames")}
    older = release.store.commit("releases", content={"version": 1}, tables=tables, build={})
    with pytest.raises(InputError, match="another version of curate; run curate again"):
        encode_release(older, SETTINGS, ENCODERS)


def test_rows_are_kept_where_their_video_is_gone_before_the_sheet(release: Collection, shards: Collection) -> None:
    root, picture = Path(release.store.root), Path(release.store.root, shards.folder, "contact_sheet.jpg")
    picture.unlink()
    (root / "media").rename(root / "elsewhere")
    try:
        assert encode_release(release, SETTINGS, ENCODERS).id == shards.id
    finally:
        (root / "elsewhere").rename(root / "media")
    assert cv2.imread(str(picture)).shape[0] < 192  # a note, and no strip


def test_a_sheet_of_more_rows_than_a_jpeg_is_high_is_made_smaller(
    release: Collection, shards: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    highest = np.zeros((sheet.LARGEST, 8, 3), np.uint8)
    assert cv2.imencode(".jpg", highest)[0]
    monkeypatch.setattr(sheet, "LARGEST", 1000)
    lines, encoders = _lines_with_parts(shards)[:1], Encoders(ENCODERS)
    heights = []
    for count in (2, 5, 9):
        videos = list(videos_of(release, SETTINGS))
        data = draw_sheet(release.store, lines * count, videos, SETTINGS, encoders)
        heights.append(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[0])
    two, five, nine = heights
    assert five < nine == 1000 < five + 4 * (five - two) / 3


def _lines_with_parts(shards: Collection) -> list[dict[str, Any]]:
    """Of the report, with the part that holds their rows: the first video's alone has any."""
    part = shards.manifest["parts"][0]
    lines = shards.table("report").to_pylist()
    return [line | {"path": part["path"], "sha256": part["sha256"]} for line in lines if line["rows"]]
