"""What values settings may have: each field says it in its type, and one check holds every settings class to it.

    @dataclass(frozen=True, kw_only=True, slots=True)
    @checked
    class FaceSettings:
        min_score: Share = 0.5

So a limit is said once, and holds for whoever makes the object: code, a configuration, the description in a model's
folder. A `Range` holds neither NaN nor infinity; a comparison alone lets NaN pass. What several fields must be together
stays in `__post_init__`, which runs after this check.
"""

from __future__ import annotations

import functools
import math
import numbers
import operator
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from stableanimator.redaction import redacted

_SHOWN = 80
"""Characters of a value that a message shows."""

Kind = TypeVar("Kind", bound=type)


class Limit:
    """What a value must be, beside its type: metadata of an `Annotated` type."""

    def fault(self, value: Any) -> str | None:
        """What is wrong with it, in words that follow its name; None: nothing."""
        raise NotImplementedError


class LimitError(ValueError):
    """A value beyond its limits. `where` is its field, an item's with its place as `levels.0`; `fault` is in words."""

    def __init__(self, where: str, fault: str) -> None:
        super().__init__(f"{where} {fault}")
        self.where, self.fault = where, fault


@dataclass(frozen=True, slots=True)
class Range(Limit):
    """A finite number from `low` to `high`, `above` one and `below` another; what is None bounds nothing."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None

    def fault(self, value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return f"must be a number, not {shown(value)}"
        if not isinstance(value, int) and not math.isfinite(value):  # an integer may be no float
            return f"must be a finite number, not {value}"
        number: Any = value
        bounds = [
            ("at least", self.low, operator.ge),
            ("above", self.above, operator.gt),
            ("at most", self.high, operator.le),
            ("below", self.below, operator.lt),
        ]
        said = [(word, bound, holds(number, bound)) for word, bound, holds in bounds if bound is not None]
        if all(inside for _, _, inside in said):
            return None
        words = [f"{word} {bound:.10g}" for word, bound, inside in said if not inside or abs(bound) < LARGEST]
        return f"must be {' and '.join(words)}, not {shown(value)}"


LARGEST = 2**31 - 1
"""Of a whole number: beyond it libraries disagree."""

PositiveInt = Annotated[int, Range(1, LARGEST)]
NotNegativeInt = Annotated[int, Range(0, LARGEST)]
Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
Cosine = Annotated[float, Range(-1, 1)]
Level = Annotated[int, Range(0, 255)]
Bucket = Annotated[float, Range(0, 255)]
Seed = Annotated[int, Range(0, 2**63 - 1)]
FramesPerSecond = Annotated[float, Range(above=0, high=1000)]
Seconds = Annotated[float, Range(above=0, high=1e9)]
"""Of waiting: clocks and sockets take no more than some hundred years."""
Pause = Annotated[float, Range(0, 1e9)]
"""Seconds, or none."""


@dataclass(frozen=True, slots=True)
class Name(Limit):
    """A name that may become a part of a path or of an address: letters, digits and `marks`, of which `_` alone may be
    the first."""

    marks: str = "._-"
    most: int = 100
    """Bytes, in UTF-8."""
    ascii: bool = False
    """Whether the letters must be those of ASCII."""

    def fault(self, value: Any) -> str | None:
        if not isinstance(value, str):
            return f"must be text, not {shown(value)}"
        fits = value and all(each.isalnum() or each in self.marks for each in value)
        fits = fits and (value[0].isalnum() or value[0] == "_") and value[-1] != " "
        if fits and len(value.encode()) <= self.most and (value.isascii() or not self.ascii):
            return None
        marks = ", ".join("spaces" if mark == " " else mark for mark in self.marks)
        return f"must be 1 to {self.most} letters, digits and {marks}, a letter or digit first, not {shown(value)}"


FolderName = Annotated[str, Name()]
"""Of a folder below the root, of a pack of weights."""
Title = Annotated[str, Name(marks=" ._-+,()")]
"""Of an experiment: MLflow may make a folder of it."""
VARIANT = Name(marks="_-", most=40, ascii=True)
VariantName = Annotated[str, VARIANT]


@dataclass(frozen=True, slots=True)
class CollectionName(Limit):
    """`latest`, one of `words`, or the first characters of an id, which are hexadecimal digits."""

    words: tuple[str, ...] = ()

    def fault(self, value: Any) -> str | None:
        named = isinstance(value, str) and (
            value in ("latest", *self.words) or (0 < len(value) <= 64 and set(value) <= set("0123456789abcdef"))
        )
        words = " or ".join(("latest", *self.words))
        return None if named else f"must be {words}, or the first characters of an id (0-9, a-f), not {shown(value)}"


CollectionId = Annotated[str, CollectionName()]


@dataclass(frozen=True, slots=True)
class HeaderText(Limit):
    """What may stand in a header of HTTP."""

    def fault(self, value: Any) -> str | None:
        fits = isinstance(value, str) and value.isascii() and value.isprintable() and value.strip() == value != ""
        return None if fits else f"must be one line of ASCII, not {shown(value)}"


def shown(value: Any) -> str:
    """A value as messages show it: one line, without secrets, cut where it is long."""
    text = redacted(repr(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def checked(kind: Kind) -> Kind:
    """Hold every object of a settings class to the limits of its fields' types; stands below `@dataclass`.

    What is made then raises LimitError.
    """
    own: Callable[[Any], None] | None = getattr(kind, "__post_init__", None)

    def __post_init__(self: Any) -> None:
        hold(self)
        if own is not None:
            own(self)

    kind.__post_init__ = __post_init__  # type: ignore[attr-defined]
    return kind


def hold(settings: Any) -> None:
    """Raises LimitError for the first field that is beyond the limits of its type."""
    kind: Any = type(settings)
    for name, hint in hints_of(kind).items():
        for where, fault in _faults(hint, getattr(settings, name), name):
            raise LimitError(where, fault)


@functools.cache
def hints_of(kind: Any) -> dict[str, Any]:
    """The types of a class's fields, limits included."""
    hints = typing.get_type_hints(kind, include_extras=True)
    of_objects = {name: hint for name, hint in hints.items() if typing.get_origin(hint) is not typing.ClassVar}
    return {name: hint for name, hint in of_objects.items() if not name.startswith("_")}


def _faults(hint: Any, value: Any, where: str) -> Iterator[tuple[str, str]]:
    """Place and words of what is wrong with a value of a type, items of tuples and keys of dictionaries included."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        for limit in parts[1:]:
            if isinstance(limit, Limit) and (fault := limit.fault(value)):
                yield where, fault
        if parts[0] is int and not isinstance(value, numbers.Integral):
            yield where, f"must be a whole number, not {shown(value)}"
        yield from _faults(parts[0], value, where)
    elif origin in (typing.Union, types.UnionType):
        for part in parts if value is not None else ():
            yield from _faults(part, value, where)
    elif origin is tuple and isinstance(value, tuple):
        kinds = parts[:1] * len(value) if parts[-1:] == (...,) else parts
        if len(kinds) != len(value):
            yield where, f"must be {len(kinds)} values, not {shown(value)}"
        for place, (kind, item) in enumerate(zip(kinds, value, strict=False)):
            yield from _faults(kind, item, f"{where}.{place}")
    elif origin is dict and isinstance(value, dict):
        for key in value:
            for _, fault in _faults(parts[0], key, where):
                yield where, f"has a name that {fault}"
