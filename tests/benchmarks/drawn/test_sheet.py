from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.drawn.clips import MeasuredClip
from benchmarks.drawn.sheet import detections, write_sheet
from pipelines.curation import CurateSettings
from stableanimator.errors import InputError


def test_a_page_shows_what_was_found_and_which_rules_erred(
    perfect: Callable[[str], MeasuredClip], tmp_path: Path
) -> None:
    clips = [perfect("group"), perfect("empty")]
    clips[0].shots[0]["failed_rules"] = [{"rule": "max_people_most"}, {"rule": "max_camera_zoom"}]
    write_sheet(tmp_path / "sheet" / "page.html", clips, CurateSettings())
    page = (tmp_path / "sheet" / "page.html").read_text()
    assert "rejected by max_people_most<br>" in page
    assert "wrongly rejected by max_camera_zoom<" in page
    assert "not rejected by min_width, min_height" in page  # the pictures are too small
    pictures = [
        cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)
        for text in re.findall("base64,([^']+)'", page)
    ]
    assert [picture.shape for picture in pictures] == [(256, 256, 3)] * 2


def test_detections_lie_where_they_were_found(perfect: Callable[[str], MeasuredClip]) -> None:
    clip = perfect("dance")
    picture = detections(clip, clip.shots[0])
    x0, y0, x1, _ = np.round(2 * clip.truth.person_boxes[30, 0]).astype(int)
    edge = picture[y0, (x0 + x1) // 2].astype(int)
    assert np.abs(edge - (255, 140, 0)).max() < 90  # a thin line, blended with what lies below
    bare = perfect("dance")
    bare.measures["people"]["s"]["person_boxes"] = [[]] * 5
    assert np.abs(detections(bare, bare.shots[0])[y0, (x0 + x1) // 2] - (255.0, 255, 255)).max() < 90


def test_a_page_that_cannot_be_written_is_named(perfect: Callable[[str], MeasuredClip], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_sheet(tmp_path / "file" / "page.html", [perfect("empty")], CurateSettings())
