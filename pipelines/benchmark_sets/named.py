"""The papers' benchmark sets from videos of one's own: a table of pairs, and one of the files that they are made of.

MisAlign100 and Unseen100 (StableAnimator++, IV-A; StableAnimator, supplement) drive a frame with a face by its own
video, with and without misaligned poses. TikTok is DisCo's protocol: the first frame is the reference, all others are
driven and judged. Table VIII's characters need no face.

No set of these is published whole, so what is built is described: checksums of all files, what was drawn, every file
that is of no use with its reason. The same files and settings give the same set.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.benchmark_sets.frame_folders import SUFFIX, frame_folders, store_frames
from pipelines.benchmark_sets.named_settings import LEVELS, NamedSetSettings, numbers_of
from pipelines.benchmark_sets.self_driven import ALIGNED, Draw, draw_of, drawn_among, misaligned, pair_row, part_of
from pipelines.storage.inputs import Inputs
from pipelines.storage.pair_tables import BENCHMARK_FILES, PAIRS
from pipelines.storage.store import Collection, Store, media_path
from stableanimator.errors import InputError, RowError, row_error
from stableanimator.media.pictures import read_image
from stableanimator.media.video import VideoReader
from stableanimator.paths import local_path

log = logging.getLogger(__name__)

VERSION = 1
"""Raised by hand when the meaning of a set changes."""

HasFace = Callable[[NDArray[np.uint8]], bool]

_TRIES = 16  # frames in which a face is looked for
_UNUSABLE = "benchmark_failed"  # the reason of what nobody foresaw


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    """A video or a picture that was supplied."""

    name: str
    """As it was supplied, without its folder."""
    id: str
    """SHA-256 of its bytes."""
    media: str
    """Below the root."""
    rights: dict[str, str | None]


def make_named_set(store: Store, sources: pa.Table, settings: NamedSetSettings, has_face: HasFace | None) -> Collection:
    """Commit a collection `benchmarks` with the tables `pairs` and `files`.

    Args:
        sources: SOURCES of the videos, which are in the store.
        has_face: whether a frame shows a face; None: any frame may be a reference.

    Raises:
        InputError: no pair can be made of what was supplied.
    """
    files, rows = _videos(store, sources, settings)
    pairs: list[dict[str, Any]] = []
    if settings.pictures:
        references, of_pictures = _pictures(store, settings.pictures)
        rows += of_pictures
        pairs, of_files = _cross_driven(store, references, files, settings)
    else:
        of_files = []
        for file in files:
            row, made = _self_driven(store, file, settings, has_face)
            of_files.append(row)
            pairs += made
    rows = sorted([*rows, *of_files], key=lambda row: (row["role"], row["name"], row["id"] or ""))
    pairs = sorted(pairs, key=lambda pair: str(pair["pair_id"]))[: settings.pairs]
    if not pairs:
        reasons = sorted({str(row["reason"]) for row in rows if row["reason"] is not None})
        raise InputError(f"no pair of {settings.name} can be made of {len(rows)} files: {', '.join(reasons) or 'none'}")
    log.info("%s: %d pairs (at most %d) of %d files", settings.name, len(pairs), settings.pairs, len(rows))
    return store.commit(
        "benchmarks",
        content={"version": VERSION, "name": settings.name, "settings": _content(settings)},
        tables={
            "pairs": pa.Table.from_pylist(pairs, schema=PAIRS),
            "files": pa.Table.from_pylist(rows, schema=BENCHMARK_FILES),
        },
        build={},
    )


def _content(settings: NamedSetSettings) -> dict[str, Any]:
    """Settings that decide what a set holds; where its files came from, and how, is left out."""
    return {key: value for key, value in asdict(settings).items() if key not in ("crawl", "frames", "pictures")}


def _row(role: str, file: _File | None, **values: Any) -> dict[str, Any]:
    row: dict[str, Any] = {**dict.fromkeys(BENCHMARK_FILES.names), "role": role}
    if file is not None:
        row |= {"name": file.name, "id": file.id, "media": file.media}
    return row | values


def _videos(store: Store, sources: pa.Table, settings: NamedSetSettings) -> tuple[list[_File], list[dict[str, Any]]]:
    """The videos of a set, each once, by their ids; and rows of what is none."""
    files: dict[str, _File] = {}
    rows = []
    for source in sources.to_pylist():
        name = _file_name(source["source_uri"])
        if source["status"] == "failed":
            rows.append(_row("video", None, name=name, reason=source["reason"], detail=source["detail"]))
        elif source["status"] == "fetched":
            rights = {key: source[key] for key in ("licence", "consent")}
            media = media_path(source["video_id"], source["extension"])
            files[source["video_id"]] = _File(name=name, id=source["video_id"], media=media, rights=rights)
    for folder in frame_folders(settings.frames):
        name = (folder.parent if folder.name == "images" else folder).name
        try:
            if settings.name == "TikTok" and _number(name) not in numbers_of(settings.ids):
                continue
            video_id = store_frames(store, folder, settings.frames_fps)
        except (RowError, ValueError) as error:
            failed = row_error(error, _UNUSABLE)
            rows.append(_row("video", None, name=name, reason=failed.reason, detail=failed.detail))
            continue
        rights = dict.fromkeys(("licence", "consent"))
        files[video_id] = _File(name=name, id=video_id, media=media_path(video_id, SUFFIX), rights=rights)
    found = [files[video_id] for video_id in sorted(files)]
    if settings.name != "TikTok":
        return found, rows
    wanted = numbers_of(settings.ids)
    supplied = {_number(file.name) for file in found}
    rows += [_row("video", None, name=str(one), reason="not_supplied") for one in wanted if one not in supplied]
    return [file for file in found if _number(file.name) in wanted], rows


def _file_name(source_uri: str) -> str:
    """The last part of a path, or of a URL's."""
    path = urlsplit(source_uri).path if "://" in source_uri else source_uri
    return path.rstrip("/").rpartition("/")[2]


def _number(name: str) -> int | None:
    """335 of `00335.mp4` and of a folder `00335`."""
    match = re.fullmatch(r"0*(\d+)(\.\w+)?", name)
    return None if match is None else int(match[1])


def _self_driven(
    store: Store, file: _File, settings: NamedSetSettings, has_face: HasFace | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A video's row, and its pair, if it can be of one."""
    try:
        with Inputs(store).opened(file.media) as local:
            known, reference, span, draw = _looked_at(local, file, settings, has_face)
    except Exception as error:  # a file of the user's is no reason to lose the others
        failed = row_error(error, _UNUSABLE)
        if failed is not error:
            log.exception("video %s", file.name)
        return _row("video", file, reason=failed.reason, detail=failed.detail), []
    moved, level = ALIGNED, None
    pair_id = f"{file.id[:12]}-{span[0]}-{span[1]}"
    if settings.name == "MisAlign100":
        level = LEVELS[draw.level]
        moved = misaligned(part_of(settings.misalignment, settings.levels[draw.level]), draw)
        pair_id += f"-{level}"
    pair = pair_row(pair_id, file.media, reference, span, moved, draw) | file.rights
    return _row("video", file, **known, level=level, reference_frame=reference), [pair]


def _looked_at(
    local: str, file: _File, settings: NamedSetSettings, has_face: HasFace | None
) -> tuple[dict[str, Any], int, tuple[int, int], Draw]:
    """Of a video's file: columns of its row, the reference's frame, the frames that drive, and what is drawn.

    Raises:
        RowError: it can be of no pair. Without the file's place: the same file gives the same row anywhere.
    """
    try:
        with VideoReader(local) as video:
            info = video.info
            known = {"frames": info.frame_count, "fps": info.fps, "width": info.width, "height": info.height}
            first = settings.name in ("TikTok", "Anthropomorphic")  # the first frame is the reference
            start = 1 if first else 0
            end = _end(info.frame_count, info.fps, settings)
            if end - start < 1:
                raise RowError("too_short", f"{info.frame_count} frames")
            draw = draw_of(settings.seed, file.id, 0)
            return known, 0 if first else _reference(video, end, draw, has_face), (start, end), draw
    except RowError as error:
        raise RowError(error.reason, error.detail.replace(local, file.name)) from error


def _end(frames: int, fps: float, settings: NamedSetSettings) -> int:
    if settings.seconds is None or settings.name == "TikTok":
        return frames
    return min(frames, max(2, round(settings.seconds * fps)))


def _reference(video: VideoReader, end: int, draw: Any, has_face: HasFace | None) -> int:
    """A drawn frame, the first of some that shows a face.

    Raises:
        RowError: `no_reference_face`.
    """
    for _ in range(_TRIES):
        index = drawn_among(end, draw)
        if has_face is None or has_face(video.read([index])[0]):
            return index
    raise RowError("no_reference_face", f"in none of {_TRIES} frames of the first {end}")


def _pictures(store: Store, pictures: Sequence[str]) -> tuple[list[_File], list[dict[str, Any]]]:
    """The pictures that can be read, each once, by their ids; and rows of all.

    Raises:
        InputError: a file or folder does not exist.
    """
    found: dict[str, _File] = {}
    rows = []
    for path in _picture_files(pictures):
        try:
            read_image(path)
        except RowError as error:
            detail = error.detail.replace(str(path), path.name)
            rows.append(_row("reference", None, name=path.name, reason=error.reason, detail=detail))
            continue
        suffix = path.suffix.lower()
        file_id, _ = store.put_media(path, suffix)
        rights = dict.fromkeys(("licence", "consent"))
        found[file_id] = _File(name=path.name, id=file_id, media=media_path(file_id, suffix), rights=rights)
    files = [found[file_id] for file_id in sorted(found)]
    return files, [*rows, *(_row("reference", file) for file in files)]


def _picture_files(pictures: Sequence[str]) -> Iterator[Path]:
    for name in pictures:
        path = local_path(name)
        if not path.exists():
            raise InputError(f"benchmark.pictures: {name} does not exist")
        inside = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        yield from (each for each in inside if not each.name.startswith("."))


def _cross_driven(
    store: Store, references: Sequence[_File], drives: Sequence[_File], settings: NamedSetSettings
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Pairs of each picture with some of the videos, and rows of the videos. There is no truth."""
    rows, usable = [], []
    for drive in drives:
        row, made = _self_driven(store, drive, settings, None)
        rows.append(row | {"reference_frame": None})
        usable += [(drive, pair) for pair in made]
    pairs = []
    for reference in references:
        order = sorted(usable, key=lambda each: draw_of(settings.seed, f"{reference.id}:{each[0].id}", 0).seed)
        for drive, pair in order[: settings.drives_per_picture]:
            draw = draw_of(settings.seed, f"{reference.id}:{drive.id}", 0)
            differs = {
                "pair_id": f"{reference.id[:12]}-{pair['pair_id']}",
                "reference_uri": reference.media,
                "start": 0,
                "truth_uri": None,
                "seed": draw.seed,
            }
            pairs.append({**pair, **differs})
    return pairs, rows
