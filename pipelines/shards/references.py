"""Which pictures a row may be referred to: frames of its own clip, or of other clips of the same person.

Nothing is decoded here, as in `pipelines.shards.plan`. A candidate is a frame of a clip, in one cut of its picture to
the row's size, with a face inside that cut and a skeleton.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.releases.contact_sheet import shared_out
from pipelines.shards.crops import crop_framing, same_cut
from pipelines.shards.measured import MeasuredClip, MeasuredFrame
from pipelines.shards.settings import Crop, EncodeSettings
from stableanimator.errors import RowError
from stableanimator.media.framing import Framing, Size


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """One candidate reference."""

    owner: MeasuredClip
    """The clip that it is a frame of."""
    crop: Crop
    framing: Framing
    """Of this crop, to the row's size."""
    position: int
    """Of the frame among the owner's measured ones."""

    @property
    def frame(self) -> MeasuredFrame:
        return self.owner.measured[self.position]

    @property
    def name(self) -> str:
        """Of the frame, whatever the cut."""
        return f"{self.owner.shot_id}/{self.frame.index}"


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One cut of a clip, and the frames of it that can be references."""

    owner: MeasuredClip
    crop: Crop
    framing: Framing
    positions: list[int]

    def candidates(self, most: int) -> list[Candidate]:
        """At most `most` frames, evenly spread."""
        count = min(most, len(self.positions))
        chosen = [self.positions[int(i)] for i in np.linspace(0, len(self.positions) - 1, count).round()]
        return [
            Candidate(owner=self.owner, crop=self.crop, framing=self.framing, position=position) for position in chosen
        ]


def usable_positions(frames: Sequence[MeasuredFrame], framing: Framing) -> list[int]:
    """Positions of the frames with a face in the cut and a skeleton."""
    return [
        position
        for position, frame in enumerate(frames)
        if frame.embedding is not None and len(frame.keypoints) and frame.face_in_picture(framing)
    ]


def candidates_of(own: Cut, lenders: Sequence[MeasuredClip], settings: EncodeSettings) -> list[Candidate]:
    """The candidates of the rows of one cut of a clip, `reference_count` at most.

    With `same_person` they are frames of the lenders, a cut of each clip before a second of any. Without such a frame
    they are of the clip's own other cuts, and without these of its own cut, which is where `same_clip` takes them.
    With `both`, half of them are as with `same_clip`, the larger half, and the others as with `same_person`.

    Args:
        own: with at least one usable frame.
        lenders: other clips of the same person, in the order in which they are asked.
    """
    count = settings.reference_count
    of_own_cut = {"same_clip": count, "same_person": 0, "both": (count + 1) // 2}[settings.references]
    return own.candidates(of_own_cut) + _of_the_person(own, lenders, settings, count - of_own_cut)


def _of_the_person(own: Cut, lenders: Sequence[MeasuredClip], settings: EncodeSettings, count: int) -> list[Candidate]:
    """At most `count` candidates, as `same_person` has them."""
    lent = [_cuts(lender, own, settings) for lender in lenders]
    rounds = range(max((len(cuts) for cuts in lent), default=0))
    cuts = [cuts[turn] for turn in rounds for cuts in lent if turn < len(cuts)]
    if not cuts:
        cuts = [cut for cut in _cuts(own.owner, own, settings) if not same_cut(cut.framing, own.framing)]
    if not cuts and settings.references == "same_person":
        cuts = [own]
    cuts = cuts[:count]
    shares = shared_out([len(cut.positions) for cut in cuts], count)
    return [candidate for cut, share in zip(cuts, shares, strict=True) for candidate in cut.candidates(share)]


def _cuts(owner: MeasuredClip, row: Cut, settings: EncodeSettings) -> list[Cut]:
    """Different cuts of a clip to the size of a row's, in an order of the row's own, each with a usable frame."""
    size: Size = row.framing.size
    cuts: list[Cut] = []
    for crop in settings.crops:
        try:
            framing = crop_framing(crop, owner.size, owner.main, [size], settings.max_enlargement)
        except RowError:
            continue  # this clip has no such cut
        positions = usable_positions(owner.measured, framing)
        if positions and not any(same_cut(framing, other.framing) for other in cuts):
            cuts.append(Cut(owner=owner, crop=crop, framing=framing, positions=positions))
    return sorted(cuts, key=lambda cut: drawn_order(row.owner.shot_id, row.crop, owner.shot_id, cut.crop))


def drawn_order(*names: str) -> str:
    """A key that puts things into a random order, always the same for the same names."""
    return hashlib.sha256("/".join(names).encode()).hexdigest()


def row_references(candidates: Sequence[Candidate], clip: MeasuredClip, window: range) -> list[Candidate]:
    """The candidates that are no frames of the row, which a loader may draw for any of them; where all are, all."""
    others = [each for each in candidates if each.owner.shot_id != clip.shot_id or each.position not in window]
    return others or list(candidates)
