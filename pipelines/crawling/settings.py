"""What is fetched and how politely: the settings of pipelines.crawling.crawl, importable without a network library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from stableanimator.limits.checks import HeaderText, NotNegativeInt, Pause, PositiveInt, Range, Seconds, Share, checked
from stableanimator.limits.places import SourcePath, StorePath

_SCHEMES = ("http", "https", "file")


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class CrawlSettings:
    """What to fetch, and how politely."""

    sources: tuple[SourcePath, ...] = ()
    """Folders (every video below them), single files, and URLs."""

    lists: tuple[StorePath, ...] = ()
    """CSV files with a header, JSONL or Parquet files (paths or URIs of pyarrow.fs) with a column `url` or `uri` and,
    where known, `licence`, `uploader`, `consent` and `language`."""

    allowed_schemes: tuple[str, ...] = ("http", "https")
    """Schemes that a list may use. Add "file" for lists that you wrote yourself: it lets them name local files."""

    allow_private_addresses: bool = False
    """Fetch from loopback, private and link-local addresses. Off, so that a list from elsewhere, a redirect or a page
    cannot read what only this network can see."""

    workers: PositiveInt = 8
    """Sources that are fetched at the same time."""

    seconds_between_requests: Pause = 1.0
    """Seconds between two requests to one host, redirects and the parts of a page's video included; the pace of a
    patient reader."""

    retries: NotNegativeInt = 4
    """Further attempts after a failure that may pass (timeout, lost connection, 429, 5xx). An attempt that brought a
    megabyte more does not count."""

    backoff_s: Pause = 1.0
    """Seconds before the first further attempt; doubled each time."""

    max_pause_s: Pause = 120.0
    """Longest pause between attempts, in seconds. A server that asks for a longer one (Retry-After) is left alone:
    the source has failed."""

    timeout_s: Seconds = 30.0
    """Seconds without a byte after which an attempt ends."""

    deadline_s: Seconds = 1800.0
    """Seconds after which a source that is still arriving is given up, pauses and further attempts included."""

    max_bytes: Annotated[int, Range(1, 2**63 - 1)] = 2_000_000_000
    """Bytes of one video, decompressed. 90 seconds (the longest in the paper) at 4K and 100 Mbit/s are 1.1 GB."""

    max_seconds: Seconds | None = 3600.0
    """Duration of one video in seconds; None for any. A page's video is asked for its duration before it is
    downloaded, a file after, by its container's header. An hour: far above the 90 seconds of the paper's longest
    clip, since shots are cut from longer videos, and far below what keeps one actor busy for a day."""

    max_failed_share: Share = 0.5
    """Share of the listed sources (0 to 1; 1 for any) that may fail before the run ends with an error. When most
    fail, the cause is nearly always one thing that a person can mend (no network, a changed site, a wrong folder),
    and a release of what is left would be taken for the list. Dead links alone do not reach a half: of the web pages of
    2013, 38 % were gone ten years later (Pew Research Center, When Online Content Disappears, 2024)."""

    min_sources_for_cap: NotNegativeInt = 20
    """Sources from which `max_failed_share` applies: of a handful, half may fail by chance, and a person sees it."""

    retry_failed: bool = False
    """Try URLs again that failed in an earlier run."""

    user_agent: Annotated[str, HeaderText()] = "stableanimator-ray (dataset crawler)"
    """Sent with each plain request. For pages yt-dlp sends a browser's, which many sites insist on."""

    def __post_init__(self) -> None:
        if unknown := set(self.allowed_schemes) - set(_SCHEMES):
            raise ValueError(f"allowed_schemes has {', '.join(sorted(unknown))}; it may have {', '.join(_SCHEMES)}")
