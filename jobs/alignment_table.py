"""Table III: Dis of every alignment on a benchmark set, with intervals over people, beside the paper's figures."""

from __future__ import annotations

from jobs.running import ending, entry

if __name__ == "__main__":
    entry.answer_first("alignment_table")  # before what takes seconds to import

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.compute as pc

from jobs.pairs.pairs_table import misalignment
from jobs.running.config import Config
from jobs.tracking.run import Run
from jobs.training import dis_report
from jobs.training.align_task import SCOPES
from jobs.training.aligners import aligner_folder
from pipelines.progress import track
from pipelines.releases.poses import ClipPoses, clip_poses
from pipelines.storage.store import Collection, Store
from stableanimator.alignment.aligner_folder import load_aligner_folder
from stableanimator.alignment.scoring.drives import Drive, make_drive
from stableanimator.alignment.scoring.evaluate import compare
from stableanimator.alignment.scoring.pictures import worst_cases
from stableanimator.alignment.similarity import Similarity
from stableanimator.errors import InputError


def run(config: Config, run: Run) -> str:
    """Returns Dis of every alignment, one transform a clip.

    Raises:
        InputError: there is no such benchmark set or aligner, or none of its pairs has poses.
        WeightsError: the aligner's folder has no weights.
    """
    settings = config.alignment_table
    store = Store(config.root)
    benchmark = store.open("benchmarks", settings.benchmark)
    if "release" not in benchmark.manifest:
        raise InputError(f"{benchmark.uri} names no release; name a benchmark set that the curate job made")
    release = store.open("releases", benchmark.manifest["release"])
    identity, folder = aligner_folder(store, settings.aligner)
    run.dataset("benchmark", benchmark.uri, benchmark.id)
    run.dataset("aligner", str(folder), identity)
    count = len(benchmark.table("pairs"))
    drives = list(track(benchmark_drives(benchmark, release, settings.moving_camera), "reading poses", count))
    if not drives:
        raise InputError(
            f"none of the {count} pairs of {benchmark.uri} has poses; curate with the measure keypoints and a "
            "heldout_share"
        )
    aligner, evaluation = load_aligner_folder(folder), config.align.evaluation
    scores = compare(evaluation.methods, SCOPES, drives, aligner)
    rows = dis_report.dis_rows(scores, drives)
    run.text(dis_report.print_tables(dis_report.tables_three(rows, dis_report.what_of(drives))), "table_3.html")
    run.table("table_3", rows)
    run.table("dis_by_clip", dis_report.clip_rows(scores, drives))
    found = dis_report.metrics(rows)
    run.judges_model(identity, "aligner")
    learned = {name: value for name, value in found.items() if name.startswith("dis_learned_")}
    run.metrics(learned, model=identity, dataset="benchmark")
    run.metrics({name: value for name, value in found.items() if name not in learned})
    if evaluation.worst:
        picture = worst_cases(drives, scores["learned", "clip"], evaluation.worst, "learned", "clip", aligner)
        run.picture(picture, "worst_cases.png")
    means = {(row["alignment"], row["scope"]): row["dis"] for row in rows if row["group"] == "all"}
    figures = ", ".join(f"{name} {means[name, 'clip']:.4f}" for name in evaluation.methods)
    return f"Dis, one transform a clip, on {dis_report.what_of(drives)} of {count} pairs: {figures}"


def benchmark_drives(benchmark: Collection, release: Collection, moving_camera: float) -> Iterator[Drive]:
    """A drive for each pair of a benchmark set, from the poses that its release has.

    The frame that is the reference does not drive: its alignment would be known. Pairs whose reference frame has no
    pose, or that have no other frame, are passed over.
    """
    clips = {clip["shot_id"]: clip for clip in release.table("clips").to_pylist()}
    verdicts = release.table("verdicts").filter(
        pc.field("shot_id").isin(release.table("clips")["shot_id"].combine_chunks())
    )
    camera = dict(zip(*(verdicts[name].to_pylist() for name in ("shot_id", "camera_translation")), strict=True))
    pairs: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for pair in benchmark.table("pairs").to_pylist():
        pairs.setdefault((release.store.resolve(pair["driving_uri"]), pair["start"]), []).append(pair)
    for poses in clip_poses(release, "heldout"):
        clip = clips[poses.shot_id]
        person = clip["uploader"] or clip["video_id"]
        moving = (camera[poses.shot_id] or 0.0) >= moving_camera
        for pair in pairs.get((release.store.resolve(clip["media"]), clip["start"]), ()):
            drive = _drive(pair, poses, person, moving)
            if drive is not None:
                yield drive


def _drive(pair: dict[str, Any], poses: ClipPoses, person: str, moving: bool) -> Drive | None:
    reference = poses.frame_index == int(pair["reference_uri"].rsplit("=", 1)[1])
    driving = (poses.frame_index >= pair["start"]) & (poses.frame_index < pair["end"]) & ~reference
    seen = (poses.poses[..., 2] > 0).any(-1)
    if not (reference & seen).any() or not (driving & seen).any():
        return None
    moved = misalignment(pair) or Similarity.identity()
    return make_drive(
        poses.shot_id, person, moving, poses.poses[np.argmax(reference)], poses.poses[driving & seen], moved
    )


if __name__ == "__main__":
    ending.leave(entry.main("alignment_table", run))
