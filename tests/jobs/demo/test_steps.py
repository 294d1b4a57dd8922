"""A verb submitted by the demo, and what the terminal and the log get of it."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from jobs.demo.steps import Step, Terminal, run_step
from jobs.tracking.pages import experiment_page, run_page


def test_a_mistake_is_the_steps_line_and_its_exit_code(tmp_path: Path) -> None:
    shown = io.StringIO()
    with (tmp_path / "log").open("w") as log:
        step = run_step(
            "encode", ["--config", str(tmp_path / "none.yaml")], log, Terminal(Console(file=shown, width=200))
        )
    assert (step.code, step.run_id) == (2, None)
    assert "none.yaml" in step.said
    assert shown.getvalue().startswith("✗ encode")
    assert shown.getvalue().count("\n") == 1
    assert step.said in (tmp_path / "log").read_text()


def test_a_terminal_has_one_line_for_each_step() -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=60, force_terminal=True, color_system=None)
    with Terminal(console) as terminal:
        with terminal.step("curate") as line:
            terminal.say("measuring videos: 3 of 24 " + "x" * 100)
            line.said = "accepted 12 of 26 shots"
        with terminal.step("encode") as line:
            line.said = "34 rows"
    last = shown.getvalue().rsplit("\x1b[1A", 1)[-1]
    assert "accepted 12 of 26 shots" in last
    assert "34 rows" in last
    assert all(len(line) <= 62 for line in last.splitlines())


def test_a_run_is_known_by_its_page() -> None:
    def run_id(page: str | None) -> str | None:
        return Step(verb="train", seconds=1.0, code=0, said="", page=page).run_id

    assert run_id(run_page("http://host:5000", "7", "ab12")) == "ab12"
    assert run_id(experiment_page("http://host:5000", "7")) is None  # of an evaluation, which has several
    assert run_id(None) is None
