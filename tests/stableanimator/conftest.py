"""The small animation, made once for a module."""

from __future__ import annotations

import pytest

from stableanimator.animate import Animation, Driving, Models, Reference

from .small_animation import PLAIN, animate, small_driving, small_models, small_reference


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return small_models(tmp_path_factory.mktemp("arcface"))


@pytest.fixture(scope="module")
def reference() -> Reference:
    return small_reference()


@pytest.fixture(scope="module")
def driving() -> Driving:
    return small_driving()


@pytest.fixture(scope="module")
def plain(models: Models, reference: Reference, driving: Driving) -> Animation:
    return animate(models, reference, driving, PLAIN, seed=5)
