"""The benchmark of the networks as a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.model import __main__ as model
from benchmarks.model.__main__ import shape_figures


def test_every_name_and_shape_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (figure,) = shape_figures()
    assert figure.value == 0
    assert figure.met
    assert "1460 + 19 + 56 tensors" in figure.note
    facts = model._RELEASED.read_text()
    wrong = facts.replace('"scale"', '"gain"', 1)  # one name that only they have, and one that only we have
    assert wrong != facts

    (tmp_path / "facts.json").write_text(wrong)
    monkeypatch.setattr(model, "_RELEASED", tmp_path / "facts.json")
    assert shape_figures()[0].value == 2
    assert shape_figures()[0].met is False
