"""The demo's sources, fetched from its web server as anybody fetches them."""

from __future__ import annotations

import csv
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from jobs.demo import sources
from jobs.demo.sources import draw_sources, served, write_list
from stableanimator.synthetic.clips import KINDS


def test_every_kind_that_the_world_can_draw_is_among_the_sources() -> None:
    assert set(sources.BAD) <= set(KINDS)
    assert set(KINDS) - set(sources.GOOD) - set(sources.BAD) == {"cut_sets"}  # two people in two shots
    assert len(sources.GOOD) + len(sources.BAD) == 24


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Drawn sources, few."""
    monkeypatch.setattr(sources, "GOOD", ("wave",))
    monkeypatch.setattr(sources, "BAD", ("far",))
    _draw(tmp_path)
    return tmp_path


def _draw(folder: Path) -> None:
    with (folder / "log").open("w") as log:
        draw_sources(folder, log)


def test_the_list_names_what_is_served_and_one_that_is_not(folder: Path) -> None:
    with served(folder) as url:
        with write_list(folder, url).open() as file:
            rows = list(csv.DictReader(file))
        names = [row["url"].removeprefix(f"{url}/") for row in rows]
        assert names == ["000_wave.mp4", "001_far.mp4", "cut_off.mp4", "page.mp4", "missing.mp4"]
        assert all(row["licence"] and row["consent"] for row in rows)
        for name in names[:-1]:
            with urllib.request.urlopen(f"{url}/{name}") as answer:
                assert answer.read() == (folder / name).read_bytes()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{url}/missing.mp4")
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url)


def test_a_second_run_has_the_same_urls_and_draws_nothing(folder: Path) -> None:
    drawn = {path: path.stat().st_mtime_ns for path in folder.glob("*.mp4")}
    with served(folder) as first:
        pass
    with served(folder) as second:
        assert second == first
        other = folder / "other"
        other.mkdir()
        (other / "port").write_text(first.rpartition(":")[2])
        with served(other) as third:  # the port is taken
            assert third != first
    (folder / "port").write_text("not a port")
    with served(folder) as again:
        assert again.rpartition(":")[2].isdecimal()
    _draw(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.mp4")} == drawn


def test_damaged_files_are_no_videos(folder: Path) -> None:
    for name in ("cut_off.mp4", "page.mp4"):
        command = [sys.executable, "-c", "import av, sys; list(av.open(sys.argv[1]).decode(video=0))"]
        assert subprocess.run([*command, str(folder / name)], capture_output=True).returncode != 0
