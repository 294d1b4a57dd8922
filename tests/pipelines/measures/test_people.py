from __future__ import annotations

import numpy as np
import pytest

from pipelines.measures.frames import Frame
from pipelines.measures.people import People, PeopleSettings, count_people, keep_people

LARGE, HALF, SMALL = [0, 0, 100, 200], [200, 0, 250, 100], [300, 0, 310, 20]  # areas 20000, 5000, 200


def _boxes(*boxes: list[float]) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 4)


def test_sure_people_are_kept_the_largest_first():
    boxes, scores = keep_people(
        _boxes(SMALL, HALF, LARGE), np.array([0.9, 0.49, 0.6], np.float32), PeopleSettings(min_score=0.5)
    )
    assert boxes.tolist() == [LARGE, SMALL]
    assert scores.tolist() == pytest.approx([0.6, 0.9])


def test_no_more_people_are_kept_than_asked_for():
    boxes, _ = keep_people(_boxes(SMALL, HALF, LARGE), np.ones(3, np.float32), PeopleSettings(max_people=2))
    assert boxes.tolist() == [LARGE, HALF]


def test_people_in_the_background_do_not_count():
    assert count_people(_boxes(LARGE, HALF, SMALL), 0.25) == 2  # HALF has exactly a quarter of the area
    assert count_people(_boxes(LARGE, HALF, SMALL), 0.26) == 1
    assert count_people(_boxes(), 0.25) == 0


def test_columns_tell_the_usual_and_the_largest_number_of_people():
    counts = [1] * 15 + [2] * 5
    places = iter(counts)

    def detector(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = _boxes(*[LARGE, HALF][: next(places)])
        return found, np.ones(len(found), np.float32)

    measure = People(PeopleSettings(), detector)
    for number in range(20):
        frame = Frame(number, number / 8, np.zeros((200, 320, 3), np.uint8))
        measure.add(frame)
        assert frame.people is not None
        assert len(frame.people) == counts[number]
    columns = measure.columns()
    assert columns["people_median"] == 1
    assert columns["people_most"] == 2  # in a quarter of the frames: more than a tenth
    assert [box.tolist() for box in columns["person_boxes"][-1]] == [LARGE, HALF]


@pytest.mark.parametrize("settings", [{"min_score": 2}, {"main_area_share": -1}, {"max_people": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]):
    with pytest.raises(ValueError, match=next(iter(settings))):
        PeopleSettings(**settings)
