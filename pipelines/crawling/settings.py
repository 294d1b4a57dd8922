"""What is fetched and how politely: the settings of pipelines.crawling.crawl, importable without a network library."""

from __future__ import annotations

from dataclasses import dataclass

from stableanimator.paths import AbsolutePath, is_absolute

_SCHEMES = ("http", "https", "file")


@dataclass(frozen=True, kw_only=True, slots=True)
class CrawlSettings:
    """What to fetch, and how politely."""

    sources: tuple[AbsolutePath, ...] = ()
    """Folders (every video below them), single files, and URLs."""

    lists: tuple[AbsolutePath, ...] = ()
    """CSV files with a header, JSONL or Parquet files (paths or URIs of pyarrow.fs) with a column `url` or `uri` and,
    where known, `licence`, `uploader`, `consent` and `language`."""

    allowed_schemes: tuple[str, ...] = ("http", "https")
    """Schemes that a list may use. Add "file" for lists that you wrote yourself: it lets them name local files."""

    allow_private_addresses: bool = False
    """Fetch from loopback, private and link-local addresses. Off, so that a list from elsewhere, a redirect or a page
    cannot read what only this network can see."""

    workers: int = 8
    """Sources that are fetched at the same time."""

    seconds_between_requests: float = 1.0
    """Seconds between two requests to one host, redirects and the parts of a page's video included; the pace of a
    patient reader."""

    retries: int = 4
    """Further attempts after a failure that may pass (timeout, lost connection, 429, 5xx). An attempt that brought a
    megabyte more does not count."""

    backoff_s: float = 1.0
    """Seconds before the first further attempt; doubled each time."""

    max_pause_s: float = 120.0
    """Longest pause between attempts, in seconds. A server that asks for a longer one (Retry-After) is left alone:
    the source has failed."""

    timeout_s: float = 30.0
    """Seconds without a byte after which an attempt ends."""

    deadline_s: float = 1800.0
    """Seconds after which a source that is still arriving is given up, pauses and further attempts included."""

    max_bytes: int = 2_000_000_000
    """Bytes of one video, decompressed. 90 seconds (the longest in the paper) at 4K and 100 Mbit/s are 1.1 GB."""

    max_seconds: float | None = 3600.0
    """Duration of one video in seconds; None for any. A page's video is asked for its duration before it is
    downloaded, a file after, by its container's header. An hour: far above the 90 seconds of the paper's longest
    clip, since shots are cut from longer videos, and far below what keeps one actor busy for a day."""

    max_failed_share: float = 0.5
    """Share of the listed sources (0 to 1; 1 for any) that may fail before the run ends with an error. When most
    fail, the cause is nearly always one thing that a person can mend (no network, a changed site, a wrong folder),
    and a release of what is left would be taken for the list. Dead links alone do not reach a half: of the web pages of
    2013, 38 % were gone ten years later (Pew Research Center, When Online Content Disappears, 2024)."""

    min_sources_for_cap: int = 20
    """Sources from which `max_failed_share` applies: of a handful, half may fail by chance, and a person sees it."""

    retry_failed: bool = False
    """Try URLs again that failed in an earlier run."""

    user_agent: str = "stableanimator-ray (dataset crawler)"
    """Sent with each plain request. For pages yt-dlp sends a browser's, which many sites insist on."""

    def __post_init__(self) -> None:
        for path in (*self.sources, *self.lists):
            if not is_absolute(path):
                raise ValueError(f"{path!r} is a relative path; give an absolute path or a URL")
        if unknown := set(self.allowed_schemes) - set(_SCHEMES):
            raise ValueError(f"allowed_schemes has {', '.join(sorted(unknown))}; it may have {', '.join(_SCHEMES)}")
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, got {self.workers}")
        for name in ("timeout_s", "deadline_s", "max_bytes", "max_seconds"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        for name in ("retries", "seconds_between_requests", "backoff_s", "max_pause_s", "min_sources_for_cap"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.max_failed_share <= 1:
            raise ValueError(f"max_failed_share must be between 0 and 1, got {self.max_failed_share}")
