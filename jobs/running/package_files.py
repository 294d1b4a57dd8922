"""What the packages consist of: what a job is sent, from a checkout and from an installation alike."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

PACKAGES = ("jobs", "pipelines", "stableanimator")

DATA = (
    "jobs/configs/*.yaml",
    "jobs/demo/page.html.jinja",
    "jobs/preview/page.html.jinja",
    "jobs/weights/catalogue.yaml",
    "pipelines/releases/report.html.jinja",
    "stableanimator/alignment/weights/*",
    "stableanimator/synthetic/weights/*",
)
"""Files beside the modules, `*` across folders: the package-data of pyproject.toml, which no installation has."""


def package_files(source: Path) -> Iterator[Path]:
    """Modules and declared data of the packages below `source`, as paths relative to it, in order.

    Hidden files are none of it, nor is what a link leads to outside of its package.
    """
    for package in PACKAGES:
        inside = os.path.realpath(source / package)
        for folder, subfolders, names in os.walk(source / package):  # follows no links to folders
            subfolders[:] = sorted(name for name in subfolders if not name.startswith((".", "__pycache__")))
            for name in sorted(names):
                path = (Path(folder) / name).relative_to(source)
                real = os.path.realpath(source / path)
                if _belongs(path, source) and real.startswith(inside + os.sep) and os.path.isfile(real):
                    yield path


def _belongs(path: Path, source: Path) -> bool:
    if path.name.startswith("."):
        return False
    is_module = path.suffix == ".py" and (source / path).with_name("__init__.py").is_file()
    return is_module or any(fnmatch(str(path), pattern) for pattern in DATA)


def copy_packages(source: Path, folder: Path) -> None:
    """The packages' files below `source`, copied to the same places below `folder`."""
    for path in package_files(source):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, target)
