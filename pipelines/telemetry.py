"""What the flow counts of itself, for Prometheus: Ray's own metrics, which every node of a cluster exports.

    telemetry.add("sa_failures", step="measuring videos", reason="no_person")
    telemetry.show("sa_loss", 0.12, training="drawn")

Drivers, actors and training workers call these; Ray adds the session, the node and the process, and "ray_" before each
name. A process that is in no cluster counts nothing, and nothing that is counted changes a result.
`infra/monitoring/board.json` draws what is named here.
"""

from __future__ import annotations

import sys
import threading
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.util.metrics import Counter, Gauge

COUNTED: dict[str, tuple[str, tuple[str, ...]]] = {
    "sa_videos": ("Sources that were tried: fetched, failed or passed over, and why", ("status", "reason")),
    "sa_frames": ("Frames that were decoded to be measured", ()),
    "sa_shots": ("Shots in releases, by verdict", ("verdict",)),
    "sa_rejections": ("Shots that a rule rejected in releases", ("rule",)),
    "sa_shard_rows": ("Training rows that were encoded", ()),
    "sa_failures": ("Rows that failed, by reason", ("step", "reason")),
    "sa_rows": ("Rows that a step brought to their end, well or not", ("step",)),
    "sa_step_seconds": ("Seconds for which a step has been running", ("step",)),
    "sa_actor_seconds": ("Seconds for which actors worked on rows; its rate is the number of busy actors", ("step",)),
    "sa_measure_seconds": ("Seconds of all actors by what they measured", ("measure",)),
    "sa_samples": ("Samples that were trained on", ("training",)),
}
"""What only grows: its meaning, and by what it is told apart. Prometheus sees "_total" behind these names."""

SHOWN: dict[str, tuple[str, tuple[str, ...]]] = {
    "sa_job_running": ("1 while a job runs", ("verb", "experiment")),
    "sa_rows_waiting": ("Rows that a step has not yet brought to their end", ("step",)),
    "sa_training_step": ("Steps that a training has done", ("training",)),
    "sa_training_steps": ("Steps that a training is to do", ("training",)),
    "sa_loss": ("Training loss, the mean since the last point", ("training",)),
    "sa_validation_loss": ("Loss on held-out samples", ("training",)),
    "sa_gradient_norm": ("Norm of the gradient before clipping", ("training",)),
    "sa_learning_rate": ("Learning rate", ("training",)),
    "sa_seconds_per_step": ("Seconds of a training step", ("training",)),
    "sa_gpu_peak_bytes": ("Most GPU memory that the first worker's tensors took", ("training",)),
}
"""What goes up and down."""


def add(name: str, amount: float = 1.0, **tags: str | None) -> None:
    """Count `amount` more; less than nothing, or nothing, is not counted."""
    if amount > 0 and _in_cluster():
        _counter(name).inc(amount, _text(tags))


def show(name: str, value: float, **tags: str | None) -> None:
    """What it is from now on, until the process ends. What is not known (NaN) is not shown."""
    if value == value and _in_cluster():
        _gauge(name).set(value, _text(tags))
        _again.keep(name, value, _text(tags))


class _Again:
    """Shows values again and again: a node forgets what a process has not said for two of Ray's intervals (20 s)."""

    SECONDS = 5.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._thread: threading.Thread | None = None

    def keep(self, name: str, value: float, tags: dict[str, str]) -> None:
        with self._lock:
            self._values[name, tuple(sorted(tags.items()))] = value
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="telemetry")
                self._thread.start()

    def _run(self) -> None:
        ended = threading.Event()
        while not ended.wait(self.SECONDS):
            with self._lock:
                if not _in_cluster():  # the next cluster is to see nothing of this one
                    self._values.clear()
                    self._thread = None
                    return
                for (name, tags), value in self._values.items():
                    _gauge(name).set(value, dict(tags))


_again = _Again()


def _in_cluster() -> bool:
    # Who has not imported Ray is in no cluster, and importing it takes seconds.
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())


def _text(tags: dict[str, str | None]) -> dict[str, str]:
    return {name: value or "" for name, value in tags.items()}


@cache
def _counter(name: str) -> Counter:
    from ray.util.metrics import Counter

    meaning, tags = COUNTED[name]
    return Counter(name, meaning, tags)


@cache
def _gauge(name: str) -> Gauge:
    from ray.util.metrics import Gauge

    meaning, tags = SHOWN[name]
    return Gauge(name, meaning, tags)
