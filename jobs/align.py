"""Pretrain the pose alignment: reads the keypoints of a release, writes an aligner and Dis of all alignments."""

from __future__ import annotations

import logging
import sys
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from jobs import entry, run_folder
from jobs.align_task import AlignTask
from jobs.config import Config
from jobs.settings import WITHOUT_EFFECT, AlignJobSettings
from jobs.tracking import Run
from jobs.train_loop import run_training
from pipelines.store import Collection, Store
from pipelines.tables import KEYPOINT_COUNT
from stableanimator.alignment.aligner_folder import load_aligner_folder
from stableanimator.alignment.evaluate import compare
from stableanimator.alignment.poses import body_pose
from stableanimator.alignment.training_pairs import AlignmentPairs
from stableanimator.driving import follow_people

log = logging.getLogger(__name__)

_VALIDATION_PAIRS = 256

Poses = npt.NDArray[np.float32]


def run(config: Config, run: Run) -> str:
    """Returns Dis of the learned alignment and of SVD, and where the aligner is.

    Raises:
        InputError: there is no such release.
        ConfigError: the run's name belongs to another training, or the cluster is too small for it.
    """
    settings = config.align
    store = Store(config.root)
    release = store.open("releases", config.release)
    run.dataset("release", release.uri, release.id)
    clips, held_out = poses_of_clips(release, "train"), poses_of_clips(release, "heldout")
    log.info("%d training clips, %d held-out clips", len(clips), len(held_out))
    content = {"align": deciding(settings), "release": release.id}
    folder = run_folder.claim(config.root, "aligners", settings.name, content)
    task = AlignTask(settings, clips, held_out, _VALIDATION_PAIRS, content)
    run.params({"name": folder.name, "steps": settings.steps, "batch_size": settings.batch_size})
    outcome = run_training(task, settings.loop(), folder, (run.uri, run.run_id))

    pairs, what = evaluation_pairs(settings, held_out)
    rows = dis_rows(settings, pairs, load_aligner_folder(outcome.checkpoint.folder))
    print(dis_table(rows, what))
    run.table("dis", rows)
    run.metrics({f"dis_{row['alignment']}": row["dis"] for row in rows}, step=outcome.checkpoint.step)
    build = {"seconds": outcome.seconds, "dis": {row["alignment"]: row["dis"] for row in rows}, "pairs": what}
    aligner = run_folder.commit(store, "aligners", folder, content, build)
    run.dataset("aligner", aligner.uri, aligner.id, context="output")
    figures = ", ".join(f"{row['alignment']} {row['dis']:.4f}" for row in rows)
    return f"{folder.name} {outcome.describe()}; Dis {figures} on {what}; aligner in {aligner.uri}"


def deciding(settings: AlignJobSettings) -> dict[str, Any]:
    """The settings on which the aligner depends."""
    fields = {name: value for name, value in asdict(settings).items() if name != "name"}
    fields["engine"] = {name: value for name, value in fields["engine"].items() if name not in WITHOUT_EFFECT}
    return fields


def poses_of_clips(release: Collection, split: str) -> list[Poses]:
    """The main person's poses [F, 18, 3] in image heights of every clip of a split, in the order of shot ids.

    Frames that were not measured for keypoints are left out. Where a clip shows several people, the first one is
    followed from frame to frame: a pair must not mix people.
    """
    clips = release.table("clips")
    clips = clips.filter(pc.field("split") == split)
    heights = dict(zip(clips["shot_id"].to_pylist(), clips["height"].to_pylist(), strict=True))
    frames = release.table("frames").select(["shot_id", "frame_index", "keypoints"])
    # As one array: of no chunks at all Arrow does not know the type.
    frames = frames.filter(pc.field("shot_id").isin(clips["shot_id"].combine_chunks()))
    frames = frames.filter(~pc.field("keypoints").is_null())
    frames = frames.sort_by([("shot_id", "ascending"), ("frame_index", "ascending")])
    shots = frames["shot_id"].to_numpy(zero_copy_only=False)
    changes = np.flatnonzero(shots[1:] != shots[:-1]) + 1
    poses = []
    for start, end in pairwise([0, *changes, len(shots)] if len(shots) else []):
        people = _people(frames["keypoints"].slice(start, end - start))
        poses.append(body_pose(follow_people(people, 1)[:, 0], heights[shots[start]]))
    return poses


def _people(column: pa.ChunkedArray) -> list[Poses]:
    """Keypoints [P_f, 133, 3] of each frame."""
    return [np.array(people, np.float32).reshape(-1, KEYPOINT_COUNT, 3) for people in column.to_pylist()]


def evaluation_pairs(settings: AlignJobSettings, held_out: list[Poses]) -> tuple[AlignmentPairs, str]:
    """What alignments are compared on, and what that is in words: held-out clips alone where there are any."""
    real = replace(settings, pairs=replace(settings.pairs, procedural_share=0.0))
    pairs = AlignmentPairs(real, held_out, "evaluation")
    usable = len(held_out) - len(pairs.unusable)
    source = f"{usable} held-out clips" if usable else "procedural people (no usable held-out clip)"
    return pairs, f"{len(pairs)} pairs of {source}"


def dis_rows(settings: AlignJobSettings, pairs: AlignmentPairs, aligner: Any) -> list[dict[str, Any]]:
    """One row for each alignment: Dis in image heights, and in shares of `none` and of `svd` where those are named."""
    found = {name: dis.mean for name, dis in compare(settings.methods, pairs, aligner).items()}
    return [
        {
            "alignment": name,
            "dis": value,
            "of_none": value / found["none"] if "none" in found else None,
            "of_svd": value / found["svd"] if "svd" in found else None,
        }
        for name, value in found.items()
    ]


def dis_table(rows: list[dict[str, Any]], what: str) -> str:
    """Aligned columns for a terminal or a log."""
    lines = [f"Dis (image heights) on {what}", f"{'alignment':<14}{'Dis':>8}{'/ none':>9}{'/ svd':>9}"]
    for row in rows:
        shares = "".join(f"{'–' if row[key] is None else format(row[key], '.3f'):>9}" for key in ("of_none", "of_svd"))
        lines.append(f"{row['alignment']:<14}{row['dis']:>8.4f}{shares}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(entry.main("align", run))
