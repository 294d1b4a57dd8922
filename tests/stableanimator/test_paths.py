"""Paths of settings: absolute ones, and those inside an installed package."""

from __future__ import annotations

from pathlib import Path

import pytest

import stableanimator
from stableanimator.errors import WeightsError
from stableanimator.paths import is_absolute, local_path


def test_a_path_inside_a_package_lies_where_the_package_was_imported_from() -> None:
    folder = Path(stableanimator.__file__).parent
    assert local_path("package://stableanimator/synthetic/clips.py") == folder / "synthetic" / "clips.py"
    assert local_path("package://stableanimator.synthetic/clips.py") == folder / "synthetic" / "clips.py"


def test_other_paths_stay_what_they_are() -> None:
    assert local_path("/weights/yolox_l.onnx") == Path("/weights/yolox_l.onnx")


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(WeightsError, match="no package 'not_there' is installed"):
        local_path("package://not_there/weights")


@pytest.mark.parametrize(
    ("path", "expected"), [("/a", True), ("s3://b/a", True), ("package://p/a", True), ("a", False)]
)
def test_what_means_the_same_everywhere(path: str, expected: bool) -> None:
    assert is_absolute(path) is expected
