"""What became of the last release: the one that the last rebuild of this experiment ended with."""

from __future__ import annotations

from typing import Any

from jobs.rebuild.receipts import KINDS, Outputs
from pipelines.releases.diff import ReleaseDiff, diff_releases
from pipelines.storage.store import Collection, Store
from stableanimator.errors import UserError

KIND = "rebuilds"


def last_release(store: Store, experiment: str, release: str) -> Collection | None:
    """Of the newest finished rebuild of the experiment; where there is none, the newest release but this one; None
    where this is the first."""
    rebuilds = [one for one in store.collections(KIND) if one.manifest["experiment"] == experiment]
    for one in sorted(rebuilds, key=lambda one: str(one.build()["finished_at"]), reverse=True):
        try:
            return store.open("releases", one.manifest["outputs"]["release"])
        except (UserError, KeyError):
            continue  # it was deleted, or that rebuild made none
    others = [one for one in store.collections("releases") if one.id != release]
    return max(others, key=lambda one: str(one.build()["finished_at"]), default=None)


def newest(store: Store) -> str | None:
    """Id of the rebuild that finished last."""
    try:
        return store.open(KIND).id
    except UserError:
        return None


def record(
    store: Store, experiment: str, verbs: tuple[str, ...], outputs: Outputs, build: dict[str, Any]
) -> Collection:
    """Commit what a rebuild ended with. Equal ends have an equal id, whatever was done to come there."""
    known = {name: collection_id for name, collection_id in outputs.items() if name in KINDS}
    content = {"experiment": experiment, "verbs": list(verbs), "outputs": known}
    return store.commit(KIND, content=content, tables={}, build=build)


def difference(store: Store, last: Collection | None, release: str) -> ReleaseDiff | None:
    """None where there is nothing to compare with, or it is the same."""
    if last is None or last.id == release:
        return None
    return diff_releases(last, store.open("releases", release))
