from __future__ import annotations

import base64
from html.parser import HTMLParser
from typing import Any

from pipelines.curation import CurateSettings, ReportSettings
from pipelines.report import render_report, summary
from pipelines.select import count_steps
from pipelines.tables import SOURCES, VERDICTS


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
    return [{"split": "train", "seconds": row["seconds"]} for row in verdicts if row["verdict"] == "accept"]


def _counts(sources: list[dict[str, Any]], verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    return count_steps(sources, verdicts, _clips(verdicts))


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.pictures: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "img" and (source := dict(attributes).get("src")):
            self.pictures.append(source)


def _page(verdicts: list[dict[str, Any]], thumbnails: dict[str, bytes], most: int = 200) -> _Text:
    sources = _sources(len(verdicts))
    settings = CurateSettings(report=ReportSettings(thumbnails=most))
    page = _Text()
    page.feed(render_report(sources, verdicts, _counts(sources, verdicts), thumbnails, settings))
    return page


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
    text = " ".join(page.words)
    assert "min_seconds: 0.5 (limit 1)" in text
    assert "decode: truncated" in text
    assert "1920" in page.words
    assert "<0>.mp4 0-48" in text  # a name from outside is text, never markup


def test_the_number_of_pictures_is_bounded_and_every_reason_is_among_them():
    verdicts = [_verdict(n) for n in range(50)] + [_verdict(50 + n, "min_seconds") for n in range(50)]
    page = _page(verdicts, {row["shot_id"]: b"x" for row in verdicts}, most=10)
    assert len(page.pictures) == 10
    text = " ".join(page.words)
    assert "90 more shots" in text
    assert text.count("min_seconds: 0.5") == 5


def test_an_empty_release_has_a_page():
    assert "no source was listed" in " ".join(_page([], {}).words)
