"""Settings as MLflow's parameters: flat, named as users write them, those first that differ from the defaults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jobs.running.config import Config, dump

SECTIONS = {
    "curate": ("curate", "perception"),
    "encode": ("encode", "encoders"),
    "align": ("align",),
    "alignment_table": ("alignment_table", "align"),
    "benchmark": ("benchmark", "perception"),
    "train": ("train", "model"),
    "animate": ("animate", "perception", "encoders"),
    "evaluate": ("evaluate", "perception"),
    "latency": ("latency", "animate", "encoders"),
    "pretrain_encoders": ("pretrain_encoders", "encoders", "encode"),
    "distill_decoder": ("distill_decoder", "encoders", "encode"),
    "rebuild": ("rebuild",),
}
"""The sections of the settings that a job reads."""


def parameters(verb: str, config: Config) -> dict[str, str]:
    """Of a job: the settings that it reads."""
    settings = dump(config)
    return changed_first(flat({section: settings[section] for section in SECTIONS[verb]}))


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Settings by their keys, as `train.loop.learning_rate`, and their values as a configuration has them."""
    found: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{above}{name}.")
        else:
            found[above + name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return found


def changed_first(params: Mapping[str, str]) -> dict[str, str]:
    """Parameters in their order, but those first that are not as a new configuration has them."""
    defaults = _defaults()
    return dict(sorted(params.items(), key=lambda item: defaults.get(item[0]) == item[1]))


@lru_cache
def _defaults() -> Mapping[str, str]:
    weights = {"faces": {"pack_root": "/"}, "pose": {"detector": "/", "pose": "/"}}
    tree = {"experiment": "x", "root": "/", "curate": {}, "perception": weights}
    return flat(dump(Config.model_validate(tree)))
