from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from jobs.pairs.files import opened, planned, renamed, restored
from pipelines.storage.inputs import Inputs
from pipelines.storage.store import Store, media_path
from stableanimator.errors import DecodeError, GoneError

URIS = ("reference_uri", "driving_uri", "truth_uri")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "root"))


def test_what_people_named_has_its_checksum_taken_and_media_have_it_in_their_names(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "me.png").write_bytes(b"me")
    row = {
        "reference_uri": f"{tmp_path}/me.png#frame=3",
        "driving_uri": media_path("ab" * 32, ".mp4"),
        "truth_uri": "/gone.mp4",
    }
    rows = planned(store, [row, {**row, "reference_uri": None}], URIS)
    assert rows[0] == row | {"checksums": {"reference_uri": hashlib.sha256(b"me").hexdigest()}}
    assert rows[1]["checksums"] == {}


def test_a_row_is_opened_where_its_files_are_and_speaks_of_them_by_their_names(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"frames")
    medium = media_path(store.put_media(tmp_path / "a.mp4", ".mp4")[0], ".mp4")
    row = {"reference_uri": f"{medium}#frame=3", "driving_uri": medium, "truth_uri": None, "other_uri": "media/x.mp4"}
    inputs, place = Inputs(store), f"{tmp_path}/root/{medium}"
    with opened(inputs, row, URIS) as there:
        assert there == {
            "reference_uri": f"{place}#frame=3", "driving_uri": place, "truth_uri": None,
            "other_uri": f"{tmp_path}/root/media/x.mp4",
        }  # fmt: skip
        assert restored({**there, "frames": 3}, row) == {**row, "frames": 3}
        error = renamed(DecodeError("unreadable", f"{place} is no video"), row, there)
    assert (type(error), str(error)) == (DecodeError, f"unreadable: {medium} is no video")
    with pytest.raises(DecodeError, match=f"^no_such_frame: {medium}#frame=3: "), opened(inputs, row, URIS) as there:
        raise DecodeError("no_such_frame", f"{there['reference_uri']}: it has none")


def test_a_result_is_held_against_the_reference_that_it_was_made_of(store: Store, tmp_path: Path) -> None:
    (tmp_path / "me.png").write_bytes(b"me")
    row = {"reference_uri": f"{tmp_path}/me.png", "reference_sha256": hashlib.sha256(b"me").hexdigest()}
    with opened(Inputs(store), row, URIS):
        pass
    (tmp_path / "me.png").write_bytes(b"somebody else")
    (late,) = planned(store, [row], URIS)
    with pytest.raises(GoneError, match="changed"), opened(Inputs(store), late, URIS):
        pass
