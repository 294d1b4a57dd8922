"""Ends a run whose videos mostly cannot be measured, with one line that names the reasons."""

from __future__ import annotations

from collections import Counter

from pipelines.crawling.failure_cap import lower_bound
from pipelines.curation import CurateSettings
from pipelines.measuring.measure_cache import Cached
from pipelines.measuring.shot_run import VideoResult
from pipelines.measuring.video_measures import Video
from stableanimator.errors import InputError

_SAMPLE = 2  # times `min_videos_for_cap`


class BadVideoCap:
    """Counts bad videos against `max_bad_video_share` of all that the run is about, those of earlier runs included.

    A video is bad where it cannot be decoded, or where a measure of each of its shots broke down.
    """

    def __init__(self, settings: CurateSettings, videos: int) -> None:
        self._share, self._least = settings.max_bad_video_share, settings.min_videos_for_cap
        self._videos = videos
        self._tried = 0
        self._bad: dict[str, str] = {}
        self._earlier = 0
        self._example = ""

    def order(self, videos: list[Video]) -> list[Video]:
        """The largest first, so that no actor is left alone with it at the end; before them, where there are many, a
        fair sample: by id, which is a hash."""
        sample: list[Video] = []
        if len(videos) > 2 * _SAMPLE * self._least:
            sample = sorted(videos, key=lambda video: video.video_id)[: _SAMPLE * self._least]
        chosen = {video.video_id for video in sample}
        rest = [video for video in videos if video.video_id not in chosen]
        return sample + sorted(rest, key=lambda video: (-video.size, video.video_id))

    def remember(self, cached: Cached) -> None:
        """Count the bad videos that the rows tell of: those of earlier runs, and at the end of a run all."""
        for row in cached.shots.select(["video_id", "error", "detail"]).to_pylist():
            if row["error"] is not None:
                self._count(row["video_id"], row["error"], row["detail"])

    def add(self, result: VideoResult) -> None:
        """Count a video of this run."""
        if not self._tried:
            self._earlier = len(self._bad)
        self._tried += 1
        failed = {failure["shot_id"] for failure in result.failures}
        if result.bad is not None:
            self._count(result.video_id, *result.bad)
        elif failed and len(failed) >= result.shots:
            failure = result.failures[0]
            where = "" if failure["measure"] == "decode" else f"{failure['measure']}: "
            self._count(result.video_id, f"{where}{failure['reason']}", failure["detail"])

    def _count(self, video_id: str, reason: str, detail: str | None) -> None:
        if video_id not in self._bad:
            self._bad[video_id] = reason
            self._example = f"{video_id[:12]} ({reason}{f': {detail}' if detail else ''})"

    def check(self) -> None:
        """Raises InputError once more than the allowed share of all videos is bad, or the sample says that it will be.

        The sample is given the benefit of four standard deviations.
        """
        if self._videos < max(1, self._least):
            return
        now = len(self._bad) - self._earlier if self._tried else 0
        is_sample = self._least <= self._tried <= _SAMPLE * self._least
        if len(self._bad) / self._videos > self._share or (is_sample and lower_bound(now, self._tried) > self._share):
            reasons = ", ".join(f"{reason} {count}" for reason, count in Counter(self._bad.values()).most_common(5))
            raise InputError(
                f"curate: {len(self._bad)} videos of {self._videos} cannot be measured (of {self._tried} that were "
                f"tried now, {now}), above curate.max_bad_video_share = {self._share:g}: {reasons}; for example "
                f"{self._example}. What was measured is kept. Mend the cause and run again, or raise the share"
            )
