"""The small base model on drawn people that no training saw: is the motion there, is it the same person, how far from
the truth; beside repeating the reference, which a bar must exceed to mean anything, and beside the truth through the
VAE, which nothing can exceed.

    python -m benchmarks.embedded --model FOLDER --clips 40 [--sheet page.png]

Each clip drives its own first frame, which is not among the scored ones. Everything is judged on pictures enlarged to
256 pixels.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from benchmarks.drawn.clips import FIRST_SEED, WEIGHTS, drawn_perception
from benchmarks.harness import Figure, report
from jobs.pairs.people import People
from jobs.running.config import load
from pipelines.progress import track
from stableanimator.animate import Driving, Models, Reference, aligned, animate
from stableanimator.animate_settings import AnimateSettings
from stableanimator.driving import follow_people
from stableanimator.media.tensors import to_pictures, to_tensor
from stableanimator.metrics.identity import cosine
from stableanimator.metrics.image import psnr
from stableanimator.metrics.pose import PoseAgreement, pose_agreement
from stableanimator.models.checkpoints import load_model_folder
from stableanimator.models.encoders import Encoders
from stableanimator.perception.faces import Face, FaceAnalyser
from stableanimator.perception.held_out import HeldOutRecogniser
from stableanimator.perception.person_boxes import person_box
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import ClipRenderer
from stableanimator.synthetic.script import ClipSettings

CONFIG = Path(__file__).resolve().parents[1] / "jobs" / "configs" / "base_tiny.yaml"
KINDS = {"half body": ("gesture", "wave"), "full body": ("dance", "walk")}
FRAMES, SEEN, MARGIN = 16, 256, 0.05

Pictures = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Judged:
    """What is seen in the frames of one clip: result, reference repeated, truth through the VAE, or the truth."""

    poses: list[npt.NDArray[np.float32]]
    faces: list[Face | None]
    identities: list[npt.NDArray[np.float32] | None]


@dataclass(frozen=True)
class Scores:
    """Of one kind of frames of one clip, against the truth."""

    motion: PoseAgreement
    found: float
    """Share of frames with a face, of those in which the truth has one."""
    identity: float | None
    """Mean cosine to the truth by the held-out recogniser."""
    psnr_person: float
    background: float
    """Mean change from frame to frame outside the person, grey levels."""


class Judge:
    """The networks of the drawn world; the recogniser is the one that nothing optimises against."""

    def __init__(self) -> None:
        perception = drawn_perception()
        self.people = People(perception)
        self.faces = FaceAnalyser(perception.faces)
        self._held_out = HeldOutRecogniser(WEIGHTS / "held_out_recogniser.onnx")

    def __call__(self, frames: Pictures) -> Judged:
        large = [np.asarray(cv2.resize(frame, (SEEN, SEEN), interpolation=cv2.INTER_CUBIC)) for frame in frames]
        faces = [next(iter(self.faces(frame)), None) for frame in large]
        identities = [
            None if face is None else self._held_out(frame, face.landmarks)
            for face, frame in zip(faces, large, strict=True)
        ]
        return Judged([self.people(frame) for frame in large], faces, identities)


@dataclass(frozen=True)
class Case:
    """One clip that drives its own first frame."""

    framing: str
    truth: Pictures
    result: Pictures
    repeat: Pictures
    ceiling: Pictures
    skeletons: Pictures


def make_case(number: int, framing: str, models: Models, settings: AnimateSettings, judge: Judge) -> Case | None:
    """None where the first frame shows no face or nobody."""
    kinds = KINDS[framing]
    look = ClipSettings(width=192, height=192, fps=8.0, min_seconds=2.5, max_seconds=3.0)
    renderer = ClipRenderer(write_clip(kinds[number % len(kinds)], FIRST_SEED + 500_000 + number, look))
    frames = np.stack([picture for picture, _ in zip(renderer, range(FRAMES + 1), strict=False)])
    poses = [judge.people(frame) for frame in frames]
    faces = judge.faces(frames[0])
    if not faces or faces[0].embedding is None or not len(poses[0]):
        return None
    reference = Reference(
        picture=frames[0], keypoints=poses[0][:1], face_box=faces[0].box, face_embedding=faces[0].embedding
    )
    driving = Driving(keypoints=follow_people(poses, 1)[1:], height=192, width=192, fps=8.0)
    driven = aligned(reference, driving, settings)
    animation = animate(models, reference, driven, settings, seed=number)
    truth = driven.framing.pictures(frames[1:])
    encoders = models.encoders
    with torch.no_grad():
        ceiling = to_pictures(encoders.decode(encoders.encode(to_tensor(truth))))
    repeat = np.repeat(driven.framing.pictures(frames[:1]), len(truth), axis=0)
    return Case(framing, truth, animation.frames, repeat, ceiling, animation.skeletons)


def scores_of(case: Case, frames: Pictures, judge: Judge, truth: Judged) -> Scores:
    """Of result, repeat or ceiling."""
    seen = judge(frames)
    with_face = [number for number, face in enumerate(truth.faces) if face is not None]
    likeness = [cosine(seen.identities[number], truth.identities[number]) for number in with_face]
    there = [value for value in likeness if value is not None]
    scale, size = case.truth.shape[1] / SEEN, case.truth.shape[1:3]
    insides = [_inside(people, scale, size) for people in truth.poses]
    ratios = [
        psnr(frame[None, inside], true[None, inside])
        for frame, true, inside in zip(frames, case.truth, insides, strict=True)
        if inside.any()
    ]
    outside = ~np.any(insides, axis=0)
    changes = np.abs(np.diff(frames[:, outside].astype(np.float64), axis=0))
    return Scores(
        motion=pose_agreement(seen.poses, truth.poses),
        found=float(np.mean([seen.faces[number] is not None for number in with_face])) if with_face else np.nan,
        identity=float(np.mean(there)) if there else None,
        psnr_person=float(np.mean(ratios)),
        background=float(changes.mean()) if outside.any() else 0.0,
    )


def _inside(people: npt.NDArray[np.float32], scale: float, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """[H, W] the first person's box, a little widened."""
    mask = np.zeros(size, np.bool_)
    if len(people):
        box, margin = person_box(people[:1]), MARGIN * SEEN
        x0, y0, x1, y1 = (round(float(value) * scale) for value in np.asarray(box) + margin * np.array([-1, -1, 1, 1]))
        mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    return mask


def pooled(scores: Sequence[Scores], name: str) -> float:
    """A PCK over the joints of all clips."""
    weight = "joints_moved" if "moved" in name else "joints"
    pairs = [(getattr(each.motion, name), getattr(each.motion, weight)) for each in scores]
    total = sum(count for value, count in pairs if value is not None)
    return sum(value * count for value, count in pairs if value is not None) / total if total else np.nan


def figures_of(framing: str, result: list[Scores], repeat: list[Scores], ceiling: list[Scores]) -> list[Figure]:
    """Of one framing."""
    name, bar = "pck_moved_05" if framing == "half body" else "pck_10", 0.8
    what = "moved joints within 5 %" if framing == "half body" else "joints within 10 %"
    ours, theirs, top = (pooled(scores, name) for scores in (result, repeat, ceiling))
    gain = np.array([a.psnr_person - b.psnr_person for a, b in zip(result, repeat, strict=True)])
    found, most = (float(np.nanmean([each.found for each in scores])) for scores in (result, ceiling))
    likeness = [
        float(np.mean([each.identity for each in scores if each.identity is not None]))
        for scores in (result, repeat, ceiling)
    ]
    moving = float(np.mean([each.background for each in result]))
    note = f"result {ours:.3f}, repeat {theirs:.3f}, ceiling {top:.3f}; {len(result)} people"
    twice = 2.0 if framing == "half body" else None
    spread, against = (
        float(1.96 * gain.std() / len(gain) ** 0.5),
        f"repeat {likeness[1]:.3f}, ceiling {likeness[2]:.3f}",
    )
    return [
        Figure(f"{framing}: {what}, over the ceiling's", _over(ours, top), bar, "higher", note=note),
        Figure(f"{framing}: {what}, over the repeat's", _over(ours, theirs), twice, "higher"),
        Figure(
            f"{framing}: faces found over the ceiling's", found / most, 0.8, "higher", note=f"{found:.3f}, {most:.3f}"
        ),
        Figure(
            f"{framing}: PSNR in the person's box over the repeat's", float(gain.mean()), 2.0, "higher", "dB", spread
        ),
        Figure(f"{framing}: held-out cosine to the truth", likeness[0], None, "higher", note=against),
        Figure(f"{framing}: change of the background", moving, 2.0, "lower", "grey levels"),
    ]


def _over(value: float, other: float) -> float:
    """Their ratio; infinite over nothing: a repeated reference has no joint that moved."""
    return value / other if other > 0 else np.inf if value > 0 else np.nan


def sheet(cases: Sequence[Case], shown: int = 6) -> Pictures:
    """Reference, then truth, result and skeletons below each other, of the first cases of each framing."""
    rows = []
    for framing in KINDS:
        for case in [case for case in cases if case.framing == framing][:shown]:
            places = np.linspace(0, len(case.truth) - 1, 6).astype(int)
            rows.append(np.hstack([case.repeat[0], *case.truth[places]]))
            rows.append(np.hstack([case.repeat[0], *case.result[places]]))
            rows.append(np.hstack([np.zeros_like(case.truth[0]), *case.skeletons[places]]))
    return np.vstack(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default=str(WEIGHTS / "base"), help="a model folder; by default the package's")
    parser.add_argument("--clips", type=int, default=40, help="people of each framing")
    parser.add_argument("--sheet", type=Path, help="also write a picture of some results")
    arguments = parser.parse_args()
    config = load(str(CONFIG), ["root=/nowhere"])
    loaded = load_model_folder(arguments.model)
    models = Models(animator=loaded.animator, rates=loaded.rates, encoders=Encoders(config.encoders))
    settings = replace(config.animate.variants["plain"], alignment="none")  # each clip drives itself
    judge, cases = Judge(), list[Case]()
    figures: list[Figure] = []
    for framing in KINDS:
        scores: list[list[Scores]] = [[], [], []]
        for number in track(range(arguments.clips), f"animating {framing}", arguments.clips):
            case = make_case(number, framing, models, settings, judge)
            if case is None:
                continue
            cases.append(case)
            truth = judge(case.truth)
            for listed, frames in zip(scores, (case.result, case.repeat, case.ceiling), strict=True):
                listed.append(scores_of(case, frames, judge, truth))
        figures += figures_of(framing, *scores)
    if arguments.sheet is not None:
        cv2.imwrite(str(arguments.sheet), sheet(cases)[..., ::-1])
    return report("embedded", figures, folder=None if arguments.clips < 40 else Path(__file__).parent / "results")


if __name__ == "__main__":
    raise SystemExit(main())
