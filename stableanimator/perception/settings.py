"""Settings of the perception models: which weights, how sure a detection must be, how points are tracked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from stableanimator.limits.checks import (
    LARGEST,
    FolderName,
    NotNegative,
    NotNegativeInt,
    Positive,
    PositiveInt,
    Range,
    Share,
    checked,
)
from stableanimator.limits.places import AbsolutePath, PackOrPath

Device = Literal["cpu", "cuda"]

SkeletonStyle = Literal["released", "ours"]
"""How skeletons are drawn: as the released StableAnimator does, pixel for pixel, or so that small pictures show them
and only what was found is shown (`stableanimator.perception.skeleton.draw_skeleton`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class FaceSettings:
    """InsightFace: which pack of models, and at which sizes faces are looked for."""

    pack_root: AbsolutePath
    """Folder that holds `models/<pack>/*.onnx`, as InsightFace lays it out (its own default is ~/.insightface)."""
    pack: FolderName = "antelopev2"
    """Name of the pack; antelopev2 is what the released StableAnimator uses."""
    detector_sizes: tuple[PositiveInt, ...] = (640, 320)
    """Pixels of the picture's longer side in the detector's input. What is found at any of them counts, duplicates
    removed. 640 is InsightFace's usual size; a face that fills such a picture is larger than any the detector was
    trained on, and at half the size, for a quarter more time, it is not."""
    min_score: Share = 0.5
    """Detection score from which a face counts, 0 to 1; InsightFace's default."""
    held_out: PackOrPath | None = None
    """A second recogniser, which judges results and nothing else: an absolute path or `package://` URI of an ONNX file
    with ArcFace's interface, or the name of another pack below `pack_root`. Face optimisation raises the cosine of the
    pack's own recogniser; a gain under this one is a gain. Null: none."""

    def __post_init__(self) -> None:
        if self.held_out == self.pack:
            raise ValueError(f"held_out is {self.held_out!r}; name a recogniser that is not the pack's own, or null")
        if not self.detector_sizes or any(size % 32 for size in self.detector_sizes):
            raise ValueError(f"detector_sizes is {self.detector_sizes}; give multiples of 32, the detector's stride")


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class PoseSettings:
    """DWPose: a person detector and a whole-body pose network. Input sizes are read from the files."""

    detector: AbsolutePath
    """ONNX file of the YOLOX person detector; DWPose's is yolox_l.onnx."""
    pose: AbsolutePath
    """ONNX file of the SimCC pose network with 133 keypoints; DWPose's is dw-ll_ucoco_384.onnx."""
    min_score: Share = 0.3
    """Score from which a person counts, 0 to 1; DWPose's value."""
    max_overlap: Share = 0.45
    """Intersection over union above which the less sure of two boxes is dropped; DWPose's value."""


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class PerceptionSettings:
    """Everything that looks at frames."""

    faces: FaceSettings
    """Face detection and recognition."""
    pose: PoseSettings
    """People and their keypoints."""
    threads: PositiveInt = 1
    """CPU threads of each model in a process. One, because there is one actor for each core: more only get in each
    other's way."""
    device: Device = "cpu"
    """Where the ONNX models run; cuda needs onnxruntime-gpu."""

    def without_judge(self) -> PerceptionSettings:
        """The same without `faces.held_out`. What is judged is made with these, so that it cannot know its judge, and
        another judge makes nothing anew."""
        return replace(self, faces=replace(self.faces, held_out=None))


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class SeedSettings:
    """Where points begin, for any tracker: corners outside the excluded boxes. Lengths are pixels of the picture that
    the tracker sees."""

    max_points: PositiveInt = 400
    """Points looked for in a frame. A global motion has four unknowns; the rest is for telling outliers."""
    min_distance: Positive = 8.0
    """Least distance between points, so that they spread over the frame."""
    quality: Positive = 0.01
    """Least corner strength, as a share of the strongest corner's; OpenCV's customary value."""
    min_gradient: NotNegative = 0.6
    """Least brightness gradient of a corner in its weakest direction, grey levels per pixel (root mean square over 3x3
    pixels). On a plain wall the strongest corner is noise, of which one grey level gives 0.4: such a wall has no
    points to track. 0 takes any corner."""
    reseed_share: Share = 0.5
    """New points are looked for when fewer than this share of `max_points` is left."""
    box_margin: NotNegative = 0.0
    """Excluded boxes grow by this share of their width and height on each side. None by default: what is excluded are
    people's outlines (pipelines.measures.person_outline), which allow for hair and clothes already."""


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class KltSettings:
    """Point tracks by OpenCV's pyramidal Lucas-Kanade. Lengths are pixels of the shrunk frame."""

    longer_side: PositiveInt = 512
    """Frames whose longer side is above this are shrunk to it, pixels: tracking a camera needs no detail."""
    seeds: SeedSettings = field(default_factory=SeedSettings)
    """Where points begin."""
    window: Annotated[int, Range(3, LARGEST)] = 21
    """Side of the window that is matched; OpenCV's default."""
    levels: NotNegativeInt = 4
    """Levels of the pyramid above the full size; with a window of 21, four follow motions of about 150 pixels."""
    max_return_error: Positive = 1.0
    """A point tracked forwards and back again must come back to within this distance."""


CoTrackerMode = Literal["online", "offline"]


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class CoTrackerSettings:
    """Point tracks by CoTracker3 (Karaev et al., arXiv 2410.11831). Needs the extra `cotracker` and its weights."""

    checkpoint: AbsolutePath
    """scaled_online.pth or scaled_offline.pth of huggingface.co/facebook/cotracker3 (CC BY-NC 4.0)."""
    mode: CoTrackerMode = "online"
    """online: the network carries its tracks from one window to the next, half a window on. offline: each window is
    tracked by itself, from the last frame of the one before. Each mode has its own checkpoint."""
    window: Annotated[int, Range(2, LARGEST)] = 16
    """Frames that the network sees at once; its memory grows with them, and up to as many full frames wait for it.
    online: what the checkpoint was trained with, which is 16. offline: 2 to what it was trained with, which is 60."""
    resolution: tuple[PositiveInt, PositiveInt] = (384, 512)
    """Height and width in pixels that every frame is stretched to, multiples of 32; CoTracker3 was trained at this."""
    iterations: PositiveInt = 6
    """Updates of the tracks of a window; what the package's predictors use."""
    min_visibility: Share = 0.6
    """Visibility times confidence, 0 to 1, above which a point counts as seen; the package's online value."""
    support_grid: NotNegativeInt = 6
    """Side of a regular grid of further points that are tracked and dropped: they show the network the whole picture
    where few points are asked for. The package's value; 0 for none."""
    seeds: SeedSettings = field(default_factory=SeedSettings)
    """Where points begin, in pixels of `resolution`."""

    def __post_init__(self) -> None:
        if self.mode == "online" and self.window % 2:
            raise ValueError(f"window is {self.window}; it must be even where mode is online")
        if any(side % 32 for side in self.resolution):
            raise ValueError(
                f"resolution is {self.resolution}; give multiples of 32 (a quarter of it is halved thrice)"
            )
