"""Parameters can be pasted behind a command, and what a user changed comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.running.config import Config, load
from jobs.running.parameters import SECTIONS, changed_first, flat, parameters
from jobs.submit import VERBS


def test_settings_are_flat_and_written_as_a_configuration_has_them() -> None:
    tree = {
        "train": {"svd": None, "loop": {"learning_rate": 1e-4, "steps": 5}, "name": "ä b"},
        "animate": {"settings": {"face": True, "sizes": [[96, 96]]}, "variants": {"plain": {}}},
    }
    assert flat(tree) == {
        "train.svd": "null",
        "train.loop.learning_rate": "0.0001",
        "train.loop.steps": "5",
        "train.name": "ä b",
        "animate.settings.face": "true",
        "animate.settings.sizes": "[[96, 96]]",
        "animate.variants.plain": "{}",
    }


def test_every_verb_that_has_a_run_says_which_settings_it_reads() -> None:
    assert set(SECTIONS) == set(VERBS) - {"doctor"}
    assert {section for sections in SECTIONS.values() for section in sections} <= set(Config.model_fields)


def test_what_was_changed_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(f"experiment: x\nroot: {tmp_path}\n")
    config = load(str(path), ["train.loop.seed=7", "model.reference_gain=1.0", "train.step.alignment=none"])
    names = list(parameters("train", config))
    assert set(names[:3]) == {"train.loop.seed", "model.reference_gain", "train.step.alignment"}
    assert all(name.startswith(("train.", "model.")) for name in names)
    same = load(str(path))
    assert parameters("train", same).keys() == set(names)


@pytest.mark.parametrize("verb", ["train", "encode", "align", "evaluate"])
def test_pasted_behind_a_command_they_give_the_same_settings(verb: str, tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(f"extends: {Path('jobs/configs/tiny.yaml').resolve()}\nexperiment: x\nroot: {tmp_path}\n")
    config = load(str(path), ["train.loop.steps=77"])
    pasted = [f"{name}={value}" for name, value in parameters(verb, config).items()]
    again = load(str(path), pasted)
    assert [getattr(again, section) for section in SECTIONS[verb]] == [
        getattr(config, section) for section in SECTIONS[verb]
    ]


def test_what_no_configuration_has_counts_as_changed() -> None:
    assert list(changed_first({"train.loop.seed": "0", "data.rows": "26"})) == ["data.rows", "train.loop.seed"]
