"""How often the warnings of a look are right: precision and recall of each kind, on drawn cases and near misses.

    python -m benchmarks.animate --parts preview                # the judged seeds
    python -m benchmarks.animate --parts preview --seed 0       # those on which thresholds may be set

A kind is asked of its own cases, of its near misses, and of sound pairs of which none may be warned. Pairs whose drawn
pictures go through the real perception are told beside it, without a bar: there are few of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.animate.preview_cases import KINDS, sound
from benchmarks.animate.preview_people import SIZES, Case
from benchmarks.drawn.clips import FIRST_SEED, drawn_perception
from benchmarks.harness import Figure
from jobs.pairs.inputs import PairReader
from pipelines.progress import track
from stableanimator import alignment
from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.aligner_folder import load_aligner_folder
from stableanimator.animate import Driving, Reference, aligned
from stableanimator.animate_settings import AnimateSettings
from stableanimator.driving import follow_people
from stableanimator.media.framing import Size
from stableanimator.preview.look import look, usual_people
from stableanimator.preview.warnings import WarningName
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.script import ClipSettings

JUDGED = 2_000_000
"""Seeds from here on judge; thresholds were set on those from 0, and what those from 1,000,000 showed was mended."""
CASES = 60
_BAR = 0.95
_SEEN: dict[tuple[str, str], WarningName | None] = {
    ("dance", "dance"): None,
    ("dance", "gesture"): "feet_cut",
    ("dance", "away"): "back_drives_frontal",
    ("far", "dance"): "face_too_small",
    ("pair", "dance"): "people_unmatched",
}
"""Kinds of drawn clips, of the reference and of the drive, and which warning belongs to them."""

_SEEN_SIZES: tuple[Size, ...] = ((320, 320),)
"""At which a face of `far` is too small, and one of `dance` is not."""


def warned(case: Case, aligner: Aligner, sizes: tuple[Size, ...] = SIZES) -> set[str]:
    """Names of the warnings of a pair."""
    settings = AnimateSettings(sizes=sizes, alignment=case.alignment)
    driven = aligned(case.reference, case.driving, settings, aligner)
    seen = look(
        case.reference, case.driving, driven,
        reference_people=case.reference_people, driving_people=usual_people(case.frames),
    )  # fmt: skip
    return {each.name for each in seen.warnings}


def figures(seed: int) -> list[Figure]:
    """Of keypoints, and of drawn pictures through perception."""
    return [*measure(CASES, seed), *through_perception(6, seed)]


def measure(cases: int, seed: int) -> list[Figure]:
    """Precision and recall of each kind over so many cases, near misses and sound pairs."""
    aligner = load_aligner_folder(Path(alignment.__file__).parent / "weights")
    quiet = [warned(sound(np.random.default_rng([seed, number])), aligner) for number in range(cases)]
    figures: list[Figure] = []
    for place, (name, draw) in enumerate(track(KINDS.items(), "looking at drawn pairs", len(KINDS))):
        found = {
            true: [
                name in warned(draw(np.random.default_rng([seed, place, number, true]), true), aligner)
                for number in range(cases)
            ]
            for true in (True, False)
        }
        false = sum(found[False]) + sum(name in each for each in quiet)
        note = f"{cases} cases, {sum(found[False])} of {cases} near misses, {false - sum(found[False])} of sound pairs"
        figures += _figures(name, sum(found[True]), false, cases, note)
    return figures


def through_perception(clips: int, seed: int) -> list[Figure]:
    """The same where the networks of the drawn world look at drawn pictures; all kinds together."""
    reader = PairReader(drawn_perception())
    aligner = load_aligner_folder(Path(alignment.__file__).parent / "weights")
    right = false = wanted = 0
    for number, (kinds, name) in enumerate(_SEEN.items()):
        for clip in range(clips):
            case = _seen(reader, kinds, FIRST_SEED + seed + 100 * number + clip)
            if case is None:
                continue
            names = warned(case, aligner, _SEEN_SIZES)
            wanted += name is not None
            right += name in names
            false += len(names - {name})
    note = f"{wanted} drawn pictures and clips with one fault each, and {clips} without"
    return [Figure(each.name, each.value, None, "higher", note=each.note)
            for each in _figures("through perception", right, false, wanted, note)]  # fmt: skip


def _figures(name: str, right: int, false: int, cases: int, note: str) -> Iterator[Figure]:
    precision = right / (right + false) if right + false else float("nan")
    yield Figure(f"{name}: precision", precision, _BAR, "higher", note=note)
    yield Figure(f"{name}: recall", right / cases, _BAR, "higher")


def _seen(reader: PairReader, kinds: tuple[str, str], seed: int) -> Case | None:
    """Two drawn clips as the networks see them; None where these find nobody."""
    format_ = ClipSettings(width=256, height=256, fps=8.0)
    picture = draw_clip(write_clip(kinds[0], seed, format_), [4])[0][0]
    frames = draw_clip(write_clip(kinds[1], seed + 50, format_), range(12))[0]
    people, poses, faces = reader.people(picture), [reader.people(each) for each in frames], reader.faces(picture)
    if not len(people) or not any(len(each) for each in poses):
        return None
    reference = Reference(
        picture=picture, keypoints=people[:1], face_box=faces[0].box if faces else None,
        face_embedding=faces[0].embedding if faces else None,
    )  # fmt: skip
    driving = Driving(keypoints=follow_people(poses, 1, (256, 256)), height=256, width=256, fps=8.0)
    return Case(reference=reference, driving=driving, reference_people=len(people), frames=poses)
