from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from stableanimator.media.video import VideoReader
from stableanimator.synthetic.clips import write_clips
from stableanimator.synthetic.render import main
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.script import ClipSettings
from stableanimator.synthetic.sheet import contact_sheet
from stableanimator.synthetic.speed import frames_per_second
from stableanimator.synthetic.tables import CLIP_COLUMNS, SHOT_COLUMNS
from stableanimator.synthetic.truth import Truth, truth_path

KINDS = "wave,cut_sets,statue"
ARGUMENTS = ["--count", "3", "--seed", "11", "--size", "96x64", "--kinds", KINDS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clips") / "new"
    assert main(["--out", str(out), *ARGUMENTS, "--sheet", str(out / "sheet.png")]) == 0
    return out


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_each_clip_has_a_video_and_its_truth(folder: Path) -> None:
    clips = write_clips(3, 11, ClipSettings(width=96, height=64), KINDS.split(","))
    assert sorted(path.name for path in folder.glob("*.mp4")) == [
        f"{number:03d}_{clip.kind}.mp4" for number, clip in enumerate(clips)
    ]
    for number, clip in enumerate(clips):
        path = folder / f"{number:03d}_{clip.kind}.mp4"
        truth = Truth.load(truth_path(path))
        with VideoReader(path) as video:
            assert video.info.frame_count == len(truth.frames) == clip.frame_count
            assert video.info.fps == pytest.approx(25)
            decoded = video.read([7])[0]
        drawn, again = draw_clip(clip, [7])
        grey, expected = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(int) for picture in (decoded, drawn[0]))
        assert np.abs(grey - expected).mean() < 4  # what visually lossless H.264 changes
        np.testing.assert_array_equal(truth.keypoints[7], again.keypoints[0])


def test_the_same_seed_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path), *ARGUMENTS, "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert digests(tmp_path) == digests(folder)


def test_the_tables_say_what_each_clip_and_shot_is(folder: Path) -> None:
    clips, shots = rows(folder / "clips.csv"), rows(folder / "shots.csv")
    assert tuple(clips[0]) == CLIP_COLUMNS
    assert tuple(shots[0]) == SHOT_COLUMNS
    wave, cut, statue = clips
    assert (wave["people"], wave["framing"], wave["camera"], wave["cut_frames"], wave["expect"], wave["reason"]) == (
        *("1", "half body", "static", "", "accept", ""),
    )
    assert (cut["framing"], cut["expect"]) == ("full body / half body", "accept")
    assert (statue["people"], statue["expect"], statue["reason"]) == ("0", "reject", "no_motion")
    truth = Truth.load(folder / "001_cut_sets.truth.npz")
    np.testing.assert_array_equal(truth.cuts, [int(cut["cut_frames"])])
    parts = [row for row in shots if row["file"] == cut["file"]]
    assert [row["start"] for row in parts] == ["0", cut["cut_frames"]]
    assert parts[1]["end"] == cut["frames"]


def test_the_sheet_shows_every_clip(folder: Path) -> None:
    sheet = cv2.imread(str(folder / "sheet.png"))
    assert sheet.shape[0] > 64
    assert sheet.shape[1] > 96
    white, black = np.full((20, 40, 3), 255, np.uint8), np.zeros((20, 40, 3), np.uint8)
    two = contact_sheet([white, black], ["a", "b"], ["accept", "reject"])
    assert (two == 0).all(-1).sum() >= 20 * 40
    with pytest.raises(ValueError, match="a name and a verdict for each"):
        contact_sheet([white], [], [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: --out"),
        (["--out", "x", "--count", "0"], "'0' is no whole number from 1"),
        (["--out", "x", "--count", "many"], "'many' is no whole number"),
        (["--out", "x", "--seed", "-3"], "'-3' is no whole number"),
        (["--out", "x", "--size", "256"], "such as 256x256"),
        (["--out", "x", "--size", "4x4"], "at least 16 and at most 8192"),
        (["--out", "x", "--kinds", "wave,fly"], "'fly' is no kind"),
        (["--out", "x", "--colour", "red"], "unrecognized arguments"),
    ],
)
def test_bad_arguments_give_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_a_folder_with_other_videos_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "holiday.mp4").write_bytes(b"mine")
    assert main(["--out", str(tmp_path), "--count", "1"]) == 2
    assert "already holds other videos, such as holiday.mp4" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.mp4"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--out", str(tmp_path / "file" / "clips"), "--count", "1"]) == 2
    error = capsys.readouterr().err
    assert f"cannot write to {tmp_path / 'file' / 'clips'}" in error
    assert error.count("\n") == 1


def test_the_command_runs_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "stableanimator.synthetic.render"]
    helped = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False)
    assert helped.returncode == 0
    assert not helped.stderr
    assert "--count" in helped.stdout
    out = tmp_path / "clips"
    drawn = subprocess.run(
        [*command, "--out", str(out), "--count", "1", "--size", "64x64"], capture_output=True, text=True, check=False
    )
    assert drawn.returncode == 0
    assert not drawn.stderr
    assert drawn.stdout.startswith("drew 1 clips")
    assert str(out / "clips.csv") in drawn.stdout.splitlines()[-1]


@pytest.mark.slow
def test_a_hundred_small_frames_a_second() -> None:
    """The floor is half of what is asked for: this measures a machine that is busy with other tests."""
    settings = ClipSettings(width=128, height=128)
    speeds = {kind: frames_per_second(kind, settings) for kind in ("dance", "walk", "pan", "pair", "talk")}
    assert min(speeds.values()) > 50, speeds
