"""Alignment: Dis of the learned aligner, on people that it has not seen, against the baselines; exactness; speed.

    python -m benchmarks.align                     # about a quarter of an hour on two cores
    python -m benchmarks.align --quick             # a few minutes, to see that it runs; its numbers mean nothing

Real clips (SA_REAL_DATA, default `../shared`) are curated by `jobs.curate`, moving cameras included, and split by
person into two folds. For each an aligner is trained by Ray Train and DeepSpeed on procedural skeletons and the other
fold's poses, and measured on this fold's drives: a reference frame, and up to 24 other frames of the clip, misaligned
by one random transform. The aligner that comes with the package has seen no real clip and is measured on all of them.
Intervals are over people, by bootstrap. Without real clips only exactness and speed are measured.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import harness
from benchmarks.align.world import folds, real_clips, train
from benchmarks.harness import Figure, report
from jobs.training.align_task import SCOPES
from jobs.training.dis_report import Scores, dis_rows, print_tables, tables_three, what_of
from jobs.training.settings import AlignEngineSettings, AlignJobSettings
from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.aligner_folder import load_aligner_folder
from stableanimator.alignment.poses import visible_joints
from stableanimator.alignment.scoring.drives import Drive
from stableanimator.alignment.scoring.evaluate import compare, dis
from stableanimator.alignment.settings import AlignmentScope, PairsSettings, ProceduralSettings
from stableanimator.alignment.similarity import Similarity, fit_similarity, mean_point
from stableanimator.alignment.training_data.procedural import procedural_pairs
from stableanimator.errors import UserError
from stableanimator.metrics.intervals import Interval, bootstrap, of_people
from stableanimator.paths import local_path

_REAL = Path(__file__).resolve().parents[3] / "shared"
_SHIPPED = "package://stableanimator.alignment/weights"
CASES = 10_000
DRIVES, FRAMES = 12, 24
_SCOPES: dict[AlignmentScope, str] = {
    "clip": "a clip",
    "frame": "a frame",
    "steady": "rotation and scale a clip, place a frame",
}
STEPS, QUICK_STEPS = 1200, 40

Values = NDArray[np.float64]


def settings_of(steps: int) -> AlignJobSettings:
    """Of a fold's training: the defaults, with less of the few real poses, on two CPU workers."""
    engine = AlignEngineSettings(
        workers=2, cpus_per_worker=1, gpus_per_worker=0, batch_per_pass=128, loader_processes=0,
        validate_every=steps, checkpoint_every=steps, log_every=max(1, steps // 10),
    )  # fmt: skip
    return AlignJobSettings(steps=steps, pairs=PairsSettings(procedural_share=0.7), engine=engine)


def exactness() -> list[Figure]:
    """Our fit against scikit-image's (Umeyama) on random poses, float64, in image heights."""
    from skimage.transform import SimilarityTransform

    generator = np.random.default_rng(0)
    worst = 0.0
    for _ in range(CASES):
        count = int(generator.integers(3, 19))
        driven, reference = generator.uniform(0, 1, (2, count, 2))
        fit = fit_similarity(torch.from_numpy(driven), torch.from_numpy(reference))
        other = SimilarityTransform.from_estimate(driven, reference)
        ours = fit.apply(torch.from_numpy(driven)).numpy()
        worst = max(worst, float(np.abs(ours - other(driven)).max()))
    return [
        Figure("SVD fit against scikit-image, largest difference", worst, 1e-6, "lower", "image heights",
               note=f"{CASES:,} random pairs of 3 to 18 joints")
    ]  # fmt: skip


def speed() -> list[Figure]:
    """Frames of the shipped aligner in a second of processor time, on one thread."""
    torch.set_num_threads(1)
    aligner = load_aligner_folder(local_path(_SHIPPED))
    reference, driven = (torch.from_numpy(part) for part in procedural_pairs(ProceduralSettings(), 0, np.arange(256)))
    rates = []
    with torch.inference_mode():
        aligner(reference, driven)
        for _ in range(10):
            started = time.process_time()
            aligner(reference, driven)
            rates.append(256 / (time.process_time() - started))
    return [
        Figure("aligner, one thread, batch 256", statistics.median(rates), 3000, "higher", "frames/s",
               spread=harness.half_range(rates))
    ]  # fmt: skip


def oracle_dis(drive: Drive) -> float:
    """Dis with the true rotation and scale, and the position from the reference: the mean of the common joints."""
    points, target = drive.driven[..., :2], drive.reference[..., :2].expand_as(drive.driven[..., :2])
    both = visible_joints(drive.driven) & visible_joints(drive.reference)
    true = fit_similarity(points, drive.truth[..., :2], visible_joints(drive.driven))
    turned = Similarity(true.rotation, true.scale, torch.zeros_like(true.translation))
    shift = mean_point(target, both) - mean_point(turned.apply(points), both)
    return float(np.nanmean(dis(turned._replace(translation=shift).apply(points), drive.truth).numpy()))


def shown(interval: Interval) -> str:
    return f"95 %: {interval.low:.3f} to {interval.high:.3f} over people"


def ratio_figure(
    name: str, over: Values, under: Values, people: Sequence[str], bar: float | None, note: str = ""
) -> Figure:
    """The ratio of two means over people, with its interval."""
    interval = bootstrap(lambda a, b: a / b, of_people(over, people), of_people(under, people))
    spread = (interval.high - interval.low) / 2
    return Figure(
        name, interval.value, bar, "lower", spread=spread, note="; ".join(filter(None, [shown(interval), note]))
    )


def fold_figures(scores: Scores, drives: Sequence[Drive]) -> list[Figure]:
    """The bars on people not seen in training."""
    people = [drive.person for drive in drives]
    oracle = np.array([oracle_dis(drive) for drive in drives])
    svd = scores["svd", "frame"]
    literal = scores["svd_literal", "frame"]
    figures = [
        ratio_figure(f"learned, {words}, over literal SVD, a frame", scores["learned", scope], literal, people, 0.22,
                     "paper: 0.304")
        for scope, words in _SCOPES.items()
    ] + [
        ratio_figure("learned over literal SVD, both a clip", scores["learned", "clip"],
                     scores["svd_literal", "clip"], people, None),
        ratio_figure("oracle over literal SVD, a frame", oracle, literal, people, None,
                     "true rotation and scale, position from the reference"),
        ratio_figure("learned, a clip, over masked SVD, a frame", scores["learned", "clip"], svd, people, 0.62),
        ratio_figure("learned over masked SVD, both a clip", scores["learned", "clip"], scores["svd", "clip"],
                     people, None),
    ]  # fmt: skip
    chosen = {
        "learned, a frame by itself": (scores["learned", "frame"], 0.8),
        "learned, rotation and scale a clip, place a frame": (scores["learned", "steady"], 0.8),
        "SVD without arms, a frame by itself": (scores["svd_no_arms", "frame"], None),
        "SVD without arms, rotation and scale a clip, place a frame": (scores["svd_no_arms", "steady"], None),
    }
    for name, (values, bar) in chosen.items():
        share = bootstrap(lambda a, b, c: (a - b) / (a - c), *(of_people(v, people) for v in (svd, values, oracle)))
        figures.append(
            Figure(f"share of the gap from masked SVD to the oracle: {name}", share.value, bar, "higher",
                   spread=(share.high - share.low) / 2, note=shown(share))
        )  # fmt: skip
    return figures


def shipped_figures(scores: Scores, drives: Sequence[Drive]) -> list[Figure]:
    """The shipped aligner over SVD without arms, by framing."""
    figures = []
    for framing in ("whole body", "half body"):
        mask = np.array([drive.framing == framing for drive in drives])
        people = [drive.person for drive, here in zip(drives, mask, strict=True) if here]
        for scope, words in _SCOPES.items():
            figures.append(
                ratio_figure(f"shipped over SVD without arms, {framing}, {words}", scores["learned", scope][mask],
                             scores["svd_no_arms", scope][mask], people, 1.0)
            )  # fmt: skip
    return figures


def on_people(quick: bool, work: Path) -> list[Figure]:
    """Everything that needs real clips; prints Table III of the folds and of the shipped aligner."""
    import ray

    real = Path(os.environ.get("SA_REAL_DATA") or _REAL)
    if not (real / "media" / "videos").is_dir() or not (real / "weights").is_dir():
        print(f"no clips and weights in {real}: only exactness and speed are measured; name a folder in SA_REAL_DATA")
        return []
    clips = real_clips(real, work / "curated")
    print(f"{len(clips)} shots of {len({clip.person for clip in clips})} people")
    settings = settings_of(QUICK_STEPS if quick else STEPS)
    parts, drives, minutes = folds(clips), [], []
    collected: dict[Any, list[Values]] = {}
    ray.init(num_cpus=2, logging_level=logging.WARNING)
    for number, part in enumerate(parts):
        others = [clip for other in parts if other is not part for clip in other]
        aligner, took = train(work / "folds", f"fold{number}", others, settings)
        minutes.append(took)
        own = [drive for clip in part for drive in clip.drives(DRIVES, FRAMES, settings)]
        drives += own
        for key, values in compare(settings.evaluation.methods, SCOPES, own, aligner).items():
            collected.setdefault(key, []).append(values)
    ray.shutdown()
    scores = {key: np.concatenate(values) for key, values in collected.items()}
    print_tables(tables_three(dis_rows(scores, drives), f"{what_of(drives)}, none of them seen in training"))
    shipped = compare(("svd_literal", "svd", "svd_no_arms", "learned"), SCOPES, drives, _shipped())
    print_tables(tables_three(dis_rows(shipped, drives), f"{what_of(drives)}, by the aligner of the package"))
    training = Figure(
        "training of one fold", max(minutes), 60, "lower", "min", note=f"{settings.steps} steps, two cores"
    )
    return [*fold_figures(scores, drives), training, *shipped_figures(shipped, drives)]


def _shipped() -> Aligner:
    return load_aligner_folder(local_path(_SHIPPED))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark. Returns 0, 1 where a bar is missed, or 2 for the user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.align", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short trainings, nothing written: to see that it runs")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING)
    os.environ["OMP_NUM_THREADS"] = "1"
    work = Path(tempfile.mkdtemp(prefix="bench-align-"))
    try:
        figures = [*exactness(), *speed(), *on_people(arguments.quick, work)]
        return report("align", figures, folder=None if arguments.quick else harness.RESULTS)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    sys.exit(main())
