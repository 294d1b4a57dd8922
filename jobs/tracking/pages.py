"""Where MLflow's pages show a run or an experiment.

Without `workflowType` MLflow 3.17 shows a browser that is new to it the pages of another trade (traces, prompts).
"""

from __future__ import annotations

import shlex
from urllib.parse import urlsplit, urlunsplit

_KIND = "workflowType=machine_learning"
_LOCAL = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves unless it is told otherwise."""


def experiment_page(uri: str, experiment_id: str) -> str:
    """The list of an experiment's runs; in front of it, where no server runs, the command that starts one."""
    return _served(uri, f"#/experiments/{experiment_id}/runs?{_KIND}")


def run_page(uri: str, experiment_id: str, run_id: str) -> str:
    """One run; in front of it, where no server runs, the command that starts one."""
    return _served(uri, f"#/experiments/{experiment_id}/runs/{run_id}?{_KIND}")


def without_password(uri: str) -> str:
    """A tracking URI as it may be shown: without user and password."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri


def _served(uri: str, page: str) -> str:
    if uri.startswith(("http://", "https://")):
        return f"{without_password(uri).rstrip('/')}/{page}"
    command = shlex.join(["mlflow", "ui", "--backend-store-uri", without_password(uri)])
    return f"{command}  shows it at\n{_LOCAL}/{page}"
