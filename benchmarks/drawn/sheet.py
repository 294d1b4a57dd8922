"""A page of drawn frames with what was detected in them, and the rules that were right and wrong about each shot."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.drawn.clips import MeasuredClip
from benchmarks.drawn.scores import shot_found
from benchmarks.drawn.truth import BODY, true_faces, true_people, true_rules
from pipelines.curation import CurateSettings
from stableanimator.errors import InputError
from stableanimator.media.video import VideoReader
from stableanimator.perception.skeleton import VISIBLE
from stableanimator.synthetic.truth import SEEN

_SCALE = 2  # pictures are shown this many times as large
_TRUE, _PERSON, _FACE, _JOINT = (255, 255, 255), (255, 140, 0), (255, 40, 160), (0, 230, 230)
_BONES = (
    *((5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12)),
    *((11, 13), (13, 15), (12, 14), (14, 16), (0, 1), (0, 2), (1, 3), (2, 4)),
)
_STYLE = """body{font:14px system-ui;margin:24px;background:#faf7f0;color:#342e40}
main{display:flex;flex-wrap:wrap;gap:14px} figure{margin:0;width:512px} img{width:100%}
.wrong{color:#b3261e;font-weight:600} i{font-style:normal;padding:1px 6px;color:#222}"""
_LEGEND = (
    '<p><i style="background:#fff">truth</i> <i style="background:#ff8c00">people</i> '
    '<i style="background:#ff28a0">faces</i> <i style="background:#00e6e6">joints that score 0.3 or more</i></p>'
)


def write_sheet(path: Path, clips: Sequence[MeasuredClip], settings: CurateSettings) -> None:
    """Write the page: one sampled frame from the middle of each shot, with the truth in white below the detections.

    Raises:
        InputError: the page cannot be written.
    """
    figures = [_figure(clip, number, settings) for clip in clips for number in range(len(clip.clip.shots))]
    page = (
        f"<!doctype html><meta charset=utf-8><title>Drawn clips</title><style>{_STYLE}</style>"
        f"<h1>{len(figures)} drawn shots</h1>{_LEGEND}<main>{''.join(figures)}</main>"
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def _figure(clip: MeasuredClip, number: int, settings: CurateSettings) -> str:
    shot, found = clip.clip.shots[number], shot_found(clip, number)
    failed = {failure["rule"] for failure in found["failed_rules"]}
    true = true_rules(clip.truth, number, settings)
    right = [rule for rule, what in true.items() if what.fires and rule in failed]
    missed = [rule for rule, what in true.items() if what.fires and what.decided and rule not in failed]
    wrong = [rule for rule, what in true.items() if not what.fires and what.decided and rule in failed]
    picture = detections(clip, found)
    encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    lines = [f"{clip.path.parent.name}, shot {number}: {shot.framing}, {shot.camera}", f"rejected by {_list(right)}"]
    lines += [f"<span class=wrong>not rejected by {_list(missed)}</span>"] if missed else []
    lines += [f"<span class=wrong>wrongly rejected by {_list(wrong)}</span>"] if wrong else []
    image = f"<img src='data:image/jpeg;base64,{base64.b64encode(encoded).decode()}'>"
    return f"<figure>{image}<figcaption>{'<br>'.join(lines)}</figcaption></figure>"


def _list(rules: list[str]) -> str:
    return html.escape(", ".join(rules)) or "no rule"


def detections(clip: MeasuredClip, shot: dict[str, Any]) -> NDArray[np.uint8]:
    """The middle sampled frame of a shot (a row of VERDICTS), enlarged, with the truth and what was found."""
    rows = {name: of_measure[shot["shot_id"]] for name, of_measure in clip.measures.items()}
    sample = len(rows["people"]["frame_index"]) // 2
    frame = int(rows["people"]["frame_index"][sample])
    with VideoReader(clip.path) as video:
        picture = np.repeat(np.repeat(video.read([frame])[0], _SCALE, 0), _SCALE, 1)
    truth = clip.truth
    for person in true_people(truth, frame):
        _box(picture, truth.person_boxes[frame, person], _TRUE)
        seen = truth.visibility[frame, person, BODY] == SEEN
        _dots(picture, truth.keypoints[frame, person, BODY][seen], _TRUE, 4)
    for owner, box in zip(*true_faces(truth, frame), strict=True):
        _box(picture, box, _TRUE)
        _dots(picture, truth.face_landmarks[frame, owner], _TRUE, 3)
    for box in rows["people"]["person_boxes"][sample]:
        _box(picture, np.array(box), _PERSON)
    for box, points in zip(*(rows["face_quality"][name][sample] for name in ("face_boxes", "face_landmarks")),
                           strict=True):  # fmt: skip
        _box(picture, np.array(box), _FACE)
        _dots(picture, np.array(points).reshape(5, 2), _FACE, 2)
    for keypoints in rows["keypoints"]["keypoints"][sample]:
        _skeleton(picture, np.array(keypoints).reshape(-1, 3)[BODY])
    return picture


def _box(picture: NDArray[np.uint8], box: NDArray[np.floating], colour: tuple[int, int, int]) -> None:
    x0, y0, x1, y1 = (int(side) for side in np.round(box * _SCALE))
    cv2.rectangle(picture, (x0, y0), (x1, y1), colour, 1, cv2.LINE_AA)


def _dots(picture: NDArray[np.uint8], points: NDArray[np.floating], colour: tuple[int, int, int], radius: int) -> None:
    for x, y in np.round(points * _SCALE):
        cv2.circle(picture, (int(x), int(y)), radius, colour, -1, cv2.LINE_AA)


def _skeleton(picture: NDArray[np.uint8], joints: NDArray[np.floating]) -> None:
    seen = joints[:, 2] >= VISIBLE
    for first, second in _BONES:
        if seen[first] and seen[second]:
            ends = [(int(x), int(y)) for x, y in np.round(joints[[first, second], :2] * _SCALE)]
            cv2.line(picture, ends[0], ends[1], _JOINT, 1, cv2.LINE_AA)
    _dots(picture, joints[seen, :2], _JOINT, 2)
