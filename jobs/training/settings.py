"""Settings of the training jobs and of the loop they share, importable without Ray, DeepSpeed and MLflow."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from stableanimator.alignment.settings import AlignSettings
from stableanimator.limits.checks import (
    LARGEST,
    CollectionId,
    CollectionName,
    FolderName,
    NotNegative,
    NotNegativeInt,
    Positive,
    PositiveInt,
    Range,
    Seed,
    checked,
)
from stableanimator.limits.places import AbsolutePath, Place
from stableanimator.pretraining_settings import PretrainingSettings
from stableanimator.training_settings import TrainingSettings

Precision = Literal["fp32", "bf16", "fp16"]

AlignerName = Annotated[str, Place(("package",), named=CollectionName(("shipped",)))]

Beta = Annotated[float, Range(0, below=1)]
"""Share of the old value that a running mean keeps."""

WITHOUT_EFFECT = (
    "cpus_per_worker",
    "gpus_per_worker",
    "node_labels",
    "checkpoint_every",
    "keep_last",
    "log_every",
    "validate_every",
    "loader_processes",
    "max_failures",
)
"""Fields of `EngineSettings` that leave the result of a training as it is: a run may be continued with others."""


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class EngineSettings:
    """How a training is spread over workers, optimised, kept and reported; the defaults are one node of 8 GPUs."""

    workers: PositiveInt = 8
    """Ray Train workers (DeepSpeed ranks). The paper: 8 A100s."""
    cpus_per_worker: Positive = 8.0
    """CPU cores reserved for each worker and its loader processes."""
    gpus_per_worker: NotNegative = 1.0
    """GPUs reserved for each; 0 trains on the CPU (gloo in place of NCCL)."""
    node_labels: dict[str, str] = field(default_factory=dict)
    """Ray labels of the machines that they may run on, as {market: spot}; none: any machine."""
    batch_per_pass: PositiveInt = 1
    """Samples in one forward pass of a worker. What is missing to the batch is accumulated over several passes."""
    zero_stage: Literal[0, 1, 2, 3] = 2
    """What DeepSpeed ZeRO spreads over the workers: nothing, optimiser states, gradients too, weights too."""
    precision: Precision = "bf16"
    """Of weights and passes; the optimiser keeps fp32 weights. Without ZeRO only fp32, on the CPU no fp16."""
    gradient_clipping: NotNegative = 1.0
    """Largest norm of the gradient; longer ones are shortened to it. Released: an option of 1 whose use is commented
    out. 0: none."""
    weight_decay: NotNegative = 0.01
    """AdamW's. Released: 0.01."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """AdamW's. Released: 0.9 and 0.999."""
    epsilon: Positive = 1e-8
    """AdamW's. Released: 1e-8."""
    warmup_steps: NotNegativeInt = 500
    """Steps over which the learning rate grows linearly to its value. Released: 500."""
    decay: Literal["none", "cosine"] = "none"
    """What becomes of the learning rate then: it stays (released), or falls along half a cosine to nearly 0."""
    checkpoint_every: PositiveInt = 500
    """Optimiser steps between checkpoints. Released: 500. The last step always makes one."""
    keep_last: PositiveInt = 3
    """Checkpoints kept; older ones are deleted once a newer one is complete."""
    log_every: PositiveInt = 10
    """Optimiser steps between lines of progress and MLflow points: means over them. A checkpoint makes a point."""
    validate_every: PositiveInt = 500
    """Optimiser steps between validations. The last step always makes one."""
    loader_processes: NotNegativeInt = 4
    """Processes of each worker that prepare batches; 0: the worker does it itself."""
    max_failures: Annotated[int, Range(-1, LARGEST)] = 3
    """How often the workers are started again, from the newest checkpoint, after one died; -1: always. A full disk, a
    divergence or a mistake in the settings ends the training at once."""

    def __post_init__(self) -> None:
        if self.zero_stage == 0 and self.precision != "fp32":
            raise ValueError("zero_stage 0 keeps no fp32 weights beside bf16 or fp16 ones; use fp32, or zero_stage 1")
        if self.precision == "fp16" and self.gpus_per_worker == 0:
            raise ValueError("precision fp16 needs GPUs; on the CPU use bf16 or fp32")


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class LoopSettings:
    """One training: how long, in which batches, at which rate."""

    epochs: PositiveInt = 20
    """Times that every sample is seen, at least; a last batch is filled up from the next epoch's order. Paper: 20."""
    steps: PositiveInt | None = None
    """Optimiser steps in place of epochs; null: `epochs` decides."""
    batch_size: PositiveInt = 8
    """Samples of one optimiser step, over all workers and passes together. Paper: 8 (1 on each of 8 GPUs)."""
    learning_rate: Positive = 1e-5
    """AdamW's, after the warm-up. Paper: 1e-5."""
    ema_decay: Beta = 0.0
    """Share of the old value that the running mean of the weights keeps at each step, less in the first steps. Where it
    is above 0, that mean is what is exported. Released: none."""
    seed: Seed = 0
    """Of first weights, order, windows and noise. A step's random numbers follow from it and the step alone."""
    engine: EngineSettings = field(default_factory=EngineSettings)
    """How it is spread, optimised, kept and reported."""

    def __post_init__(self) -> None:
        together = self.engine.workers * self.engine.batch_per_pass
        if self.batch_size % together:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of workers x batch_per_pass "
                f"({self.engine.workers} x {self.engine.batch_per_pass})"
            )

    @property
    def accumulation(self) -> int:
        """Passes of each worker in one optimiser step."""
        return self.batch_size // (self.engine.workers * self.engine.batch_per_pass)


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class AlignEngineSettings(EngineSettings):
    """The same with other defaults: the aligner has a hundred thousand weights, and its steps take milliseconds."""

    workers: PositiveInt = 1
    """Ray Train workers."""
    batch_per_pass: PositiveInt = 256
    """Pairs in one forward pass of a worker."""
    precision: Precision = "fp32"
    """Of weights and passes."""
    warmup_steps: NotNegativeInt = 200
    """Steps over which the learning rate grows linearly to its value. The papers do not say."""
    decay: Literal["none", "cosine"] = "cosine"
    """What becomes of the learning rate then. Aligners that end on a small one are nearer to the truth."""
    checkpoint_every: PositiveInt = 2000
    """Optimiser steps between checkpoints. The last step always makes one."""
    log_every: PositiveInt = 50
    """Optimiser steps between lines of progress and MLflow points. A checkpoint makes one."""
    validate_every: PositiveInt = 2000
    """Optimiser steps between validations. The last step always makes one."""


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class AlignJobSettings(AlignSettings):
    """Alignment pretraining as a job: what it learns from, and how the training is spread."""

    name: FolderName | None = None
    """Of the run's folder under `aligners`; null: made of what decides the result, so equal runs share a folder."""
    more_poses: tuple[AbsolutePath, ...] = ()
    """More training clips beside the release's: pairs of files `<stem>.f32` and `<stem>.json`
    (`stableanimator.alignment.training_data.pose_clips`), named by their stems."""
    engine: AlignEngineSettings = field(default_factory=AlignEngineSettings)
    """How the training is spread, optimised, kept and reported."""

    def __post_init__(self) -> None:
        self.loop()  # raises where batch and workers do not fit

    def loop(self) -> LoopSettings:
        """The same in the loop's words: the pairs are one epoch of independent draws."""
        return LoopSettings(
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=self.seed,
            engine=self.engine,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class TrainSettings:
    """Training of U-Net, FaceEncoder and PoseNet as a job."""

    name: FolderName | None = None
    """Of the run's folder under `models`; null: made of what decides the result, so equal runs share a folder."""
    shards: CollectionId = "latest"
    """Shards to train on: an id, its first characters, or the newest."""
    aligner: AlignerName | None = "latest"
    """The pose aligner that the model folder carries: an id, its first characters, the newest (`latest`), the one that
    comes with the package (`shipped`), a folder, or null for none."""
    svd: AbsolutePath | None = None
    """Folder of Stable Video Diffusion img2vid-xt to start the U-Net from, as the paper does; null: from scratch."""
    start: AbsolutePath | None = None
    """Model folder to start all networks from, with the same `model` settings; the optimiser begins anew."""
    validation_rows: NotNegativeInt = 64
    """Rows of held-out videos that the loss is also measured on, at most. Without held-out rows there is no figure."""
    loop: LoopSettings = field(default_factory=LoopSettings)
    """How long, in which batches, and how it is spread."""
    step: TrainingSettings = field(default_factory=TrainingSettings)
    """What one sample is and what its loss is."""

    def __post_init__(self) -> None:
        if self.svd is not None and self.start is not None:
            raise ValueError("svd and start both say where to start from; give one")


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class PretrainSettings:
    """Pretraining of a VAE and an image encoder of one's own, where Stable Video Diffusion's are too large."""

    name: FolderName | None = None
    """Of the run's folder under `encoders`; null: made of what decides the result, so equal runs share a folder."""
    pictures: PositiveInt = 20_000
    """Pairs of pictures of a clip to learn from, at most."""
    validation_pictures: NotNegativeInt = 64
    """Pairs of held-out clips that the loss is also measured on, at most. Without held-out clips there is no figure."""
    half: bool = True
    """Write the weights in 16 bits, half as large."""
    loop: LoopSettings = field(default_factory=LoopSettings)
    """How long, in which batches, and how it is spread. Learning rates near 1e-3 suit small networks."""
    step: PretrainingSettings = field(default_factory=PretrainingSettings)
    """What they are trained towards."""


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class DistillSettings:
    """Training of a small decoder for the VAE of `encoders`, which face optimisation takes its gradients from."""

    name: FolderName | None = None
    """Of the run's folder under `tiny_decoders`; null: made of what decides the result: equal runs share a folder."""
    pictures: PositiveInt = 20_000
    """Pairs of pictures of a clip to learn from, at most."""
    validation_pictures: NotNegativeInt = 64
    """Pairs of held-out clips that the loss is also measured on, at most. Without held-out clips there is no figure."""
    width: PositiveInt = 64
    """Channels of every layer. TAESD: 64."""
    blocks: PositiveInt = 3
    """Residual blocks of every stage but the last, which has one. TAESD: 3."""
    crop: PositiveInt = 64
    """Side in pixels of the squares that it learns from, cut at random; a multiple of the VAE's factor."""
    latent_noise: NotNegative = 0.5
    """Largest standard deviation of the noise on a latent, drawn from 0 to it: what is optimised leaves the latents of
    pictures, whose spread is about 1."""
    half: bool = True
    """Write the weights in 16 bits, half as large."""
    loop: LoopSettings = field(default_factory=LoopSettings)
    """How long, in which batches, and how it is spread. Learning rates near 1e-3 suit it."""


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class AlignmentTableSettings:
    """The table of Dis of all alignments (Table III) on a benchmark set."""

    benchmark: CollectionId = "latest"
    """A benchmark set made from a release: its id, its first characters, or the newest."""
    aligner: AlignerName = "latest"
    """The learned one: an aligner's id, its first characters, the newest (`latest`), the one that comes with the
    package (`shipped`), or a folder."""
    moving_camera: NotNegative = 0.01
    """Camera translation, diagonals a second, from which a clip's line is "moving camera"."""


def deciding(settings: TrainSettings | PretrainSettings | DistillSettings, left_out: Collection[str]) -> dict[str, Any]:
    """The settings on which a training's result depends: all but those named, and what only changes how it is run."""
    fields = {name: value for name, value in asdict(settings).items() if name not in left_out}
    engine = fields["loop"]["engine"]
    fields["loop"]["engine"] = {name: value for name, value in engine.items() if name not in WITHOUT_EFFECT}
    return fields
