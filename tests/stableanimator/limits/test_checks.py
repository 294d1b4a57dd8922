"""Limits in types hold whoever makes the object, subclasses and items of tuples included."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Annotated, Any

import pytest

from stableanimator.limits.checks import LimitError, PositiveInt, Range, Share, VariantName, checked


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class Settings:
    share: Share = 0.5
    count: PositiveInt | None = None
    levels: tuple[Share, Share] = (0.0, 1.0)
    sizes: tuple[tuple[PositiveInt, PositiveInt], ...] = ((1, 2),)
    above: Annotated[float, Range(above=0, below=1)] = 0.5
    names: dict[VariantName, int] | None = None

    def __post_init__(self) -> None:
        if self.levels[0] > self.levels[1]:
            raise ValueError("levels must rise")


@dataclass(frozen=True, kw_only=True, slots=True)
class Other(Settings):
    """Not marked itself."""

    more: Share = 1.0
    size: Annotated[float, Range(0)] = 1.0
    """Without a bound above, that infinity would be beyond."""


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"share": 1.5}, "share must be at least 0 and at most 1, not 1.5"),
        ({"share": "0.5"}, "share must be a number, not '0.5'"),
        ({"share": True}, "share must be a number, not True"),
        ({"share": None}, "share must be a number, not None"),
        ({"size": float("inf")}, "size must be a finite number, not inf"),
        ({"size": float("nan")}, "size must be a finite number, not nan"),
        ({"count": 0}, "count must be at least 1, not 0"),
        ({"count": 1.5}, "count must be a whole number, not 1.5"),
        ({"count": 2**40}, "count must be at least 1 and at most 2147483647"),
        ({"levels": (0.0, 2.0)}, "levels.1 must be at least 0"),
        ({"levels": (0.0,)}, r"levels must be 2 values, not \(0.0,\)"),
        ({"levels": (1.0, 0.0)}, "levels must rise"),
        ({"sizes": ((1, 2), (1, 0))}, "sizes.1.1 must be at least 1"),
        ({"above": 0}, "above must be above 0 and below 1, not 0"),
        ({"above": 1}, "above must be above 0 and below 1, not 1"),
        ({"names": {"../x": 1}}, "names has a name that must be 1 to 40 letters"),
        ({"more": 2}, "more must be at least 0"),
    ],
)
def test_what_is_beyond_its_limits_is_named(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}") as caught:
        Other(**values)
    assert len(str(caught.value)) < 200
    with pytest.raises(ValueError, match=f"^{told}"):
        replace(Other(), **values)


def test_what_lies_within_is_kept() -> None:
    made = Other(share=1, count=None, levels=(0.2, 0.2), above=1e-9, names={"a-1": 1}, more=0)
    assert (made.share, made.count, made.more) == (1, None, 0)
    with pytest.raises(LimitError):
        Settings(share=float("nan"))


def test_the_library_needs_no_parser_of_configurations() -> None:
    code = (
        "import sys, stableanimator.animate_settings, stableanimator.perception.settings\n"
        "print([name for name in ('pydantic', 'yaml', 'torch') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
