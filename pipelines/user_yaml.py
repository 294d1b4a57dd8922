"""YAML that people write, read within bounds: no file of theirs takes long, or more memory than it has characters.

PyYAML takes the last of equal keys without a word, follows references to themselves and nesting to the end of the
stack, and expands references of references without end. All YAML of this project goes through here.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import yaml

from stableanimator.errors import ConfigError
from stableanimator.limits.checks import shown

DEEPEST = 40
"""Levels of settings inside settings."""
_MOST_BYTES = 200_000
"""Of a file: fifty times what the largest configuration has."""
_MOST_NODES = 10_000
"""Keys, values, lists and mappings as they are written: PyYAML takes half a second for so many."""
_MOST_EXPANDED = 1_000_000
"""Characters and nodes of all values, where each reference counts as what it refers to."""


def read_yaml(path: Path, named: str) -> Any:
    """What a YAML file holds.

    Args:
        named: how messages name the file.

    Raises:
        ConfigError: one line that begins with `named`.
    """
    try:
        # A pipe without a writer would be waited for, and a device may have no end.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(file, "rb") as opened:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise ConfigError(f"{named} is no regular file; give the path of a YAML file")
            data = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{named}: {error.strerror}; give the path of a YAML file") from error
    except ValueError as error:  # a NUL in the path
        raise ConfigError(f"{named}: {error}; give the path of a YAML file") from error
    try:
        return parse_yaml(data.decode("utf-8-sig"), named)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{named} is not YAML: it is not text in UTF-8 ({error.reason})") from error


def parse_yaml(text: str, named: str) -> Any:
    """What a text in YAML says: mappings whose keys are text, lists and plain values.

    Raises:
        ConfigError: one line that begins with `named`, with what is wrong and where.
    """
    if len(text) > _MOST_BYTES:
        raise ConfigError(f"{named} is longer than {_MOST_BYTES:,} characters; settings are short, lists are files")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {}, 0)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" in line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{named} is not YAML that can be used: {_one_line(error.problem)}{place}") from error
    except (yaml.YAMLError, ValueError, OverflowError, LookupError) as error:  # a character or value that cannot be
        raise ConfigError(f"{named} is not YAML that can be used: {_one_line(error)}") from error


def _one_line(words: object) -> str:
    return " ".join(str(words).split())[:200]


class _Loader(yaml.SafeLoader):
    """YAML in which no key occurs twice, however it is written, all keys are text, and nesting ends."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        self._nodes += 1
        if self._depth > DEEPEST:
            raise _fault(_TOO_DEEP, self.peek_event().start_mark)
        if self._nodes > _MOST_NODES:
            raise _fault(f"it has more than {_MOST_NODES:,} values; lists are files", self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            # Which text a key is says its value, and not how it was quoted.
            if not isinstance(key, yaml.ScalarNode) or key.tag not in (_TEXT, _MERGE):
                what = shown(key.value) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise _fault(f"the key {what} is no text; put it in quotes", key.start_mark)
            name = f"{key.tag} {key.value}"
            if name in seen:
                raise _fault(f"{shown(key.value)} occurs twice", key.start_mark)
            seen.add(name)
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > _MOST_DIGITS:
            raise _fault(f"a number of {len(node.value)} characters", node.start_mark)
        return super().construct_yaml_int(node)


def _fault(words: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.composer.ComposerError(None, None, words, mark)


_YAML = "tag:yaml.org,2002:"
_TEXT, _MERGE = f"{_YAML}str", f"{_YAML}merge"
_KINDS = {_TEXT, _MERGE, *(f"{_YAML}{name}" for name in ("int", "float", "bool", "null", "seq", "map", "timestamp"))}
_Loader.add_constructor(f"{_YAML}int", _Loader.construct_yaml_int)
# No setting is a date.
_Loader.add_constructor(f"{_YAML}timestamp", yaml.SafeLoader.construct_yaml_str)  # type: ignore[type-var]
_MOST_DIGITS = 40
_TOO_DEEP = f"it is nested more than {DEEPEST} levels deep"


def _measure(node: yaml.Node, known: dict[int, tuple[int, int] | None], above: int) -> tuple[int, int]:
    """Size (characters and nodes) and height of what a node stands for, each reference counted as what it refers to.

    Raises:
        ComposerError: a node is part of itself, or all of it is too large or too deep.
    """
    if id(node) in known:
        measured = known[id(node)]
        if measured is None:
            raise _fault("a reference leads to itself", node.start_mark)
        if above + measured[1] > DEEPEST:
            raise _fault(_TOO_DEEP, node.start_mark)
        return measured
    if above >= DEEPEST:
        raise _fault(_TOO_DEEP, node.start_mark)
    if node.tag not in _KINDS:
        raise _fault(f"{shown(node.tag.replace(_YAML, '!!'))} is no kind of setting", node.start_mark)
    known[id(node)] = None
    size, height = 1, 0
    if isinstance(node, yaml.ScalarNode):
        size += len(node.value)
        node.value.encode()  # raises ValueError for half a character, which "\ud800" makes
    else:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [each for pair in node.value for each in pair]
        for part in parts:
            more, below = _measure(part, known, above + 1)
            size, height = size + more, max(height, below)
            if size > _MOST_EXPANDED:
                raise _fault("its references stand for too much", node.start_mark)
    known[id(node)] = size, height + 1
    return known[id(node)]  # type: ignore[return-value]
