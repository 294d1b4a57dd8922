"""The doctor on a cluster of this machine: what it finds right, and each thing that can be wrong."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.doctor.__main__ import main
from jobs.running.config import load
from jobs.running.files import looked_at, needed_files
from jobs.running.job_server import SUBMITTER

TINY = Path(__file__).parents[3] / "jobs" / "configs" / "tiny.yaml"
VERBS = "doctor.verbs=[curate,encode]"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SA_ROOT", str(tmp_path))
    for name in ("MLFLOW_TRACKING_URI", SUBMITTER):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "tiny" / "sources").mkdir(parents=True)
    (tmp_path / "tiny" / "sources" / "a.mp4").write_bytes(b"a")
    return str(TINY)


@pytest.fixture
def doctor(
    config: str, cluster: str, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, list[str]], str]]:
    """`doctor(*overrides)`: exit code, lines by state, and what went to stderr."""

    def run(*overrides: str) -> tuple[int, dict[str, list[str]], str]:
        code = main(["--config", config, VERBS, "doctor.free_gib=0", "encode.free_gib=0", *overrides])
        output = capsys.readouterr()
        lines: dict[str, list[str]] = {"ok": [], "note": [], "wrong": []}
        for line in output.out.splitlines():
            state, _, text = line.partition(" ")
            if state in lines:
                lines[state].append(text.strip())
        return code, lines, output.err

    return run


def _one(lines: list[str], text: str) -> str:
    (found,) = [line for line in lines if text in line]
    return found


def test_nothing_is_wrong_and_nothing_stays(
    doctor: Callable[..., tuple[int, dict[str, list[str]], str]], tmp_path: Path
):
    code, lines, _ = doctor()
    assert (code, lines["wrong"]) == (0, [])
    for text in (
        "Ray 2.60.", "1 node with 3 CPU and 0 GPU together", "curate asks for 2 actors of 1 CPU cores",
        "perception.pose.pose: package://stableanimator.synthetic/weights/dwpose/pose.onnx on 1 machine",
        "curate.crawl.sources: ", "is shared and writable",
        f"the tracking server sqlite:///{tmp_path}/mlflow.db answers",
    ):  # fmt: skip
        _one(lines["ok"], text)
    assert sorted(path.name for path in (tmp_path / "tiny").rglob("*")) == ["a.mp4", "sources"]


def test_each_wrong_thing_is_a_line_with_a_way_out(doctor: Callable[..., tuple[int, dict[str, list[str]], str]]):
    code, lines, error = doctor(
        "curate.cpus_per_actor=64", "encode.gpus_per_actor=1", "doctor.free_gib=1e9", "encode.free_gib=1e9",
        "perception.pose.pose=/nowhere/pose.onnx", "encoders.svd=/nowhere/svd",
        "curate.crawl.sources=[/nowhere/clips]",
    )  # fmt: skip
    assert code == 2
    wrong = lines["wrong"]
    assert "places for 0 (the largest machine has 3 CPU cores" in _one(wrong, "curate asks for")
    assert "lower encode.cpus_per_actor and gpus_per_actor, or add machines" in _one(wrong, "encode asks for")
    assert _one(wrong, "/nowhere/pose.onnx is missing on ").endswith("fetch brings weights)")
    _one(wrong, "encoders.svd: /nowhere/svd/vae/config.json is missing")
    assert _one(wrong, "/nowhere/clips is missing").endswith("put it there, or name another")
    assert "free some space, or set TMPDIR" in _one(wrong, "less than doctor.free_gib")
    _one(wrong, "less than encode.free_gib")
    assert all("; " in line for line in wrong)
    assert error.splitlines()[-1].startswith(f"error: {len(wrong)} of ")


def test_a_root_that_cannot_be_written_is_wrong(
    doctor: Callable[..., tuple[int, dict[str, list[str]], str]], tmp_path: Path
):
    (tmp_path / "file").write_text("no folder")
    code, lines, _ = doctor(f"root={tmp_path}/file/root")
    assert code == 2
    assert f"root: {tmp_path}/file/root cannot be written" in lines["wrong"][0]


@pytest.mark.parametrize(("status", "state"), [(None, "note"), (500, "note"), (401, "wrong"), (404, "wrong")])
def test_a_tracking_server_that_does_not_answer_is_noted_and_one_that_refuses_is_wrong(
    status: int | None,
    state: str,
    doctor: Callable[..., tuple[int, dict[str, list[str]], str]],
    failing: Callable[[int], str],
    monkeypatch: pytest.MonkeyPatch,
):
    uri = "http://127.0.0.1:9" if status is None else failing(status)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    code, lines, _ = doctor()
    assert code == (2 if state == "wrong" else 0)
    line = _one(lines[state], f"the tracking server {uri} ")
    assert "mlflow server --host 0.0.0.0" in line or "MLFLOW_TRACKING_USERNAME" in line
    assert ("what they log waits" in line) == (state == "note")


@pytest.fixture
def failing() -> Iterator[Callable[[int], str]]:
    """`failing(status)`: the URL of a server that answers everything with it."""
    servers = []

    def serve(status: int) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.send_error(status)

            do_GET = do_POST

            def log_message(self, *arguments: object) -> None:
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_submitters_versions_are_held_against_the_clusters(
    doctor: Callable[..., tuple[int, dict[str, list[str]], str]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(SUBMITTER, "2.60.9 3.12.0")
    code, lines, _ = doctor()
    assert code == 0  # our code runs there all the same
    assert "and 2.60.9 is here" in _one(lines["note"], "the cluster runs Ray")
    assert "and 3.12.0 is here" in _one(lines["note"], "the cluster runs Python")


def test_a_typo_is_one_line(config: str, capsys: pytest.CaptureFixture[str]):
    assert main(["--config", config, "doctor.verb=[curate]"]) == 2
    assert capsys.readouterr().err == "error: unknown setting 'doctor.verb'; did you mean 'verbs'?\n"


def test_only_files_of_the_jobs_that_shall_run_are_looked_for(config: str):
    loaded = load(config)

    def settings(*verbs: str) -> set[str]:
        return {each.setting for each in needed_files(loaded, verbs)}

    assert settings("encode") == {"encoders.svd"}
    assert settings("train") == {"train.start"}
    assert "perception.faces.held_out" in settings("evaluate")
    assert "perception.faces.held_out" not in settings("curate", "animate")
    judged = load(config, ["animate.accept.max_flicker=2"])
    assert "perception.faces.held_out" in {each.setting for each in needed_files(judged, ["animate"])}
    assert settings("curate") == {
        "curate.crawl.sources", "perception.faces.pack_root", "perception.pose.detector", "perception.pose.pose",
    }  # fmt: skip
    tracks = load(config, ["curate.measures=[camera_motion]"])
    assert {each.setting for each in needed_files(tracks, ["curate"])} == {"curate.crawl.sources"}
    assert {each.everywhere for each in needed_files(tracks, ["curate"])} == {False}  # the driver lists them


def test_what_is_said_of_a_path(tmp_path: Path):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "full").write_bytes(b"123")
    assert looked_at(str(tmp_path / "full")) == 3
    assert looked_at(f"file://{tmp_path}/full") == 3
    assert looked_at(str(tmp_path / "empty")) == "is empty"
    assert looked_at(str(tmp_path / "folder" / "inner")) == "is empty"
    assert looked_at(str(tmp_path / "folder")) == 1
    assert looked_at(str(tmp_path / "none")) == "is missing"
    assert looked_at(f"file://{tmp_path}/none") == "is missing"
    assert "no package 'nobody'" in str(looked_at("package://nobody/x"))
    assert "is no URI that can be read" in str(looked_at("gopher://x/y"))
