"""The images: by hadolint, against the project's pins, and every RUN line in a fresh Debian."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from .services import program

COVERS = ("docker/*.Dockerfile",)
ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "infra" / "docker").glob("*.Dockerfile"))
NAMES = [path.stem for path in FILES]


def _instructions(path: Path) -> list[tuple[str, str]]:
    with open(path, "rb") as file:
        parsed = DockerfileParser(fileobj=file).structure
    return [(each["instruction"], each["value"]) for each in parsed if each["instruction"] != "COMMENT"]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_hadolint_finds_nothing_wrong(path: Path) -> None:
    check = subprocess.run(["hadolint", path], capture_output=True, text=True)
    assert (check.returncode, check.stdout) == (0, "")


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_an_image_has_pinned_versions_and_no_root(path: Path) -> None:
    instructions = _instructions(path)
    [base] = [value for name, value in instructions if name == "ARG" and value.startswith("BASE=")]
    assert re.search(r":\d+\.\d+\.\d+-|@sha256:", base), "the base has a whole version or a digest"
    users = [value for name, value in instructions if name == "USER"]
    assert len(users) == 1
    assert int(users[0]) > 0  # a number: Kubernetes cannot tell whether a name is root
    for name, value in instructions:
        if name == "RUN" and "pip install" in value:
            for command in re.findall(r"pip install (?:(?!&&).)*", value):
                assert re.search(r"--constraint \S*constraints\.txt", command), command
                assert "--no-cache-dir" in command, command


def test_what_images_install_is_pinned_and_what_they_copy_is_there() -> None:
    pins = {
        re.split("==", line)[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    assert {"boto3", "flask-wtf", "mlflow", "psycopg2-binary", "onnxruntime-gpu"} <= pins
    versions = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert versions["onnxruntime-gpu"] == versions["onnxruntime"]
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    for path in FILES:
        copied = [value.split()[:-1] for name, value in _instructions(path) if name == "COPY"]
        sources = {source for each in copied for source in each}
        assert [source for source in sources if not (ROOT / source).exists()] == []
        if path.stem != "mlflow":
            assert {package.rstrip("*") for package in packages} <= sources


class Fresh:
    """A Debian in a folder, in which the instructions of a Dockerfile are carried out by chroot."""

    def __init__(self, folder: Path, mounts: Sequence[str]) -> None:
        self.folder = folder
        self.environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
        }
        self.shell, self.place, self.user = ["/bin/sh", "-c"], "/", "root"
        # How this machine reaches its registries is not the image's business.
        self.machine = {name: value for name, value in os.environ.items() if re.match(r"(?i)(PIP|SSL|.*_proxy)", name)}
        tools = {name: shutil.which(name) for name in ("unshare", "mount", "chroot")}
        # In a name space of its own: what is mounted goes with the command, and nothing can be deleted through it.
        binds = [f"{tools['mount']} -o bind,ro {each} {folder}{each}" for each in mounts]
        enter = f'exec {tools["chroot"]} --userspec="$SA_USER" {folder} "$@"'
        self.enter = [tools["unshare"] or "unshare", "--mount", "/bin/sh", "-ec", "\n".join([*binds, enter]), "enter"]

    def run(self, command: str, shell: list[str] | None = None) -> str:
        """Run a command as the image would; its output."""
        inner = f"cd {shlex.quote(self.place)} && {command}"
        run = subprocess.run(
            [*self.enter, *(shell or self.shell), inner], capture_output=True, text=True,
            env=self.environment | self.machine | {"SA_USER": self.user},
        )  # fmt: skip
        assert run.returncode == 0, f"{command}\n{run.stdout[-2000:]}\n{run.stderr[-4000:]}"
        return run.stdout

    def build(self, path: Path, arguments: dict[str, str]) -> None:
        """Carry out a Dockerfile from after FROM to its end."""
        given = {}
        for name, value in _instructions(path):
            if name == "ARG":
                key, _, default = value.partition("=")
                given[key] = arguments.get(key, default)
                self.environment = given | self.environment
            elif name == "ENV":
                for each in shlex.split(value):
                    key, _, content = each.partition("=")
                    self.environment[key] = content
            elif name == "SHELL":
                self.shell = [part.strip(' "') for part in value.strip("[]").split(",")]
            elif name == "WORKDIR":
                self.place = value
                (self.folder / value.lstrip("/")).mkdir(parents=True, exist_ok=True)
            elif name == "COPY":
                self._copy(*value.split())
            elif name == "USER":
                self.environment["HOME"] = self.run(f"getent passwd {value} | cut -d: -f6").strip()
                self.user = value
            elif name == "RUN":
                self.run(value)
            else:
                assert name in ("FROM", "CMD", "EXPOSE"), f"{name} is not carried out here"

    def _copy(self, *sources: str) -> None:
        target = self.folder / os.path.join(self.place, sources[-1]).lstrip("/")
        for source in map(ROOT.joinpath, sources[:-1]):
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (target if sources[-1].endswith("/") else target.parent).mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)


@pytest.fixture
def fresh(tmp_path: Path) -> Fresh:
    """What `python:…-slim-bookworm` has that matters here: Debian 12 and its Python."""
    if os.geteuid() != 0:
        pytest.skip("only root can change its root to a fresh Debian")
    bootstrap, folder = program("mmdebstrap", "mmdebstrap"), tmp_path / "root"
    include = "--include=python3,python3-venv,ca-certificates"
    subprocess.run([bootstrap, "--variant=minbase", include, "bookworm", folder], check=True, capture_output=True)
    machines = ("/etc/ssl", "/etc/pip.conf", "/etc/xdg/pip", "/etc/hosts", "/etc/resolv.conf", "/opt/wheels")
    mounts = ["/proc", "/dev", *(path for path in (*machines, *_indexes()) if os.path.exists(path))]
    for name in mounts:
        there = folder / name.lstrip("/")
        if os.path.isdir(name):
            there.mkdir(parents=True, exist_ok=True)
        else:
            there.parent.mkdir(parents=True, exist_ok=True)
            there.touch()
    return Fresh(folder, mounts)


def _indexes() -> list[str]:
    """Folders that pip is told to look into on this machine."""
    shown = subprocess.run(["pip", "config", "list"], capture_output=True, text=True).stdout
    return sorted({f"/{path.split('/')[0]}/{path.split('/')[1]}" for path in re.findall(r"file:///([^\s']+)", shown)})


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_line_runs_in_a_fresh_debian_and_the_result_works(path: Path, fresh: Fresh) -> None:
    fresh.build(path, {"TORCH_INDEX": ""})
    assert fresh.run("id --user").strip() == "1000"
    if path.stem == "mlflow":
        assert "--app-name" in fresh.run("mlflow server --help")
        fresh.run("python -c 'import psycopg2, boto3, flask_wtf'")
        return
    # As Ray's launcher calls it, from a login shell; and what the probes of KubeRay use.
    login = ["/bin/bash", "--login", "-c"]
    assert "2.60.0" in fresh.run("ray --version", login)
    fresh.run("command -v wget && command -v rsync && g++ --version")
    assert "train reserves 8 training workers" in fresh.run(
        "SA_WEIGHTS=/data/weights python -m jobs.train --config /app/infra/settings.yaml --dry-run"
    )
    runtime = fresh.run("python -c 'import onnxruntime; print(onnxruntime.get_available_providers())'")
    assert ("CUDAExecutionProvider" in runtime) == (path.stem == "cuda")
    fresh.run("python -c 'import cv2, deepspeed, mlflow, jobs.train, jobs.curate, jobs.animate, jobs.evaluate'")
