from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.releases.contact_sheet import contact_sheets, failure_text, link_to, shared_out, shot_name


def _row(number: int, rule: str | None = None, value: float | None = 0.5, **columns: Any) -> dict[str, Any]:
    failed = [{"rule": rule, "value": value, "threshold": 1.0, "error": None if value is not None else "truncated"}]
    row = {"shot_id": f"v{number:03}:0-48", "video_id": f"v{number:03}", "start": 0, "end": 48, "seconds": 6.0}
    return {**row, "width": 640, "height": 360, "failed_rules": failed if rule else [], **columns}


def _source(number: int, uri: str) -> dict[str, Any]:
    return {"video_id": f"v{number:03}", "source_uri": uri}


def test_accepted_come_first_then_reasons_by_size_each_from_the_closest_call():
    rows = [_row(0), _row(1, "decode", None), _row(2, "min_seconds", 0.2), _row(3, "min_seconds", 0.9)]
    groups = contact_sheets([_source(n, f"/clips/{n}.mp4") for n in range(4)], rows, {"v003:0-48": b"jpeg"}, 9)
    assert [(group.rule, group.title, group.shots) for group in groups] == [
        (None, "Accepted", 1),
        ("min_seconds", "Too short", 2),
        ("decode", "The video cannot be decoded", 1),
    ]
    closest, farthest = groups[1].cards
    assert closest.name == "3.mp4 (v003)"
    assert closest.note == "frames 0–48, 6 s, 640x360"
    assert closest.why == ("seconds 0.9 s, below 1",)
    assert closest.picture == "data:image/jpeg;base64," + base64.b64encode(b"jpeg").decode()
    assert closest.link == "file:///clips/3.mp4"
    assert farthest.why == ("seconds 0.2 s, below 1",)
    assert groups[2].cards[0].why == ("decode: truncated",)
    assert groups[2].cards[0].picture is None


def test_half_of_the_pictures_are_accepted_ones_and_every_reason_has_some():
    rows = [_row(n) for n in range(50)]
    rows += [_row(100 + n, "min_seconds", n / 50) for n in range(50)] + [_row(200, "max_people_most", 3.0)]
    accepted, short, people = contact_sheets([], rows, {}, 20)
    assert [len(group.cards) for group in (accepted, short, people)] == [10, 9, 1]
    values = [float(card.why[0].split()[1]) for card in short.cards]
    assert values == sorted(values, reverse=True)
    assert values[0] == 0.98
    assert values[-1] < 0.2
    assert [len(group.cards) for group in contact_sheets([], rows[45:51], {}, 20)] == [5, 1]
    assert [len(group.cards) for group in contact_sheets([], rows, {}, 0)] == [0, 0, 0]


@given(st.lists(st.integers(0, 30), max_size=6), st.integers(0, 60))
def test_what_one_does_not_use_goes_to_others(sizes: list[int], most: int):
    shares = shared_out(sizes, most)
    assert all(share <= size for share, size in zip(shares, sizes, strict=True))
    assert sum(shares) == min(most, sum(sizes))
    short = [share for share, size in zip(shares, sizes, strict=True) if share < size]
    assert not short or max(shares) - min(short) <= 1


@pytest.mark.parametrize(
    ("uri", "link"),
    [
        ("https://example.org/v?x=1", "https://example.org/v?x=1"),
        ("/clips/a b#1.mp4", "file:///clips/a%20b%231.mp4"),
        ("javascript:alert(1)", None),
        ("JavaScript:alert(1)", None),
        ("data:text/html,<script>", None),
        ("s3://bucket/a.mp4", None),
        (None, None),
    ],
)
def test_only_what_a_browser_may_open_is_a_link(uri: str | None, link: str | None):
    assert link_to(uri) == link


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("https://example.org/a/clip%201.mp4?token=1#t", "clip 1.mp4"),
        ("https://example.org/", "example.org"),
        ("/clips/50%25.mp4", "50%25.mp4"),
        ("s3://bucket/a?b.mp4", "a?b.mp4"),
        (None, "v000"),
    ],
)
def test_a_shot_is_named_after_its_file(uri: str | None, name: str):
    assert shot_name(_row(0), uri) == name


def test_a_failure_names_value_unit_and_limit():
    failure = {"rule": "max_camera_rotation", "value": 3.456, "threshold": 2.0, "error": None}
    assert failure_text(failure) == "camera_rotation 3.46 °/s, above 2"
    assert failure_text({"rule": "min_face_size", "error": "unmeasured"}) == "min_face_size: unmeasured"


def test_many_reasons_are_counted():
    row = _row(0, "min_seconds")
    row["failed_rules"] *= 6
    ((card,),) = (group.cards for group in contact_sheets([], [row], {}, 1))
    assert len(card.why) == 5
    assert card.why[-1] == "and 2 more"
