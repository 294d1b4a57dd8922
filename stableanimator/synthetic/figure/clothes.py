"""What people wear, and the patches of trunk, arms, hands and legs in it.

F frames
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from stableanimator.synthetic.figure import palette
from stableanimator.synthetic.figure.body import Proportions, Skeleton
from stableanimator.synthetic.figure.geometry import Array, Flags, capsule, circle, offset, ribbon, turned
from stableanimator.synthetic.figure.palette import Colour
from stableanimator.synthetic.figure.patches import Patch
from stableanimator.synthetic.figure.poses import SIDES


@dataclass(frozen=True, slots=True)
class Outfit:
    """Clothes of one person."""

    top: Colour
    bottom: Colour
    accent: Colour
    shoes: Colour
    skin: Colour
    sleeve: str
    """none, short or long."""
    legs: str
    """trousers, shorts, skirt or dress."""
    pattern: str
    """plain, stripes, badge, block, buttons or jacket."""
    badge: str
    """circle, star, heart or bolt."""
    collar: str
    """round, v or hood."""


def draw_outfit(generator: np.random.Generator, skin: Colour) -> Outfit:
    """Someone's clothes in colours that go together."""
    top, bottom, accent, shoes = palette.OUTFITS[generator.integers(len(palette.OUTFITS))]
    return Outfit(
        top=top,
        bottom=bottom,
        accent=accent,
        shoes=shoes,
        skin=skin,
        sleeve=str(generator.choice(["short", "short", "long", "long", "none"])),
        legs=str(generator.choice(["trousers", "trousers", "shorts", "skirt", "dress"])),
        pattern=str(generator.choice(["plain", "stripes", "badge", "badge", "block", "buttons", "jacket"])),
        badge=str(generator.choice(["circle", "star", "heart", "bolt"])),
        collar=str(generator.choice(["round", "v", "hood"])),
    )


_AROUND = np.linspace(0, 2 * np.pi, 16, endpoint=False)

# Rings of the trunk: frame, joint, offset down in lengths of the trunk, half width, half depth (body heights).
_RINGS = (
    ("pelvis", "pelvis", 0.17, 0.080, 0.062),
    ("pelvis", "pelvis", 0.0, 0.090, 0.066),
    ("pelvis", "pelvis", -0.34, 0.076, 0.056),
    ("chest", "neck", 0.36, 0.092, 0.064),
    ("chest", "neck", 0.13, 0.094, 0.056),
    ("chest", "neck", -0.02, 0.056, 0.040),
)
_HIP, _WAIST, _CHEST, _SHOULDERS, _COLLAR = range(1, 6)


class Dresser:
    """Makes the patches of a body in its clothes."""

    def __init__(self, skeleton: Skeleton, body: Proportions, outfit: Outfit) -> None:
        self.skeleton, self.body, self.outfit = skeleton, body, outfit
        self.rings = [self._ring(*ring, index=index) for index, ring in enumerate(_RINGS)]

    def _ring(self, frame: str, joint: str, down: float, half: float, deep: float, index: int) -> Array:
        """[F, 16, 3] a horizontal ellipse of the trunk."""
        body = self.body
        shoulders = body.shoulder / 0.11
        wide = {_WAIST: body.waist, _SHOULDERS: shoulders, _CHEST: (shoulders + body.waist) / 2}.get(index, 1.0)
        half, deep = half * body.build * wide, deep * body.build
        local = np.stack([half * np.sin(_AROUND), np.full(16, down * body.torso), deep * np.cos(_AROUND)], -1)
        return self.skeleton.joints[joint][:, None] + local @ self.skeleton.frames[frame].transpose(0, 2, 1)

    def _plane(self, points: Array) -> Array:
        return self.skeleton.view.project(points)

    def _between(self, low: int, high: int, share: float) -> Array:
        return self.rings[low] * (1 - share) + self.rings[high] * share

    def _limb(self, start: str, end: str, radii: tuple[float, float], upto: float = 1.0, after: float = 0.0) -> Array:
        """Outline of a limb, or of a sleeve around a part of it."""
        first, last = self.skeleton.joints[start], self.skeleton.joints[end]
        ends = [first + (last - first) * share for share in (after, upto)]
        thick = [radii[0] + (radii[1] - radii[0]) * share for share in (after, upto)]
        sizes = [
            self.skeleton.view.radius(place, radius * self.body.build**0.7)
            for place, radius in zip(ends, thick, strict=True)
        ]
        return capsule(self._plane(ends[0]), self._plane(ends[1]), sizes[0], sizes[1])

    def trunk(self) -> list[Patch]:
        """Neck, hips and the top with its pattern; the outlines of the hips are drawn before the legs (`hips`)."""
        outfit = self.outfit
        ink = palette.outline_of(outfit.top)
        patches = [*self.hips(None), *self._neck()]
        order = ((_HIP, _WAIST), (_WAIST, _CHEST), (_CHEST, _SHOULDERS), (_SHOULDERS, _COLLAR))
        for low, high in order:
            cloud = np.concatenate([self.rings[low], self.rings[high]], 1)
            patches.append(Patch(self._plane(cloud), outfit.top, "torso", ink, hull=True))
        patches += self._pattern()
        if outfit.legs in ("skirt", "dress"):
            patches += self._skirt()
        return [*patches, *self._collar()]

    def hips(self, outline: Colour | None) -> list[Patch]:
        """The seat of trousers or shorts."""
        cloud = np.concatenate([self.rings[0], self.rings[1], self._between(1, 2, 0.5)], 1)
        colour = self.outfit.top if self.outfit.legs == "dress" else self.outfit.bottom
        return [Patch(self._plane(cloud), colour, "torso", outline, hull=True)]

    def _neck(self) -> list[Patch]:
        skeleton, outfit = self.skeleton, self.outfit
        radius = 0.031 * self.body.build**0.5
        below = skeleton.at("chest", "neck", (0, 0.03, 0.0))
        top = skeleton.at("neck", "skull", (0, -0.02, 0))
        shape = capsule(
            self._plane(below),
            self._plane(top),
            skeleton.view.radius(below, radius * 1.15),
            skeleton.view.radius(top, radius),
        )
        under = skeleton.at("neck", "skull", (0, -0.004, 0.0))
        shadow = capsule(
            self._plane(under),
            self._plane(top),
            skeleton.view.radius(under, radius * 0.95),
            skeleton.view.radius(top, radius * 0.95),
        )
        dark = palette.mix(outfit.skin, (110, 50, 60), 0.3)
        return [Patch(shape, outfit.skin, "neck", palette.outline_of(outfit.skin)), Patch(shadow, dark, opacity=0.8)]

    def _front(self, angles: Array, shares: Array) -> tuple[Array, Flags]:
        """A curve on the front of the top: angle about the trunk and height, 0 at the hip to 4 at the collar."""
        index = np.clip(shares.astype(int), 0, 3)
        part = (shares - index)[None, :, None]
        position = (angles / (2 * np.pi) * 16) % 16
        low, high = position.astype(int) % 16, (position.astype(int) + 1) % 16
        mix = (position - np.floor(position))[None, :, None]
        stack = np.stack(self.rings, 1)  # [F, rings, 16, 3]

        def place(level: Array) -> Array:
            return np.asarray(stack[:, level, low] * (1 - mix) + stack[:, level, high] * mix)

        points = place(index + 1) * (1 - part) + place(index + 2) * part
        facing = self.skeleton.frames["chest"][:, 2, 2] > 0.25
        return self._plane(points), facing

    def _pattern(self) -> list[Patch]:
        outfit = self.outfit
        bands: list[tuple[float, float]] = []
        if outfit.pattern == "stripes":
            bands = [(0.25, 0.6), (0.95, 1.3), (1.65, 2.0), (2.35, 2.7), (3.0, 3.3)]
        if outfit.pattern == "block":
            bands = [(0.0, 1.45)]
        patches = []
        for low, high in bands:
            cuts = [low, *(float(n) for n in range(1, 4) if low < n < high), high]
            for start, end in itertools.pairwise(cuts):
                level = min(int(start), 3)
                rings = [self._between(level + 1, level + 2, value - level) for value in (start, end)]
                cloud = self._plane(np.concatenate(rings, 1))
                patches.append(Patch(cloud, outfit.accent, hull=True))
        if outfit.pattern == "badge":
            patches += self._badge()
        if outfit.pattern in ("buttons", "jacket"):
            patches += self._opening()
        return patches

    def _badge(self) -> list[Patch]:
        shape = _badge_shape(self.outfit.badge)
        points, facing = self._front(shape[:, 0] * 0.62, 2.12 + shape[:, 1] * 0.66)
        return [Patch(points, self.outfit.accent, show=facing)]

    def _opening(self) -> list[Patch]:
        """A row of buttons, or an open jacket with a shirt below."""
        outfit = self.outfit
        heights = np.linspace(0.1, 3.5, 9)
        if outfit.pattern == "jacket":
            wide = np.interp(heights, (0, 2.6, 3.5), (0.32, 0.36, 0.5))
            left, facing = self._front(wide, heights)
            right, _ = self._front(-wide, heights)
            middle, _ = self._front(np.zeros(9), heights)
            edge = self.skeleton.radius("chest", 0.004)
            dark = palette.outline_of(outfit.top)
            shirt = Patch(np.concatenate([left, right[:, ::-1]], 1), outfit.accent, show=facing)
            lines = [Patch(ribbon(line, edge[:, None]), dark, show=facing) for line in (left, right)]
            return [shirt, Patch(ribbon(middle, edge[:, None] * 0.7), dark, show=facing, opacity=0.4), *lines]
        line, facing = self._front(np.zeros(9), heights)
        size = self.skeleton.radius("chest", 0.0075)
        seam = Patch(ribbon(line, size[:, None] * 0.35), palette.outline_of(outfit.top), show=facing, opacity=0.5)
        return [seam, *(Patch(circle(line[:, i], size, 10), outfit.accent, show=facing) for i in (1, 3, 5, 7))]

    def _collar(self) -> list[Patch]:
        outfit = self.outfit
        angles = np.linspace(-1.5, 1.5, 11)
        depth = {"round": 0.42, "v": 0.95, "hood": 0.3}[outfit.collar]
        dip = depth * (np.cos(angles) if outfit.collar != "v" else 1 - np.abs(angles) / 1.5)
        points, facing = self._front(angles, 3.96 - np.maximum(dip, 0))
        top, _ = self._front(angles, np.full(11, 4.0))
        skin = Patch(np.concatenate([points, top[:, ::-1]], 1), outfit.skin, show=facing)
        trim = outfit.accent if outfit.pattern in ("badge", "plain", "stripes") else palette.outline_of(outfit.top)
        width = self.skeleton.radius("neck", 0.005)[:, None]
        patches = [skin, Patch(ribbon(points, width), trim, show=facing)]
        if outfit.collar == "hood":
            for sign in (-1, 1):
                cord, _ = self._front(np.array([0.3, 0.26, 0.28]) * sign, np.array([3.6, 3.1, 2.7]))
                patches.append(
                    Patch(ribbon(cord, width * 0.7), palette.mix(outfit.accent, palette.WHITE, 0.4), show=facing)
                )
        return patches

    def _skirt(self) -> list[Patch]:
        skeleton, outfit = self.skeleton, self.outfit
        colour = outfit.top if outfit.legs == "dress" else outfit.bottom
        reach = 0.78
        knees = [
            skeleton.joints[f"{side}_hip"] * (1 - reach) + skeleton.joints[f"{side}_knee"] * reach for side in SIDES
        ]
        level = np.stack([np.sin(_AROUND), np.zeros(16), 0.8 * np.cos(_AROUND)], -1) * 0.082 * self.body.build
        flat = level @ skeleton.frames["legs"].transpose(0, 2, 1)
        hem = np.concatenate([knee[:, None] + flat for knee in knees], 1)
        ink = palette.outline_of(colour)
        upper = self._between(1, 2, 0.4)
        seat = [
            circle(self._plane(hip), skeleton.view.radius(hip, 0.043 * self.body.build**0.7), 12)
            for hip in (skeleton.joints[f"{side}_hip"] for side in SIDES)
        ]
        half = self._plane(np.concatenate([upper, self.rings[1], hem], 1))
        patches = [
            Patch(np.concatenate([half, *seat], 1), colour, "skirt", ink, hull=True),
        ]
        patches.append(
            Patch(
                self._plane(np.concatenate([hem, hem * 0.94 + 0.06 * upper.mean(1, keepdims=True)], 1)),
                outfit.accent if outfit.legs == "dress" else palette.mix(colour, palette.INK, 0.2),
                hull=True,
                opacity=0.9,
            )
        )
        if outfit.legs == "dress":
            belt = np.concatenate([self._between(1, 2, 0.86), self._between(1, 2, 1.0)], 1)
            patches.append(Patch(self._plane(belt), outfit.accent, hull=True))
        return patches

    def arm(self, side: str) -> list[Patch]:
        """One arm with its sleeve and hand."""
        outfit = self.outfit
        skin_ink, top_ink = palette.outline_of(outfit.skin), palette.outline_of(outfit.top)
        upper, fore, hand = (f"{side}_{part}" for part in ("upper_arm", "forearm", "hand"))
        joints = [f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist")]
        patches = [
            *self._hand(side, hand),
            Patch(self._limb(joints[0], joints[1], (0.031, 0.025)), outfit.skin, upper, skin_ink),
            Patch(self._limb(joints[1], joints[2], (0.025, 0.019)), outfit.skin, fore, skin_ink),
        ]
        if outfit.sleeve == "long":
            patches += [
                Patch(self._limb(joints[0], joints[1], (0.034, 0.029)), outfit.top, upper, top_ink),
                Patch(self._limb(joints[1], joints[2], (0.030, 0.025), upto=0.92), outfit.top, fore, top_ink),
                Patch(
                    self._limb(joints[1], joints[2], (0.029, 0.0265), 0.96, after=0.88),
                    outfit.accent if outfit.pattern in ("badge", "stripes", "block") else top_ink,
                    opacity=0.9,
                ),
            ]
        else:
            upto = 0.62 if outfit.sleeve == "short" else 0.0
            patches.append(
                Patch(
                    self._limb(joints[0], joints[1], (0.034, 0.035), upto=max(upto, 0.02)), outfit.top, upper, top_ink
                )
            )
        return [*patches, self._shoulder(side)]

    def _shoulder(self, side: str) -> Patch:
        """Hides the outline between sleeve and trunk on top of the shoulder."""
        joint = self.skeleton.joints[f"{side}_shoulder"]
        inner = joint + (self.skeleton.at("chest", "neck", (0, 0.045, 0)) - joint) * 0.42
        size = 0.029 * self.body.build**0.7
        shape = capsule(
            self._plane(joint),
            self._plane(inner),
            self.skeleton.view.radius(joint, size),
            self.skeleton.view.radius(inner, size * 0.9),
        )
        return Patch(shape, self.outfit.top, show=self.skeleton.frames["chest"][:, 2, 2] > 0.3)

    def _hand(self, side: str, part: str) -> list[Patch]:
        outfit = self.outfit
        ink = palette.outline_of(outfit.skin)
        points = self.skeleton.hands[side]
        flat, size = self._plane(points), 0.0085 * (self.body.hand / 0.085)
        crease, patches = palette.mix(outfit.skin, ink, 0.6), []
        order = (0, 4, 3, 2, 1)
        palm = np.concatenate(
            [
                circle(flat[:, index], self.skeleton.view.radius(points[:, index], size * width), 8)
                for index, width in ((0, 1.7), (1, 1.4), (2, 1.1), (5, 1.3), (9, 1.3), (13, 1.3), (17, 1.2))
            ],
            1,
        )
        for finger in order:
            bones = []
            for bone in range(3 if finger else 2):
                start = 1 + 4 * finger + bone + (0 if finger else 1)
                thick = [size * (1.05 - 0.09 * (bone + step)) for step in (0, 1)]
                radii = [self.skeleton.view.radius(points[:, start + step], thick[step]) for step in (0, 1)]
                bones.append(capsule(flat[:, start], flat[:, start + 1], radii[0], radii[1], 5))
            gap = self.skeleton.radius(f"{side}_wrist", 0.0011)
            patches += [Patch(offset(shape, gap), crease) for shape in bones]  # between this finger and those below it
            patches += [Patch(shape, outfit.skin, part, ink) for shape in bones]
        return [*patches, Patch(palm, outfit.skin, part, ink, hull=True)]

    def leg(self, side: str) -> list[Patch]:
        """One leg with its shoe."""
        outfit = self.outfit
        skin_ink, ink = palette.outline_of(outfit.skin), palette.outline_of(outfit.bottom)
        thigh, shin = f"{side}_thigh", f"{side}_shin"
        joints = [f"{side}_{joint}" for joint in ("hip", "knee", "ankle")]
        patches = self._shoe(side)
        if outfit.legs == "trousers":
            patches += [
                Patch(self._limb(joints[0], joints[1], (0.047, 0.038)), outfit.bottom, thigh, ink),
                Patch(self._limb(joints[1], joints[2], (0.038, 0.030), upto=0.95), outfit.bottom, shin, ink),
            ]
            return patches
        patches += [
            Patch(self._limb(joints[1], joints[2], (0.032, 0.022)), outfit.skin, shin, skin_ink),
            Patch(
                self._limb(joints[1], joints[2], (0.030, 0.024), after=0.72),
                palette.mix(outfit.shoes, palette.WHITE, 0.6),
                shin,
                skin_ink,
            ),
            Patch(self._limb(joints[0], joints[1], (0.040, 0.031)), outfit.skin, thigh, skin_ink),
        ]
        if outfit.legs == "shorts":
            patches.append(
                Patch(self._limb(joints[0], joints[1], (0.046, 0.046), upto=0.72), outfit.bottom, thigh, ink)
            )
        return patches

    def _shoe(self, side: str) -> list[Patch]:
        skeleton, outfit = self.skeleton, self.outfit
        foot = f"{side}_foot"
        frame = skeleton.frames[foot]

        def disc(joint: str, radius: float, shift: tuple[float, float, float]) -> Array:
            place = skeleton.joints[f"{side}_{joint}"] + turned(frame, shift)
            return circle(self._plane(place), skeleton.view.radius(place, radius), 12)

        ink = palette.outline_of(outfit.shoes)
        upper = [
            disc("heel", 0.020, (0, -0.014, 0.004)),
            disc("toe", 0.021, (0, -0.012, 0)),
            disc("ankle", 0.024, (0, 0.006, 0.004)),
        ]
        sole = [disc("heel", 0.010, (0, -0.004, -0.006)), disc("toe", 0.010, (0, -0.003, 0.008))]
        sole += [disc("toe", 0.008, (sign * 0.012, -0.003, 0.004)) for sign in (-1, 1)]
        return [
            Patch(np.concatenate(upper, 1), outfit.shoes, foot, ink, hull=True),
            Patch(np.concatenate(sole, 1), palette.mix(outfit.shoes, palette.WHITE, 0.75), hull=True),
        ]


def _badge_shape(name: str) -> Array:
    """[N, 2] a shape around 0, about 1 in size, y up."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False) + np.pi / 2
    if name == "star":
        turn = turn[::4]
        return np.stack([np.cos(turn), np.sin(turn)], -1) * np.where(np.arange(10) % 2, 0.42, 1.0)[:, None]
    if name == "heart":
        x = np.sin(turn) ** 3
        y = (13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)) / 16
        return np.stack([x, y + 0.1], -1)
    if name == "bolt":
        return np.array([[0.15, 1.0], [-0.6, -0.1], [-0.1, -0.1], [-0.25, -1.0], [0.6, 0.2], [0.08, 0.2], [0.45, 1.0]])
    return np.stack([np.cos(turn), np.sin(turn)], -1) * 0.8
