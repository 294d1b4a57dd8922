from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from jobs.weights import __main__ as weights
from jobs.weights.catalogue import CATALOGUE

ROOT = Path(__file__).resolve().parents[3]
BODY = hashlib.shake_256(b"weights").digest(300_000)
RELEASED = b"released" * 1000
HOME = "https://home.example/terms"


class Command:
    """The command over a small catalogue: two files of plain URLs, and one of a hub."""

    def __init__(self, root: Path, catalogue: tuple[Any, ...], capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.catalogue, self._capsys = root, catalogue, capsys

    def __call__(self, *arguments: str) -> tuple[int, list[str], list[str]]:
        """Exit code, lines of stdout, lines of stderr."""
        code = weights.main(["--root", str(self.root), *arguments], self.catalogue)
        output = self._capsys.readouterr()
        return code, output.out.splitlines(), output.err.splitlines()


@pytest.fixture
def command(shelf: Any, tmp_path: Path, entry: Any, file: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("HF_ENDPOINT", shelf.url)
    pose = file("dwpose/pose.onnx", BODY, shelf.put("/pose.onnx", BODY))
    people = file("dwpose/people.onnx", BODY[::-1], shelf.put("/people.onnx", BODY[::-1]))
    released = file("stableanimator/unet.pth", RELEASED, shelf.put_hub("unet.pth", RELEASED), known=False)
    catalogue = entry("dwpose", pose, people, full=True), entry("stableanimator", released)
    return Command(tmp_path / "weights", catalogue, capsys)


def test_terms_come_first_then_the_files(command: Command, shelf: Any):
    code, lines, errors = command("fetch", "dwpose")
    assert (code, errors) == (0, [])
    assert lines[:3] == ["dwpose: what dwpose is", "  licence: CC BY-NC 4.0", f"  home:    {HOME}"]
    assert lines[3] == f"fetched {command.root}/dwpose/pose.onnx (300.0 kB, SHA-256 as published)"
    assert lines[-1] == f"weights: 2 files fetched into {command.root}"
    assert (command.root / "dwpose/people.onnx").read_bytes() == BODY[::-1]


def test_nothing_is_fetched_twice(command: Command, shelf: Any):
    command("fetch", "all")
    asked = len(shelf.answers)
    code, lines, _ = command("fetch", "all")
    assert code == 0
    assert len(shelf.answers) == asked == 5
    assert lines == [
        "dwpose: everything is there",
        "stableanimator: everything is there",
        f"weights: 0 files fetched into {command.root}",
    ]


def test_full_is_what_the_full_configuration_names(command: Command, shelf: Any):
    command("fetch", "full")
    assert {answer.path for answer in shelf.answers} == {"/pose.onnx", "/people.onnx"}


def test_an_interrupted_fetch_goes_on_at_the_right_byte(command: Command, shelf: Any):
    shelf.faults["/pose.onnx"] += [{"cut": 100_000}, *[{"status": 404}]]
    code, _, (error,) = command("fetch", "dwpose")
    assert code == 2
    assert "http_404" in error
    _, lines, _ = command("list")
    assert "missing" in lines[1]
    assert "(100000 bytes have arrived)" in lines[1]
    assert command("fetch", "dwpose")[0] == 0
    answers = [answer for answer in shelf.answers if answer.path == "/pose.onnx"]
    assert [(answer.start, answer.sent) for answer in answers][-1] == (100_000, 200_000)


def test_what_the_catalogue_has_no_checksum_of_is_never_called_verified(command: Command):
    code, lines, _ = command("fetch", "stableanimator")
    sha256 = hashlib.sha256(RELEASED).hexdigest()
    assert code == 0
    assert lines[3] == (
        f"fetched {command.root}/stableanimator/unet.pth (8.0 kB, NOT VERIFIED: SHA-256 {sha256} as first seen; the "
        f"catalogue has none; compare it with {HOME})"
    )
    record = json.loads((command.root / "checksums.json").read_text())["stableanimator/unet.pth"]
    assert (record["sha256"], record["trust"]) == (sha256, "first_seen")
    assert command("list")[1][3].startswith("unverified")
    assert command("verify", "stableanimator")[0] == 0
    (command.root / "stableanimator/unet.pth").write_bytes(RELEASED[:-1] + b"!")
    code, lines, (error,) = command("verify", "stableanimator")
    assert code == 2
    assert lines[0].startswith(f"wrong       {command.root}/stableanimator/unet.pth: SHA-256 ")
    assert f"not {sha256}" in lines[0]
    assert error == f"error: 1 of 1 files in {command.root} are missing or wrong; the lines above say which"


def test_verify_finds_a_flipped_byte_and_says_how_to_mend_it(command: Command):
    command("fetch", "dwpose")
    assert command("verify")[:2] == (
        0,
        [
            f"present     {command.root}/dwpose/pose.onnx",
            f"present     {command.root}/dwpose/people.onnx",
            f"weights: 2 files in {command.root} are right",
        ],
    )
    place = command.root / "dwpose/pose.onnx"
    damaged = bytearray(BODY)
    damaged[1234] ^= 1
    place.write_bytes(damaged)
    code, lines, errors = command("verify")
    assert (code, len(errors)) == (2, 1)
    assert lines[0].startswith(f"wrong       {place}: SHA-256 ")
    assert "python -m jobs.weights fetch dwpose, or by hand: download http://127.0.0.1" in lines[0]
    assert lines[1].startswith("present")
    assert command("fetch", "dwpose")[0] == 0
    assert command("verify", "dwpose")[0] == 0


def test_verify_of_a_name_that_is_missing_is_2_and_without_names_counts_what_is_there(command: Command):
    code, _, (error,) = command("verify")
    assert code == 2
    assert "holds no weights; python -m jobs.weights fetch full" in error
    command("fetch", "stableanimator")
    assert command("verify")[0] == 0
    code, lines, _ = command("verify", "dwpose")
    assert code == 2
    assert [line.split()[0] for line in lines] == ["missing", "missing"]
    assert f"to {command.root}/dwpose/pose.onnx, then python -m jobs.weights verify dwpose" in lines[0]


def test_a_file_put_there_by_hand_is_unverified_until_it_is_hashed(command: Command, shelf: Any):
    (command.root / "dwpose").mkdir(parents=True)
    (command.root / "dwpose/pose.onnx").write_bytes(BODY)
    (command.root / "dwpose/people.onnx").write_bytes(BODY[:-1])
    lines = command("list")[1]
    assert lines[1].split()[0] == "unverified"
    assert lines[2].startswith("wrong size")
    assert command("verify", "dwpose")[0] == 2
    assert command("list")[1][1].split()[0] == "present"
    command("fetch", "dwpose")
    assert [answer.path for answer in shelf.answers] == ["/people.onnx"]


def test_list_of_an_empty_folder_names_every_file_of_the_catalogue(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert weights.main(["list", "--root", str(tmp_path / "none")]) == 0
    lines = capsys.readouterr().out.splitlines()
    files = [(entry, file) for entry in CATALOGUE for file in entry.files]
    assert len(lines) == len(files) + 2
    for line, (entry, file) in zip(lines[1:-1], files, strict=True):
        assert line.startswith("missing")
        assert file.path in line
        assert entry.licence in line
    assert lines[-1].startswith(f"0 of {len(files)} files are there")
    assert not (tmp_path / "none").exists()


def test_mirrors_of_hugging_face_and_of_all_else_are_asked(
    command: Command, shelf: Any, entry: Any, file: Any, monkeypatch: pytest.MonkeyPatch
):
    shelf.put("/mirror/publisher.example/x/file.bin", BODY)
    hub = entry("hub", file("hub/hub.bin", BODY, shelf.put_hub("hub.bin", BODY, large=False)))
    other = entry("other", file("file.bin", BODY, "https://publisher.example/x/file.bin"))
    monkeypatch.setenv("HF_TOKEN", "secret")
    command.catalogue = (hub, other)
    code, _, errors = command("fetch", "all", "--mirror", f"{shelf.url}/mirror")
    assert (code, errors) == (0, [])
    sent = [{name.lower(): value for name, value in answer.headers.items()} for answer in shelf.answers]
    assert [headers.get("authorization") for headers in sent] == ["Bearer secret", "Bearer secret", None]
    assert (command.root / "file.bin").read_bytes() == BODY


def test_a_disk_that_is_too_small_is_one_line_before_anything_is_asked(
    command: Command, shelf: Any, monkeypatch: pytest.MonkeyPatch
):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=500_000))
    code, _, (error,) = command("fetch", "dwpose")
    assert code == 2
    assert error == (
        f"error: dwpose needs 600.0 kB below {command.root}, where 500.0 kB are free; free space there, or give "
        "another folder with --root"
    )
    assert shelf.answers == []


def test_offline_is_one_line_with_place_url_and_the_way_by_hand(command: Command, entry: Any, file: Any):
    url, place = "http://nowhere.invalid/pose.onnx", command.root / "dwpose/pose.onnx"
    command.catalogue = (entry("dwpose", file("dwpose/pose.onnx", BODY, url)),)
    code, _, (line,) = command("fetch", "dwpose")
    assert code == 2
    assert line.startswith(f"error: {place} could not be fetched from {url}: unknown_host: nowhere.invalid")
    assert line.endswith(
        f"by hand: download {url} (terms: {HOME}) to {place}, then python -m jobs.weights verify dwpose"
    )


def test_where_prints_the_path_that_settings_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name, path in (
        ("antelopev2", "insightface/models/antelopev2"),
        ("cotracker3-online", "cotracker3/scaled_online.pth"),
        ("svd-xt", "stable-video-diffusion-img2vid-xt"),
        ("stableanimator", "stableanimator"),
        ("dwpose", "dwpose"),
    ):
        assert weights.main(["--root", str(tmp_path), "where", name]) == 0
        assert capsys.readouterr().out == f"{tmp_path}/{path}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "dwpos"], "no weights are called 'dwpos'; did you mean dwpose?"),
        (["verify", "zzz"], "there are antelopev2, buffalo_l"),
        (["where", "zzz"], "there are antelopev2, buffalo_l"),
        (["fetch", "dwpose", "--mirror", "nowhere"], "--mirror or HF_ENDPOINT has 'nowhere'; http://"),
    ],
)
def test_a_users_mistake_is_one_line_and_2(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert weights.main(["--root", str(tmp_path), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


STOPPED = "stopped by SIGINT; what is done is kept, and the same command goes on from there"


@pytest.mark.parametrize(("signal_", "hub"), [(signal.SIGKILL, True), (signal.SIGINT, False)], ids=["hub", "url"])
def test_a_killed_fetch_goes_on_where_it_was(
    command: Command, shelf: Any, entry: Any, file: Any, signal_: signal.Signals, hub: bool
):
    url = shelf.put_hub("slow.bin", BODY) if hub else shelf.put("/slow.bin", BODY)
    sent_from = f"/cdn/{hashlib.sha256(BODY).hexdigest()}" if hub else "/slow.bin"
    shelf.faults[sent_from] += [{"slow": 0.2}]
    command.catalogue = (entry("slow", file("slow/slow.bin", BODY, url)),)
    script = (
        "from jobs.weights.__main__ import main\n"
        "from jobs.weights.catalogue import Entry, WeightsFile\n"
        f"raise SystemExit(main(['fetch', 'slow', '--root', {str(command.root)!r}], {command.catalogue!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        partial = command.root / "slow/slow.bin.partial"
        deadline = time.monotonic() + 30
        while not (partial.exists() and partial.stat().st_size > 60_000) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal_)
        errors = process.communicate(timeout=30)[1].splitlines()
    if signal_ == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130
        assert errors[-1] == STOPPED
    arrived = partial.stat().st_size
    assert 60_000 < arrived < len(BODY)
    assert not (command.root / "slow/slow.bin").exists()
    assert command("fetch", "slow")[0] == 0
    last = [answer for answer in shelf.answers if answer.path == sent_from][-1]
    assert (last.start, last.sent) == (arrived, len(BODY) - arrived)
    assert (command.root / "slow/slow.bin").read_bytes() == BODY


def test_an_interruption_says_that_it_goes_on(command: Command, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(weights, "fetch", interrupted)
    code, _, errors = command("fetch", "dwpose")
    assert (code, errors) == (130, [STOPPED])


def test_without_a_folder_the_command_says_what_to_set_and_loads_no_ray_mlflow_or_torch():
    script = (
        "import sys; from jobs.weights.__main__ import main; code = main(['list']); "
        "print(code, sorted({'ray', 'mlflow', 'torch', 'diffusers'} & set(sys.modules)))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "SA_WEIGHTS"}
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.stdout == "2 []\n"
    assert run.stderr == "error: no weights folder is named; set SA_WEIGHTS to a folder, or give --root FOLDER\n"


def test_the_folder_is_root_else_the_environments_else_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def where(*arguments: str) -> str:
        weights.main(["where", "dwpose", *arguments])
        output = capsys.readouterr()
        return output.out + output.err

    monkeypatch.setenv("SA_WEIGHTS", str(tmp_path / "environment"))
    assert where() == f"{tmp_path}/environment/dwpose\n"
    assert where("--root", str(tmp_path / "given")) == f"{tmp_path}/given/dwpose\n"
    monkeypatch.chdir(tmp_path)
    assert where("--root", "here") == f"{tmp_path}/here/dwpose\n"
    (tmp_path / "file").write_text("")
    assert "file is a file; set SA_WEIGHTS or --root to a folder" in where("--root", "file")
    monkeypatch.delenv("SA_WEIGHTS")
    assert "set SA_WEIGHTS to a folder, or give --root FOLDER" in where()


@pytest.mark.parametrize("arguments", [["fetch"], ["where"], ["unpack"], []])
def test_a_command_that_is_none_is_2(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        weights.main(["--root", str(tmp_path), *arguments])
    assert end.value.code == 2
    assert "python -m jobs.weights" in capsys.readouterr().err
