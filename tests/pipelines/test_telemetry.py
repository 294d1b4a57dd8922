from __future__ import annotations

import ast
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ray.util.metrics import Counter, Gauge

from pipelines import telemetry

ROOT = Path(__file__).resolve().parents[2]


def _calls() -> list[tuple[str, str, set[str]]]:
    """Of `telemetry.add` and `telemetry.show` in the sources: which, the metric's name, its tags."""
    found = []
    for path in [*(ROOT / "pipelines").rglob("*.py"), *(ROOT / "jobs").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "telemetry"
            ):
                name = ast.literal_eval(node.args[0])
                found.append((node.func.attr, name, {keyword.arg or "**" for keyword in node.keywords}))
    return found


def test_what_the_jobs_count_is_what_the_table_names_with_the_same_tags() -> None:
    calls = _calls()
    for called, table in (("add", telemetry.COUNTED), ("show", telemetry.SHOWN)):
        used = {name: tags for function, name, tags in calls if function == called}
        assert used == {name: set(tags) for name, (_, tags) in table.items()}


def test_outside_a_cluster_nothing_is_counted_and_ray_is_not_imported() -> None:
    code = (
        "import sys; from pipelines import telemetry; telemetry.add('sa_frames', 3); "
        "telemetry.show('sa_loss', 1.0, training='x'); sys.exit('ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.usefixtures("cluster")
def test_in_a_cluster_values_come_to_rays_metrics_and_what_is_not_known_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, float, dict[str, str]]] = []
    monkeypatch.setattr(Counter, "inc", lambda metric, value, tags: seen.append((metric.info["name"], value, tags)))
    monkeypatch.setattr(Gauge, "set", lambda metric, value, tags: seen.append((metric.info["name"], value, tags)))
    telemetry.add("sa_videos", status="fetched", reason=None)
    telemetry.add("sa_frames", 0)
    telemetry.show("sa_loss", math.nan, training="x")
    telemetry.show("sa_loss", 0.5, training="x")
    assert seen == [("sa_videos", 1.0, {"status": "fetched", "reason": ""}), ("sa_loss", 0.5, {"training": "x"})]


@pytest.mark.usefixtures("cluster")
def test_a_value_is_shown_again_until_the_cluster_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    monkeypatch.setattr(Gauge, "set", lambda metric, value, tags: seen.append(value))
    monkeypatch.setattr(telemetry._Again, "SECONDS", 0.02)
    monkeypatch.setattr(telemetry, "_again", telemetry._Again())
    telemetry.show("sa_rows_waiting", 7, step="looking")
    telemetry.show("sa_rows_waiting", 3, step="looking")
    deadline = time.monotonic() + 30
    while len(seen) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert seen[0] == 7
    assert seen[1:5] == [3, 3, 3, 3] or seen[1:5] == [7, 3, 3, 3]  # the thread may begin between the two
    monkeypatch.setattr(telemetry, "_in_cluster", lambda: False)
    thread = telemetry._again._thread
    if thread is not None:
        thread.join(30)
        assert not thread.is_alive()
    assert telemetry._again._values == {}
