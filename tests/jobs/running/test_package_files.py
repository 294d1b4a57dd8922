"""A job is sent what the packages consist of, and nothing else that lies there."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

from jobs.running.package_files import DATA, PACKAGES, copy_packages, package_files

ROOT = Path(__file__).resolve().parents[3]


def test_it_is_what_git_tracks() -> None:
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    tracked = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    new = subprocess.run(["git", "ls-files", "-o", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    assert {str(path) for path in package_files(ROOT)} - set(new.stdout.splitlines()) == tracked


def test_it_is_what_an_installation_has() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    patterns = {f"{package.replace('.', '/')}/{each}" for package, some in declared.items() for each in some}
    assert {pattern.replace("**", "*") for pattern in patterns} == set(DATA)


def test_what_else_lies_there_stays(tmp_path: Path) -> None:
    source, secret = tmp_path / "site-packages", tmp_path / "secret"  # an installation: no git, no pyproject.toml
    secret.mkdir()
    (secret / "key").write_text("key")
    (secret / "__init__.py").write_text("")
    copy_packages(ROOT, source)
    expected = set(package_files(ROOT))
    assert set(package_files(source)) == expected
    for name in (".env", "link.txt", "notes.txt", "id_rsa", ".hidden.py", "running/.netrc", "weights/key.pem"):
        (source / "jobs" / name).write_text("secret")
    (source / "jobs" / "link.txt").unlink()
    (source / "jobs" / "old").mkdir()
    (source / "jobs" / "old" / "script.py").write_text("no package: it has no __init__.py")
    for name in ("link.txt", "linked.py", "configs/linked.yaml"):
        (source / "jobs" / name).symlink_to(secret / "key")
    (source / "jobs" / "linked_room").symlink_to(secret)
    (source / "stableanimator" / "synthetic" / "weights" / "linked").symlink_to(secret)
    (source / "jobs" / "hanging.py").symlink_to(secret / "nothing")
    assert set(package_files(source)) == expected
    (source / "jobs" / "again.py").symlink_to("submit.py")
    sent = tmp_path / "sent"
    copy_packages(source, sent)
    files = {path.relative_to(sent) for path in sent.rglob("*") if not path.is_dir()}
    assert files == expected | {Path("jobs/again.py")}
    assert not any(path.is_symlink() for path in sent.rglob("*"))


def test_a_package_that_is_itself_a_link_is_sent(tmp_path: Path) -> None:
    for package in PACKAGES:
        (tmp_path / package).symlink_to(ROOT / package)
    assert set(package_files(tmp_path)) == set(package_files(ROOT))
