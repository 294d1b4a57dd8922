"""The one training loop: Ray Train starts the workers, DeepSpeed shares the work, checkpoints make it resumable.

    outcome = run_training(task, loop, folder, run)

Nothing depends on global random state, on the number of passes or on the time of a crash: the order of samples follows
from the seed (`jobs.training.sample_order`), a step's random numbers from seed and step (the task's), the learning rate
from the step. So a training that was killed and started again goes on with the losses it would have had.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import ray
import ray.train
import torch
import torch.distributed as dist
from ray.actor import ActorHandle
from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from torch import nn
from torch.utils.data import DataLoader, Dataset

from jobs.running.ending import Stopped, told
from jobs.training.deepspeed_config import deepspeed_config, learning_rate
from jobs.training.keeping import deepspeed_files, soundness
from jobs.training.keeping.own_ray import asked_about_workers
from jobs.training.keeping.stopping import Listener, new_wish, until_stopped
from jobs.training.progress import Progress
from jobs.training.run_folder import Checkpoint, RunFolder
from jobs.training.sample_order import Pass, SampleOrder, validation_passes
from jobs.training.settings import LoopSettings
from jobs.training.task import TrainingTask
from jobs.training.weight_average import WeightAverage
from pipelines.machines import Need, room
from stableanimator.errors import ConfigError, DivergedError
from stableanimator.redaction import log_to_stderr

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a call of `run_training` did."""

    checkpoint: Checkpoint
    """The last one."""
    resumed_from: int | None
    """Steps that were done before; None for a training from the start."""
    seconds: float
    """Wall time of this call."""

    @property
    def was_finished(self) -> bool:
        """Whether there was nothing left to do."""
        return self.resumed_from == self.checkpoint.step

    def describe(self) -> str:
        """For the job's last line."""
        step = self.checkpoint.step
        if self.was_finished:
            return f"was finished already after {step} steps"
        since = f", resumed after {self.resumed_from}" if self.resumed_from else ""
        return f"{step} steps{since}"


def run_training(task: TrainingTask, loop: LoopSettings, folder: RunFolder, tracking: str) -> Outcome:
    """Train until `loop` says so, from the newest complete checkpoint in `folder` where there is one.

    Args:
        task: what is trained.
        loop: how long and how.
        folder: from `jobs.training.run_folder.claim`.
        tracking: folder of the run that the first worker logs into (`jobs.tracking.run.Run.folder`).

    Raises:
        ConfigError: the cluster cannot hold the workers.
        CheckpointError: there are checkpoints, and all are damaged.
        StorageError: the disk is full.
        DivergedError: loss, gradient or weights are no finite numbers any more. The checkpoint before is kept.
        Stopped: the driver was; the workers have written a checkpoint, where a step was done.
        ray.train.TrainingFailedError: a worker failed more often than allowed.
    """
    started = time.monotonic()
    before = folder.newest()
    if before is None or not before.finished:
        _require_resources(loop)
        try:
            _fit(task, loop, folder, tracking)
        except KeyboardInterrupt as stop:
            raise Stopped(f"{folder.kept()}; the same command goes on") from stop
    after = folder.newest()
    assert after is not None, "a training that ends makes a checkpoint"
    resumed_from = None if before is None else before.step
    return Outcome(checkpoint=after, resumed_from=resumed_from, seconds=time.monotonic() - started)


def _fit(task: TrainingTask, loop: LoopSettings, folder: RunFolder, tracking: str) -> None:
    """Start the workers, again where one died. What can be told in a line is no accident, and is not tried again."""
    wish = new_wish()
    for failures in itertools.count(1):
        try:
            with asked_about_workers(wish):
                until_stopped(_trainer(task, loop, folder, tracking, wish).fit, wish)
            return
        except ray.train.TrainingFailedError as error:
            if (mistake := told(error)) is not None:
                raise mistake from error
            if 0 <= loop.engine.max_failures < failures:
                raise
            log.warning("a worker died (%s); starting all again", " ".join(str(error).split())[:200])


def _trainer(
    task: TrainingTask, loop: LoopSettings, folder: RunFolder, tracking: str, wish: ActorHandle
) -> TorchTrainer:
    engine = loop.engine
    on_gpu = engine.gpus_per_worker > 0
    resources = {"CPU": engine.cpus_per_worker, **({"GPU": engine.gpus_per_worker} if on_gpu else {})}
    return TorchTrainer(
        _worker,
        train_loop_config={"task": task, "loop": loop, "folder": folder, "tracking": tracking, "wish": wish},
        torch_config=TorchConfig(backend="nccl" if on_gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=engine.workers,
            use_gpu=on_gpu,
            resources_per_worker=resources,
            label_selector=engine.node_labels or None,
        ),
        run_config=RunConfig(
            # Ray continues a run of the same name; our checkpoints say where to go on, so every start is a new one.
            name=f"{folder.name}-{time.time_ns()}",
            storage_path=str(folder.path / "ray"),
            failure_config=FailureConfig(max_failures=0),  # Ray would try again whatever was wrong
            logging_config=LoggingConfig(log_level="CRITICAL"),  # what fails is told by the driver, once
        ),
    )


def _require_resources(loop: LoopSettings) -> None:
    """Ray would wait for ever for workers that fit nowhere."""
    engine = loop.engine
    need = Need(cpus=engine.cpus_per_worker, gpus=engine.gpus_per_worker, labels=engine.node_labels)
    places = room(need)
    if places < engine.workers:
        raise ConfigError(
            f"engine: {engine.workers} workers with {need} each, and the cluster has places for {places}; lower "
            "workers, cpus_per_worker or gpus_per_worker, or add machines"
        )


def _worker(config: dict[str, Any]) -> None:
    """Runs on every worker."""
    loop: LoopSettings = config["loop"]
    _prepare_process(loop)
    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    session = _Session(config["task"], loop, config["folder"], config["tracking"], rank, size)
    session.train(Listener(config["wish"]) if session.rank == 0 else None)


def _prepare_process(loop: LoopSettings) -> None:
    """Logging, and what DeepSpeed looks at when it is imported and started."""
    log_to_stderr()
    on_gpu = loop.engine.gpus_per_worker > 0
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if on_gpu else "cpu")
    import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    if not on_gpu:
        # On a CPU DeepSpeed compiles an operator at its first use, for a minute, that only its inference calls.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


class _Passes(Dataset[Any]):
    """The task as a data set whose keys are passes."""

    def __init__(self, task: TrainingTask) -> None:
        self.task = task

    def __getitem__(self, piece: Pass) -> tuple[Pass, Any]:
        return piece, self.task.load(piece)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Taken:
    """An optimiser step."""

    loss: float
    """Mean of all workers."""
    norm: float
    """Of the gradient, before clipping."""
    fault: str | None
    """What is wrong with it, in words; the same on all workers."""
    stop: bool
    """Whether no other shall follow; the same on all workers."""
    piece: Pass
    """Its last pass, and the batch of it."""
    batch: Any


class _Session:
    """One worker's part of a training."""

    def __init__(
        self, task: TrainingTask, loop: LoopSettings, folder: RunFolder, tracking: str, rank: int, workers: int
    ) -> None:
        import deepspeed

        self.task, self.loop, self.folder = task, loop, folder
        self.rank, self.workers = rank, workers
        self.device = get_device()
        if not (folder.path / "run.json").exists():
            raise ConfigError(f"{folder.path} is not there on {os.uname().nodename}; all machines must share the root")
        self.order = SampleOrder(task.groups(), loop.batch_size, loop.seed, loop.epochs, loop.steps)
        module = task.build()
        learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.engine, self.optimizer, _, _ = deepspeed.initialize(
            model=module, model_parameters=learning, config=deepspeed_config(loop)
        )
        self.mean = WeightAverage(self.engine, loop.ema_decay) if loop.ema_decay > 0 else None
        self.first_step = self._resume()
        self.progress = None
        if rank == 0:
            self.progress = Progress(loop, self.order.steps, self.first_step, tracking, folder.name)

    def train(self, listener: Listener | None) -> None:
        """From the first step to the last, or until the first worker hears that it is enough.

        Raises:
            DivergedError: on all workers, after a step whose loss or gradient is no finite number.
        """
        engine = self.loop.engine
        pieces = self._load(self.order.passes(self.first_step, self.rank, self.workers, engine.batch_per_pass))
        for step in range(self.first_step, self.order.steps):
            started = time.monotonic()
            taken = self._step(step, pieces, stop=listener is not None and listener.stopped())
            if taken.fault is not None:
                self._diverge(step + 1, taken.fault)
            if self.mean is not None:
                self.mean.update(step)
            last = step + 1 == self.order.steps
            examine = last or (step + 1) % engine.validate_every == 0
            keep = last or taken.stop or (step + 1) % engine.checkpoint_every == 0
            if self.progress is not None:
                rate = learning_rate(self.loop, step, self.order.steps)
                seconds = time.monotonic() - started
                self.progress.step(step + 1, taken.loss, rate, taken.norm, seconds, tell=keep)
            if examine or keep:
                self._require_sound(step + 1, taken)
            if examine:
                self._validate(step + 1)
            if keep:
                self._save(step + 1)
            if taken.stop:
                return

    def _load(self, pieces: Iterator[Pass] | Sequence[Pass]) -> Iterator[tuple[Pass, Any]]:
        """Batches in order, prepared by loader processes while the worker computes."""
        processes = self.loop.engine.loader_processes
        loader: DataLoader[Any] = DataLoader(
            _Passes(self.task),
            sampler=pieces,  # any iterable of keys will do
            batch_size=None,
            num_workers=processes,
            # Not fork: a worker has threads of Ray, gloo or CUDA.
            multiprocessing_context="forkserver" if processes else None,
        )
        return iter(loader)

    def _step(self, step: int, pieces: Iterator[tuple[Pass, Any]], *, stop: bool) -> _Taken:
        """One optimiser step, and whether it is the last by the word of the first worker."""
        rate = learning_rate(self.loop, step, self.order.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        total = torch.zeros((), device=self.device)
        norm = float("nan")
        for count in range(1, self.loop.accumulation + 1):
            piece, batch = next(pieces)
            assert piece.step == step
            loss = self.task.loss(self.engine, batch, piece, self.device)
            self.engine.backward(loss)
            total += loss.detach() / self.loop.accumulation
            if count == self.loop.accumulation and self.loop.engine.zero_stage == 0:
                norm = self._plain_norm()
            try:
                self.engine.step()
            except Exception as error:
                if soundness.SCALE_SPENT not in str(error):
                    raise
                self._diverge(step + 1, "no scale of the loss keeps the gradients within fp16")
        shared = torch.stack([total, total.new_tensor(float(stop))])
        dist.all_reduce(shared)
        loss, stopped = float(shared[0]) / self.workers, bool(shared[1] > 0)
        if self.loop.engine.zero_stage > 0:
            norm = float(self.engine.get_global_grad_norm())
        scaled, applied = self.loop.engine.precision == "fp16", self.engine.was_step_applied()
        fault = soundness.fault(loss, norm, applied=applied, scaled=scaled)
        return _Taken(loss=loss, norm=norm, fault=fault, stop=stopped, piece=piece, batch=batch)

    def _plain_norm(self) -> float:
        """DeepSpeed computes none without ZeRO. The gradients are those of all workers by now."""
        gradients = [parameter.grad for parameter in self.engine.module.parameters() if parameter.grad is not None]
        return float(nn.utils.get_total_norm(gradients))

    @torch.no_grad()
    def _validate(self, step: int) -> None:
        """Mean loss over the held-out samples, with the same random numbers every time, and what the task finds."""
        size = self.loop.engine.batch_per_pass
        pieces = validation_passes(self.task.validation_groups(), self.rank, self.workers, size)
        if not pieces:
            return
        self.engine.eval()
        sums = torch.zeros(2, device=self.device)
        for piece in pieces:
            loss = self.task.loss(self.engine, self.task.load(piece), piece, self.device)
            if piece.counted:
                sums += torch.stack([loss * len(piece.draws), loss.new_tensor(len(piece.draws))])
        findings = self.task.examine(self.engine)
        self.engine.train()
        dist.all_reduce(sums)
        if self.progress is not None:
            self.progress.validation(step, float(sums[0] / sums[1]), findings)

    def _resume(self) -> int:
        """Load the newest whole checkpoint, which the first worker checks. Returns the steps done."""
        newest = self.folder.newest() if self.rank == 0 else None
        agreed = torch.tensor(0 if newest is None else newest.step, device=self.device)
        dist.broadcast(agreed, src=0)
        if (step := int(agreed)) == 0:
            return 0
        folder = self.folder.step_folder(step)
        deepspeed_files.load(self.engine, self.mean, folder)
        if self.rank == 0:
            log.info("resumed after step %d from %s", step, folder)
        return step

    def _diverge(self, step: int, what: str) -> NoReturn:
        """On all workers, of which one says it."""
        if self.progress is not None:
            self.progress.diverged(step, what)
        raise DivergedError(
            f"{self.folder.name} diverged at step {step} of {self.order.steps}: {what}; {self.folder.kept()}. Train "
            "under another name with a lower learning_rate, more warmup_steps or a lower gradient_clipping"
        )

    @torch.no_grad()
    def _require_sound(self, step: int, taken: _Taken) -> None:
        """Refuse to keep what could not be gone on from: the last step's loss was that of the weights before it.

        Raises:
            DivergedError: on all workers.
        """
        self.engine.eval()
        loss = self.task.loss(self.engine, taken.batch, taken.piece, self.device)
        self.engine.train()
        means = [] if self.mean is None else self.mean.mean
        bad = not soundness.all_finite([*soundness.kept_by(self.engine), *means])
        shared = torch.stack([loss.float(), loss.new_tensor(float(bad)).float()])
        dist.all_reduce(shared)
        if shared[1] > 0:
            self._diverge(step, "weights, or what the optimiser keeps of them, are no finite numbers")
        if not torch.isfinite(shared[0]):
            self._diverge(step, f"with the weights of this step the loss is {float(shared[0]):.4g}")

    def _save(self, step: int) -> None:
        """One checkpoint: DeepSpeed's, the exported weights, and at the end the state.

        Raises:
            StorageError: the disk is full.
        """
        if self.rank == 0:
            self.folder.begin(step)
        dist.barrier()
        folder = self.folder.step_folder(step)
        deepspeed_files.write(self.engine, self.mean, folder)
        dist.barrier()
        if self.rank == 0:
            weights = deepspeed_files.exported(folder, self.loop.engine.zero_stage, mean=self.mean is not None)
            self.task.export(folder, weights)
            state = {
                "step": step,
                "total_steps": self.order.steps,
                "epoch": self.order.epoch(step - 1),
                "samples": step * self.loop.batch_size,
                "seed": self.loop.seed,
                "workers": self.workers,
            }
            self.folder.complete(state, self.loop.engine.keep_last)
            log.info("checkpoint %s", folder)
        dist.barrier()
