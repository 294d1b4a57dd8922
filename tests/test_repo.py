"""What the documents and the packaging say is true of the disk."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from jobs.config import load

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("stableanimator", "pipelines", "jobs")


def _tree() -> set[str]:
    """Paths named by the README's tree: two spaces of indentation a level, a path, then a comment."""
    block = re.search(r"## The tree\n+```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    found: set[str] = set()
    parents: list[str] = []
    for line in block[1].splitlines():
        match = re.match(r"( *)(\S+)", line)
        if match is None:
            continue
        depth = len(match[1]) // 2
        names = [name for name in line.split("  #")[0].split() if name]
        parents = parents[:depth]
        found |= {"/".join([*parents, name]).replace("//", "/") for name in names}
        parents.append(names[0].rstrip("/"))
    return found


def test_every_path_of_the_readmes_tree_exists() -> None:
    missing = [path for path in _tree() if not (ROOT / path).exists()]
    assert missing == []


def test_every_module_is_in_the_readmes_tree() -> None:
    named = {path.rstrip("/") for path in _tree()}
    modules = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert sorted(modules - named) == []


@pytest.mark.parametrize("path", sorted((ROOT / "jobs" / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_configuration_loads(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SA_ROOT", str(tmp_path))
    monkeypatch.setenv("SA_REAL_DATA", str(tmp_path))
    monkeypatch.setenv("SA_WEIGHTS", str(tmp_path))
    assert load(str(path)).experiment


def test_files_and_functions_stay_short() -> None:
    long: list[str] = []
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            if len(text.splitlines()) > 400:
                long.append(str(path))
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60:
                    long.append(f"{path}:{node.lineno} {node.name}")
    assert long == []


def test_pinned_versions_cover_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    names = {re.split(r"[\[><=! ]", requirement)[0].lower().replace("_", "-") for requirement in wanted}
    assert names - pinned == set()


def test_nothing_tracked_is_media_or_weights() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    # Networks that the project trained on what it drew.
    ours = ("stableanimator/synthetic/weights/", "stableanimator/alignment/weights/")
    suffixes = {".mp4", ".avi", ".mov", ".mkv", ".pth", ".onnx", ".safetensors", ".jpg", ".png"}
    paths = [path for path in listed.stdout.splitlines() if not path.startswith(ours)]
    assert [path for path in paths if Path(path).suffix in suffixes] == []
