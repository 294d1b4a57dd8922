"""YAML that people write is read within bounds, or refused in one line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.hostile.yaml_texts import YAML_TEXTS
from pipelines.user_yaml import parse_yaml, read_yaml
from stableanimator.errors import ConfigError

_ARE_YAML = ("text alone", "nothing")


@pytest.mark.parametrize("name", [name for name in YAML_TEXTS if name not in _ARE_YAML])
def test_what_nobody_should_send_is_one_line_at_once(name: str) -> None:
    began = time.process_time()
    with pytest.raises(ConfigError, match=r"^the file ") as caught:
        parse_yaml(YAML_TEXTS[name], "the file")
    assert time.process_time() - began < 1
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_lists_are_files_and_no_settings() -> None:
    """Half a second of PyYAML, whatever is in it."""
    assert len(parse_yaml("[" + "1, " * 9_000 + "]", "x")) == 9_000
    with pytest.raises(
        ConfigError, match=r"^x is not YAML that can be used: it has more than 10,000 values; lists are"
    ):
        parse_yaml("[" + "1, " * 11_000 + "]", "x")


def test_no_text_takes_much_memory() -> None:
    code = (
        "import resource\n"
        "from benchmarks.hostile.yaml_texts import YAML_TEXTS\n"
        "from pipelines.user_yaml import parse_yaml\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for text in YAML_TEXTS.values():\n"
        "    try:\n"
        "        parse_yaml(text, 'x')\n"
        "    except Exception as error:\n"
        "        assert type(error).__name__ == 'ConfigError', error\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 100e6


def test_references_and_merges_mean_what_they_say() -> None:
    text = "base: &base {x: 1, y: [a]}\nother: {<<: *base, x: 2}\nagain: *base\ndate: 2020-01-01\n"
    both = {"x": 1, "y": ["a"]}
    assert parse_yaml(text, "x") == {"base": both, "other": both | {"x": 2}, "again": both, "date": "2020-01-01"}


def test_a_fault_is_placed() -> None:
    with pytest.raises(ConfigError, match=r"the file is not YAML .*: 'b' occurs twice in line 3"):
        parse_yaml('a: 1\nb: 2\n"b": 3\n', "the file")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(ConfigError, match="give the path of a YAML file"):
            read_yaml(path, "--config x")
    with pytest.raises(ConfigError, match="null byte"):
        read_yaml(Path("a\0b"), "--config x")
    (tmp_path / "latin.yaml").write_bytes(b"experiment: \xe4")
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        read_yaml(tmp_path / "latin.yaml", "--config x")
