"""The dataset root: content addresses, fingerprints, commits, manifests.

    media/ab/<sha256>.mp4                      one file for each video, named by the SHA-256 of its bytes
    predictions/videos/…, previews/sheets/…    what animate makes, named by what it depends on
    parts/<family>/<key>/<group>/<sha256>.parquet   cached rows; key = what they were made with, group = their video
    parts/<family>/<key>/merged/…<sha256>.parquet   the same rows of many videos (pipelines.storage.compaction)
    <kind>/<id>/manifest.json                  a collection (releases, shards, benchmarks); id = SHA-256 of the manifest
    <kind>/<id>/{*.parquet,build.json,…}       its tables; times, host and commit in build.json

Every Parquet part is named by the SHA-256 of its own bytes, and a manifest's folder by the SHA-256 of the manifest.
So a file that was cut short does not match its name and does not exist for a reader; writing it again gives the same
name and the same bytes. No reader relies on rename, append or overwrite: any filesystem of `pyarrow.fs` will do.

Tables name such files by their path below the root (a reference), so that they mean the same under every root, and ids
do not follow it. `Store.resolve` says where one lies.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from pipelines.storage.checksums import damaged, require_whole
from pipelines.storage.parquet_files import ParquetFile, named_files, open_parquet, parquet_bytes
from pipelines.storage.whole_files import write_whole
from stableanimator.errors import FULL, ConfigError, InputError, StorageError
from stableanimator.limits.places import STORES, Place
from stableanimator.paths import below, frame_of, is_absolute
from stableanimator.redaction import WAY_OUT, holds_credentials

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


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file below the root."""

    path: str
    bytes: int


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
        """The table `name`, checked against the manifest's checksums.

        Raises:
            InputError: the table is not listed, or its bytes are not those that were committed.
        """
        files = self._listed(name)
        return pa.concat_tables(
            self.store.read_parquet(f"{self.folder}/{file['name']}", file["sha256"]) for file in files
        )

    def batches(self, name: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Some columns of the table `name`, some thousand rows in memory at a time.

        Raises:
            InputError: the table is not listed, or its bytes are not those that were committed.
        """
        for file in self._listed(name):
            path = f"{self.folder}/{file['name']}"
            require_whole(self.store, path, file["sha256"])
            with self.store.open_file(path) as source:
                parquet = open_parquet(source)
                for group in range(parquet.num_row_groups):
                    yield parquet.read_row_group(group, columns=list(columns))

    def files(self, name: str) -> list[str]:
        """Paths or URIs of the Parquet files of a table, in the order of its rows, for tools that read such files."""
        return [self.store.uri(f"{self.folder}/{file['name']}") for file in self._listed(name)]

    def _listed(self, name: str) -> list[dict[str, Any]]:
        listed = self.manifest["tables"].get(name)
        if listed is None:
            raise InputError(f"{self.uri} has no table {name!r}; it has {', '.join(self.manifest['tables'])}")
        return list(listed["files"])

    def build(self) -> dict[str, Any]:
        """Times, host, commit and speeds of the job that wrote it; the oldest time where the file is damaged."""
        try:
            return {"finished_at": "", **json.loads(self.store.read_bytes(f"{self.folder}/build.json"))}
        except (ValueError, TypeError):
            return {"finished_at": ""}


class Store:
    """A root folder or URI. All paths given to its methods are relative to the root, with `/`."""

    def __init__(self, root: str) -> None:
        if holds_credentials(root):
            raise ConfigError(f"root: {root} holds credentials, {WAY_OUT}")
        if fault := Place(STORES).fault(root):
            raise ConfigError(f"root {fault}")
        self.root = root.rstrip("/")
        if "://" in root:
            self.filesystem, base = pafs.FileSystem.from_uri(self.root)
            self._base = base.rstrip("/")
        else:
            self.filesystem, self._base = pafs.LocalFileSystem(), self.root
        self.is_local = isinstance(self.filesystem, pafs.LocalFileSystem)

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.root,)

    def uri(self, path: str) -> str:
        """What a person or another job can open: root and path joined."""
        return below(self.root, path)

    def resolve(self, reference: str) -> str:
        """Where a file lies that a table names: by its path below the root, or by an absolute path or URI, which stays
        as it is. A `#frame=…` behind it stays too."""
        if is_absolute(reference):
            return reference
        path, frame = frame_of(reference)
        return self.uri(path) + frame

    def _full(self, path: str) -> str:
        return f"{self._base}/{path}"

    def local_path(self, path: str) -> str | None:
        """The file itself; None where the root is no folder of this machine."""
        return self._full(path) if self.is_local else None

    def file_info(self, path: str) -> pafs.FileInfo:
        """Whether there is a file, its size and time."""
        return self.filesystem.get_file_info(self._full(path))

    def exists(self, path: str) -> bool:
        return self.file_info(path).type != pafs.FileType.NotFound

    def read_bytes(self, path: str) -> bytes:
        with self.filesystem.open_input_stream(self._full(path)) as stream:
            return stream.read()

    def open_file(self, path: str) -> Any:
        """A file for reading at any place."""
        return self.filesystem.open_input_file(self._full(path))

    def write_bytes(self, path: str, data: bytes) -> None:
        """Raises StorageError where the disk is full."""
        self._write(path, [data])

    def _write(self, path: str, chunks: Iterable[bytes]) -> None:
        try:
            write_whole(self.filesystem, self._full(path), chunks)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise StorageError(
                f"{self.root} is full ({os.strerror(error.errno)}, while writing {path}); free some space and run the "
                "job again: what was committed is kept"
            ) from error

    def delete(self, path: str) -> None:
        """Delete a file, and its folder where that is empty then. A file that is gone already is no error."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.delete_file(self._full(path))
        if self.is_local:
            with contextlib.suppress(OSError):
                os.rmdir(self._full(path).rsplit("/", 1)[0])

    def read_parquet(self, path: str, sha256: str) -> pa.Table:
        """The table at `path`.

        Raises:
            InputError: its bytes do not have this checksum (cut short, or changed by hand).
        """
        data = self.read_bytes(path) if self.exists(path) else b""
        if hashlib.sha256(data).hexdigest() != sha256:
            raise damaged(self.uri(path))
        return pq.read_table(pa.BufferReader(data))

    def _list(self, folder: str, *, recursive: bool = False) -> list[pafs.FileInfo]:
        selector = pafs.FileSelector(self._full(folder), recursive=recursive, allow_not_found=True)
        return sorted(self.filesystem.get_file_info(selector), key=lambda info: info.path)

    def write_part(self, family: str, key: str, group: str, table: pa.Table) -> dict[str, Any]:
        """Commit rows of one group (a video). Returns {path, sha256, rows}."""
        data = parquet_bytes(table)
        digest = hashlib.sha256(data).hexdigest()
        path = f"parts/{family}/{key}/{group}/{digest}.parquet"
        self.write_bytes(path, data)
        return {"path": path, "sha256": digest, "rows": table.num_rows}

    def write_part_file(self, family: str, key: str, group: str, file: ParquetFile) -> dict[str, Any]:
        """The same for rows that were streamed."""
        path = f"parts/{family}/{key}/{group}/{file.sha256}.parquet"
        self._write(path, file.chunks())
        return {"path": path, "sha256": file.sha256, "rows": file.rows}

    def free_bytes(self) -> int | None:
        """Room left on the root's disk; None where the root is no local folder."""
        if not self.is_local:
            return None
        self.filesystem.create_dir(self._base, recursive=True)
        return shutil.disk_usage(self._base).free

    def is_whole(self, path: str) -> bool:
        """Whether the bytes of a part match its name."""
        return self.holds(path, part_sha256(path))

    def holds(self, path: str, sha256: str) -> bool:
        """Whether there is a file of these bytes; read a megabyte at a time."""
        digest = hashlib.sha256()
        try:
            with self.filesystem.open_input_stream(self._full(path)) as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
        except FileNotFoundError:
            return False
        return digest.hexdigest() == sha256

    def read_part(self, path: str) -> pa.Table | None:
        """The rows of one part, or None when its bytes do not match its name."""
        data = self.read_bytes(path)
        if hashlib.sha256(data).hexdigest() != part_sha256(path):
            log.warning("%s is damaged and is ignored; its rows are made again", self.uri(path))
            return None
        return pq.read_table(pa.BufferReader(data))

    def parts(self, family: str, key: str, group: str = "") -> list[StoredFile]:
        """All parts of a key, or of one group of it, in name order."""
        infos = self._list(f"parts/{family}/{key}/{group}".rstrip("/"), recursive=True)
        return [
            StoredFile(info.path[len(self._base) + 1 :], info.size)
            for info in infos
            if info.path.endswith(".parquet") and info.type == pafs.FileType.File
        ]

    def part_paths(self, family: str, key: str, group: str = "") -> list[str]:
        """The paths of the same."""
        return [part.path for part in self.parts(family, key, group)]

    def part_keys(self) -> list[tuple[str, str]]:
        """Family and key of everything under `parts`, in name order."""
        families = [Path(info.path).name for info in self._list("parts")]
        return [(name, Path(info.path).name) for name in families for info in self._list(f"parts/{name}")]

    def read_parts(self, family: str, key: str, schema: pa.Schema, group: str = "") -> pa.Table:
        """All committed rows of a key (or of one group of it), in the order of part names."""
        parts = [self.read_part(path) for path in self.part_paths(family, key, group)]
        return pa.concat_tables([schema.empty_table(), *(part.cast(schema) for part in parts if part is not None)])

    def put_media(self, local_file: str | Path, extension: str) -> tuple[str, bool]:
        """Store a local file under the SHA-256 of its bytes. Returns (video_id, whether it is new).

        `extension` includes its dot. A file that an interrupted copy left short is copied again.
        """
        video_id = file_sha256(local_file)
        path = media_path(video_id, extension)
        info = self.file_info(path)
        if info.type == pafs.FileType.File and info.size == os.path.getsize(local_file):
            return video_id, False
        with open(local_file, "rb") as source:
            self._write(path, iter(lambda: source.read(_CHUNK), b""))
        return video_id, True

    def commit(
        self,
        kind: str,
        *,
        content: dict[str, Any],
        tables: Mapping[str, pa.Table | Sequence[ParquetFile]],
        build: dict[str, Any],
        files: Mapping[str, bytes | Callable[[], bytes]] | None = None,
    ) -> Collection:
        """Write a collection; the manifest last. Equal content and tables give an equal id.

        `content` is what the id covers beside the tables (settings, weights, counts, lineage). A table is in memory,
        or comes as files that were streamed. `build` gets `finished_at` added; `files` are extras for people (a
        report), not covered by the id. One given as a function is made unless an equal collection has it.

        Raises:
            StorageError: the disk is full.
        """
        written = dict(sorted(named_files(tables).items()))
        listed: dict[str, Any] = {}
        for (table, name), file in written.items():
            entry = listed.setdefault(table, {"rows": 0, "files": []})
            entry["rows"] += file.rows
            entry["files"].append({"name": name, "rows": file.rows, "sha256": file.sha256})
        manifest = {**content, "kind": kind, "tables": listed}
        data = canonical_json(manifest)
        collection = Collection(store=self, kind=kind, id=hashlib.sha256(data).hexdigest(), manifest=manifest)
        whole = self.exists(f"{collection.folder}/manifest.json")
        for (_, name), file in written.items():
            path = f"{collection.folder}/{name}"
            if not (whole and self.holds(path, file.sha256)):  # a kill must not cut short what is whole
                self._write(path, file.chunks())
        for name, made in (files or {}).items():
            path = f"{collection.folder}/{name}"
            if isinstance(made, bytes) or not (whole and self.exists(path)):
                self.write_bytes(path, made if isinstance(made, bytes) else made())
        self.stamp(collection, build)
        self.write_bytes(f"{collection.folder}/manifest.json", data)
        return collection

    def stamp(self, collection: Collection, build: dict[str, Any]) -> None:
        """Make a collection the newest of its kind: `build` becomes its build.json, with the time."""
        stamped = {**build, "finished_at": datetime.datetime.now(datetime.UTC).isoformat()}
        self.write_bytes(f"{collection.folder}/build.json", json.dumps(stamped, indent=2).encode())

    def open(self, kind: str, collection_id: str = "latest") -> Collection:
        """A committed collection by its id, by the first characters of its id, or the newest one ("latest").

        Raises:
            InputError: there is none, or the characters fit several.
        """
        found = self.collections(kind, "" if collection_id == "latest" else collection_id)
        if not found:
            raise InputError(f"no committed {collection_id} under {self.uri(kind)}; run the job that writes it first")
        if collection_id != "latest" and len(found) > 1:
            raise InputError(f"{collection_id!r} fits {len(found)} entries of {self.uri(kind)}; give more characters")
        return max(found, key=lambda collection: collection.build()["finished_at"])

    def collections(self, kind: str, beginning: str = "") -> list[Collection]:
        """All committed collections of a kind whose ids begin so, by id."""
        names = [Path(info.path).name for info in self._list(kind) if info.type == pafs.FileType.Directory]
        read = [self._read_collection(kind, name) for name in names if name.startswith(beginning)]
        return [collection for collection in read if collection is not None]

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


def part_sha256(path: str) -> str:
    """The checksum that a part's name ends with."""
    return Path(path).stem.rsplit("-", 1)[-1]
