"""What the machine of a job's driver did, sampled while the job lasts.

With MLflow's own counters and names, but not with its `SystemMetricsMonitor`, which asks the tracker at every sample.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from mlflow.environment_variables import MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
from mlflow.system_metrics.metrics.rocm_monitor import ROCMMonitor

from jobs.tracking.run import Run

_SAMPLING_S = 5.0


class SystemMetrics(threading.Thread):
    """Logs into the runs that a job has begun by then.

    Args:
        runs: what these are.
    """

    def __init__(self, runs: Callable[[], Sequence[Run]]) -> None:
        super().__init__(name="system metrics", daemon=True)
        self._runs = runs
        self._over = threading.Event()
        self._begun: dict[str, int] = {}

    def run(self) -> None:
        monitors = _monitors()
        pause = MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL.get() or _SAMPLING_S
        while not self._over.wait(pause):
            values: dict[str, float] = {}
            for monitor in monitors:
                monitor.collect_metrics()
                values |= {f"system/{name}": value for name, value in monitor.aggregate_metrics().items()}
                monitor.clear_metrics()
            for run in self._runs():
                number = self._begun.get(run.folder, 0)
                run.system_metrics(values, number)
                self._begun[run.folder] = number + 1

    def finish(self) -> None:
        """No sample is taken afterwards."""
        self._over.set()
        self.join()


def _monitors() -> list[Any]:
    found = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    for kind in (GPUMonitor, ROCMMonitor):
        try:
            return [*found, kind()]
        except Exception:  # whatever its library raises where there is no such device
            continue
    return found
