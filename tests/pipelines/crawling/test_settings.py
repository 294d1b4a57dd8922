from __future__ import annotations

from typing import Any

import pytest

from pipelines.crawling.settings import CrawlSettings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sources": ("clips/mine",)}, "relative path"),
        ({"lists": ("list.csv",)}, "relative path"),
        ({"lists": ("gopher://host/list.csv",)}, "lists.0 is 'gopher://host/list.csv'; it must be an absolute path"),
        ({"sources": ("/a", "ftp://host/clip.mp4")}, r"sources.1 is .*begin with http://, https://, file://"),
        ({"sources": ("http://host/a\nb",)}, r"sources.0 has a character"),
        ({"allowed_schemes": ("https", "ftp")}, "ftp"),
        ({"workers": 0}, "workers"),
        ({"retries": -1}, "retries"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"max_pause_s": -1}, "max_pause_s"),
        ({"seconds_between_requests": -1}, "seconds_between_requests"),
        ({"max_failed_share": 1.1}, "max_failed_share"),
        ({"min_sources_for_cap": -1}, "min_sources_for_cap"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        CrawlSettings(**settings)


def test_a_duration_need_not_be_capped():
    assert CrawlSettings(max_seconds=None).max_seconds is None
