"""What a training says of itself: a line in the log now and then, and points in MLflow."""

from __future__ import annotations

import logging
import math
import time

import torch

from jobs.tracking.run import Run
from jobs.training.settings import LoopSettings
from jobs.training.task import Findings
from pipelines import telemetry

log = logging.getLogger("train")


class Progress:
    """The first worker's report. Losses, norms and times are means over the steps since the last line or the start.

    Args:
        loop: of the training.
        total: its steps.
        first: steps done before.
        tracking: folder of the run.
        name: of the training, for whoever watches the cluster.
    """

    def __init__(self, loop: LoopSettings, total: int, first: int, tracking: str, name: str) -> None:
        self._run = Run(tracking)
        self._every, self._batch_size, self._total = loop.engine.log_every, loop.batch_size, total
        self._started, self._first = time.monotonic(), first
        self._steps: list[tuple[float, float, float]] = []
        self._name = name
        telemetry.show("sa_training_steps", total, training=name)

    def step(self, done: int, loss: float, rate: float, norm: float, seconds: float, *, tell: bool) -> None:
        """After a step; `done` counts from 1, `seconds` is its time without validations and checkpoints.

        Args:
            tell: now, whatever `log_every` is: a checkpoint follows, and who goes on from it tells the steps after it.
        """
        self._steps.append((loss, norm, seconds))
        telemetry.add("sa_samples", self._batch_size, training=self._name)
        if done % self._every and not tell:
            return
        mean_loss, mean_norm, seconds = self._means()
        left = (time.monotonic() - self._started) / (done - self._first) * (self._total - done)
        log.info(
            "step %d of %d (%.0f %%): loss %.4g, gradient %.3g, rate %.3g, %.2f s a step, %.1f samples/s, %s left",
            *(done, self._total, 100 * done / self._total, mean_loss, mean_norm, rate),
            *(seconds, self._batch_size / seconds, _clock(left)),
        )
        self._run.metrics(
            {
                "loss": mean_loss,
                "gradient_norm": mean_norm,
                "learning_rate": rate,
                "seconds_per_step": seconds,
                "samples_per_second": self._batch_size / seconds,
            },
            step=done,
        )
        telemetry.show("sa_training_step", done, training=self._name)
        telemetry.show("sa_loss", mean_loss, training=self._name)
        telemetry.show("sa_gradient_norm", mean_norm, training=self._name)
        telemetry.show("sa_learning_rate", rate, training=self._name)
        telemetry.show("sa_seconds_per_step", seconds, training=self._name)
        if torch.cuda.is_available():
            telemetry.show("sa_gpu_peak_bytes", torch.cuda.max_memory_allocated(), training=self._name)

    def _means(self) -> tuple[float, float, float]:
        """Since the last line, without those that the scaler of fp16 skipped; NaN where none is a number."""
        columns = [[value for value in values if math.isfinite(value)] for values in zip(*self._steps, strict=True)]
        self._steps.clear()
        loss, norm, seconds = (sum(values) / len(values) if values else math.nan for values in columns)
        return loss, norm, seconds

    def diverged(self, step: int, what: str) -> None:
        """The run says at which step, and has the losses of the steps before."""
        log.error("step %d of %d: %s", step, self._total, what)
        if self._steps:
            loss, norm, _ = self._means()
            self._run.metrics({"loss": loss, "gradient_norm": norm}, step=step - 1)
        self._run.metrics({"diverged_at_step": step}, step=step)
        self._run.tag("diverged", f"step {step}: {what}")

    def validation(self, done: int, loss: float, findings: Findings) -> None:
        """After a validation. Tables and pictures carry the step in their names."""
        log.info("step %d: validation loss %.4g", done, loss)
        telemetry.show("sa_validation_loss", loss, training=self._name)
        self._run.metrics({"validation_loss": loss, **findings.metrics}, step=done)
        for name, rows in findings.tables.items():
            self._run.table(f"validation/{name}_{done:07d}", rows)
        for name, picture in findings.pictures.items():
            self._run.picture(picture, f"validation/{name}_{done:07d}.png")


def _clock(seconds: float) -> str:
    """As h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
