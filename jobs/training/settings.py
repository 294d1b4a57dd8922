"""Settings of the training jobs and of the loop they share, importable without Ray, DeepSpeed and MLflow."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from stableanimator.alignment.settings import AlignSettings
from stableanimator.paths import AbsolutePath
from stableanimator.pretraining_settings import PretrainingSettings
from stableanimator.training_settings import TrainingSettings

Precision = Literal["fp32", "bf16", "fp16"]

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
class EngineSettings:
    """How a training is spread over workers, optimised, kept and reported; the defaults are one node of 8 GPUs."""

    workers: int = 8
    """Ray Train workers (DeepSpeed ranks). The paper: 8 A100s."""
    cpus_per_worker: float = 8.0
    """CPU cores reserved for each worker and its loader processes."""
    gpus_per_worker: float = 1.0
    """GPUs reserved for each; 0 trains on the CPU (gloo in place of NCCL)."""
    node_labels: dict[str, str] = field(default_factory=dict)
    """Ray labels of the machines that they may run on, as {market: spot}; none: any machine."""
    batch_per_pass: int = 1
    """Samples in one forward pass of a worker. What is missing to the batch is accumulated over several passes."""
    zero_stage: Literal[0, 1, 2, 3] = 2
    """What DeepSpeed ZeRO spreads over the workers: nothing, optimiser states, gradients too, weights too."""
    precision: Precision = "bf16"
    """Of weights and passes; the optimiser keeps fp32 weights. Without ZeRO only fp32, on the CPU no fp16."""
    gradient_clipping: float = 1.0
    """Largest norm of the gradient; longer ones are shortened to it. Released: an option of 1 whose use is commented
    out. 0: none."""
    weight_decay: float = 0.01
    """AdamW's. Released: 0.01."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's. Released: 0.9 and 0.999."""
    epsilon: float = 1e-8
    """AdamW's. Released: 1e-8."""
    warmup_steps: int = 500
    """Steps over which the learning rate grows linearly to its value. Released: 500."""
    decay: Literal["none", "cosine"] = "none"
    """What becomes of the learning rate then: it stays (released), or falls along half a cosine to nearly 0."""
    checkpoint_every: int = 500
    """Optimiser steps between checkpoints. Released: 500. The last step always makes one."""
    keep_last: int = 3
    """Checkpoints kept; older ones are deleted once a newer one is complete."""
    log_every: int = 10
    """Optimiser steps between lines of progress and MLflow points; losses are means over them."""
    validate_every: int = 500
    """Optimiser steps between validations. The last step always makes one."""
    loader_processes: int = 4
    """Processes of each worker that prepare batches; 0: the worker does it itself."""
    max_failures: int = 3
    """How often the workers are started again, from the newest checkpoint, after one died; -1: always. A full disk, a
    divergence or a mistake in the settings ends the training at once."""

    def __post_init__(self) -> None:
        for name in ("workers", "batch_per_pass", "checkpoint_every", "keep_last", "log_every", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("gradient_clipping", "weight_decay", "warmup_steps", "loader_processes", "gpus_per_worker"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        if self.cpus_per_worker <= 0 or self.epsilon <= 0 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("cpus_per_worker and epsilon must be above 0, betas at least 0 and below 1")
        if self.max_failures < -1:
            raise ValueError("max_failures must be at least -1 (no limit)")
        if self.zero_stage == 0 and self.precision != "fp32":
            raise ValueError("zero_stage 0 keeps no fp32 weights beside bf16 or fp16 ones; use fp32, or zero_stage 1")
        if self.precision == "fp16" and self.gpus_per_worker == 0:
            raise ValueError("precision fp16 needs GPUs; on the CPU use bf16 or fp32")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopSettings:
    """One training: how long, in which batches, at which rate."""

    epochs: int = 20
    """Times that every sample is seen, at least; a last batch is filled up from the next epoch's order. Paper: 20."""
    steps: int | None = None
    """Optimiser steps in place of epochs; null: `epochs` decides."""
    batch_size: int = 8
    """Samples of one optimiser step, over all workers and passes together. Paper: 8 (1 on each of 8 GPUs)."""
    learning_rate: float = 1e-5
    """AdamW's, after the warm-up. Paper: 1e-5."""
    ema_decay: float = 0.0
    """Share of the old value that the running mean of the weights keeps at each step, less in the first steps. Where it
    is above 0, that mean is what is exported. Released: none."""
    seed: int = 0
    """Of first weights, order, windows and noise. A step's random numbers follow from it and the step alone."""
    engine: EngineSettings = field(default_factory=EngineSettings)
    """How it is spread, optimised, kept and reported."""

    def __post_init__(self) -> None:
        if self.epochs < 1 or (self.steps is not None and self.steps < 1) or self.batch_size < 1:
            raise ValueError("epochs, steps and batch_size must be at least 1")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        if self.seed < 0:
            raise ValueError("seed must not be negative")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie in 0 to below 1, not {self.ema_decay}")
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
class AlignEngineSettings(EngineSettings):
    """The same with other defaults: the aligner has a hundred thousand weights, and its steps take milliseconds."""

    workers: int = 1
    """Ray Train workers."""
    batch_per_pass: int = 256
    """Pairs in one forward pass of a worker."""
    precision: Precision = "fp32"
    """Of weights and passes."""
    warmup_steps: int = 200
    """Steps over which the learning rate grows linearly to its value. The papers do not say."""
    decay: Literal["none", "cosine"] = "cosine"
    """What becomes of the learning rate then. Aligners that end on a small one are nearer to the truth."""
    checkpoint_every: int = 2000
    """Optimiser steps between checkpoints. The last step always makes one."""
    log_every: int = 50
    """Optimiser steps between lines of progress and MLflow points."""
    validate_every: int = 2000
    """Optimiser steps between validations. The last step always makes one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignJobSettings(AlignSettings):
    """Alignment pretraining as a job: what it learns from, and how the training is spread."""

    name: str | None = None
    """Of the run's folder under `aligners`; null: made of what decides the result, so equal runs share a folder."""
    more_poses: tuple[AbsolutePath, ...] = ()
    """More training clips beside the release's: pairs of files `<stem>.f32` and `<stem>.json`
    (`stableanimator.alignment.training_data.pose_clips`), named by their stems."""
    engine: AlignEngineSettings = field(default_factory=AlignEngineSettings)
    """How the training is spread, optimised, kept and reported."""

    def __post_init__(self) -> None:
        AlignSettings.__post_init__(self)
        check_name(self.name)
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
class TrainSettings:
    """Training of U-Net, FaceEncoder and PoseNet as a job."""

    name: str | None = None
    """Of the run's folder under `models`; null: made of what decides the result, so equal runs share a folder."""
    shards: str = "latest"
    """Shards to train on: an id, its first characters, or the newest."""
    aligner: str | None = "latest"
    """The pose aligner that the model folder carries: an id, its first characters, the newest (`latest`), the one that
    comes with the package (`shipped`), a folder, or null for none."""
    svd: AbsolutePath | None = None
    """Folder of Stable Video Diffusion img2vid-xt to start the U-Net from, as the paper does; null: from scratch."""
    start: AbsolutePath | None = None
    """Model folder to start all networks from, with the same `model` settings; the optimiser begins anew."""
    validation_rows: int = 64
    """Rows of held-out videos that the loss is also measured on, at most. Without held-out rows there is no figure."""
    loop: LoopSettings = field(default_factory=LoopSettings)
    """How long, in which batches, and how it is spread."""
    step: TrainingSettings = field(default_factory=TrainingSettings)
    """What one sample is and what its loss is."""

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.validation_rows < 0:
            raise ValueError("validation_rows must not be negative")
        if self.svd is not None and self.start is not None:
            raise ValueError("svd and start both say where to start from; give one")


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainSettings:
    """Pretraining of a VAE and an image encoder of one's own, where Stable Video Diffusion's are too large."""

    name: str | None = None
    """Of the run's folder under `encoders`; null: made of what decides the result, so equal runs share a folder."""
    pictures: int = 20_000
    """Pairs of pictures of a clip to learn from, at most."""
    validation_pictures: int = 64
    """Pairs of held-out clips that the loss is also measured on, at most. Without held-out clips there is no figure."""
    half: bool = True
    """Write the weights in 16 bits, half as large."""
    loop: LoopSettings = field(default_factory=LoopSettings)
    """How long, in which batches, and how it is spread. Learning rates near 1e-3 suit small networks."""
    step: PretrainingSettings = field(default_factory=PretrainingSettings)
    """What they are trained towards."""

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.pictures < 1 or self.validation_pictures < 0:
            raise ValueError("pictures must be at least 1, validation_pictures not negative")


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillSettings:
    """Training of a small decoder for the VAE of `encoders`, which face optimisation takes its gradients from."""

    name: str | None = None
    """Of the run's folder under `tiny_decoders`; null: made of what decides the result: equal runs share a folder."""
    pictures: int = 20_000
    """Pairs of pictures of a clip to learn from, at most."""
    validation_pictures: int = 64
    """Pairs of held-out clips that the loss is also measured on, at most. Without held-out clips there is no figure."""
    width: int = 64
    """Channels of every layer. TAESD: 64."""
    blocks: int = 3
    """Residual blocks of every stage but the last, which has one. TAESD: 3."""
    crop: int = 64
    """Side in pixels of the squares that it learns from, cut at random; a multiple of the VAE's factor."""
    latent_noise: float = 0.5
    """Largest standard deviation of the noise on a latent, drawn from 0 to it: what is optimised leaves the latents of
    pictures, whose spread is about 1."""
    half: bool = True
    """Write the weights in 16 bits, half as large."""
    loop: LoopSettings = field(default_factory=LoopSettings)
    """How long, in which batches, and how it is spread. Learning rates near 1e-3 suit it."""

    def __post_init__(self) -> None:
        check_name(self.name)
        if min(self.pictures, self.width, self.blocks, self.crop) < 1:
            raise ValueError("pictures, width, blocks and crop must be at least 1")
        if min(self.validation_pictures, self.latent_noise) < 0:
            raise ValueError("validation_pictures and latent_noise must not be negative")


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignmentTableSettings:
    """The table of Dis of all alignments (Table III) on a benchmark set."""

    benchmark: str = "latest"
    """A benchmark set made from a release: its id, its first characters, or the newest."""
    aligner: str = "latest"
    """The learned one: an aligner's id, its first characters, the newest (`latest`), the one that comes with the
    package (`shipped`), or a folder."""
    moving_camera: float = 0.01
    """Camera translation, diagonals a second, from which a clip's line is "moving camera"."""

    def __post_init__(self) -> None:
        if self.moving_camera < 0:
            raise ValueError(f"moving_camera must not be negative, not {self.moving_camera}")


def check_name(name: str | None) -> None:
    """Raise ValueError unless `name` can be a folder's name, or is None."""
    if name is not None and (not name or name.startswith(".") or not all(c.isalnum() or c in "._-" for c in name)):
        raise ValueError(f"name {name!r} must consist of letters, digits, '.', '_' and '-'")


def deciding(settings: TrainSettings | PretrainSettings | DistillSettings, left_out: Collection[str]) -> dict[str, Any]:
    """The settings on which a training's result depends: all but those named, and what only changes how it is run."""
    fields = {name: value for name, value in asdict(settings).items() if name not in left_out}
    engine = fields["loop"]["engine"]
    fields["loop"]["engine"] = {name: value for name, value in engine.items() if name not in WITHOUT_EFFECT}
    return fields
