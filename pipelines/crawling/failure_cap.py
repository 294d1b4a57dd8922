"""Ends a crawl whose sources mostly fail, as soon as that is certain enough, with one line that says why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipelines.crawling.settings import CrawlSettings
from stableanimator.errors import InputError

_DEVIATIONS = 4.0
"""Standard deviations of doubt that the sample is given. It is looked at after every source, so the usual two would
end good runs by chance."""


class FailureCap:
    """Counts failures against `max_failed_share`. `total` is the number of different sources that are listed.

    Sources are tried in an order that has nothing to do with their place in the list, so those that were tried are a
    fair sample of the others, and the run can end long before half of the list has failed. The share among the others
    is taken at the lower end of its confidence interval, their number at the lower end of what that share allows, and
    what is still arriving counts as fetched, since failures come sooner than videos.
    """

    def __init__(self, settings: CrawlSettings, total: int) -> None:
        self._settings = settings
        self._total = total
        self._earlier = self._tried = self._failed = 0
        self._known = 0
        self._reasons: Counter[str] = Counter()
        self._example: Mapping[str, Any] = {}

    def remember(self, row: Mapping[str, Any]) -> None:
        """Count the row (of SOURCES) of an earlier run."""
        self._known += 1
        self._earlier += self._count(row)

    def add(self, row: Mapping[str, Any]) -> None:
        """Count the row of a source that was tried now."""
        if row["status"] == "passed_over":  # of what was listed nobody said that this is a video
            self._total -= 1
            return
        self._tried += 1
        self._failed += self._count(row)

    def _count(self, row: Mapping[str, Any]) -> bool:
        if row["status"] != "failed":
            return False
        self._reasons[row["reason"]] += 1
        self._example = row
        return True

    def check(self) -> None:
        """Raises InputError once more than the allowed share of all sources has failed, or is bound to."""
        if self._total < max(1, self._settings.min_sources_for_cap):
            return
        left = self._total - self._known - self._tried
        bound = 0
        if self._tried >= max(1, self._settings.min_sources_for_cap):
            share = lower_bound(self._failed, self._tried + min(left, self._settings.workers))
            bound = max(0, int(share * left - _DEVIATIONS * (share * (1 - share) * left) ** 0.5))
        if (self._earlier + self._failed + bound) / self._total > self._settings.max_failed_share:
            raise InputError(self._message())

    def _message(self) -> str:
        reasons = ", ".join(f"{reason} {count}" for reason, count in self._reasons.most_common(5))
        earlier = f" and {self._earlier} of {self._known} in earlier runs" if self._known else ""
        example = f"{self._example['source_uri'][:200]} ({self._example['reason']}: {self._example['detail'] or ''})"
        return (
            f"crawl: {self._failed} of {self._tried} sources failed{earlier}, of {self._total} listed, above "
            f"crawl.max_failed_share = {self._settings.max_failed_share:g}: {reasons}; for example {example}. "
            "What was fetched is kept. Mend the cause and run again with crawl.retry_failed=true, or raise the share"
        )


def lower_bound(failed: int, tried: int) -> float:
    """Lower end of Wilson's score interval for the share `failed / tried` (Wilson 1927), at `_DEVIATIONS`."""
    square = _DEVIATIONS**2
    share = failed / tried
    middle = share + square / (2 * tried)
    spread = _DEVIATIONS * (share * (1 - share) / tried + square / (4 * tried**2)) ** 0.5
    return max(0.0, (middle - spread) / (1 + square / tried))
