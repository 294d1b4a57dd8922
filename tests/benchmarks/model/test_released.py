"""The differences to the released modules: mistakes, and the bar where a checkout is named."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks.model.released import VARIABLE, released_figures
from stableanimator.errors import InputError


def test_without_a_checkout_nothing_is_measured_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert released_figures() == []
    assert capsys.readouterr().out.count("\n") == 1


def test_another_folder_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match="has no animation/modules"):
        released_figures()


def test_our_modules_are_the_released_ones() -> None:
    if not os.environ.get(VARIABLE):
        pytest.skip(f"no checkout of the released code: name one in {VARIABLE}")
    figures = released_figures()
    assert len(figures) == 6
    assert all(figure.met for figure in figures)
    assert not any(name.startswith("animation") for name in sys.modules)
