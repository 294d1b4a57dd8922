"""What an evaluation says of the training and the data that decide its numbers, from a chain of real collections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.evaluation.lineage import lineage
from pipelines.storage.store import Collection, Store


def _chain(store: Store, alignment: str, **model: Any) -> Collection:
    """Predictions of a model that was trained with an alignment; `model` replaces what its manifest says."""

    def commit(kind: str, **content: Any) -> Collection:
        return store.commit(kind, content=content, tables={}, build={})

    release = commit("releases", settings={"select": {"min_face_share": 0.5, "heldout_share": 0.3}})
    shards = commit("shards", release=release.id, settings={"frames_per_row": 16}, encoders="ab")
    aligner = commit("aligners", run={"align": {"steps": 400}, "release": release.id})
    run = {
        "train": {"loop": {"learning_rate": 1e-4}, "step": {"alignment": alignment}},
        "model": {"reference_gain": 1.0},
        "shards": shards.id,
        "encoders": "ab",
        "aligner": aligner.id,
        "start": None,
    }
    trained = commit("models", run=run | model, steps=60)
    variants = [{"name": name, "settings": {"face_optimisation": name == "hjb"}} for name in ("plain", "hjb")]
    return commit("predictions", model=trained.id, variants=variants)


def test_alignment_none_and_learned_stand_side_by_side(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    none, learned = (lineage(_chain(store, alignment), "plain") for alignment in ("none", "learned"))
    assert none.params.keys() == learned.params.keys()
    differing = {name: (none.params[name], learned.params[name]) for name in none.params}
    assert {name: both for name, both in differing.items() if both[0] != both[1]} == {
        "train.step.alignment": ("none", "learned")
    }
    assert none.params["train.loop.learning_rate"] == "0.0001"
    assert none.params["align.steps"] == "400"
    assert none.params["curate.select.heldout_share"] == "0.3"
    assert none.params["encode.frames_per_row"] == "16"
    assert set(none.collections) == {"model", "aligner", "shards", "release"}
    assert none.collections["release"].id == learned.collections["release"].id


def test_variants_have_their_own_settings(tmp_path: Path) -> None:
    predictions = _chain(Store(str(tmp_path)), "none")
    plain, hjb = (lineage(predictions, name).params for name in ("plain", "hjb"))
    assert {name for name in plain if plain[name] != hjb[name]} == {"animate.settings.face_optimisation"}
    with pytest.raises(KeyError):
        lineage(predictions, "another")


def test_what_was_changed_comes_first(tmp_path: Path) -> None:
    params = list(lineage(_chain(Store(str(tmp_path)), "none"), "plain").params)
    defaults = {"curate.select.min_face_share", "encode.frames_per_row"}
    assert {"train.step.alignment", "curate.select.heldout_share"} <= set(params[: -len(defaults)])
    assert defaults <= set(params[-len(defaults) - 3 :])


def test_it_ends_where_nothing_is_recorded(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    without_aligner = lineage(_chain(store, "none", aligner=None, shards="0" * 64), "plain")
    assert set(without_aligner.collections) == {"model"}
    elsewhere = store.commit(
        "predictions",
        content={"model": "f" * 64, "variants": [{"name": "plain", "settings": {"face": True}}]},
        tables={},
        build={},
    )
    found = lineage(elsewhere, "plain")
    assert (found.params, found.collections) == ({"animate.settings.face": "true"}, {})
