"""Settings that the documents name exist, and defaults that they state are the defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from jobs.running.config import dump, load

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    for name in ("SA_ROOT", "SA_WEIGHTS"):
        monkeypatch.setenv(name, str(tmp_path))
    return str(ROOT / "jobs" / "configs" / "full.yaml")


def _section(title: str) -> str:
    return (ROOT / "docs" / "model.md").read_text().split(f"## {title}\n")[1].split("\n## ")[0]


def _value(settings: Any, key: str) -> Any:
    for part in key.split("."):
        settings = settings[part]
    return settings


def test_the_defaults_that_model_md_states_are_the_defaults(full: str) -> None:
    stated = re.findall(r"`([a-z_.]+=[^`]+)`", _section("Where paper and released code differ"))
    assert len(stated) == 17
    defaults = dump(load(full))
    for setting in stated:
        key = setting.split("=")[0]
        assert _value(dump(load(full, [setting])), key) == pytest.approx(_value(defaults, key)), setting


def test_every_ablation_of_model_md_changes_a_setting(full: str) -> None:
    ablations = re.findall(r"`([a-z_.]+=[^`]+)`", _section("Ablations"))
    assert len(ablations) == 12
    defaults = dump(load(full))
    for setting in ablations:
        assert dump(load(full, [setting])) != defaults, setting
