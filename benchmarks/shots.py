"""Our cut detector beside PySceneDetect's four, on drawn clips whose cuts are known and on the labelled real ones.

    python -m benchmarks.shots                  # 60 drawn clips: about 15 minutes on two idle cores
    python -m benchmarks.shots --clips 12       # to see that it runs

The drawn clips go through H.264. A third of them, and all real ones a second time, are made harder: strobe light, full
flashes, pictures that are held for three frames, three times the speed, a dim set; the real ones also get a cut to a
closer view of the same place. Bars apply to clips as they are. A cut counts as found within two frames.

All detectors see the same pictures, of the size that PySceneDetect's SceneManager gives them, at their default
thresholds. PySceneDetect's shortest scene is 0.6 s by default and here 0.25 s, which is our window: with 0.6 s its
detectors cannot tell the second of two near cuts.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Figure, report
from pipelines.measures.shots import ShotSettings, find_cuts
from stableanimator.media.video import VideoReader, write_mp4
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import ClipRenderer

Image = NDArray[np.uint8]
Detector = Callable[[Iterable[Image], float], list[int]]

WITHIN = 2  # frames
SEED = 7_000_000
"""No networks are trained on clips from here on, nor did anybody look at them while the thresholds were chosen."""
_KINDS = ("cut_sets", "cut_inside", "cut_short", "cut_inside", "flash", "dance", "shake", "pan", "zoom", "spin")
_EFFECTIVE_WIDTH = 256  # pixels, to which SceneManager shrinks pictures
_BAR = 0.95


@dataclass(slots=True)
class Score:
    """Cuts of many clips: what was right, what was not there, what was missed."""

    found: int = 0
    wrong: int = 0
    missed: int = 0
    clips_with_errors: list[str] = field(default_factory=list)

    def add(self, name: str, truth: list[int], found: list[int]) -> None:
        """Count one clip; each cut is found once."""
        left = list(found)
        for cut in truth:
            near = [other for other in left if abs(other - cut) <= WITHIN]
            if near:
                left.remove(min(near, key=lambda other: abs(other - cut)))
                self.found += 1
            else:
                self.missed += 1
        self.wrong += len(left)
        if left or len(truth) > len(found) - len(left):
            self.clips_with_errors.append(name)

    @property
    def precision(self) -> float:
        """Share of the cuts that were told that are there."""
        return self.found / (self.found + self.wrong) if self.found + self.wrong else float("nan")

    @property
    def recall(self) -> float:
        """Share of the cuts that are there that were told."""
        return self.found / (self.found + self.missed) if self.found + self.missed else float("nan")


def ours(frames: Iterable[Image], fps: float) -> list[int]:
    """pipelines.measures.shots at its defaults."""
    return find_cuts(frames, fps, ShotSettings())[0]


def detectors() -> dict[str, Detector]:
    """By name: ours, and PySceneDetect's where it is installed."""
    found: dict[str, Detector] = {"ours": ours}
    try:
        from scenedetect import detectors as theirs
        from scenedetect.common import FrameTimecode
    except ImportError:
        print("PySceneDetect is not installed (pip install scenedetect), so its detectors are left out")
        return found

    def scene_detect(kind: type) -> Detector:
        def detect(frames: Iterable[Image], fps: float) -> list[int]:
            detector = kind(min_scene_len=max(1, round(ShotSettings().window_s * fps)))
            cuts: list[int] = []
            number = -1
            for number, frame in enumerate(frames):
                bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
                cuts += [cut.frame_num for cut in detector.process_frame(FrameTimecode(number, fps), bgr)]
            if number >= 0:
                cuts += [cut.frame_num for cut in detector.post_process(FrameTimecode(number, fps))]
            return sorted(set(cuts))

        return detect

    for kind in (theirs.ContentDetector, theirs.AdaptiveDetector, theirs.HistogramDetector, theirs.HashDetector):
        found[kind.__name__] = scene_detect(kind)
    return found


def _strobe(frames: list[Image]) -> list[Image]:
    return [_whiter(frame, 0.85) if number // 2 % 2 else frame for number, frame in enumerate(frames)]


def _full_flashes(frames: list[Image]) -> list[Image]:
    return [_whiter(frame, 0.97) if number % 40 in (20, 21) else frame for number, frame in enumerate(frames)]


def _held(frames: list[Image]) -> list[Image]:
    return [frames[number // 3 * 3] for number in range(len(frames))]


def _dim(frames: list[Image]) -> list[Image]:
    return [(frame * 0.25).astype(np.uint8) for frame in frames]


def _whiter(frame: Image, share: float) -> Image:
    return np.asarray(np.round(frame * (1 - share) + 255 * share), np.uint8)


_HARDER: dict[str, Callable[[list[Image]], list[Image]]] = {
    "strobe": _strobe,
    "full flashes": _full_flashes,
    "held": _held,
    "dim": _dim,
}


@dataclass(frozen=True, slots=True)
class CutClip:
    """A clip in memory and its cuts."""

    part: str
    name: str
    frames: list[Image]
    fps: float
    cuts: list[int]


def drawn_clips(count: int) -> Iterator[CutClip]:
    """Clips of the drawn world, through H.264; every third is made harder."""
    for number in range(count):
        kind = _KINDS[number % len(_KINDS)]
        clip = write_clip(kind, SEED + number)
        names = [*_HARDER, "fast"]
        name = names[number % len(names)] if number // len(_KINDS) % 3 == 2 else ""
        renderer = ClipRenderer(clip, range(0, clip.frame_count, 3 if name == "fast" else 1))
        frames = list(renderer)
        cuts = (np.flatnonzero(np.diff(renderer.truth.shots)) + 1).tolist()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip.mp4"
            write_mp4(path, _HARDER[name](frames) if name in _HARDER else frames, clip.settings.fps, crf=23)
            part = "drawn, made harder" if name else "drawn"
            yield CutClip(part, f"{number} {kind} {name}".strip(), _small(path), clip.settings.fps, cuts)


def real_clips() -> Iterator[CutClip]:
    """The labelled clips in the folder SA_REAL_DATA, or `../shared` beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    media = Path(os.environ.get("SA_REAL_DATA") or beside) / "media"
    if not (media / "labels.csv").is_file():
        print("no real clips: name their folder in SA_REAL_DATA")
        return
    with (media / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            path = media / "videos" / row["file"]
            with VideoReader(path) as video:
                fps = video.info.fps
            yield CutClip("real", row["file"], _small(path), fps, [int(cut) for cut in row["cut_frames"].split()])


def harder_clips(clip: CutClip) -> Iterator[CutClip]:
    """A clip in other light and at other speeds, and with a cut to a closer view of the same place."""

    def harder(name: str, frames: list[Image], cuts: list[int]) -> CutClip:
        return CutClip(f"{clip.part}, made harder", f"{clip.name} {name}", frames, clip.fps, cuts)

    for name, change in _HARDER.items():
        yield harder(name, change(clip.frames), clip.cuts)
    yield harder("fast", clip.frames[::3], sorted({-(-cut // 3) for cut in clip.cuts}))
    if len(clip.frames) > clip.fps:
        middle = len(clip.frames) // 2
        closer = clip.frames[:middle] + [_middle_part(frame) for frame in clip.frames[middle:]]
        yield harder("closer", closer, sorted({*clip.cuts, middle}))


def _middle_part(frame: Image) -> Image:
    height, width = frame.shape[:2]
    part = frame[height // 5 : height - height // 5, width // 5 : width - width // 5]
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _small(path: Path) -> list[Image]:
    """All frames of a video, as small as SceneManager makes them."""
    with VideoReader(path) as video:
        scale = max(1.0, video.info.width / _EFFECTIVE_WIDTH)
        size = (round(video.info.width / scale), round(video.info.height / scale))
        return [
            np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR), np.uint8)
            for _, frame in video.frames(range(video.info.frame_count))
        ]


def scores(clips: Iterable[CutClip], found: dict[str, Detector]) -> dict[tuple[str, str], Score]:
    """The score of each detector in each part."""
    result: dict[tuple[str, str], Score] = {}
    for clip in clips:
        for name, detect in found.items():
            score = result.setdefault((clip.part, name), Score())
            score.add(clip.name, clip.cuts, detect(clip.frames, clip.fps))
    return result


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write results/shots.json. Returns 1 where ours misses a bar."""
    parser = argparse.ArgumentParser(description="Cut detectors on drawn and real clips.")
    parser.add_argument("--clips", type=int, default=60, help="drawn clips (default: %(default)s)")
    count = parser.parse_args(arguments).clips
    real = (one for clip in real_clips() for one in (clip, *harder_clips(clip)))
    result = scores(itertools.chain(drawn_clips(count), real), detectors())
    figures: list[Figure] = []
    for (part, name), score in sorted(result.items(), key=lambda item: item[0][0]):
        bar = _BAR if name == "ours" and "harder" not in part else None
        note = f"{score.found} found, {score.wrong} wrong, {score.missed} missed"
        figures.append(Figure(f"{part}: {name}, precision", score.precision, bar, "higher", note=note))
        figures.append(Figure(f"{part}: {name}, recall", score.recall, bar, "higher"))
        print(f"{part}: {name}: {note}; errors in: {', '.join(score.clips_with_errors) or 'none'}")
    return report("shots", figures, folder=None) if count < 60 else report("shots", figures)


if __name__ == "__main__":
    sys.exit(main())
