"""The one training loop: Ray Train starts the workers, DeepSpeed shares the work, checkpoints make it resumable.

    outcome = run_training(task, loop, folder, run)

Nothing depends on global random state, on the number of passes or on the time of a crash: the order of samples follows
from the seed (`jobs.training.sample_order`), a step's random numbers from seed and step (the task's), the learning rate
from the step. So a training that was killed and started again goes on with the losses it would have had.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
import torch.distributed as dist
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from jobs.tracking import credentials
from jobs.training.deepspeed_config import deepspeed_config, learning_rate
from jobs.training.progress import Progress
from jobs.training.run_folder import Checkpoint, RunFolder
from jobs.training.sample_order import Pass, SampleOrder, validation_passes
from jobs.training.settings import LoopSettings
from jobs.training.task import TrainingTask
from jobs.training.weight_average import TAG as MEAN
from jobs.training.weight_average import WeightAverage
from pipelines.machines import Need, room
from stableanimator.errors import ConfigError
from stableanimator.redaction import log_to_stderr

log = logging.getLogger(__name__)

_TAG = "state"  # DeepSpeed's name for what it saves below deepspeed/


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


def run_training(task: TrainingTask, loop: LoopSettings, folder: RunFolder, tracking: tuple[str, str]) -> Outcome:
    """Train until `loop` says so, from the newest complete checkpoint in `folder` where there is one.

    Args:
        task: what is trained.
        loop: how long and how.
        folder: from `jobs.training.run_folder.claim`.
        tracking: URI of the tracking server and id of the run that the first worker logs into.

    Raises:
        ConfigError: the cluster cannot hold the workers.
        ray.train.TrainingFailedError: a worker failed more often than allowed.
    """
    started = time.monotonic()
    before = folder.newest()
    if before is None or not before.finished:
        _require_resources(loop)
        _trainer(task, loop, folder, tracking).fit()
    after = folder.newest()
    assert after is not None, "a training that ends makes a checkpoint"
    resumed_from = None if before is None else before.step
    return Outcome(checkpoint=after, resumed_from=resumed_from, seconds=time.monotonic() - started)


def _trainer(task: TrainingTask, loop: LoopSettings, folder: RunFolder, tracking: tuple[str, str]) -> TorchTrainer:
    engine = loop.engine
    on_gpu = engine.gpus_per_worker > 0
    resources = {"CPU": engine.cpus_per_worker, **({"GPU": engine.gpus_per_worker} if on_gpu else {})}
    return TorchTrainer(
        _worker,
        train_loop_config={"task": task, "loop": loop, "folder": folder, "tracking": tracking},
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
            failure_config=FailureConfig(max_failures=engine.max_failures),
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
    session = _Session(
        config["task"], loop, config["folder"], config["tracking"], context.get_world_rank(), context.get_world_size()
    )
    session.train()


def _prepare_process(loop: LoopSettings) -> None:
    """Logging, and what DeepSpeed looks at when it is imported and started."""
    log_to_stderr()
    credentials.take()
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


class _Session:
    """One worker's part of a training."""

    def __init__(
        self,
        task: TrainingTask,
        loop: LoopSettings,
        folder: RunFolder,
        tracking: tuple[str, str],
        rank: int,
        workers: int,
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
        self.progress = self._progress(tracking) if rank == 0 else None

    def _progress(self, tracking: tuple[str, str]) -> Progress:
        return Progress(self.loop, self.order.steps, self.first_step, tracking, self.folder.name)

    def train(self) -> None:
        """From the first step to the last."""
        engine = self.loop.engine
        pieces = self._load(self.order.passes(self.first_step, self.rank, self.workers, engine.batch_per_pass))
        for step in range(self.first_step, self.order.steps):
            started = time.monotonic()
            loss, norm = self._step(step, pieces)
            if self.mean is not None:
                self.mean.update(step)
            if self.progress is not None:
                rate = learning_rate(self.loop, step, self.order.steps)
                self.progress.step(step + 1, loss, rate, norm, time.monotonic() - started)
            last = step + 1 == self.order.steps
            if last or (step + 1) % engine.validate_every == 0:
                self._validate(step + 1)
            if last or (step + 1) % engine.checkpoint_every == 0:
                self._save(step + 1)

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

    def _step(self, step: int, pieces: Iterator[tuple[Pass, Any]]) -> tuple[float, float]:
        """One optimiser step. Returns the mean loss of all workers and the norm of the gradient before clipping."""
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
            self.engine.step()
        dist.all_reduce(total)
        if self.loop.engine.zero_stage > 0:
            norm = float(self.engine.get_global_grad_norm())
        return float(total) / self.workers, norm

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
        """Load the newest complete checkpoint. Returns the steps done."""
        newest = self.folder.newest()
        if newest is None:
            return 0
        for tag in (_TAG,) if self.mean is None else (MEAN, _TAG):
            loaded, _ = self.engine.load_checkpoint(str(newest.folder / "deepspeed"), tag=tag)
            if loaded is None:
                raise ConfigError(
                    f"{newest.folder}/deepspeed cannot be read; delete {newest.folder} to resume before it"
                )
            if self.mean is not None and tag == MEAN:
                self.mean.take_weights()
        if self.rank == 0:
            log.info("resumed after step %d from %s", newest.step, newest.folder)
        return newest.step

    def _save(self, step: int) -> None:
        """One checkpoint: DeepSpeed's, the exported weights, and at the end the state."""
        if self.rank == 0:
            self.folder.begin(step)
        dist.barrier()
        folder = self.folder.step_folder(step)
        self.engine.save_checkpoint(str(folder / "deepspeed"), tag=_TAG)
        exported = _TAG
        if self.mean is not None:
            with self.mean.in_place_of_weights():
                self.engine.save_checkpoint(str(folder / "deepspeed"), tag=MEAN)
            exported = MEAN
        dist.barrier()
        if self.rank == 0:
            self.task.export(folder, self._consolidated(folder, exported))
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

    def _consolidated(self, folder: Path, tag: str) -> dict[str, Tensor]:
        """The fp32 weights of all workers together, on the CPU."""
        stage, whole = self.loop.engine.zero_stage, dict[str, Tensor]()
        if stage <= 1:  # below ZeRO 2 what does not learn is nowhere else
            file = folder / "deepspeed" / tag / "mp_rank_00_model_states.pt"
            whole = torch.load(file, map_location="cpu", weights_only=False)["module"]  # our own file
        if stage == 0:
            return whole
        from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

        # From the files: with ZeRO 3 no worker's memory holds the whole. It talks much and to no purpose.
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            return whole | get_fp32_state_dict_from_zero_checkpoint(str(folder / "deepspeed"), tag=tag)
