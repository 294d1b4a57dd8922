"""The command on a drawn person, as users start it, and what it says when something is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from jobs.animate_one.__main__ import main
from stableanimator.media.audio import has_sound
from stableanimator.media.video import VideoReader, write_mp4
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.script import ClipSettings

FAST = ["animate.settings.sampler.steps=1", "animate.settings.face_optimisation=false"]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn dancer as a picture and as a video of a second with a tone, and pictures of nobody."""
    folder = tmp_path_factory.mktemp("one")
    frames, _ = draw_clip(write_clip("dance", 5, ClipSettings(width=192, height=192, fps=8.0)), range(9))
    Image.fromarray(frames[0]).save(folder / "person.png")
    write_mp4(folder / "drive.mp4", frames[1:], 8.0)
    _with_tone(folder / "drive.mp4", folder / "heard.mp4")
    Image.new("RGB", (192, 192), (90, 120, 90)).save(folder / "nobody.png")
    write_mp4(folder / "nobody.mp4", [np.full((192, 192, 3), 90, np.uint8)] * 8, 8.0)
    (folder / "text.png").write_text("a note")
    return folder


def _with_tone(source: Path, target: Path) -> None:
    with av.open(str(source)) as seen, av.open(str(target), "w") as container:
        pictures = container.add_stream_from_template(seen.streams.video[0])
        voice = container.add_stream("aac", rate=48000, layout="mono")
        for packet in seen.demux(video=0):
            if packet.size:
                packet.stream = pictures
                container.mux(packet)
        tone = np.sin(np.arange(48000) * 2 * np.pi * 440 / 48000).astype(np.float32)
        for start in range(0, 48000, 1024):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
            container.mux(voice.encode(frame))
        container.mux(voice.encode(None))


def _arguments(files: Path, out: Path, reference: str = "person.png", driving: str = "heard.mp4") -> list[str]:
    return [str(files / reference), str(files / driving), str(out), "--model", "small"]


def test_a_picture_moves_and_three_lines_say_how(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    assert main([*_arguments(files, out), "--sound", *FAST]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("96x96 pixels, 8 frames at 8 a second, 1.0 s, with sound; made in ")
    assert lines[1].startswith("alignment learned, one a clip: ")
    assert lines[2].startswith(f"{out}, {tmp_path / 'out-preview.png'}; warnings: face_too_small")
    with VideoReader(out) as video:
        assert (video.info.frame_count, video.info.fps, video.info.width) == (8, pytest.approx(8), 96)
    assert has_sound(str(out))
    with Image.open(tmp_path / "out-preview.png") as sheet:
        assert sheet.width > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out-preview.png", "out.mp4"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"reference": "nobody.png"}, "no_reference_person"),
        ({"driving": "nobody.mp4"}, "no_driving_person"),
        ({"reference": "text.png"}, "is no whole picture of a known kind"),
        ({"driving": "text.png"}, "unreadable"),
        ({"reference": "heard.mp4"}, "of a video name a frame"),
    ],
)
def test_what_cannot_be_animated_is_one_line_and_2(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, str], said: str
) -> None:
    assert main([*_arguments(files, tmp_path / "out.mp4", **wrong), *FAST]) == 2
    error = capsys.readouterr().err
    (line,) = [each for each in error.splitlines() if each.startswith("error: ")]
    assert said in line
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_with_130_and_leaves_no_half_file(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    slow = ["animate.settings.sampler.steps=2000", "animate.settings.face_optimisation=false"]
    command = [sys.executable, "-m", "jobs.animate_one", *_arguments(files, out), *slow]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE
    ) as run:
        deadline = time.monotonic() + 300
        while not (tmp_path / "out-preview.png").exists() and time.monotonic() < deadline and run.poll() is None:
            time.sleep(0.1)
        time.sleep(1)
        run.send_signal(signal.SIGINT)
        _, error = run.communicate(timeout=120)
    assert run.returncode == 130
    assert "Traceback" not in error.decode()
    assert [path.name for path in tmp_path.iterdir()] == ["out-preview.png"]


def test_neither_ray_nor_mlflow_is_imported() -> None:
    code = (
        "import sys, jobs.animate_one.__main__, jobs.animate_one.animation; "
        "print([name for name in ('ray', 'mlflow', 'deepspeed') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
