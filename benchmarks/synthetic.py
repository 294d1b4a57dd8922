"""Curation and the networks trained on the drawn world, against the truth of clips and people that no training saw.

    python -m benchmarks.synthetic                                # 200 clips, 100 people
    python -m benchmarks.synthetic --clips 24 --only joints,faces
    python -m benchmarks.synthetic --sheet page.html              # look instead of read

benchmarks.drawn.truth says what the truth of each rule is.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.drawn.clips import (
    WEIGHTS,
    MeasuredClip,
    default_folder,
    draw,
    drawn_perception,
    measure,
    measuring,
    unseen_clips,
)
from benchmarks.drawn.crossings import share_wrong
from benchmarks.drawn.faces import KINDS, identity_score
from benchmarks.drawn.scores import (
    RuleScore,
    camera_score,
    cut_score,
    face_score,
    joint_score,
    people_score,
    rule_scores,
)
from benchmarks.drawn.sheet import write_sheet
from benchmarks.drawn.truth import DOUBT, SMALL_FACE
from benchmarks.harness import RESULTS, Figure, report
from pipelines.curation import CurateSettings
from pipelines.storage.tables import MEASURES
from stableanimator.errors import InputError, UserError
from stableanimator.synthetic.scene.living import LIVING
from stableanimator.synthetic.scores import Tally, total

CLIPS, IDENTITIES, BACKGROUNDS = 200, 100, 40
"""Of a whole run, the only one that is written down."""

JOINT_REACH = 0.05
"""Share of the standing height within which a joint is found."""


def cut_figures(clips: Sequence[MeasuredClip]) -> list[Figure]:
    """Cuts: right within two frames."""
    cuts = cut_score(clips)
    note = f"{cuts.true} cuts, {cuts.misses} missed, {cuts.false_alarms} too many"
    return _both("cuts within 2 frames", cuts, 0.98, note)


def people_figures(clips: Sequence[MeasuredClip]) -> list[Figure]:
    """Boxes of people."""
    people = people_score(clips)
    return _both("people, boxes that overlap by half", people, note=f"{people.true} in the sampled frames")


def face_figures(clips: Sequence[MeasuredClip]) -> list[Figure]:
    """Boxes of faces and their landmarks."""
    score = face_score(clips)
    errors = _medians(score.landmarks)
    names = ("eye", "eye", "nose", "mouth", "mouth")
    listed = ", ".join(f"{name} {error:.3f}" for name, error in zip(names, errors, strict=True))
    note = f"{score.faces.true} of at least {SMALL_FACE} pixels; of smaller ones {score.small_found:.0%} found"
    return [
        *_both("faces, boxes that overlap by half", score.faces, note=note),
        Figure("face landmarks: median error in eye distances", float(np.median(errors)), None, "lower", note=listed),
    ]


def joint_figures(clips: Sequence[MeasuredClip]) -> list[Figure]:
    """Body joints that are seen, together and by framing."""
    by_framing = joint_score(clips)
    name = "seen joints within 5 % of the height"
    everywhere = np.concatenate([np.zeros(0), *by_framing.values()])
    return [
        _joint_figure(name, everywhere, 0.95),
        *(_joint_figure(f"{name}: {framing}", by_framing[framing], None) for framing in sorted(by_framing)),
    ]


def _joint_figure(name: str, errors: NDArray[np.float64], bar: float | None) -> Figure:
    if not len(errors):
        return Figure(name, math.nan, bar, "higher")
    note = f"{len(errors)} joints, median error {np.median(errors):.2%}, {np.isinf(errors).mean():.1%} not found"
    return Figure(name, float(np.mean(errors <= JOINT_REACH)), bar, "higher", note=note)


def camera_figures(clips: Sequence[MeasuredClip]) -> list[Figure]:
    """The camera from one sample to the next, where it moves: where it stays an error would be too easy to avoid."""
    score = camera_score(clips)
    (translation, zoom, rotation), still = _medians(score.moving), _medians(score.still)
    steps = f"{len(score.moving)} steps of 1/8 s before cameras that move"
    return [
        Figure("camera translation: median error", 100 * translation, 0.2, "lower", "% of the diagonal",
               note=f"{steps}; {100 * still[0]:.2g} where they stay"),
        Figure("camera zoom: median error", 100 * zoom, 0.2, "lower", "%",
               note=f"{100 * still[1]:.2g} where they stay"),
        Figure("camera rotation: median error", rotation, 0.1, "lower", "°", note=f"{still[2]:.2g} where they stay"),
        Figure("camera steps known where it moves", _part(len(score.moving), score.moving_steps), None, "higher"),
        Figure("camera steps known where it stays", _part(len(score.still), score.still_steps), None, "higher",
               note="the rest shows too little background"),
    ]  # fmt: skip


def _medians(errors: NDArray[np.float64]) -> list[float]:
    return [float(error) for error in np.median(errors, 0)] if len(errors) else [math.nan] * errors.shape[1]


def rule_figures(clips: Sequence[MeasuredClip]) -> list[Figure]:
    """Precision and recall of each rule on the shots that are clear of its threshold; prints on which it erred.

    Of a rule that nothing in these clips breaks there are only false alarms to count.
    """
    scores = rule_scores(clips, CurateSettings())
    figures = [figure for rule, score in scores.items() for figure in _figures_of_rule(rule, score)]
    together = total(score.all for score in scores.values())
    undecided = {rule: _part(score.undecided, score.shots) for rule, score in scores.items()}
    worst = max(undecided, key=lambda rule: undecided[rule])
    return [
        *figures,
        *_both("all rules on all shots", together, note=f"broken {together.true} times"),
        Figure("undecided shots of a rule, at most", undecided[worst], 0.05, "lower",
               note=f"{worst}; within {DOUBT:.0%} of the threshold"),
    ]  # fmt: skip


def background_figures(arguments: argparse.Namespace) -> list[Figure]:
    """What `max_background_change` does to people before plain walls and before backgrounds that change."""
    settings = measuring({"camera_motion"})
    fired = {}
    for name, kinds in (("plain", ("speaker",)), ("living", tuple(LIVING))):
        scripts = unseen_clips(arguments.backgrounds, kinds)
        paths = draw(scripts, arguments.folder, arguments.workers)
        perception = drawn_perception(arguments.weights)
        clips = measure(scripts, paths, arguments.folder, perception, settings, arguments.workers)
        fired[name] = [
            any(rule["rule"] == "max_background_change" for rule in shot["failed_rules"])
            for clip in clips
            for shot in clip.shots
        ]
    plain, living = fired["plain"], fired["living"]
    return [
        Figure("speakers before plain walls, rejected for a changing background", _part(sum(plain), len(plain)), 0.05,
               "lower", note=f"{sum(plain)} of {len(plain)}"),
        Figure("backgrounds that change: recall", _part(sum(living), len(living)), 0.95, "higher",
               note=f"{sum(living)} of {len(living)}: {', '.join(LIVING)}"),
    ]  # fmt: skip


def crossing_figures(scenes: int = 100) -> list[Figure]:
    """Who is who where people cross and hide each other."""
    figures = []
    for count in (2, 3):
        share, frames = share_wrong(count, scenes)
        note = f"{scenes} crossings, {frames} frames, hidden for 0.2 to 1 s"
        figures.append(Figure(f"{count} people who cross: share of frames wrong", share, 0.02, "lower", note=note))
    return figures


def _figures_of_rule(rule: str, score: RuleScore) -> list[Figure]:
    for error in score.wrong:
        print(f"{rule}: {error}")
    decided = score.shots - score.undecided
    note = f"{score.decided.true} of {decided} shots break it"
    if score.undecided:
        note += f"; on all {score.shots}: {score.all.precision:.3f} and {score.all.recall:.3f}"
    if score.decided.true:
        return _both(rule, score.decided, 0.95, note)
    alarms = _part(score.decided.false_alarms, decided)
    return [Figure(f"{rule}: share of false alarms", alarms, 0.05, "lower", note=note)]


def _both(name: str, tally: Tally, bar: float | None = None, note: str = "") -> list[Figure]:
    return [
        Figure(f"{name}: precision", tally.precision, bar, "higher", note=note),
        Figure(f"{name}: recall", tally.recall, bar, "higher", note=note),
    ]


def _part(count: int, whole: int) -> float:
    return count / whole if whole else math.nan


def identity_figures(identities: int, weights: Path, workers: int) -> list[Figure]:
    """How well both recognisers tell unseen people apart."""
    score = identity_score(identities, weights, workers)
    note = (
        f"{score.faces} faces of {identities} people in {len(KINDS)} clips each, {score.found:.1%} found; "
        f"at least {score.sizes[0]:.0f} pixels, median {score.sizes[1]:.0f}"
    )
    return [
        Figure(f"identity AUC: {embedder}, {landmarks} landmarks", area, 0.98, "higher", note=note)
        for (embedder, landmarks), area in score.areas.items()
    ]


def size_figures(weights: Path) -> list[Figure]:
    """All networks in a folder together."""
    megabytes = sum(path.stat().st_size for path in weights.rglob("*.onnx*")) / 1e6
    return [Figure("networks together", megabytes, 8.0, "lower", "MB")]


OF_CLIPS: dict[str, tuple[Callable[[Sequence[MeasuredClip]], list[Figure]], tuple[str, ...]]] = {
    "cuts": (cut_figures, ()),
    "camera": (camera_figures, ("camera_motion",)),
    "people": (people_figures, ("people",)),
    "faces": (face_figures, ("face_quality",)),
    "joints": (joint_figures, ("keypoints",)),
    "rules": (rule_figures, tuple(MEASURES)),
}
"""The parts that are scored on clips, each with the measures that it needs."""
PARTS = (*OF_CLIPS, "background", "crossings", "identity", "size")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark. Returns 0, 1 where a bar is missed, 2 for the user's mistake."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        parts = _parts(arguments.only)
        figures = _on_clips(arguments, [part for part in parts if part in OF_CLIPS])
        if "background" in parts:
            figures += background_figures(arguments)
        if "crossings" in parts:
            figures += crossing_figures()
        if "identity" in parts:
            figures += identity_figures(arguments.identities, arguments.weights, arguments.workers)
        if "size" in parts:
            figures += size_figures(arguments.weights)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    counts = arguments.clips, arguments.identities, arguments.backgrounds
    whole = (*counts, arguments.weights) == (CLIPS, IDENTITIES, BACKGROUNDS, WEIGHTS)
    return report("synthetic", figures, folder=RESULTS if whole and set(parts) == set(PARTS) else None)


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    result = argparse.ArgumentParser(prog="python -m benchmarks.synthetic", description=__doc__.splitlines()[0])
    result.add_argument("--clips", type=int, default=CLIPS, help="unseen clips to draw (default: %(default)s)")
    result.add_argument("--identities", type=int, default=IDENTITIES, help="unseen people (default: %(default)s)")
    result.add_argument("--backgrounds", type=int, default=BACKGROUNDS,
                        help="clips before plain walls, and before living ones (default: %(default)s)")  # fmt: skip
    result.add_argument("--only", metavar="A,B", help=f"parts to score, of: {', '.join(PARTS)} (default: all)")
    result.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the networks (default: the package's)")
    result.add_argument("--folder", type=Path, default=default_folder(),
                        help="where clips and measures are kept for the next run (default: %(default)s)")  # fmt: skip
    result.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    result.add_argument("--sheet", type=Path, metavar="HTML", help="also write a page of frames with what was found")
    return result


def _parts(only: str | None) -> list[str]:
    parts = list(PARTS) if only is None else [name.strip() for name in only.split(",")]
    for part in parts:
        if part not in PARTS:
            raise InputError(f"--only: {part!r} is no part; choose from {', '.join(PARTS)}")
    return parts


def _on_clips(arguments: argparse.Namespace, parts: Sequence[str]) -> list[Figure]:
    """Figures of the parts that are scored on clips."""
    needed = {one for part in parts for one in OF_CLIPS[part][1]}
    if arguments.sheet is not None:
        needed |= set(MEASURES)
    elif not parts:
        return []
    settings = measuring(needed)
    scripts = unseen_clips(arguments.clips)
    paths = draw(scripts, arguments.folder, arguments.workers)
    perception = drawn_perception(arguments.weights)
    clips = measure(scripts, paths, arguments.folder, perception, settings, arguments.workers)
    if arguments.sheet is not None:
        write_sheet(arguments.sheet, clips, settings)
    return [figure for part in parts for figure in OF_CLIPS[part][0](clips)]


if __name__ == "__main__":
    sys.exit(main())
