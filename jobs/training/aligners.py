"""Aligners by what a configuration calls them."""

from __future__ import annotations

from pathlib import Path

from jobs.training import run_folder
from jobs.weights.check import require_right
from pipelines.storage.store import Store, file_sha256
from stableanimator.errors import WeightsError
from stableanimator.paths import is_absolute, local_path

SHIPPED = "shipped"
"""The aligner that comes with the package."""

_SHIPPED_FOLDER = "package://stableanimator.alignment/weights"


def aligner_folder(store: Store, which: str) -> tuple[str, Path]:
    """Id and folder of an aligner.

    Args:
        which: `shipped`; an absolute path or `package://` folder; or an aligner of the store by its collection's id,
            the id's first characters, or `latest`.

    Returns:
        The collection's id, or the SHA-256 of the weights where it is no collection; and a local folder.

    Raises:
        InputError: there is no such aligner.
        WeightsError: the folder has no weights, or damaged ones.
    """
    if which != SHIPPED and not is_absolute(which):
        collection, folder = run_folder.trained_folder(store, "aligners", which)
        return collection.id, folder
    folder = local_path(_SHIPPED_FOLDER if which == SHIPPED else which)
    weights = folder / "aligner.safetensors"
    if not weights.exists():
        raise WeightsError(f"{folder} has no aligner.safetensors; name a folder that the align job wrote, or `shipped`")
    require_right(store, [str(folder)])
    return file_sha256(weights), folder
