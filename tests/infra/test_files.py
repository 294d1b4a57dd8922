"""No file of `infra/` is there that nothing checks."""

from __future__ import annotations

import ast
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path


def _covered() -> Counter[str]:
    """Patterns that the modules beside this one name in COVERS: files that they run, render, parse or validate."""
    patterns: Counter[str] = Counter()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and [getattr(name, "id", "") for name in node.targets] == ["COVERS"]:
                patterns.update(ast.literal_eval(node.value))
    return patterns


def test_every_file_of_infra_is_covered_by_a_check_and_every_check_has_its_file(infra: Path) -> None:
    files = [str(path.relative_to(infra)) for path in infra.rglob("*") if path.is_file()]
    patterns = _covered()
    assert [file for file in files if not any(fnmatch(file, pattern) for pattern in patterns)] == []
    assert [pattern for pattern in patterns if not any(fnmatch(file, pattern) for file in files)] == []
    # A pattern reaches no further than its folder, so that a new folder is not covered by chance.
    assert [
        pattern
        for pattern in patterns
        for file in files
        if fnmatch(file, pattern) and (file.count("/") != pattern.count("/"))
    ] == []


def test_files_and_folders_of_infra_stay_small(infra: Path) -> None:
    files = [path for path in infra.rglob("*") if path.is_file()]
    assert [str(path) for path in files if len(path.read_text().splitlines()) > 400] == []
    assert [folder for folder, count in Counter(path.parent for path in files).items() if count > 14] == []


def test_no_secret_stands_in_a_file(infra: Path, secrets: dict[str, str]) -> None:
    """Every name of a secret is followed by a reference, or by nothing."""
    found = []
    for path in infra.rglob("*"):
        if not path.is_file() or path.name == "secrets.sh":
            continue
        for line in path.read_text().splitlines():
            for name in filter(str.isupper, secrets):
                value = line.partition(f"{name}: ")[2]
                if value and not value.startswith(("${", "{secretKeyRef", '"')):
                    found.append(f"{path}: {line}")
    assert found == []
