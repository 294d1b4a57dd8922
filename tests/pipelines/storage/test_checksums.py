from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pipelines.storage.checksums import uri_sha256
from stableanimator.errors import GoneError


def test_a_file_by_path_by_uri_and_of_a_frame_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a #1.mp4"
    path.write_bytes(b"x" * 3_000_000)
    wanted = hashlib.sha256(b"x" * 3_000_000).hexdigest()
    assert uri_sha256(str(path)) == uri_sha256(f"{path}#frame=12") == wanted
    assert uri_sha256(f"file://{str(path).replace(' ', '%20').replace('#', '%23')}") == wanted


def test_a_folder_is_what_lies_in_it_and_under_which_names(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "same", "renamed", "changed")]
    for folder in folders:
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "b.parquet").write_bytes(b"b")
        (folder / ("z" if folder.name == "renamed" else "a")).write_bytes(b"!" if folder.name == "changed" else b"a")
    one, same, renamed, changed = map(uri_sha256, map(str, folders))
    assert one == same
    assert len({one, renamed, changed}) == 3


@pytest.mark.parametrize("uri", ["/gone/a.mp4", "nowhere://a/b.mp4"])
def test_what_cannot_be_read_is_named(uri: str) -> None:
    with pytest.raises(GoneError, match=f"not_found: {uri} cannot be read"):
        uri_sha256(uri)
