"""Settings of the animate and evaluate jobs, importable without Ray and MLflow."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

from stableanimator.animate_settings import AnimateSettings
from stableanimator.limits.checks import (
    CollectionId,
    CollectionName,
    FramesPerSecond,
    NotNegative,
    NotNegativeInt,
    Positive,
    PositiveInt,
    Share,
    VariantName,
    checked,
)
from stableanimator.limits.places import STORES, Place, StorePath
from stableanimator.media.framing import Size, check_sizes
from stableanimator.metrics.settings import AcceptSettings, MetricNetworkSettings, ProtocolName
from stableanimator.models.settings import Precision

REPEAT = "repeat"
"""The name under which `evaluate` has the reference repeated, beside the variants."""

PairsName = Annotated[str, Place(STORES, named=CollectionName())]
ModelName = Annotated[str, Place(("package",), named=CollectionName())]


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class AnimateJobSettings:
    """Which pairs are animated, by what, and how."""

    pairs: PairsName = "latest"
    """A benchmark set (its id, its first characters, or `latest`), or the absolute path or URI of a Parquet table
    (`docs/pairs.md`)."""
    model: ModelName = "latest"
    """A trained model (its id, its first characters, or `latest`), or the absolute path or `package://` URI of a
    model folder."""
    limit: PositiveInt | None = None
    """Animate only the first so many pairs; null: all."""
    fps: FramesPerSecond | None = None
    """Frames a second at which poses are taken from the driving video, as near as whole frames of it allow; null: the
    densest rate that the model was trained at. A video of a lower rate keeps its own. The mp4 plays at the same rate,
    so that it lasts as long as what drives it, and the model is told it, unless it knows one `fps_id` alone."""
    settings: AnimateSettings = field(default_factory=AnimateSettings)
    """The inference path, as far as all variants share it."""
    variants: dict[VariantName, AnimateSettings] = field(default_factory=dict)
    """What is made of every pair, with the same seed, by name (letters, digits, `_` and `-`). A configuration says of
    each what differs from `settings`: any of them, or nothing. Where none is named there are two: `plain` without HJB
    face optimisation and `hjb` with it."""
    preview: bool = False
    """Whether the job only looks: a sheet and a row of figures and warnings for each pair (`docs/animate.md`), with
    no U-Net and nothing animated. `--preview` for short."""
    audio: bool = False
    """Whether results have the sound of the part of the driving video that drives them."""
    require_reference_face: bool = False
    """Whether a pair fails in whose reference no face is found. Else it is animated as the released code does, with
    zeros for the face's embedding, and its row says so."""
    min_person_share: Share = 0.5
    """Share of the driving frames in which the person must be found, 0 to 1: with less a pair fails. Frames without the
    person have an empty skeleton, and the model invents what they show."""
    min_joints_in_picture: Share = 0.25
    """Share of the driven joints that must lie in the picture, 0 to 1, of those that the reference shows: with less a
    pair fails. A quarter is a head with shoulders of a whole body."""
    accept: AcceptSettings = field(default_factory=AcceptSettings)
    """What a result must reach, judged by all of `perception`, `faces.held_out` too; nothing asked: nothing is judged.
    `python -m jobs.judging.propose` takes thresholds from results that you accept."""
    tries: PositiveInt = 1
    """Seeds at most, from the pair's own on, one more each time: a pair is tried again until a result is accepted, and
    the best one is kept (`kept_uri`). Metrics are always of the first try: whoever chose by the judge would be measured
    by what was chosen. Each try is stored."""
    lossless: bool = True
    """Whether the frames are also kept without loss (H.264 of RGB), beside the mp4: what `evaluate` measures.
    Through the mp4 the true frames themselves score 36 dB of PSNR. `--dry-run` says how much room it takes."""
    precision: Precision = "float16"
    """Of the denoiser's weights; released: float16. That of the encoders is `encoders.precision`. Use float32 on a
    CPU."""
    compile: bool = False
    """Compile the U-Net (`torch.compile`): minutes at the first pass of each size, faster passes after them. Worth
    trying for many pairs; needs a C++ compiler on every node. Not measured on a GPU."""
    channels_last: bool = False
    """Keep the U-Net's spatial convolutions in the memory format that some GPUs prefer; on a CPU it changes nothing."""
    actors: PositiveInt = 1
    """Processes that animate side by side, each with all models in memory."""
    cpus_per_actor: Positive = 1.0
    """CPU cores reserved for each."""
    gpus_per_actor: NotNegative = 1.0
    """GPUs reserved for each; 0 runs on the CPU."""
    node_labels: dict[str, str] = field(default_factory=dict)
    """Ray labels of the machines that these may run on, as {market: spot}; none: any machine."""

    def __post_init__(self) -> None:
        if self.tries > 1 and not self.accept.thresholds:
            raise ValueError("tries is above 1, and accept asks for nothing: every first try is accepted")
        if REPEAT in self.variants:
            raise ValueError(f"variants: {REPEAT!r} is the name of the reference repeated (evaluate.repeat)")
        if not self.variants:
            both = {"plain": False, "hjb": True}
            of_each = {name: replace(self.settings, face_optimisation=on) for name, on in both.items()}
            object.__setattr__(self, "variants", of_each)

    @property
    def device(self) -> str:
        """Where an actor puts its networks."""
        return "cuda" if self.gpus_per_actor > 0 else "cpu"


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class LatencySettings:
    """What is timed of `animate.model`, in each of `animate.variants`; the defaults are those of Table VII."""

    frames: PositiveInt = 16
    """Of one animation."""
    size: Size = (1024, 576)
    """Height and width in pixels."""
    repeats: PositiveInt = 5
    """Animations that are timed, after one that warms up."""

    def __post_init__(self) -> None:
        check_sizes("size", (self.size,))


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class EvaluateSettings:
    """Which predictions are measured, and by which definitions."""

    predictions: CollectionId | None = "latest"
    """A prediction set: its id, its first characters, or `latest`; null: only `results` are measured."""
    results: StorePath | None = None
    """A table (Parquet or CSV) of what other systems made of the same pairs, measured beside the predictions
    (`docs/evaluation.md`)."""
    pairs: PairsName = "latest"
    """Of which pairs the `results` are, as in `animate.pairs`; read where `predictions` is null."""
    protocols: tuple[ProtocolName, ...] = ("standard", "disco")
    """By which definitions pictures are compared, `standard`: the textbook's; `disco`: those of the published tables,
    bug for bug; `one_to_all` and `steady_dancer`: of these papers."""
    networks: MetricNetworkSettings = field(default_factory=MetricNetworkSettings)
    """Weights of LPIPS, FVD, FID-VID and FID; a column without them is left out."""
    repeat: bool = True
    """Whether every pair's reference, repeated as if it were the result, is measured as one more variant, `repeat`:
    what shows neither motion nor change, and what a result must exceed."""
    videos: NotNegativeInt = 4
    """Side-by-side videos that are made and logged, of the first so many pairs; 0: none."""
    actors: PositiveInt = 1
    """Processes that evaluate side by side, each with the face models in memory."""
    cpus_per_actor: Positive = 1.0
    """CPU cores reserved for each."""
    gpus_per_actor: NotNegative = 0.0
    """GPUs reserved for each; needed where `perception.device` is cuda."""
    node_labels: dict[str, str] = field(default_factory=dict)
    """Ray labels of the machines that these may run on, as {market: spot}; none: any machine."""

    def __post_init__(self) -> None:
        if self.predictions is None and self.results is None:
            raise ValueError("there is nothing to measure: name predictions, results, or both")
        if not self.protocols or len(set(self.protocols)) < len(self.protocols):
            raise ValueError("protocols must name at least one, and each once")
