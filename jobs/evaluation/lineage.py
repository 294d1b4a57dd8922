"""What decides the numbers of a prediction set: settings and collections behind it, back to the release.

predictions ─▶ model ─▶ shards ─▶ release
                 └────▶ aligner
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobs.running.parameters import changed_first, flat
from pipelines.storage.store import Collection, Store
from stableanimator.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    """What lies behind predictions, as far as it is recorded in their store."""

    params: dict[str, str]
    """Settings by the names that configurations have for them, those first that differ from the defaults."""
    collections: dict[str, Collection] = field(default_factory=dict)
    """`model`, `aligner`, `shards` and `release`."""


def lineage(predictions: Collection, variant: str) -> Lineage:
    """Of one variant of a prediction set.

    Weights that came from elsewhere, and collections that were deleted, end it there.

    Raises:
        KeyError: the set has no such variant.
    """
    store, manifest = predictions.store, predictions.manifest
    animated = {each["name"]: each["settings"] for each in manifest["variants"]}
    settings: dict[str, Any] = {"animate": {"settings": animated[variant]}}
    collections: dict[str, Collection] = {}

    def opened(name: str, kind: str, collection_id: str | None) -> dict[str, Any]:
        """Its manifest; empty where it is not in this store."""
        found = _find(store, kind, collection_id)
        if found is None:
            return {}
        collections[name] = found
        return found.manifest

    trained = opened("model", "models", manifest["model"]).get("run", {})
    settings |= {name: trained[name] for name in ("train", "model") if name in trained}
    aligned = opened("aligner", "aligners", trained.get("aligner")).get("run", {})
    settings |= {name: aligned[name] for name in ("align",) if name in aligned}
    encoded = opened("shards", "shards", trained.get("shards"))
    settings |= {"encode": encoded["settings"]} if encoded else {}
    released = opened("release", "releases", encoded.get("release"))
    settings |= {"curate": released["settings"]} if released else {}
    return Lineage(params=changed_first(flat(settings)), collections=collections)


def _find(store: Store, kind: str, collection_id: str | None) -> Collection | None:
    try:
        return None if collection_id is None else store.open(kind, collection_id)
    except InputError:
        return None
