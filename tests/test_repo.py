"""What the documents and the packaging say is true of the disk."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from jobs.running.config import load

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("stableanimator", "pipelines", "jobs", "benchmarks")


def _rooms() -> list[Path]:
    """Folders of sources, top down."""
    found = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    return sorted(found)


def _tree() -> dict[str, str]:
    """Folders named by the README's tree, with their comments: two spaces of indentation a level, a name, `# what`."""
    block = re.search(r"## The tree\n.*?```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    found: dict[str, str] = {}
    parents: list[str] = []
    for line in block[1].splitlines():
        match = re.match(r"( *)(\S+)/ +# (.+)", line)
        assert match is not None, line
        parents = [*parents[: len(match[1]) // 2], match[2]]
        found["/".join(parents)] = match[3]
    return found


def _docstring(room: Path) -> str:
    return ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""


def test_the_readmes_tree_is_the_disks_with_what_each_room_says_of_itself() -> None:
    tree = _tree()
    assert [path for path in tree if not (ROOT / path).is_dir()] == []
    said = {str(room.relative_to(ROOT)): _docstring(room).splitlines()[0].rstrip(".") for room in _rooms()}
    assert {path: tree.get(path) for path in said} == said


def test_every_module_is_described_in_its_room() -> None:
    unsaid = [
        str(path.relative_to(ROOT))
        for room in _rooms()
        for path in sorted(room.glob("[!_]*.py"))
        if not re.search(rf"^ *(\w+, )*{path.stem}(, \w+)* +\S", _docstring(room), re.MULTILINE)
    ]
    assert unsaid == []


def test_rooms_hold_no_more_than_can_be_taken_in_at_a_glance() -> None:
    counts = {room: sum(path.name != "__init__.py" for path in room.glob("*.py")) for room in _rooms()}
    assert {str(room): count for room, count in counts.items() if count > 14} == {}
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_inits_hold_words_alone() -> None:
    assert [room for room in _rooms() if len(ast.parse((room / "__init__.py").read_text()).body) != 1] == []


def test_settings_import_nothing_of_their_package_but_settings() -> None:
    wrong = []
    for path in [path for room in _rooms() for path in room.glob("*settings.py")]:
        package = path.relative_to(ROOT).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            ground = (
                "settings",
                f"{package}.limits.checks",
                f"{package}.limits.places",
                f"{package}.errors",
                f"{package}.media.framing",
            )
            if module and module.startswith(f"{package}.") and not module.endswith(ground):
                wrong.append(f"{path}: {module}")
    assert wrong == []


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
