"""Settings that the documents name exist, and defaults that they state are the defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from jobs.running.config import dump, load
from stableanimator.diffusion.sampler import karras_sigmas
from stableanimator.diffusion.settings import FACE_OPTIMISATION_PRESETS

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
    assert len(stated) == 22
    defaults = dump(load(full))
    for setting in stated:
        key = setting.split("=")[0]
        assert _value(dump(load(full, [setting])), key) == pytest.approx(_value(defaults, key)), setting


def test_every_ablation_of_model_md_changes_a_setting(full: str) -> None:
    ablations = re.findall(r"`([a-z_.]+=[^`]+)`", _section("Ablations"))
    assert len(ablations) == 14
    defaults = dump(load(full))
    for setting in ablations:
        assert dump(load(full, [setting])) != defaults, setting


def test_face_optimisation_md_states_the_presets() -> None:
    rows = {}
    text = (ROOT / "docs" / "face_optimisation.md").read_text().split("## Which one")[0]
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4:
            rows[cells[0]] = cells[1:]
    names = [cell.split("`")[1] for cell in rows[""]]
    assert names == list(FACE_OPTIMISATION_PRESETS)
    levels = karras_sigmas(25, 0.002, 700.0)[:-1].tolist()
    for place, (name, preset) in enumerate(FACE_OPTIMISATION_PRESETS.items()):
        steps = [step for step, level in enumerate(levels) if preset.sigma_min <= level <= preset.sigma_max]
        said = {key.split(":")[0].split(",")[0]: cells[place] for key, cells in rows.items() if key}
        assert said["noise levels"] == f"{preset.sigma_max:g}, {preset.sigma_min:g}", name
        assert said["of the usual 25 steps (700 to 0.002)"] == f"{steps[0]} to {steps[-1]}", name
        assert said["updates in each"] == str(preset.optimisation_steps), name
        assert said["how far each moves"] == f"{preset.learning_rate:g}", name
        assert said["updates in all"] == str(preset.optimisation_steps * len(steps)), name
        assert said["the sampler's second order in such a step"] == f"`{preset.correction}`", name
        margin = "the whole frame" if preset.face_margin is None else f"{preset.face_margin:g} wider"
        assert margin in said["what moves"], name


def test_full_yaml_optimises_with_effective_and_the_papers_is_a_word_away(full: str) -> None:
    assert load(full).animate.settings.hjb == FACE_OPTIMISATION_PRESETS["effective"]
    paper = load(full, ["animate.settings.hjb={preset: paper}"]).animate
    assert paper.settings.hjb == paper.variants["hjb"].hjb == FACE_OPTIMISATION_PRESETS["paper"]


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
