"""Which files a configuration's jobs read, by the settings that name them, and whether they lie on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from jobs.running.config import Config, paths_of
from pipelines.measuring.measure_cache import NEED_WEIGHTS
from stableanimator.errors import UserError
from stableanimator.paths import PACKAGE_SCHEME, local_path

_READERS = {
    "perception": ("curate", "benchmark", "animate", "evaluate", "latency"),
    "benchmark": ("benchmark",),
    "encoders": ("encode", "animate", "distill_decoder", "latency"),
    "encoders.tiny_decoder": ("animate", "latency"),
    "curate": ("curate",),
    "align": ("align",),
    "train": ("train",),
    "evaluate": ("evaluate",),
}
"""Which jobs read the files below a section; the longest that fits counts."""
_DRIVERS = ("curate.crawl", "benchmark")
"""Sections whose files the driver alone reads."""
_SVD = ("vae/config.json", "image_encoder/config.json", "unet/config.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class Needed:
    """A file or folder that a setting names."""

    setting: str
    path: str
    everywhere: bool
    """Whether any machine may have to read it; else the one with the driver."""


def needed_files(config: Config, verbs: Iterable[str]) -> list[Needed]:
    """Of these jobs; what they make themselves is not among them."""
    wanted, found = set(verbs), []
    for setting, path in paths_of(config):
        readers = max((name for name in _READERS if f"{setting}.".startswith(f"{name}.")), key=len, default=None)
        if readers is None or not wanted & set(_READERS[readers]) or not _is_read(setting, config, wanted):
            continue
        everywhere = not setting.startswith(_DRIVERS)
        found += [Needed(setting=setting, path=one, everywhere=everywhere) for one in _parts(setting, path, config)]
    return [*found, *_judge(config, wanted)]


def _judge(config: Config, verbs: set[str]) -> list[Needed]:
    """The held-out recogniser, which is a file or the name of another pack."""
    named = config.perception.faces.held_out if config.perception is not None else None
    if named is None or not ("evaluate" in verbs or ("animate" in verbs and config.animate.accept.thresholds)):
        return []
    assert config.perception is not None
    path = named if "/" in named else f"{config.perception.faces.pack_root}/models/{named}"
    return [Needed(setting="perception.faces.held_out", path=path, everywhere=True)]


def _is_read(setting: str, config: Config, verbs: set[str]) -> bool:
    """Whether a path is read at all: curation without measures that need them reads no weights of `perception`, and a
    benchmark set looks for faces alone."""
    if not setting.startswith("perception") or verbs & {"animate", "evaluate", "latency"}:
        return True
    if setting.startswith("perception.faces") and "benchmark" in verbs:
        return True
    return "curate" in verbs and config.curate is not None and bool(set(NEED_WEIGHTS) & set(config.curate.measures))


def _parts(setting: str, path: str, config: Config) -> Iterator[str]:
    """What must be there of a folder whose layout is known."""
    if setting == "perception.faces.pack_root":
        assert config.perception is not None
        yield f"{path}/models/{config.perception.faces.pack}"
    elif setting in ("encoders.svd", "train.svd"):
        yield from (f"{path}/{part}" for part in (_SVD[2:] if setting == "train.svd" else _SVD[:2]))
    elif setting == "align.more_poses":
        yield from (f"{path}{suffix}" for suffix in (".f32", ".json"))
    else:
        yield path


def looked_at(path: str) -> int | str:
    """Bytes of a file or of a folder's files (not of folders in it), or why it cannot be used, in a few words."""
    try:
        if "://" in path and not path.startswith(PACKAGE_SCHEME):
            return _remote(path)
        place = local_path(path)
        if place.is_dir():
            return sum(entry.stat().st_size for entry in os.scandir(place) if entry.is_file()) or _empty(place)
        with place.open("rb") as file:
            file.read(1)
        return place.stat().st_size or "is empty"
    except UserError as error:
        return str(error)
    except OSError as error:
        return "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror or error})"


def _empty(folder: Path) -> int | str:
    """A folder that holds folders alone is no empty one."""
    return 1 if any(os.scandir(folder)) else "is empty"


def _remote(uri: str) -> int | str:
    if uri.startswith(("http://", "https://")):
        return 1  # a source, which curation tries itself
    try:
        filesystem, path = pafs.FileSystem.from_uri(uri)
        info = filesystem.get_file_info(path)
    except (pa.ArrowInvalid, ValueError) as error:
        return f"is no URI that can be read ({' '.join(str(error).split())[:120]})"
    return "is missing" if info.type == pafs.FileType.NotFound else max(1, info.size or 0)
