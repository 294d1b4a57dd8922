"""Pictures of a release's clips in a file that is mapped, not read: what encoders are pretrained on.

<stem>.u8      uint8 [N, 2, H, W, 3], two frames of each clip's cut, clips one after another
<stem>.json    their number and size; written last, so without it there is nothing
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.progress import track
from pipelines.shards.plan import ClipPlan
from pipelines.shards.settings import EncodeSettings
from pipelines.shards.videos import videos_of
from pipelines.storage.inputs import Inputs
from pipelines.storage.store import Collection
from stableanimator.errors import InputError, RowError
from stableanimator.media.video import VideoReader
from stableanimator.paths import open_own, own_file, read_json

log = logging.getLogger(__name__)

Pictures = npt.NDArray[np.uint8]


def write_pictures(release: Collection, settings: EncodeSettings, split: str, most: int, stem: Path) -> Path:
    """Write two frames, far apart, of every clip and cut of a split, at most `most` pairs; cuts as encode makes them,
    of the first bucket alone. Clips that cannot be decoded are left out. Returns `stem`; what is whole stays.

    Raises:
        InputError: no clip gives a picture.
    """
    described = stem.with_suffix(".json")
    if described.exists():
        return stem
    height, width = settings.buckets[0]
    stem.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with open_own(stem.with_suffix(".u8")) as stream:
        videos = list(videos_of(release, replace(settings, references="same_clip")))
        for video in track(videos, f"cutting pictures ({split})", len(videos)):
            for plan in video.plans(settings):
                if count >= most or plan.clip["split"] != split:
                    continue
                try:
                    for pair in _pairs(release, plan, (height, width)):
                        stream.write(np.ascontiguousarray(pair).tobytes())
                        count += 1
                except RowError as error:
                    log.warning("%s gives no picture: %s", plan.clip["shot_id"], error)
    if not count:
        raise InputError(f"{release.uri} has no clip of the split {split!r} that fits {height}x{width}; curate more")
    partial = own_file(described.with_suffix(".partial"))
    partial.write_text(json.dumps({"pairs": count, "height": height, "width": width}))
    os.replace(partial, described)
    return stem


def write_both_splits(
    release: Collection, settings: EncodeSettings, training: int, held_out: int, folder: Path
) -> tuple[Path, Path | None]:
    """Stems of the training pictures and of the held-out ones, at most so many pairs of each; None where none is asked
    for, or no clip is held out.

    Raises:
        InputError: no training clip gives a picture.
    """
    trained_on = write_pictures(release, settings, "train", training, folder / "pictures_train")
    try:
        stem = folder / "pictures_heldout"
        return trained_on, write_pictures(release, settings, "heldout", held_out, stem) if held_out else None
    except InputError:
        return trained_on, None


def _pairs(release: Collection, plan: ClipPlan, size: tuple[int, int]) -> list[Pictures]:
    """[2, H, W, 3] for each cut: a frame of the clip's first third and one of its last."""
    cuts = [crop for crop in plan.crops if crop.framing.size == size]
    if not cuts:
        return []
    count = len(plan.measured)
    indices = [plan.measured[place].index for place in (count // 6, count - 1 - count // 6)]
    with Inputs(release.store).opened(plan.clip["media"]) as local, VideoReader(local) as video:
        frames = np.concatenate([pictures for _, pictures in video.windows(indices, 2)])
    return [crop.framing.pictures(frames) for crop in cuts]


def read_pictures(stem: Path) -> Pictures:
    """[N, 2, H, W, 3], mapped.

    Raises:
        InputError: the files are not there or not whole.
    """
    try:
        index = read_json(stem.with_suffix(".json"))
        shape = (int(index["pairs"]), 2, int(index["height"]), int(index["width"]), 3)
        return np.memmap(stem.with_suffix(".u8"), np.uint8, "r", shape=shape)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{stem}.u8 and .json hold no pictures ({error}); delete them and start again") from error
