"""Texts in YAML that nobody should send, by name: what a configuration's reader must answer in one line."""

from __future__ import annotations

import itertools

_LETTERS = "abcdefghijklmnop"


def _laughs(first: str, item: str) -> str:
    """Each line refers nine times to the one before."""
    lines = [f"a: &a {first}"]
    for before, name in itertools.pairwise(_LETTERS):
        lines.append(f"{name}: &{name} {item.replace('*', ','.join([f'*{before}'] * 9))}")
    return "\n".join(lines)


YAML_TEXTS = {
    "a list in itself": "experiment: &a [*a]",
    "a mapping in itself": "experiment: &a {b: *a}",
    "a mapping merged with itself": "experiment: &a {<<: *a}",
    "3,000 lists deep": "experiment: " + "[" * 3000 + "]" * 3000,
    "3,000 mappings deep": "experiment: " + "{a: " * 3000 + "}" * 3000,
    "300 blocks deep": "\n".join(" " * depth + "a:" for depth in range(300)),
    "3,000 references deep": "\n".join(["a0: &a0 [1]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 3000))]),
    "a billion laughs": _laughs("[x, x]", "[*]"),
    "a billion laughs of mappings": _laughs("{x: [y]}", "{x: [*]}"),
    "a billion laughs by merging": _laughs("{x: y}", "{<<: [*]}"),
    "a long text referred to 900 times": f"a: &a {'x' * 100_000}\nb: [{','.join(['*a'] * 900)}]",
    "a key twice": "experiment: a\nexperiment: b",
    "a key twice, once in quotes": 'experiment: a\n"experiment": b',
    "a key twice, once escaped": 'experiment: a\n"\\x65xperiment": b',
    "a key twice, once tagged": "experiment: a\n!!str experiment: b",
    "two merges": "x: &x {a: 1}\nencode: {<<: *x, <<: *x}",
    "a number as a key": "experiment: x\n1: a\n01: b",
    "null as a key, twice": "~: a\nnull: b",
    "a list as a key": "? [a]\n: b",
    "NUL": "experiment: a\0b",
    "a bell": "experiment: a\x07b",
    "half a character": 'experiment: "\\ud800"',
    "an object of Python": "experiment: !!python/object/apply:os.system [id]",
    "a tag of another": "experiment: !mine x",
    "bytes": "experiment: !!binary aGVsbG8=",
    "a set": "experiment: !!set {a, b}",
    "a boolean that is none": "experiment: !!bool 7",
    "a number that is none": "experiment: !!int ''",
    "a number of 5,000 digits": "encode: {batch: " + "9" * 5000 + "}",
    "a hexadecimal number of 10,000 digits": "encode: {batch: 0x" + "f" * 10_000 + "}",
    "a number to the base of 60": "encode: {batch: " + ":".join(["1"] * 50_000) + "}",
    "two documents": "experiment: a\n---\nexperiment: b",
    "a reference to nothing": "experiment: *nothing",
    "a list that never ends": "experiment: [",
    "100,000 values": "experiment: [" + "1," * 100_000 + "]",
    "a megabyte": "experiment: " + "x" * 1_000_000,
    "text alone": "just words",
    "nothing": "",
}
