"""What a folder of drawn clips says about itself: `clips.csv` has a row for each clip, `shots.csv` for each shot."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from stableanimator.synthetic.script import Clip, Shot

CLIP_COLUMNS = (
    *("file", "people", "framing", "camera", "cut_frames", "expect", "reason", "note"),
    *("kind", "seed", "frames", "fps", "width", "height"),
)
"""The first eight are those of a hand-labelled set of clips. Clips with several shots list framings, cameras and
verdicts in the order of the shots, separated by " / ", where they differ; cut_frames are separated by spaces."""

SHOT_COLUMNS = ("file", "start", "end", "people", "framing", "camera", "set", "expect", "reason")


def clip_row(clip: Clip, file: str) -> dict[str, object]:
    """The row of one clip."""
    shots = clip.shots
    return {
        "file": file,
        "people": max(_people(clip, shot) for shot in shots),
        "framing": _listed([shot.framing for shot in shots]),
        "camera": _listed([shot.camera for shot in shots]),
        "cut_frames": " ".join(str(shot.start) for shot in shots[1:]),
        "expect": verdict(clip),
        "reason": " / ".join(shot.reason for shot in shots if shot.reason),
        "note": clip.note,
        "kind": clip.kind,
        "seed": clip.seed,
        "frames": clip.frame_count,
        "fps": f"{clip.settings.fps:g}",
        "width": clip.settings.width,
        "height": clip.settings.height,
    }


def shot_rows(clip: Clip, file: str) -> list[dict[str, object]]:
    """The rows of the shots of one clip; `end` is exclusive."""
    return [
        {
            "file": file,
            "start": shot.start,
            "end": shot.end,
            "people": _people(clip, shot),
            "framing": shot.framing,
            "camera": shot.camera,
            "set": shot.set.name,
            "expect": shot.expect,
            "reason": shot.reason,
        }
        for shot in clip.shots
    ]


def verdict(clip: Clip) -> str:
    """accept, reject, or one of them for each shot where they differ."""
    return _listed([shot.expect for shot in clip.shots])


def write_tables(folder: Path, clips: list[Clip], files: list[str]) -> None:
    """Write both tables into the folder of the clips."""
    named = list(zip(clips, files, strict=True))
    _write(folder / "clips.csv", CLIP_COLUMNS, [clip_row(clip, file) for clip, file in named])
    _write(folder / "shots.csv", SHOT_COLUMNS, [row for clip, file in named for row in shot_rows(clip, file)])


def _write(path: Path, columns: tuple[str, ...], rows: list[dict[str, object]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")


def _people(clip: Clip, shot: Shot) -> int:
    """Living people in a shot."""
    return sum(clip.cast[role.person].alive for role in shot.roles)


def _listed(values: list[str]) -> str:
    return values[0] if len(set(values)) == 1 else " / ".join(values)
