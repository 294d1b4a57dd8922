from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from jobs.submit import environment
from jobs.tracking import credentials
from jobs.tracking.tracker import tracking_uri

NAMES = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")  # to be put back
        monkeypatch.delenv(name)
    monkeypatch.setattr(credentials, "_given", {})
    monkeypatch.setattr(credentials, "_SENT", tmp_path / "job" / "tracking_credentials.json")
    (tmp_path / "job").mkdir()


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://me:h%40sh@mlflow.example:5000", "https://mlflow.example:5000"),
        ("postgresql://me:h%40sh@db/runs", "postgresql://db/runs"),
    ],
)
def test_a_password_travels_in_a_file_and_not_in_what_ray_shows(
    uri: str, shown: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    sent = environment()
    assert sent["MLFLOW_TRACKING_URI"] == shown
    assert "h%40sh" not in str(sent)
    assert "h@sh" not in str(sent)
    credentials.send(tmp_path / "job")
    file = tmp_path / "job" / "tracking_credentials.json"
    assert file.stat().st_mode & 0o777 == 0o600
    for name in NAMES:  # a process of the job
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", sent["MLFLOW_TRACKING_URI"])
    if uri.startswith("https"):
        assert tracking_uri() == shown
        assert (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]) == ("me", "h@sh")
    else:  # whose client takes them nowhere else
        assert tracking_uri() == uri


def test_what_has_no_password_is_sent_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "of this machine")
    assert "of this machine" not in json.dumps(environment())
    credentials.send(tmp_path / "job")
    assert list((tmp_path / "job").iterdir()) == []
    assert tracking_uri() == "http://mlflow.example:5000"
