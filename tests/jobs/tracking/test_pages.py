"""Links are those that MLflow 3.17's pages were seen to open on."""

from __future__ import annotations

import shlex

import pytest

from jobs.tracking import pages


@pytest.mark.parametrize("address", ["http://host:5000", "https://me:secret@host:5000/"])
def test_a_servers_pages_are_its_own_and_show_no_password(address: str) -> None:
    server = address.replace("me:secret@", "").rstrip("/")
    assert pages.experiment_page(address, "7") == f"{server}/#/experiments/7/runs?workflowType=machine_learning"
    assert pages.run_page(address, "7", "ab") == f"{server}/#/experiments/7/runs/ab?workflowType=machine_learning"


def test_a_file_is_shown_by_a_command_and_then_at_a_link() -> None:
    command, link = pages.run_page("sqlite:////my runs/mlflow.db", "1", "ab").splitlines()
    words = shlex.split(command.partition("  ")[0])
    assert words == ["mlflow", "ui", "--backend-store-uri", "sqlite:////my runs/mlflow.db"]
    assert link == "http://127.0.0.1:5000/#/experiments/1/runs/ab?workflowType=machine_learning"


def test_a_database_is_named_without_its_password() -> None:
    assert pages.without_password("postgresql://me:secret@host/runs") == "postgresql://host/runs"
    assert pages.without_password("sqlite:////a@b/mlflow.db") == "sqlite:////a@b/mlflow.db"
