"""The dataset root: content addresses, fingerprints, commits, manifests.

    media/ab/<sha256>.mp4                      one file for each video, named by the SHA-256 of its bytes
    parts/<family>/<key>/<group>/<sha256>.parquet   cached rows; key = what they were made with, group = their video
    <kind>/<id>/manifest.json                  a collection (releases, shards, benchmarks); id = SHA-256 of the manifest
    <kind>/<id>/{*.parquet,build.json,…}       its tables; times, host and commit in build.json

Every Parquet part is named by the SHA-256 of its own bytes, and a manifest's folder by the SHA-256 of the manifest.
So a file that was cut short does not match its name and does not exist for a reader; writing it again gives the same
name and the same bytes. Nothing relies on rename, append or overwrite: any filesystem of `pyarrow.fs` will do.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from stableanimator.errors import ConfigError, InputError

log = logging.getLogger(__name__)

_CHUNK = 1 << 20


def fingerprint(value: Any) -> str:
    """SHA-256 (hex) of a JSON-like value in canonical form: sorted keys, no spaces."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def canonical_json(value: Any) -> bytes:
    """The one spelling of a JSON-like value that fingerprints and manifests use."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def file_sha256(path: str | Path) -> str:
    """SHA-256 (hex) of a local file."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as Parquet with fixed writer settings, so that equal tables give equal bytes."""
    sink = io.BytesIO()
    pq.write_table(
        table.combine_chunks(),
        sink,
        compression="zstd",
        compression_level=3,
        row_group_size=4096,
        version="2.6",
        data_page_version="1.0",
        store_schema=True,
    )
    return sink.getvalue()


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A committed manifest and the tables beside it."""

    store: Store
    kind: str
    id: str
    manifest: dict[str, Any]

    @property
    def folder(self) -> str:
        """Path below the store's root."""
        return f"{self.kind}/{self.id}"

    @property
    def uri(self) -> str:
        return self.store.uri(self.folder)

    def table(self, name: str) -> pa.Table:
        """The table `name`, checked against the manifest's checksum.

        Raises:
            InputError: the table is not listed, or its bytes are not those that were committed.
        """
        listed = self.manifest["tables"].get(name)
        if listed is None:
            raise InputError(f"{self.uri} has no table {name!r}; it has {', '.join(self.manifest['tables'])}")
        return self.store.read_parquet(f"{self.folder}/{name}.parquet", listed["sha256"])

    def build(self) -> dict[str, Any]:
        """Times, host, commit and speeds of the job that wrote it."""
        return json.loads(self.store.read_bytes(f"{self.folder}/build.json"))


class Store:
    """A root folder or URI. All paths given to its methods are relative to the root, with `/`."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        if "://" in root:
            self.filesystem, self._base = pafs.FileSystem.from_uri(self.root)
        elif os.path.isabs(root):
            self.filesystem, self._base = pafs.LocalFileSystem(), self.root
        else:
            raise ConfigError(f"root: {root!r} is a relative path; give an absolute path or a URI")

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.root,)

    def uri(self, path: str) -> str:
        """What a person or another job can open: root and path joined."""
        return f"{self.root}/{path}"

    def _full(self, path: str) -> str:
        return f"{self._base}/{path}"

    # bytes and tables

    def exists(self, path: str) -> bool:
        return self.filesystem.get_file_info(self._full(path)).type != pafs.FileType.NotFound

    def read_bytes(self, path: str) -> bytes:
        with self.filesystem.open_input_stream(self._full(path)) as stream:
            return stream.read()

    def write_bytes(self, path: str, data: bytes) -> None:
        full = self._full(path)
        self.filesystem.create_dir(full.rsplit("/", 1)[0], recursive=True)
        with self.filesystem.open_output_stream(full) as stream:
            stream.write(data)

    def read_parquet(self, path: str, sha256: str) -> pa.Table:
        """The table at `path`.

        Raises:
            InputError: its bytes do not have this checksum (cut short, or changed by hand).
        """
        data = self.read_bytes(path)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise InputError(f"{self.uri(path)} is not what was committed (checksum differs); run the job again")
        return pq.read_table(pa.BufferReader(data))

    def _list(self, folder: str, *, recursive: bool = False) -> list[pafs.FileInfo]:
        selector = pafs.FileSelector(self._full(folder), recursive=recursive, allow_not_found=True)
        return sorted(self.filesystem.get_file_info(selector), key=lambda info: info.path)

    # cached parts

    def write_part(self, family: str, key: str, group: str, table: pa.Table) -> dict[str, Any]:
        """Commit rows of one group (a video). Returns {path, sha256, rows}."""
        data = parquet_bytes(table)
        digest = hashlib.sha256(data).hexdigest()
        path = f"parts/{family}/{key}/{group}/{digest}.parquet"
        self.write_bytes(path, data)
        return {"path": path, "sha256": digest, "rows": table.num_rows}

    def read_part(self, path: str) -> pa.Table | None:
        """The rows of one part, or None when its bytes do not match its name."""
        data = self.read_bytes(path)
        if hashlib.sha256(data).hexdigest() != Path(path).stem:
            log.warning("%s was cut short and is ignored; its rows are made again", self.uri(path))
            return None
        return pq.read_table(pa.BufferReader(data))

    def part_paths(self, family: str, key: str, group: str = "") -> list[str]:
        """Paths of all parts of a key, or of one group of it, in name order."""
        folder = f"parts/{family}/{key}/{group}".rstrip("/")
        infos = self._list(folder, recursive=True)
        return [info.path[len(self._base) + 1 :] for info in infos if info.path.endswith(".parquet")]

    def read_parts(self, family: str, key: str, schema: pa.Schema, group: str = "") -> pa.Table:
        """All committed rows of a key (or of one group of it), in the order of part names."""
        parts = [self.read_part(path) for path in self.part_paths(family, key, group)]
        return pa.concat_tables([schema.empty_table(), *(part.cast(schema) for part in parts if part is not None)])

    # media

    def put_media(self, local_file: str | Path, extension: str) -> tuple[str, bool]:
        """Store a local file under the SHA-256 of its bytes. Returns (video_id, whether it is new).

        `extension` includes its dot. A file that an interrupted copy left short is copied again.
        """
        video_id = file_sha256(local_file)
        path = media_path(video_id, extension)
        info = self.filesystem.get_file_info(self._full(path))
        if info.type == pafs.FileType.File and info.size == os.path.getsize(local_file):
            return video_id, False
        self.filesystem.create_dir(self._full(path).rsplit("/", 1)[0], recursive=True)
        with open(local_file, "rb") as source, self.filesystem.open_output_stream(self._full(path)) as sink:
            shutil.copyfileobj(source, sink, _CHUNK)
        return video_id, True

    def local_file(self, path: str) -> str:
        """A path that decoders can open: the file itself on a local root, else a copy in this machine's cache."""
        if isinstance(self.filesystem, pafs.LocalFileSystem):
            return self._full(path)
        cached = Path(tempfile.gettempdir()) / "stableanimator-media" / Path(path).name
        size = self.filesystem.get_file_info(self._full(path)).size
        if not cached.exists() or cached.stat().st_size != size:
            cached.parent.mkdir(parents=True, exist_ok=True)
            with (
                tempfile.NamedTemporaryFile(dir=cached.parent, delete=False) as copy,
                self.filesystem.open_input_stream(self._full(path)) as source,
            ):
                shutil.copyfileobj(source, copy, _CHUNK)
            os.replace(copy.name, cached)
        return str(cached)

    # collections

    def commit(
        self,
        kind: str,
        *,
        content: dict[str, Any],
        tables: dict[str, pa.Table],
        build: dict[str, Any],
        files: dict[str, bytes] | None = None,
    ) -> Collection:
        """Write a collection; the manifest last. Equal content and tables give an equal id.

        `content` is what the id covers beside the tables (settings, weights, counts, lineage); `build` gets
        `finished_at` added; `files` are extras for people (a report), not covered by the id.
        """
        encoded = {name: parquet_bytes(table) for name, table in tables.items()}
        listed = {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "rows": tables[name].num_rows}
            for name, data in encoded.items()
        }
        manifest = {**content, "kind": kind, "tables": listed}
        data = canonical_json(manifest)
        collection = Collection(store=self, kind=kind, id=hashlib.sha256(data).hexdigest(), manifest=manifest)
        for name, table_data in encoded.items():
            self.write_bytes(f"{collection.folder}/{name}.parquet", table_data)
        for name, file_data in (files or {}).items():
            self.write_bytes(f"{collection.folder}/{name}", file_data)
        stamped = {**build, "finished_at": datetime.datetime.now(datetime.UTC).isoformat()}
        self.write_bytes(f"{collection.folder}/build.json", json.dumps(stamped, indent=2).encode())
        self.write_bytes(f"{collection.folder}/manifest.json", data)
        return collection

    def open(self, kind: str, collection_id: str = "latest") -> Collection:
        """A committed collection by its id, by the first characters of its id, or the newest one ("latest").

        Raises:
            InputError: there is none, or the characters fit several.
        """
        names = [Path(info.path).name for info in self._list(kind) if info.type == pafs.FileType.Directory]
        wanted = names if collection_id == "latest" else [name for name in names if name.startswith(collection_id)]
        found = [collection for name in wanted if (collection := self._read_collection(kind, name)) is not None]
        if not found:
            raise InputError(f"no committed {collection_id} under {self.uri(kind)}; run the job that writes it first")
        if collection_id != "latest" and len(found) > 1:
            raise InputError(f"{collection_id!r} fits {len(found)} entries of {self.uri(kind)}; give more characters")
        return max(found, key=lambda collection: collection.build()["finished_at"])

    def _read_collection(self, kind: str, name: str) -> Collection | None:
        path = f"{kind}/{name}/manifest.json"
        if not self.exists(path):
            return None
        data = self.read_bytes(path)
        if hashlib.sha256(data).hexdigest() != name:
            log.warning("%s does not match its name and is ignored", self.uri(path))
            return None
        return Collection(store=self, kind=kind, id=name, manifest=json.loads(data))


def media_path(video_id: str, extension: str) -> str:
    """Where a video lies below the root; `extension` includes its dot."""
    return f"media/{video_id[:2]}/{video_id}{extension}"
