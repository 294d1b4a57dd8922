from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.curation import CurateSettings
from pipelines.measures.frames import Frame
from pipelines.measuring.shot_run import Sampler, ShotRun, VideoResult
from stableanimator.errors import DecodeError

SETTINGS = CurateSettings(sample_fps=8.0)
TIMES = np.arange(100) / 24
BEGIN, END, ODD = -2, -3, -4
"""When a measure fails, beside the frames: when it is made, when it is asked for its columns, or by what these are."""


class Counter:
    """A measure that counts its frames, and fails at one of them."""

    def __init__(self, name: str, log: list[tuple[str, int]], fails: Exception | None = None, at: int = -1) -> None:
        self._name, self._log, self._fails, self._at = name, log, fails, at
        if at == BEGIN and fails is not None:
            raise fails

    def add(self, frame: Frame) -> None:
        if frame.index == self._at and self._fails is not None:
            raise self._fails
        self._log.append((self._name, frame.index))
        if self._name == "people":
            frame.people = np.full((1, 4), frame.index, np.float32)

    def columns(self) -> dict[str, Any]:
        if self._at == END and self._fails is not None:
            raise self._fails
        return {"people_median": "many"} if self._at == ODD else {}


def _run(lacking: list[str], known: dict[str, Any], log: list[Any], result: VideoResult, **fails: Any) -> ShotRun:
    makers = {name: lambda name=name: Counter(name, log, *fails.get(name, ())) for name in lacking}
    return ShotRun(lacking, known, makers, Sampler(TIMES, SETTINGS).of_shot(10, 22), result)


def _feed(run: ShotRun) -> None:
    for index in run.indices.tolist():
        run.add(Frame(index=index, time=index / 24, image=np.zeros((4, 4, 3), np.uint8)))


def test_a_shot_with_an_open_end_begins_with_the_samples_of_a_closed_one():
    sampler = Sampler(TIMES, SETTINGS)
    longest, closed = sampler.of_shot(10), sampler.of_shot(10, 50)
    for name in SETTINGS.measures:
        assert longest[name][longest[name] < 50].tolist() == closed[name].tolist() == list(range(10, 50, 3))
    assert closed["thumbnails"].tolist() == [10 + 3 * 4]  # fourteen samples: the fourth, by fours
    assert longest["thumbnails"].tolist() == longest["people"].tolist()


def test_each_measure_sees_its_samples_in_order():
    log: list[tuple[str, int]] = []
    result = VideoResult("v")
    run = _run(["thumbnails", "keypoints", "people"], {}, log, result)
    assert run.indices.tolist() == [10, 13, 16, 19]
    assert [index for index in range(10, 22) if run.wants(index)] == [10, 13, 16, 19]
    _feed(run)
    assert log[:3] == [("people", 10), ("keypoints", 10), ("people", 13)]
    assert [index for name, index in log if name == "thumbnails"] == [10 + 3 * 2]
    tables = run.tables("v:10-22", 22, TIMES)
    assert list(tables) == ["people", "keypoints", "thumbnails"]
    assert tables["people"]["frame_index"].to_pylist() == [[10, 13, 16, 19]]
    assert tables["people"]["time"].to_pylist() == [pytest.approx([index / 24 for index in (10, 13, 16, 19)])]


@pytest.mark.parametrize("error", [DecodeError("odd", "content"), RuntimeError("a defect")])
def test_what_reads_a_failed_measure_fails_with_it(error: Exception):
    log: list[tuple[str, int]] = []
    result = VideoResult("v")
    run = _run(["people", "keypoints", "picture"], {}, log, result, people=(error, 13))
    _feed(run)
    tables = run.tables("v:10-22", 22, TIMES)
    assert [index for name, index in log if name == "picture"] == [10, 13, 16, 19]
    assert tables["picture"]["error"].to_pylist() == [None]
    if isinstance(error, DecodeError):
        assert {name: table["error"][0].as_py() for name, table in tables.items()} == {
            "people": "odd",
            "keypoints": "people_failed",
            "picture": None,
        }
        assert result.failures == []
    else:
        assert list(tables) == ["picture"]
        assert [(one["measure"], one["reason"]) for one in result.failures] == [
            ("people", "measure_failed"),
            ("keypoints", "measure_failed"),
        ]


@pytest.mark.parametrize("at", [13, BEGIN, END, ODD])
def test_a_measure_that_breaks_down_takes_no_other_with_it_but_its_readers(at: int):
    """`people` has two readers, of which one reads the other too."""
    result = VideoResult("v")
    lacking = ["people", "keypoints", "camera_motion", "picture", "face_quality"]
    run = _run(lacking, {}, [], result, people=(cv2.error("assertion"), at))
    _feed(run)
    assert list(run.tables("v:10-22", 22, TIMES)) == ["face_quality", "picture"]
    assert [failure["measure"] for failure in result.failures] == ["people", "keypoints", "camera_motion"]


def test_people_who_are_known_already_are_shown_again():
    seen: list[Any] = []

    class Reader(Counter):
        def add(self, frame: Frame) -> None:
            seen.append(frame.people)

    known = {"people": {"error": None, "frame_index": [10, 16], "person_boxes": [[[1.0, 2, 3, 4]], []]}}
    samples = Sampler(TIMES, SETTINGS).of_shot(10, 22)
    run = ShotRun(
        ["camera_motion"], known, {"camera_motion": lambda: Reader("camera_motion", [])}, samples, VideoResult("v")
    )
    _feed(run)
    assert [people.tolist() for people in seen] == [[[1, 2, 3, 4]], [[1, 2, 3, 4]], [], []]


def test_a_measure_whose_upstream_failed_before_does_not_run():
    result = VideoResult("v")
    run = _run(["keypoints"], {"people": {"error": "odd"}}, [], result)
    assert run.indices.tolist() == []
    assert run.tables("v:10-22", 22, TIMES)["keypoints"]["error"].to_pylist() == ["people_failed"]
