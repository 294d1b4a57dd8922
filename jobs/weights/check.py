"""Weights that a job is about to read, held against what was written down of them when they came or were made.

Once a job, by its driver, at the rate of SHA-256: 1 to 2 GB a second of a core that has instructions for it, a quarter
of that where it has none.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from jobs.weights.catalogue import CATALOGUE, Entry
from jobs.weights.folder import RIGHT, size_of, state
from pipelines.storage.store import Collection, Store, file_sha256
from stableanimator.errors import UserError, WeightsError
from stableanimator.paths import PACKAGE_SCHEME, local_path

_MADE_HERE = ("models", "aligners", "encoders", "tiny_decoders")
"""Kinds of collections that name a folder of weights and their checksums."""


def require_right(store: Store, paths: Iterable[str], catalogue: Sequence[Entry] = CATALOGUE) -> None:
    """Refuse files, and files in folders, that are not what the catalogue says (below SA_WEIGHTS), or not what a
    training below the root has committed. What is not on this machine, and what nobody has written down, passes.

    Args:
        paths: absolute paths or `package://` files; other URIs pass. A file called config.json stands for its folder.

    Raises:
        WeightsError: one line with the first file that is damaged.
    """
    committed: dict[str, Collection] = {}
    for path in paths:
        if "://" in path and not path.startswith(PACKAGE_SCHEME):
            continue
        try:
            place = local_path(path)
        except UserError:  # whoever reads it says so better
            continue
        place = place.parent if place.name == "config.json" else place
        _as_published(place, catalogue)
        committed |= {each.id: each for each in _committed(store, place)}
    for collection in committed.values():
        require_committed(collection)


def _as_published(place: Path, catalogue: Sequence[Entry]) -> None:
    named = os.environ.get("SA_WEIGHTS")
    root = Path(named).absolute() if named else None
    for entry in catalogue if root is not None else ():
        for file in entry.files:
            assert root is not None
            inside = (root / file.path).is_relative_to(place)
            if not inside or file.sha256 is None or not size_of(root / file.path):
                continue
            word, why = state(root, file, read=True)
            if word not in RIGHT:
                raise WeightsError(
                    f"{root / file.path} is damaged ({why}); python -m jobs.weights fetch {entry.name} brings it again"
                )


def _committed(store: Store, place: Path) -> list[Collection]:
    """Collections whose weights lie in a folder, or around it."""
    if "://" in store.root or not place.is_relative_to(store.root):
        return []
    parts = place.relative_to(store.root).parts
    if len(parts) < 3 or parts[0] not in _MADE_HERE:
        return []
    folder = "/".join(parts[:3])
    return [each for each in store.collections(parts[0]) if each.manifest["folder"] == folder]


def require_committed(collection: Collection) -> None:
    """Refuse a training's folder that is not what its collection has committed.

    Raises:
        WeightsError: one line with the first file that is gone or damaged.
    """
    folder = Path(collection.store.root) / collection.manifest["folder"]
    for name, sha256 in collection.manifest["weights"].items():
        path = folder / name
        if not path.is_file() or file_sha256(path) != sha256:
            raise WeightsError(
                f"{path} is not what {collection.uri} committed (its SHA-256 differs, or it is gone); restore it, or "
                f"delete {folder} and run the training again"
            )
