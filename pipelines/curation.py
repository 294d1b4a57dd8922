"""The settings of `jobs.curate`, importable without Ray."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pipelines.benchmark_sets import BenchmarkSettings
from pipelines.camera_motion import CameraMotionSettings
from pipelines.crawl import CrawlSettings
from pipelines.face_quality import FaceQualitySettings
from pipelines.keypoints import KeypointSettings
from pipelines.people import PeopleSettings
from pipelines.rules import SelectSettings
from pipelines.shots import ShotSettings

MeasureName = Literal["people", "face_quality", "keypoints", "camera_motion"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportSettings:
    """The page for people."""

    thumbnails: int = 200
    """Shots with a picture in the contact sheet at most; a picture is about 6 kB."""

    def __post_init__(self) -> None:
        if self.thumbnails < 0:
            raise ValueError(f"thumbnails must not be negative, got {self.thumbnails}")


@dataclass(frozen=True, kw_only=True, slots=True)
class CurateSettings:
    """From sources to a release: what to fetch, what to measure, what to accept."""

    crawl: CrawlSettings = field(default_factory=CrawlSettings)
    """What to fetch."""

    shots: ShotSettings = field(default_factory=ShotSettings)
    """Where a video is cut."""

    measures: tuple[MeasureName, ...] = ("people", "face_quality", "keypoints", "camera_motion")
    """Which measures run. Rules on the others do not apply. `keypoints` needs `people`; all but `camera_motion` need
    the weights of the section `perception`."""

    sample_fps: float = 8.0
    """Frames per second at which people, faces and keypoints are looked for, and the frames that training can use:
    the released spacing of 4 frames at 30 per second."""

    people: PeopleSettings = field(default_factory=PeopleSettings)
    face_quality: FaceQualitySettings = field(default_factory=FaceQualitySettings)
    keypoints: KeypointSettings = field(default_factory=KeypointSettings)
    camera_motion: CameraMotionSettings = field(default_factory=CameraMotionSettings)

    select: SelectSettings = field(default_factory=SelectSettings)
    """Which shots are accepted."""

    report: ReportSettings = field(default_factory=ReportSettings)

    benchmark: BenchmarkSettings = field(default_factory=BenchmarkSettings)
    """The pairs made from held-out clips."""

    frames_per_read: int = 16
    """Sampled frames decoded at a time; bounds the memory of an actor, does not change the result."""

    actors: int = 1
    """Processes that decode and measure, each with all models in memory."""

    cpus_per_actor: float = 1.0
    """CPU cores reserved for each."""

    gpus_per_actor: float = 0.0
    """GPUs reserved for each; a fraction lets several share one. With perception.device cuda."""

    def __post_init__(self) -> None:
        if self.sample_fps <= 0:
            raise ValueError(f"sample_fps must be above 0, got {self.sample_fps}")
        for name in ("frames_per_read", "actors"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.cpus_per_actor <= 0 or self.gpus_per_actor < 0:
            raise ValueError("cpus_per_actor must be above 0 and gpus_per_actor not below 0")
        if len(set(self.measures)) != len(self.measures):
            raise ValueError(f"measures names one twice: {', '.join(self.measures)}")
        if "keypoints" in self.measures and "people" not in self.measures:
            raise ValueError("measures has keypoints, which needs people; add people")
