"""Pretrain the pose alignment: reads the keypoints of a release, writes an aligner and Dis of all alignments."""

from __future__ import annotations

from jobs.running import ending, entry

if __name__ == "__main__":
    entry.answer_first("align")  # before what takes seconds to import

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobs.running.config import Config
from jobs.tracking.run import Run
from jobs.training import dis_report, run_folder
from jobs.training.align_task import AlignTask
from jobs.training.loop import run_training
from jobs.training.settings import WITHOUT_EFFECT, AlignJobSettings
from pipelines.progress import track
from pipelines.releases.poses import clip_poses
from pipelines.storage.store import Collection, Store, file_sha256
from stableanimator.alignment.aligner_folder import load_aligner_folder
from stableanimator.alignment.training_data.pose_clips import PoseClips, write_pose_clips
from stableanimator.state_files import FORMAT

log = logging.getLogger(__name__)


def run(config: Config, run: Run) -> str:
    """Returns Dis of the learned alignment and of SVD, and where the aligner is.

    Raises:
        InputError: there is no such release, or no such file of poses.
        ConfigError: the run's name belongs to another training, or the cluster is too small for it.
    """
    settings = config.align
    store = Store(config.root)
    release = store.open("releases", config.release)
    run.dataset("release", release.uri, release.id)
    PoseClips(*settings.more_poses)  # raises where they are not whole
    content = {"align": deciding(settings), "release": release.id}
    with run_folder.claim(config.root, "aligners", settings.name, content) as folder:
        clips = PoseClips(_poses(release, "train", folder.path), *settings.more_poses)
        held_out = PoseClips(_poses(release, "heldout", folder.path))
        log.info("%d training clips, %d held-out clips", len(clips), len(held_out))
        task = AlignTask(settings, clips, held_out, held_out.names, content)
        run.params({"name": folder.name})
        outcome = run_training(task, settings.loop(), folder, run.folder)

        aligner = load_aligner_folder(outcome.checkpoint.folder)
        rows = dis_report.dis_rows(task.scores(aligner), task.drives)
        what = dis_report.what_of(task.drives)
        run.text(dis_report.print_tables(dis_report.tables_three(rows, what)), "dis.html")
        run.table("dis", rows)
        build = {"seconds": outcome.seconds, "dis": rows, "drives": what}
        collection = run_folder.commit(store, "aligners", folder, content, build)
        run.dataset("aligner", collection.uri, collection.id, context="output")
        run.makes_model("aligner", folder.name, collection.id, str(outcome.checkpoint.folder), outcome.checkpoint.step)
        means = {(row["alignment"], row["scope"]): row["dis"] for row in rows if row["group"] == "all"}
        figures = ", ".join(
            f"{name} {means[name, 'clip']:.4f}" for name in ("learned", "svd") if (name, "clip") in means
        )
        return f"{folder.name} {outcome.describe()}; Dis {figures} on {what}; aligner in {collection.uri}"


def deciding(settings: AlignJobSettings) -> dict[str, Any]:
    """What the aligner depends on, beside the release: settings, and the contents of files of poses."""
    left_out = ("name", "evaluation", "validation_pairs")
    fields = {name: value for name, value in asdict(settings).items() if name not in left_out}
    fields["format"] = FORMAT
    fields["more_poses"] = [file_sha256(Path(f"{stem}.f32")) for stem in settings.more_poses]
    fields["engine"] = {name: value for name, value in fields["engine"].items() if name not in WITHOUT_EFFECT}
    return fields


def _poses(release: Collection, split: str, folder: Path) -> Path:
    """The poses of a split as files that all workers map; a resumed run finds them there."""
    stem = folder / f"poses_{split}"
    if not stem.with_suffix(".json").exists():
        count = release.table("clips")["split"].to_pylist().count(split)
        clips = track(clip_poses(release, split), f"reading poses ({split})", count)
        write_pose_clips(stem, ((clip.shot_id, clip.poses) for clip in clips))
    return stem


if __name__ == "__main__":
    ending.leave(entry.main("align", run))
