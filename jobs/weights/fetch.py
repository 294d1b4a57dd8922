"""Fetching an entry of the catalogue into a weights folder: from where, whether it fits, and zips unpacked safely."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from jobs.weights.catalogue import HUGGING_FACE, Entry, WeightsFile
from jobs.weights.download import (
    DownloadError,
    Patience,
    Source,
    download,
    file_sha256,
    partial_size,
    require_space,
    size_text,
)
from jobs.weights.folder import WeightsFolder, by_hand
from stableanimator.errors import ConfigError, WeightsError

_PIECE = 1 << 20  # bytes
_SCHEMES = ("http://", "https://")

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mirrors:
    """Where files come from instead of their publishers."""

    hugging_face: str = HUGGING_FACE
    """HF_ENDPOINT."""
    prefixes: tuple[tuple[str, str], ...] = ()
    """(what a URL begins with, what stands there instead); the longest that fits counts, before `hugging_face`."""
    rest: str | None = None
    """Put before the host and path of every other URL that is not Hugging Face's."""
    token: str | None = None
    """HF_TOKEN; sent to Hugging Face or what stands for it, and nowhere else."""

    @classmethod
    def of(cls, given: Sequence[str], environment: Mapping[str, str]) -> Mirrors:
        """From --mirror, which is `URL` or `PREFIX=URL`, and the environment.

        Raises:
            ConfigError: something that is no http(s) URL.
        """
        endpoint = (environment.get("HF_ENDPOINT") or HUGGING_FACE).rstrip("/")
        if not endpoint.startswith(_SCHEMES):
            raise ConfigError(f"HF_ENDPOINT is {endpoint!r}; it must begin with http:// or https://")
        prefixes: list[tuple[str, str]] = []
        rest = None
        for mirror in given:
            prefix, _, target = mirror.rpartition("=")
            if not target.startswith(_SCHEMES) or (prefix and not prefix.startswith(_SCHEMES)):
                raise ConfigError(
                    f"--mirror {mirror!r} is neither URL nor PREFIX=URL with http:// or https:// in front"
                )
            if prefix:
                prefixes.append((prefix, target))
            else:
                rest = target.rstrip("/")
        longest = sorted(prefixes, key=lambda pair: -len(pair[0]))
        token = environment.get("HF_TOKEN") or None
        return cls(hugging_face=endpoint, prefixes=tuple(longest), rest=rest, token=token)

    def url(self, published: str) -> str:
        """Where a file is asked for."""
        for prefix, target in self.prefixes:
            if published.startswith(prefix):
                return target + published.removeprefix(prefix)
        if published.startswith(HUGGING_FACE + "/"):
            return self.hugging_face + published.removeprefix(HUGGING_FACE)
        if self.rest:
            return f"{self.rest}/{published.partition('://')[2]}"
        return published

    def source(self, file: WeightsFile) -> Source:
        """What to download for a file that has a URL."""
        assert file.url is not None
        url = self.url(file.url)
        theirs = file.url.startswith(HUGGING_FACE + "/") and url.startswith(self.hugging_face + "/")
        return Source(url=url, size=file.size, sha256=file.sha256, token=self.token if theirs else None)


def missing_files(folder: WeightsFolder, entry: Entry) -> tuple[WeightsFile, ...]:
    """The files of an entry that must be fetched: missing, or not what they must be."""
    return tuple(file for file in entry.files if not folder.is_right(file))


def require_room(folder: WeightsFolder, missing: Mapping[Entry, Sequence[WeightsFile]]) -> None:
    """Raises StorageError when all that is to be fetched does not fit; sizes that nobody knows count as nothing."""
    needed = 0
    for entry, files in missing.items():
        downloads = [*files] if entry.archive is None or not files else [entry.archive]
        for file in downloads:
            place = folder.place(file.path)
            there = place.stat().st_size if file is entry.archive and place.is_file() else partial_size(place)
            needed += max(0, (file.size or 0) - there)
        if entry.archive is not None:
            needed += sum(file.size or 0 for file in files)
    require_space(folder.root, needed, ", ".join(entry.name for entry, files in missing.items() if files))


def fetch_entry(
    folder: WeightsFolder, entry: Entry, files: Sequence[WeightsFile], mirrors: Mirrors, patience: Patience, say: Say
) -> None:
    """Bring `files` of an entry into the folder; a wrong one that is there is replaced when the right one has come.

    Raises:
        WeightsError: a file could not be had or is not what it must be; says how to put it there by hand.
        StorageError: the disk is too small.
    """
    if entry.archive is not None:
        _fetch_archive(folder, entry, entry.archive, files, mirrors, patience)
    for file in files:
        if file.url is not None:
            sha256 = _download(folder, entry, file, mirrors, patience)
            folder.remember(file, sha256)
        else:
            sha256 = file.sha256 or file_sha256(folder.place(file.path))
        place = folder.place(file.path)
        size = size_text(place.stat().st_size)
        if file.sha256:
            say(f"fetched {place} ({size}, SHA-256 as published)")
        else:
            say(f"fetched {place} ({size}), NOT VERIFIED: the catalogue has no checksum for it.")
            say(f"  Recorded, so that a later change is noticed; compare it with {entry.home}: SHA-256 {sha256}")


def _download(folder: WeightsFolder, entry: Entry, file: WeightsFile, mirrors: Mirrors, patience: Patience) -> str:
    source = mirrors.source(file)
    place = folder.place(file.path)
    try:
        return download(source, place, patience)
    except DownloadError as error:
        help_ = by_hand(folder, entry, file, file.url or source.url)
        asked = f" (asked for at {source.url})" if source.url != file.url else ""
        raise WeightsError(f"{place} could not be fetched{asked}: {error}; {help_}") from error


def _fetch_archive(
    folder: WeightsFolder,
    entry: Entry,
    archive: WeightsFile,
    files: Sequence[WeightsFile],
    mirrors: Mirrors,
    patience: Patience,
) -> None:
    place = folder.place(archive.path)
    if not (place.is_file() and archive.sha256 in (None, file_sha256(place))):
        _download(folder, entry, archive, mirrors, patience)
    unpack(place, {file.name: (folder.place(file.path), file) for file in files})
    for file in files:
        folder.remember(file, file.sha256 or file_sha256(folder.place(file.path)))
    place.unlink()


def unpack(archive: Path, members: Mapping[str, tuple[Path, WeightsFile]]) -> None:
    """Take the named files out of a zip, wherever in it they lie; each gets its name when its checksum is right.

    Raises:
        WeightsError: it is no zip, has a name that leads out of it, or lacks a file, or one is not what it must be.
    """
    again = f"delete {archive} and fetch it again"
    try:
        with zipfile.ZipFile(archive) as opened:
            inside: dict[str, list[zipfile.ZipInfo]] = {}
            for info in opened.infolist():
                parts = PurePosixPath(info.filename.replace("\\", "/"))
                if parts.is_absolute() or ".." in parts.parts or ":" in info.filename:
                    raise WeightsError(f"{archive} has a name that leads out of it ({info.filename!r}); {again}")
                if not info.is_dir():
                    inside.setdefault(parts.name, []).append(info)
            for name, (target, file) in members.items():
                found = inside.get(name, [])
                if len(found) != 1:
                    raise WeightsError(f"{archive} has {len(found)} files called {name}, not one; {again}")
                with opened.open(found[0]) as handle:
                    _place_member(handle, target, file, f"{name} in {archive}", again)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
        raise WeightsError(f"{archive} is no zip that can be read ({error}); {again}") from error
    except OSError as error:
        raise WeightsError(
            f"{archive} cannot be unpacked ({error.strerror or error}); free space, or {again}"
        ) from error


def _place_member(handle: IO[bytes], target: Path, file: WeightsFile, what: str, again: str) -> None:
    """Write one member, no further than the size that it must have."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    digest, size = hashlib.sha256(), 0
    try:
        with partial.open("wb") as out:
            while piece := handle.read(_PIECE):
                size += len(piece)
                if file.size is not None and size > file.size:
                    break
                digest.update(piece)
                out.write(piece)
        if file.size not in (None, size) or file.sha256 not in (None, digest.hexdigest()):
            raise WeightsError(f"{what} is not what it must be (size or SHA-256); {again}")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
