"""The settings of `jobs.curate`, importable without Ray."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pipelines.benchmark_sets.settings import BenchmarkSettings
from pipelines.crawling.settings import CrawlSettings
from pipelines.measures.camera_motion import CameraMotionSettings
from pipelines.measures.face_quality import FaceQualitySettings
from pipelines.measures.keypoints import KeypointSettings
from pipelines.measures.people import PeopleSettings
from pipelines.measures.picture import PictureSettings
from pipelines.measures.picture_hash import PictureHashSettings
from pipelines.measures.shots import ShotSettings
from pipelines.releases.settings import ReportSettings, SelectSettings
from stableanimator.limits.checks import (
    FramesPerSecond,
    NotNegative,
    NotNegativeInt,
    Positive,
    PositiveInt,
    Seconds,
    Share,
    checked,
)

MeasureName = Literal["people", "face_quality", "keypoints", "camera_motion", "picture", "picture_hash"]


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class CurateSettings:
    """From sources to a release: what to fetch, what to measure, what to accept."""

    crawl: CrawlSettings = field(default_factory=CrawlSettings)
    """What to fetch."""

    shots: ShotSettings = field(default_factory=ShotSettings)
    """Where a video is cut."""

    measures: tuple[MeasureName, ...] = (
        "people", "face_quality", "keypoints", "camera_motion", "picture", "picture_hash",
    )  # fmt: skip
    """Which measures run. Rules on the others do not apply. `keypoints` needs `people`; `people`,
    `face_quality` and `keypoints` need the weights of the section `perception`."""

    sample_fps: FramesPerSecond = 8.0
    """Frames per second at which people, faces and keypoints are looked for, and the frames that training can use:
    the released spacing of 4 frames at 30 per second."""

    people: PeopleSettings = field(default_factory=PeopleSettings)
    face_quality: FaceQualitySettings = field(default_factory=FaceQualitySettings)
    keypoints: KeypointSettings = field(default_factory=KeypointSettings)
    camera_motion: CameraMotionSettings = field(default_factory=CameraMotionSettings)
    picture: PictureSettings = field(default_factory=PictureSettings)
    picture_hash: PictureHashSettings = field(default_factory=PictureHashSettings)

    select: SelectSettings = field(default_factory=SelectSettings)
    """Which shots are accepted."""

    report: ReportSettings = field(default_factory=ReportSettings)

    benchmark: BenchmarkSettings = field(default_factory=BenchmarkSettings)
    """The pairs made from held-out clips."""

    decode_timeout_s: Seconds = 600.0
    """Seconds that the next frame may take before a video is given up until the next run. A file can make a decoder
    hang. The slowest honest step, to a frame far into a long AVI, decodes all before it: 200,000 frames in 10 minutes.
    """

    max_bad_video_share: Share = 0.5
    """Share of the videos (0 to 1; 1 for any) that may turn out to be undecodable, or whose measures may break down,
    before the run ends with an error. When most do, the cause is nearly always one thing that a person can mend (a
    driver, a codec, a half-copied folder), and a release of what is left would be taken for the whole."""

    min_videos_for_cap: NotNegativeInt = 20
    """Videos from which `max_bad_video_share` applies: of a handful half may be bad by chance, and a person sees it."""

    actors: PositiveInt = 1
    """Processes that decode and measure, each with all models in memory."""

    cpus_per_actor: Positive = 1.0
    """CPU cores reserved for each."""

    gpus_per_actor: NotNegative = 0.0
    """GPUs reserved for each; a fraction lets several share one. With perception.device cuda."""

    node_labels: dict[str, str] = field(default_factory=dict)
    """Ray labels of the machines that these may run on, as {market: spot}; none: any machine."""

    memory_gb_per_actor: NotNegative = 0.0
    """GB (10^9 bytes) of main memory reserved for each, so that no machine gets more actors than it can hold; 0
    reserves none."""

    def __post_init__(self) -> None:
        if len(set(self.measures)) != len(self.measures):
            raise ValueError(f"measures names one twice: {', '.join(self.measures)}")
        if "keypoints" in self.measures and "people" not in self.measures:
            raise ValueError("measures has keypoints, which needs people; add people")
