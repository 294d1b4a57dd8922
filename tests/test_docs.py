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
    assert len(stated) == 21
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


def _flat(settings: Any, above: str = "") -> dict[str, Any]:
    if not isinstance(settings, dict):
        return {above: settings}
    return {
        key: value for name in settings for key, value in _flat(settings[name], f"{above}.{name}".lstrip(".")).items()
    }


def test_the_readme_names_every_key_that_differs_between_here_and_a_cluster(full: str) -> None:
    here, cluster = (_flat(dump(load(name))) for name in (str(Path(full).with_name("tiny.yaml")), full))
    differ = {key for key in here.keys() | cluster.keys() if here.get(key) != cluster.get(key)}
    table = (ROOT / "README.md").read_text().split("in these keys alone:\n")[1].strip().split("\n\n")[0]
    named = set()
    for line in table.splitlines()[2:]:
        sections, _, fields = line.split("|")[1].partition(":")
        below = re.findall(r"`([a-z_.]+)`", fields) or [""]
        named |= {f"{key}.{field}".rstrip(".") for key in re.findall(r"`([a-z_.]+)`", sections) for field in below}
    for key in named - {"encode.cpus_per_actor", "animate.cpus_per_actor", "evaluate.cpus_per_actor"}:
        assert any(f"{other}.".startswith(f"{key}.") for other in differ), f"{key} does not differ"
    unnamed = {key for key in differ if not any(f"{key}.".startswith(f"{name}.") for name in named)}
    assert unnamed == set()
