from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from pipelines.benchmark_sets.named import make_named_set
from pipelines.benchmark_sets.named_settings import NamedSetSettings, numbers_of
from pipelines.crawling.crawl import crawl
from pipelines.crawling.settings import CrawlSettings
from pipelines.storage.store import Collection, Store, file_sha256
from stableanimator.errors import InputError
from stableanimator.media.pictures import read_image
from stableanimator.media.video import VideoReader

MakeClip = Callable[..., Path]


def _sources(store: Store, folder: Path) -> pa.Table:
    return crawl(CrawlSettings(sources=(str(folder),)), store).sources


def _made(root: Path | str, folder: Path | None, has_face: Any = None, **settings: Any) -> Collection:
    store = Store(str(root))
    sources = crawl(CrawlSettings(), store).sources if folder is None else _sources(store, folder)
    return make_named_set(store, sources, NamedSetSettings(**settings), has_face)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, make_clip: MakeClip) -> Path:
    """Six videos of 24 frames at 24 a second, numbered from 333, and one that is damaged."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(6):
        make_clip(folder / f"00{333 + number}.mp4", seeds=(number,))
    (folder / "broken.mp4").write_bytes((folder / "00333.mp4").read_bytes()[:600])
    return folder


def _rows(made: Collection, name: str = "pairs") -> list[dict[str, Any]]:
    return made.table(name).to_pylist()


def test_misalign100_drives_each_video_by_itself_misaligned_and_says_what_was_drawn(tmp_path: Path, clips: Path):
    made = _made(tmp_path, clips)
    pairs, files = _rows(made), {row["id"]: row for row in _rows(made, "files") if row["id"] is not None}
    assert len(pairs) == 6
    for pair in pairs:
        video, _, frame = pair["reference_uri"].partition("#frame=")
        assert pair["driving_uri"] == pair["truth_uri"] == video
        assert (pair["start"], pair["end"]) == (0, 24)
        row = files[Path(video).stem]
        assert video == row["media"]
        assert file_sha256(made.store.resolve(video)) == row["id"]
        assert int(frame) == row["reference_frame"] < 24
        share = {"mild": 1 / 3, "medium": 2 / 3, "strong": 1.0}[row["level"]]
        assert abs(pair["rotation"]) <= 45 * share
        assert 0.5**share <= pair["scale"] <= 2**share
        assert max(abs(pair["tx"]), abs(pair["ty"])) <= 0.3 * share
        assert pair["pair_id"] == f"{row['id'][:12]}-0-24-{row['level']}"
    assert len({pair["rotation"] for pair in pairs}) == 6
    (broken,) = (row for row in _rows(made, "files") if row["name"] == "broken.mp4")
    assert broken["reason"] is not None
    assert {row["name"] for row in files.values()} >= {f"00{333 + number}.mp4" for number in range(6)}


def test_the_same_files_give_the_same_set_under_every_root(tmp_path: Path, clips: Path, s3_root: str):
    with_pictures = {"name": "Anthropomorphic", "pictures": (str(tmp_path / "mascot.png"),)}
    cv2.imwrite(str(tmp_path / "mascot.png"), np.zeros((8, 8, 3), np.uint8))
    for settings in ({}, with_pictures):
        roots = (str(tmp_path / "one"), str(tmp_path / "another"), f"file://{tmp_path}/third", s3_root)
        ids = {_made(root, clips, **settings).id for root in roots}
        assert len(ids) == 1


def test_all_levels_occur_and_a_set_grows_without_a_change_of_its_pairs(tmp_path: Path, make_clip: MakeClip):
    for number in range(12):
        make_clip(tmp_path / "few" / f"{number}.mp4", seeds=(number,), frames=3)
        make_clip(tmp_path / "many" / f"{number}.mp4", seeds=(number,), frames=3)
    make_clip(tmp_path / "many" / "more.mp4", seeds=(99,), frames=3)
    few, many = (_rows(_made(tmp_path / "root", tmp_path / name)) for name in ("few", "many"))
    assert len(many) == 13
    assert [pair for pair in many if pair in few] == few
    assert {pair["pair_id"].rpartition("-")[2] for pair in few} == {"mild", "medium", "strong"}


def test_the_same_files_make_the_same_set_and_another_seed_another(tmp_path: Path, clips: Path):
    one = _made(tmp_path, clips)
    assert _made(tmp_path, clips).id == one.id
    files = [_rows(_made(tmp_path / other, clips), "files") for other in ("here", "there")]
    assert files[0] == files[1] == _rows(one, "files")
    assert _made(tmp_path, clips, seed=1).id != one.id
    assert str(clips) not in str(one.manifest)


def test_unseen100_leaves_poses_as_they_are_and_takes_the_wanted_seconds(tmp_path: Path, clips: Path):
    pairs = _rows(_made(tmp_path, clips, name="Unseen100", seconds=0.5, pairs=4))
    assert len(pairs) == 4
    assert {(pair["rotation"], pair["scale"], pair["tx"], pair["ty"]) for pair in pairs} == {(0, 1, 0, 0)}
    assert {(pair["start"], pair["end"]) for pair in pairs} == {(0, 12)}


def test_a_reference_shows_a_face_or_the_video_is_named(tmp_path: Path, make_clip: MakeClip):
    """The picture of seed 5 counts as one with a face: the second half of one video, and no frame of the other."""
    make_clip(tmp_path / "clips" / "has.mp4", seeds=(4, 5))
    make_clip(tmp_path / "clips" / "has_none.mp4", seeds=(4,))
    with VideoReader(tmp_path / "clips" / "has.mp4") as video:
        wanted = video.read([40])[0].astype(int)
    made = _made(tmp_path, tmp_path / "clips", lambda frame: float(np.abs(frame - wanted).mean()) < 20)
    (pair,) = _rows(made)
    assert int(pair["reference_uri"].rpartition("=")[2]) >= 24
    assert {row["name"]: row["reason"] for row in _rows(made, "files")} == {
        "has.mp4": None,
        "has_none.mp4": "no_reference_face",
    }


def test_tiktok_takes_the_codes_ids_or_the_proses_and_drives_the_first_frame_by_all_others(tmp_path: Path, clips: Path):
    made = _made(tmp_path, clips, name="TikTok")
    rows = {row["name"]: row for row in _rows(made, "files")}
    assert {name: row["reason"] for name, row in rows.items()} == {
        **{f"00{number}.mp4": None for number in (335, 336, 337, 338)},
        "339": "not_supplied",
    }
    for pair in _rows(made):
        assert pair["reference_uri"].endswith("#frame=0")
        assert (pair["start"], pair["end"]) == (1, 24)
    prose = _rows(_made(tmp_path, clips, name="TikTok", ids="335-340"), "files")
    assert {row["name"] for row in prose if row["reason"] == "not_supplied"} == {"339", "340"}


def test_tiktok_comes_as_folders_of_frames_too_and_loses_nothing(tmp_path: Path):
    frames = np.random.default_rng(0).integers(0, 256, (11, 30, 20, 3), np.uint8)
    for number, frame in enumerate(frames, start=1):
        path = tmp_path / "TikTok_dataset" / "00335" / "images" / f"{number}.png"  # 10.png stands before 2.png by name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), frame[..., ::-1])
    made = _made(tmp_path / "root", None, name="TikTok", frames=(str(tmp_path / "TikTok_dataset"),), ids="335")
    (pair,) = _rows(made)
    with VideoReader(made.store.resolve(pair["truth_uri"])) as video:
        assert video.info.fps == 30
        np.testing.assert_array_equal(video.read(range(11)), frames)
    np.testing.assert_array_equal(read_image(made.store.resolve(pair["reference_uri"])), frames[0])
    assert (pair["start"], pair["end"]) == (1, 11)


def test_characters_are_driven_by_their_own_videos_or_pictures_by_others(tmp_path: Path, clips: Path):
    own = _rows(_made(tmp_path, clips, lambda frame: False, name="Anthropomorphic"))
    assert len(own) == 6
    assert all(pair["reference_uri"].endswith("#frame=0") and pair["truth_uri"] for pair in own)
    (tmp_path / "pictures").mkdir()
    for number in range(2):
        cv2.imwrite(str(tmp_path / "pictures" / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
    (tmp_path / "pictures" / "notes.txt").write_text("no picture")
    made = _made(tmp_path, clips, name="Anthropomorphic", pictures=(str(tmp_path / "pictures"),), drives_per_picture=2)
    pairs = _rows(made)
    assert len(pairs) == len({pair["pair_id"] for pair in pairs}) == 4
    assert len({pair["reference_uri"] for pair in pairs}) == 2
    assert all(pair["truth_uri"] is None and pair["start"] == 0 for pair in pairs)
    reasons = {row["name"]: row["reason"] for row in _rows(made, "files") if row["role"] == "reference"}
    assert reasons == {"0.png": None, "1.png": None, "notes.txt": "unreadable"}


def test_what_gives_no_pair_is_an_error_in_one_line(tmp_path: Path, clips: Path):
    with pytest.raises(InputError, match=r"no pair of TikTok can be made of .* files: .*not_supplied"):
        _made(tmp_path, clips, name="TikTok", ids="1-2")
    with pytest.raises(InputError, match=r"benchmark\.frames: .* holds no folder with pictures"):
        _made(tmp_path, None, frames=(str(clips),))
    with pytest.raises(InputError, match=r"benchmark\.pictures: .* does not exist"):
        _made(tmp_path, clips, name="Anthropomorphic", pictures=("/nowhere",))


def test_ids_are_numbers_and_spans():
    assert numbers_of("335-339") == [335, 336, 337, 338, 339]
    assert numbers_of("3, 17-18,3") == [3, 17, 18]
    for wrong in ("", "a", "9-3", "1--2"):
        with pytest.raises(ValueError, match="ids"):
            numbers_of(wrong)


@pytest.mark.parametrize(
    "settings",
    [{"pairs": 0}, {"seconds": 0}, {"frames_fps": 0}, {"levels": (0.5, 0.1, 1.0)}, {"pictures": ("/a",)}],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]):
    with pytest.raises(ValueError, match=next(iter(settings))):
        NamedSetSettings(**settings)


def test_relative_paths_are_refused():
    with pytest.raises(ValueError, match="relative path"):
        NamedSetSettings(frames=("TikTok",))
