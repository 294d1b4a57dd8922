"""Our modules at full size against the names and shapes of the released checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from stableanimator.models.animator import Animator
from stableanimator.models.settings import ModelSettings

RELEASED = json.loads((Path(__file__).parent / "released_state_dict_shapes.json").read_text())


@pytest.fixture(scope="module")
def full() -> Animator:
    with torch.device("meta"):
        return Animator(ModelSettings())


@pytest.mark.parametrize(("part", "tensors"), [("unet", 1460), ("pose_net", 19), ("face_encoder", 56)])
def test_names_and_shapes_are_those_of_the_released_checkpoint(full: Animator, part: str, tensors: int) -> None:
    ours = {name: list(value.shape) for name, value in getattr(full, part).state_dict().items()}
    assert len(RELEASED[part]) == tensors
    assert ours == RELEASED[part]
