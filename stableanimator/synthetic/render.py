"""Draw clips with known truth: `python -m stableanimator.synthetic.render --count 24 --out DIR --seed 1`.

Writes NNN_kind.mp4 with NNN_kind.truth.npz beside it, clips.csv and shots.csv.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import cv2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stableanimator.errors import InputError, UserError
from stableanimator.media.video import write_mp4
from stableanimator.synthetic.clips import KINDS, OTHER_KINDS, write_clips
from stableanimator.synthetic.renderer import ClipRenderer
from stableanimator.synthetic.scene.canvas import Image
from stableanimator.synthetic.script import Clip, ClipSettings
from stableanimator.synthetic.sheet import contact_sheet
from stableanimator.synthetic.tables import verdict, write_tables
from stableanimator.synthetic.truth import truth_path

_SHOWN = 0.4  # share of a clip after which its frame for the contact sheet is taken
_MOST = 100_000  # clips in one folder


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = _Parser(
        prog="python -m stableanimator.synthetic.render",
        description="Draw clips of people and write beside each what is true of it, frame by frame.",
        epilog=f"Kinds of clips, drawn in turn: {', '.join(KINDS)}. Only when asked for: {', '.join(OTHER_KINDS)}.",
    )
    result.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the clips; made if missing")
    result.add_argument("--count", type=_whole(1, _MOST), default=24, help="number of clips (default: %(default)s)")
    result.add_argument("--seed", type=_whole(0, 2**63 - 1), default=0,
                        help="the same seed draws the same clips (default: %(default)s)")  # fmt: skip
    result.add_argument("--size", type=_size, default=(256, 256), metavar="WxH", help="pixels (default: 256x256)")
    result.add_argument("--fps", type=float, default=25.0, help="frames a second (default: %(default)s)")
    result.add_argument("--seconds", type=_seconds, default=(3.0, 6.0), metavar="A-B",
                        help="shortest and longest clip (default: 3-6)")  # fmt: skip
    result.add_argument("--kinds", type=_kinds, default=tuple(KINDS), metavar="A,B", help="draw only these kinds")
    result.add_argument("--sheet", type=Path, metavar="PNG", help="also write a contact sheet: one frame of each clip")
    return result


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,19}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {high}")
        return int(text)

    return read


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write width x height in pixels, such as 256x256")
    try:
        settings = ClipSettings(width=int(match[1]), height=int(match[2]))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return settings.width, settings.height


def _seconds(text: str) -> tuple[float, float]:
    match = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)-(\d{1,3}(?:\.\d+)?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no span of time; write shortest-longest in seconds, such as 3-6")
    return float(match[1]), float(match[2])


def _kinds(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in KINDS | OTHER_KINDS:
            raise argparse.ArgumentTypeError(f"{name!r} is no kind; choose from {', '.join(KINDS | OTHER_KINDS)}")
    return names


def render_folder(
    out: Path, clips: Sequence[Clip], on_frames: Callable[[int], object] = lambda count: None
) -> list[Image]:
    """Draw clips into a folder, with their truth and tables. Returns one frame of each, for a contact sheet.

    `on_frames` hears of frames as they are drawn.

    Raises:
        InputError: the folder cannot be written, or holds other videos, which a curation of the folder would mix in.
    """
    files = file_names(clips)
    try:
        out.mkdir(parents=True, exist_ok=True)
        strangers = sorted(path.name for path in out.glob("*.mp4") if path.name not in files)
        if strangers:
            raise InputError(f"{out} already holds other videos, such as {strangers[0]}; choose an empty folder")
        shown = [_render_clip(clip, out / file, on_frames) for clip, file in zip(clips, files, strict=True)]
        write_tables(out, list(clips), files)
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror or error}") from error
    return shown


def file_names(clips: Sequence[Clip]) -> list[str]:
    """The names of the clips' files, in their order."""
    digits = max(3, len(str(len(clips) - 1)))
    return [f"{number:0{digits}d}_{clip.kind}.mp4" for number, clip in enumerate(clips)]


def _render_clip(clip: Clip, path: Path, on_frames: Callable[[int], object]) -> Image:
    renderer = ClipRenderer(clip)
    shown: list[Image] = []

    def frames() -> Iterator[Image]:
        for number, picture in enumerate(renderer):
            if number == int(_SHOWN * len(renderer)):
                shown.append(picture)
            on_frames(1)
            yield picture

    write_mp4(path, frames(), clip.settings.fps)
    renderer.truth.save(truth_path(path))
    return shown[0]


def _write_sheet(path: Path, pictures: list[Image], clips: Sequence[Clip]) -> None:
    names = [Path(file).stem for file in file_names(clips)]
    sheet = contact_sheet(pictures, names, [verdict(clip) for clip in clips])
    done, encoded = cv2.imencode(".png", sheet[..., ::-1])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded.tobytes() if done else b"")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0, or 2 for the user's mistake."""
    arguments = parser().parse_args(argv)
    width, height = arguments.size
    shortest, longest = arguments.seconds
    try:
        settings = ClipSettings(
            width=width, height=height, fps=arguments.fps, min_seconds=shortest, max_seconds=longest
        )
    except ValueError as error:
        print(f"error: {error}; see python -m stableanimator.synthetic.render --help", file=sys.stderr)
        return 2
    clips = write_clips(arguments.count, arguments.seed, settings, arguments.kinds)
    total = sum(clip.frame_count for clip in clips)
    console = Console(stderr=True)
    columns = (TextColumn("drawing frames"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("frames", total=total)
            pictures = render_folder(arguments.out, clips, lambda count: progress.advance(task, count))
        if arguments.sheet is not None:
            _write_sheet(arguments.sheet, pictures, clips)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    sheet = f", contact sheet {arguments.sheet}" if arguments.sheet is not None else ""
    print(f"drew {len(clips)} clips, {total} frames of {width}x{height}: {arguments.out / 'clips.csv'}{sheet}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
