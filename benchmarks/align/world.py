"""What `benchmarks.align` measures on: poses of real clips by the real curation, folds of people, trained aligners."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

import jobs
from pipelines.releases.poses import Poses, clip_poses
from pipelines.storage.store import Store
from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.scoring.drives import Drive, drives_of_clip
from stableanimator.errors import StableAnimatorError

_CONFIG = Path(jobs.__file__).parent / "configs" / "real_clips.yaml"
_SAME_PERSON = {"animatex_dance1_right": "animatex_dance_1"}
"""Clips whose motion was taken from another one, by the beginning of their files' names."""
_MOVING = 0.02
"""Camera translation in diagonals a second, or zoom in logarithms a second, from which a camera moves: the defaults of
curation for the first, and for the second two thirds."""
_OFF = (
    *("min_seconds", "min_width", "min_height", "min_face_share", "min_face_size", "min_keypoint_coverage"),
    *("max_camera_translation", "max_camera_rotation", "max_camera_zoom", "max_camera_drift", "max_background_change"),
)


@dataclass(frozen=True, slots=True)
class RealClip:
    """One shot of one person."""

    name: str
    person: str
    moving: bool
    poses: Poses
    """[F, 18, 3] in image heights."""

    def drives(self, count: int, frames: int, settings: Any) -> list[Drive]:
        """Random drives, the same in every run."""
        return drives_of_clip(
            self.name,
            self.poses,
            settings.misalignment,
            count=count,
            frames=frames,
            seed=settings.seed,
            minimum_joints=settings.pairs.minimum_joints,
            person=self.person,
            moving=self.moving,
        )


def real_clips(real_data: Path, root: Path) -> list[RealClip]:
    """Shots of one living person, by `jobs.curate` with its rules on faces, sizes and cameras switched off.

    Raises:
        StableAnimatorError: curation failed.
    """
    config = root / "curate.yaml"
    root.mkdir(parents=True, exist_ok=True)
    curate = {
        "actors": 2,
        "measures": ["people", "keypoints", "camera_motion"],
        "select": {**dict.fromkeys(_OFF), "heldout_share": 0.0},
    }
    config.write_text(yaml.safe_dump({"extends": str(_CONFIG), "root": str(root), "curate": curate}))
    environment = {
        **os.environ,
        "SA_REAL_DATA": str(real_data),
        "SA_ROOT": str(root),
        "MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db",
    }
    command = [sys.executable, "-m", "jobs.curate", "--config", str(config)]
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True)
    if outcome.returncode:
        raise StableAnimatorError(f"curation of {real_data} failed: {outcome.stderr[-2000:]}")
    release = Store(str(root)).open("releases", "latest")
    names = {row["video_id"]: Path(row["source_uri"]).stem for row in release.table("sources").to_pylist()}
    verdicts = {row["shot_id"]: row for row in release.table("verdicts").to_pylist()}
    found = []
    for clip in clip_poses(release, "train"):
        row = verdicts[clip.shot_id]
        name = names[row["video_id"]]
        moving = max(row["camera_translation"] or 0.0, row["camera_zoom"] or 0.0) >= _MOVING
        shot = f"{name}:{row['start']}-{row['end']}"
        found.append(RealClip(shot, _SAME_PERSON.get(name, name), moving, clip.poses))
    return sorted(found, key=lambda clip: clip.name)


def folds(clips: Sequence[RealClip], count: int = 2) -> list[list[RealClip]]:
    """The clips in `count` parts that share nobody; people go round in the order of their names."""
    people = sorted({clip.person for clip in clips})
    return [[clip for clip in clips if people.index(clip.person) % count == fold] for fold in range(count)]


def train(root: Path, name: str, clips: Sequence[RealClip], settings: Any) -> tuple[Aligner, float]:
    """An aligner by Ray Train and DeepSpeed as `jobs.align` trains it, and the minutes that took.

    `settings`: an AlignJobSettings. Ray must have been started.
    """
    from jobs.tracking.runs import Job, job_run
    from jobs.training import run_folder
    from jobs.training.align_task import AlignTask
    from jobs.training.loop import run_training
    from stableanimator.alignment.aligner_folder import load_aligner_folder
    from stableanimator.alignment.training_data.pose_clips import PoseClips, write_pose_clips

    content = {"name": name, "align": asdict(settings)}
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{root}/mlflow.db"
    with (
        run_folder.claim(str(root), "aligners", name, content) as folder,
        job_run(Job(verb="align", experiment="benchmark", key=name, root=str(root))) as run,
    ):
        stem = write_pose_clips(folder.path / "poses", ((clip.name, clip.poses) for clip in clips))
        task = AlignTask(settings, PoseClips(stem), [], [], content)
        outcome = run_training(task, settings.loop(), folder, run.folder)
    return load_aligner_folder(outcome.checkpoint.folder), outcome.seconds / 60
