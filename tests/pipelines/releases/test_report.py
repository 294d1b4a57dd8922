from __future__ import annotations

import base64
import time
from html.parser import HTMLParser
from typing import Any

import numpy as np
import yaml

from pipelines.curation import CurateSettings
from pipelines.releases.report import render_report, summary
from pipelines.releases.rules import failed_rules
from pipelines.releases.select import count_steps
from pipelines.releases.settings import ReportSettings, SelectSettings
from pipelines.storage.tables import SOURCES, VERDICTS


def _verdict(number: int, *rules: str, value: float | None = 0.5, error: str | None = None) -> dict[str, Any]:
    row = {**dict.fromkeys(VERDICTS.names), "shot_id": f"v{number}:0-48", "video_id": f"v{number}"}
    failed = [{"rule": rule, "value": value, "threshold": 1.0, "error": error} for rule in rules]
    row |= {
        "start": 0,
        "end": 48,
        "seconds": 30.0,
        "width": 1920,
        "verdict": "reject" if rules else "accept",
        "failed_rules": failed,
    }
    return row


def _sources(count: int, **values: Any) -> list[dict[str, Any]]:
    row = {**dict.fromkeys(SOURCES.names), "status": "fetched"}
    return [{**row, "source_uri": f"/clips/<{n}>.mp4", "video_id": f"v{n}", **values} for n in range(count)]


def _clips(verdicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    accepted = [row for row in verdicts if row["verdict"] == "accept"]
    return [
        {"split": "train", "person": "p", "seconds": row["seconds"], "video_id": row["video_id"]} for row in accepted
    ]


def _counts(sources: list[dict[str, Any]], verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    return count_steps(sources, verdicts, _clips(verdicts))


class _Page(HTMLParser):
    """What a browser would make of a page: its text, its pictures, where it leads, and which elements it has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.words: list[str] = []
        self.pictures: list[str] = []
        self.links: list[str] = []
        self.tags: dict[str, list[dict[str, str | None]]] = {}
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.tags.setdefault(tag, []).append(found)
        if tag == "img" and (source := found.get("src")):
            self.pictures.append(source)
        if tag == "a" and (target := found.get("href")):
            self.links.append(target)


def _page(
    verdicts: list[dict[str, Any]],
    thumbnails: dict[str, bytes] | None = None,
    sources: list[dict[str, Any]] | None = None,
    most: int = 200,
    select: SelectSettings | None = None,
) -> _Page:
    sources = _sources(len(verdicts)) if sources is None else sources
    settings = CurateSettings(report=ReportSettings(thumbnails=most), select=select or SelectSettings())
    return _Page(render_report(sources, verdicts, _counts(sources, verdicts), thumbnails or {}, settings))


def _judged(shots: list[dict[str, Any]], settings: SelectSettings | None = None) -> list[dict[str, Any]]:
    """Verdicts of shots with these columns, by the rules on them."""
    rows = []
    for number, shot in enumerate(shots):
        row = _verdict(number) | shot
        failed = failed_rules(row, {}, set(shot), settings or SelectSettings())
        rows.append(row | {"failed_rules": failed, "verdict": "reject" if failed else "accept"})
    return rows


def test_the_summary_counts_what_was_accepted():
    verdicts = [_verdict(0), _verdict(1), _verdict(2, "min_seconds")]
    assert summary(_counts(_sources(3), verdicts)) == "2 of 3 shots from 3 sources were accepted: 1.0 minutes."


def test_the_summary_says_why_there_is_no_clip():
    assert "no source was listed" in summary(_counts([], []))
    nothing = _sources(2, status="failed", reason="http_404", video_id=None)
    assert summary(_counts(nothing, [])) == "0 clips: none of the 2 sources could be fetched: http_404 (2)."
    verdicts = [_verdict(0, "min_seconds", "max_people_most"), _verdict(1, "max_people_most")]
    text = summary(_counts(_sources(2), verdicts))
    assert "max_people_most rejects 2, min_seconds rejects 1" in text
    assert text.endswith("1 would be accepted without max_people_most.")
    both = [_verdict(n, "min_seconds", "max_people_most") for n in range(2)]
    assert "fails at least two rules" in summary(_counts(_sources(2), both))


def test_the_page_shows_pictures_reasons_and_values():
    verdicts = [_verdict(0), _verdict(1, "min_seconds"), _verdict(2, "decode", value=None, error="truncated")]
    page = _page(verdicts, {"v0:0-48": b"jpeg-0", "v1:0-48": b"jpeg-1"})
    assert [base64.b64decode(picture.split(",")[1]) for picture in page.pictures] == [b"jpeg-0", b"jpeg-1"]
    assert "seconds 0.5 s, below 1" in page.text
    assert "decode: truncated" in page.text
    assert "1920" in page.words


def test_the_page_says_who_was_accepted_what_was_copied_and_what_left_the_held_out_side():
    verdicts = [_verdict(0), _verdict(1), _verdict(2, "min_near_duplicate_distance", value=0.02)]
    counts = _counts(_sources(3), verdicts)
    page = _Page(render_report(_sources(3), verdicts, counts, {}, CurateSettings(), ["v0" * 32]))
    assert "Videos: 2 train. 1 people, by their faces" in page.text
    assert "1 shots are near-duplicates of clips that are kept" in page.text
    assert f"1 held-out videos train now, since a new video shows that their people train: {'v0' * 6} ." in page.text
    assert "train now" not in _page(verdicts).text


def test_each_measured_column_has_its_limit_its_sides_and_other_thresholds():
    shots = [{"seconds": second, "camera_translation": 0.004} for second in (0.7, 1.5, 1.8, 2.0, 2.5, 6.0)]
    page = _page(_judged(shots))
    assert "Length of the shot" in page.text
    assert "3 too low 3 pass" in page.text
    assert "min 0.5 1 2 4 8 off accepted 6 5 3 1 0 6" in page.text
    assert "Camera: translation in diagonals/s" in page.text
    assert "6 pass 0 too high" in page.text
    assert "Size of the face" not in page.text  # not measured
    lines = [tag for tag in page.tags["line"] if tag["class"] == "limit"]
    assert len(lines) == 3  # width is the third
    shaded = [tag for tag in page.tags["rect"] if tag["class"] == "out"]
    assert len(shaded) == 3
    assert shaded[0]["x"] == "0"
    assert shaded[0]["width"] == lines[0]["x1"]


def test_nothing_accepted_is_explained_with_the_keys_to_change():
    settings = SelectSettings(min_seconds=5.0, max_camera_translation=0.02)
    good = {"seconds": 9.0, "camera_translation": 0.001}
    shots = [{"seconds": 4.236}, {"seconds": 1.0}, {"camera_translation": 0.0333}]
    shots.append({"seconds": 0.5, "camera_translation": 0.5})
    page = _page(_judged([good | shot for shot in shots], settings), select=settings)
    box = page.text[page.text.index("The nearest misses") :]
    assert "rule keeps out alone rejects" in page.text
    assert page.text.index("min_seconds 5 2 3") < page.text.index("max_camera_translation 0.02 1 2")
    assert "curate: {select: {min_seconds: null}}" in page.text
    changes = [yaml.safe_load(word) for word in page.words if word.startswith("curate: {")]
    assert changes[2:] == [
        {"curate": {"select": change}}
        for change in (
            {"min_seconds": 4.23},
            {"max_camera_translation": 0.0333},
            {"min_seconds": 1},
            {"min_seconds": 0.5, "max_camera_translation": 0.5},
        )
    ]
    assert box.index("<0>.mp4") < box.index("<2>.mp4") < box.index("<1>.mp4")


def test_what_a_folder_holds_beside_videos_is_named_and_counts_as_no_source():
    verdicts = [_verdict(n) for n in range(2)]
    other = {"status": "passed_over", "reason": "not_a_video", "detail": "no video", "video_id": None}
    sources = [*_sources(2), *_sources(120, **other)]
    sources[-1] |= {"source_uri": "/clips/song.m4a", "reason": "no_video", "detail": "it holds audio and no film"}
    counts = _counts(sources, verdicts)
    assert counts["sources"] == {"listed": 2, "fetched": 2, "passed_over": 120}
    page = _Page(render_report(sources, verdicts, counts, {}, CurateSettings()))
    assert summary(counts).startswith("2 of 2 shots from 2 sources")
    assert "120 other files in folders" in page.text
    assert "/clips/song.m4a it holds audio and no film" in page.text
    assert "not_a_video: 119" in page.text
    assert "/clips/<7>.mp4" in page.text
    assert "and 19 more, in the table sources" in page.text
    nothing = _counts(sources[2:], [])
    assert summary(nothing) == "0 clips: the folders of crawl.sources hold no video, but 120 other files, named below."


def test_hostile_names_are_text_and_no_link_leads_to_a_script():
    hostile = "\"><script>alert(1)</script>'.mp4"
    verdicts = [_verdict(0), _verdict(1, "min_seconds"), _verdict(2, "decode", value=None, error=hostile)]
    sources = [
        _sources(1)[0] | {"source_uri": f"/clips/{hostile}", "video_id": "v0"},
        _sources(1)[0] | {"source_uri": "javascript:alert(1)//x.mp4", "video_id": "v1"},
        _sources(1)[0] | {"source_uri": f"https://example.org/{hostile}", "video_id": "v2"},
        _sources(1)[0] | {"source_uri": hostile, "status": "failed", "reason": hostile, "detail": hostile},
    ]
    page = _page(verdicts, sources=sources)
    assert "script" not in page.tags
    assert all(not name.startswith("on") for tags in page.tags.values() for tag in tags for name in tag)
    assert not [link for link in page.links if link.lower().startswith("javascript")]
    assert page.text.count("alert(1)") >= 4


def test_nothing_is_loaded_from_elsewhere():
    page = _page(_judged([{"seconds": 1.0}, {"seconds": 3.0}]), {"v0:0-48": b"jpeg"})
    assert all(picture.startswith("data:") for picture in page.pictures)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert "url(" not in page.html
    assert "@import" not in page.html


def test_the_number_of_pictures_is_bounded_and_every_reason_is_among_them():
    verdicts = [_verdict(n) for n in range(50)] + [_verdict(50 + n, "min_seconds") for n in range(50)]
    page = _page(verdicts, {row["shot_id"]: b"x" for row in verdicts}, most=10)
    assert len(page.pictures) == 10
    assert "10 of 100 shots are shown" in page.text
    assert "5 of 50 shown" in page.text


def test_ten_thousand_shots_make_a_page_of_a_few_megabytes():
    generator = np.random.default_rng(0)
    shots = [
        {"seconds": float(second), "camera_translation": float(speed)}
        for second, speed in zip(generator.lognormal(1.5, 1, 10_000), generator.lognormal(-5, 2, 10_000), strict=True)
    ]
    verdicts = _judged(shots)
    failed = _sources(1000, status="failed", reason="http_404", video_id=None)
    started = time.monotonic()
    page = _page(verdicts, {row["shot_id"]: b"x" * 6000 for row in verdicts}, [*_sources(10_000), *failed])
    assert time.monotonic() - started < 20  # a second or two where nothing else runs
    assert len(page.html) < 3e6
    assert "http_404: 1000" in page.text
    assert "and 995 more" in page.text


def test_an_empty_release_has_a_page():
    assert "no source was listed" in _page([]).text
