from __future__ import annotations

import random
from typing import Any

import pytest

from pipelines.crawling.failure_cap import FailureCap, lower_bound
from pipelines.crawling.settings import CrawlSettings
from stableanimator.errors import InputError

GOOD = {"status": "fetched", "source_uri": "https://a.test/1", "reason": None, "detail": None}
BAD = {"status": "failed", "source_uri": "https://a.test/2", "reason": "http_404", "detail": "Not Found"}


def _stops_after(rows: list[dict[str, Any]], total: int, **settings: Any) -> int | None:
    """Number of rows after which the run ends, None when it does not."""
    cap = FailureCap(CrawlSettings(**settings), total)
    for number, row in enumerate(rows, start=1):
        cap.add(row)
        try:
            cap.check()
        except InputError:
            return number
    return None


def test_a_list_that_is_dead_is_given_up_early():
    assert 20 <= (_stops_after([BAD] * 5000, 5000) or 0) <= 50


def test_a_list_with_few_failures_never_is():
    rows = [BAD if number % 3 == 0 else GOOD for number in range(5000)]
    assert _stops_after(rows, 5000) is None


@pytest.mark.parametrize("failures", [175, 225, 250])
def test_chance_does_not_end_a_good_run(failures: int):
    rows = [BAD] * failures + [GOOD] * (500 - failures)
    for seed in range(100):
        assert _stops_after(random.Random(seed).sample(rows, 500), 500) is None


def test_a_run_that_fails_for_the_most_part_is_given_up_before_its_end():
    rows = [BAD] * 750 + [GOOD] * 250
    stops = [_stops_after(random.Random(seed).sample(rows, 1000), 1000) or 1000 for seed in range(20)]
    assert max(stops) < 400


def test_a_short_list_ends_when_the_share_is_exceeded_for_certain():
    assert _stops_after([BAD] * 30, 30, workers=30) == 16
    assert _stops_after([GOOD] * 15 + [BAD] * 15, 30) is None
    assert _stops_after([GOOD] * 14 + [BAD] * 16, 30) == 30


def test_a_handful_of_sources_may_all_fail():
    assert _stops_after([BAD] * 19, 19) is None
    assert _stops_after([BAD] * 19, 19, min_sources_for_cap=0) is not None


def test_a_share_of_one_is_never_exceeded():
    assert _stops_after([BAD] * 200, 200, max_failed_share=1.0) is None


def test_earlier_failures_count():
    cap = FailureCap(CrawlSettings(), 100)
    for _ in range(51):
        cap.remember(BAD)
    with pytest.raises(InputError, match="51 of 51 in earlier runs"):
        cap.check()


def test_earlier_videos_count_too():
    cap = FailureCap(CrawlSettings(), 100)
    for _ in range(60):
        cap.remember(GOOD)
    for _ in range(40):
        cap.add(BAD)
        cap.check()


def test_the_message_is_one_line_that_says_what_why_and_what_to_do():
    cap = FailureCap(CrawlSettings(), 40)
    for _ in range(20):
        cap.add({**BAD, "reason": "http_403"})
    cap.add(BAD)
    with pytest.raises(InputError) as error:
        cap.check()
    text = str(error.value)
    assert "21 of 21 sources failed, of 40 listed, above crawl.max_failed_share = 0.5" in text
    assert "http_403 20, http_404 1; for example https://a.test/2 (http_404: Not Found)" in text
    assert "crawl.retry_failed=true" in text
    assert "\n" not in text


def test_the_lower_bound_against_numbers_worked_by_hand():
    # all of n: n / (n + z^2) with z = 4
    assert lower_bound(16, 16) == pytest.approx(0.5)
    assert lower_bound(0, 50) == pytest.approx(0.0, abs=1e-12)
    # half of 16: middle 1, spread 4 sqrt(1/64 + 1/64), over 2
    assert lower_bound(8, 16) == pytest.approx((1 - 4 * (1 / 32) ** 0.5) / 2)
