"""A head's patches: ears, skin, eyes, brows, nose, mouth, beard, glasses and marks.

F frames   K points of a curve
"""

from __future__ import annotations

import numpy as np

from stableanimator.synthetic.figure import palette
from stableanimator.synthetic.figure.geometry import Array, Flags, circle, ribbon, smooth
from stableanimator.synthetic.figure.head import Head
from stableanimator.synthetic.figure.identity import Traits
from stableanimator.synthetic.figure.landmarks import Expression, Features
from stableanimator.synthetic.figure.palette import Colour
from stableanimator.synthetic.figure.patches import Patch

_LEFT_TO_RIGHT = np.linspace(-1, 1, 11)
_CURVE = np.linspace(-1, 1, 9)


class FacePainter:
    """Makes the patches of one head. `tint` is applied to every colour (a statue's stone, a set's light)."""

    def __init__(self, head: Head, traits: Traits, expression: Expression) -> None:
        self.head, self.traits, self.expression = head, traits, expression
        self.features = Features(head, traits, expression)
        self.front = head.toward[:, 2] > -0.35
        self.line = palette.mix(palette.outline_of(traits.skin), traits.skin, 0.1)

    def ears(self, near: bool) -> list[Patch]:
        """The ears on the near side of the head, or those on the far side, which are drawn before it."""
        patches = []
        for sign, part in ((1, "left_ear"), (-1, "right_ear")):
            is_near = sign * self.head.toward[:, 0] > 0.12
            show = is_near if near else ~is_near
            height = self.traits.ear
            turn = np.linspace(0, 2 * np.pi, 18, endpoint=False)
            across, down = np.cos(turn), np.sin(turn)
            across = across * (1 - 0.25 * down)  # narrower at the lobe
            for scale, colour in ((1.0, self.traits.skin), (0.55, palette.mix(self.traits.skin, (150, 60, 50), 0.25))):
                local = np.stack(
                    [
                        sign * (self.head.shape.width(np.array(0.2)) * 0.985 + height * (0.16 - 0.3 * across * scale)),
                        0.2 + height * down * scale,
                        -0.02 + 0.6 * height * across * scale,
                    ],
                    -1,
                )
                outline = palette.outline_of(colour) if scale == 1 else None
                patches.append(
                    Patch(self.head.place(local), colour, part if scale == 1 else "nothing", outline, show=show)
                )
        return patches

    def skin(self) -> list[Patch]:
        """The head itself, and the nose, which stands out of it."""
        traits = self.traits
        nose = self.features.nose()
        root = self.features.at(np.zeros(2), np.array([traits.eye_y - 0.1, traits.nose_y + 0.12]), -0.03).local
        sides = np.concatenate([root, nose.local], 1)
        outline = palette.outline_of(traits.skin)
        patches = [Patch(self.head.place(sides), traits.skin, "head", outline, hull=True, show=self._profile(30))]
        patches.append(Patch(self.head.cloud(), traits.skin, "head", outline, hull=True))
        return patches

    def paint(self) -> list[Patch]:
        """Everything on the front of the head, in the order in which it is drawn."""
        patches = [*self._marks(), *self._cheeks(), *self._stubble(), *self._nose(), *self._mouth(), *self._hairy()]
        for sign in (-1, 1):
            patches += self._eye(sign)
        return [*patches, *self._glasses()]

    def _profile(self, degrees: float) -> Flags:
        """[F] where the head is turned by at least this much and the nose is not behind it."""
        toward = self.head.toward
        return np.asarray((np.abs(toward[:, 0]) > np.sin(np.radians(degrees))) & (toward[:, 2] > -0.3))

    def _curve(self, x: Array, y: Array, lift: float = 0.0) -> Array:
        """[F, K, 2] a curve on the front, in the plane of the set, its hidden part moved to the edge."""
        angle = self.head.shape.angle(*np.broadcast_arrays(x, y))
        return self.head.place(self.head.seen(angle, y, lift))

    def _visible(self, x: float, y: float, least: float = 0.12) -> Flags:
        angle = self.head.shape.angle(np.array([x]), np.array([y]))
        return np.asarray(self.head.facing(angle, np.array([y]))[:, 0] > least)

    def _eye(self, sign: int) -> list[Patch]:
        traits, look = self.traits, self.expression
        show = self._visible(sign * traits.eye_x, traits.eye_y, 0.16)
        opened = show & (look.eyes > 0.18)
        upper = self.features.eye(sign, _LEFT_TO_RIGHT, True).local
        lower = self.features.eye(sign, _LEFT_TO_RIGHT, False).local
        patches = [
            self._lid_shadow(sign, show),
            Patch(self._flat(np.concatenate([upper, lower[:, ::-1]], 1)), palette.WHITE, show=opened),
            *self._iris(sign, opened),
        ]
        lash = palette.mix(palette.INK, traits.hair, 0.15)
        widths = self.head.lengths(traits.lashes)[:, None] * (0.45 + 0.75 * (1 - 0.5 * _CURVE**2) + 0.25 * _CURVE)[None]
        lid = self._flat(self.features.eye(sign, _CURVE * 1.04, True).local)
        patches.append(Patch(ribbon(lid, widths), lash, show=show))
        crease = self._flat(self.features.eye(sign, _CURVE[1:-1], False).local)
        patches.append(Patch(ribbon(crease, self.head.lengths(0.008)[:, None]), self.line, show=opened, opacity=0.5))
        brow = self._flat(smooth(self.features.brow(sign, np.linspace(-1, 1, 5)).local, 9))
        taper = traits.brow_thickness * np.array([0.75, 0.95, 1.0, 1.0, 0.95, 0.85, 0.7, 0.5, 0.25])
        patches.append(
            Patch(
                ribbon(brow, self.head.lengths(1.0)[:, None] * taper),
                palette.mix(traits.hair, palette.INK, 0.35),
                show=self._visible(sign * traits.eye_x, traits.brow_y, 0.12),
            )
        )
        return patches

    def _lid_shadow(self, sign: int, show: Flags) -> Patch:
        traits = self.traits
        turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        x = sign * traits.eye_x + 1.25 * traits.eye_width * np.cos(turn)
        y = traits.eye_y - 0.03 + 1.5 * traits.eye_open * np.sin(turn)
        return Patch(self._curve(x, y), palette.mix(traits.skin, (120, 60, 60), 0.35), show=show, opacity=0.2)

    def _iris(self, sign: int, show: Flags) -> list[Patch]:
        """Iris, pupil and glint, cut by the lids."""
        traits, look = self.traits, self.expression
        radius = min(1.02 * traits.eye_open, 0.72 * traits.eye_width)
        turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)[None]
        middle_x = 0.5 * sign * look.gaze[:, :1] * (traits.eye_width - 0.8 * radius) / traits.eye_width
        middle_y = traits.eye_y + 0.35 * look.gaze[:, 1:] * traits.eye_open - 0.05 * traits.eye_open
        rim = palette.mix(traits.iris, palette.INK, 0.55)
        rings: tuple[tuple[float, Colour, float, float], ...] = (
            (1.0, rim, 0.0, 0.0),
            (0.84, traits.iris, 0.0, 0.0),
            (0.62, palette.mix(traits.iris, palette.WHITE, 0.35), 0.0, 0.22),
            (0.5, (28, 22, 34), 0.0, 0.0),
            (0.24, (255, 255, 255), 0.38, -0.4),
        )
        patches = []
        for size, colour, aside, below in rings:
            x = middle_x + (aside * radius + size * radius * np.cos(turn)) * sign / traits.eye_width
            y = middle_y + below * radius + size * radius * np.sin(turn)
            x = np.clip(x, -0.98, 0.98)
            upper = self._lid(x, True)
            lower = self._lid(x, False)
            local = self.features.at(
                sign * (traits.eye_x + x * traits.eye_width), np.clip(y, upper, np.maximum(lower, upper)), -0.01
            )
            patches.append(Patch(self._flat(local.local), colour, show=show))
        return patches

    def _lid(self, x: Array, upper: bool) -> Array:
        """Heights of a lid at places [F, K]."""
        grid = np.linspace(-1, 1, 25)
        heights = self.features.lids(grid)[0 if upper else 1]
        place = (x + 1) / 2 * 24
        index = np.minimum(place.astype(int), 23)
        rows = np.arange(len(x))[:, None]
        below, above = heights[rows, index], heights[rows, index + 1]
        return np.asarray(below + (above - below) * (place - index))

    def _nose(self) -> list[Patch]:
        traits = self.traits
        nose = self.head.place(self.features.nose().local)
        show = self._visible(0.0, traits.nose_y, 0.42)
        shade = palette.mix(traits.skin, (130, 60, 60), 0.3)
        side = np.where(self.head.toward[:, :1, None] >= 0, nose[:, 8:9], nose[:, 4:5])  # the side turned away
        wing = np.concatenate([nose[:, 1:4], nose[:, 6:7], side], 1)
        base = smooth(nose[:, 4:9], 11)
        width = self.head.lengths(0.018)[:, None] * (0.35 + np.sin(np.linspace(0, np.pi, 11)))[None]
        patches = [
            Patch(wing, shade, show=show, opacity=0.35),
            Patch(ribbon(base, width), self.line, show=show, opacity=0.75),
        ]
        glint = circle(nose[:, 3] * 0.75 + nose[:, 2] * 0.25, self.head.lengths(0.032), 10)
        return [*patches, Patch(glint, palette.mix(traits.skin, (255, 255, 255), 0.55), show=show, opacity=0.7)]

    def _mouth(self) -> list[Patch]:
        traits, look = self.traits, self.expression
        show = self._visible(0.0, traits.mouth_y, 0.06)
        edges = {
            name: self._flat(self.features.lip(_LEFT_TO_RIGHT, name).local)
            for name in ("upper", "upper_inner", "lower_inner", "lower")
        }
        inside = np.concatenate([edges["upper_inner"], edges["lower_inner"][:, ::-1]], 1)
        teeth_low = edges["upper_inner"] * 0.55 + edges["lower_inner"] * 0.45
        teeth = np.concatenate([edges["upper_inner"], teeth_low[:, ::-1]], 1)[:, 1:-1]
        tongue_top = edges["upper_inner"] * 0.3 + edges["lower_inner"] * 0.7
        tongue = np.concatenate([tongue_top[:, 2:-2], edges["lower_inner"][:, 2:-2][:, ::-1]], 1)
        opened = show & (look.mouth > 0.08)
        corners = ribbon(edges["upper_inner"], self.head.lengths(0.013)[:, None])
        dark = palette.mix(traits.lip_colour, palette.INK, 0.4)
        return [
            Patch(inside, (92, 30, 40), show=opened),
            Patch(teeth, (250, 246, 238), show=opened),
            Patch(tongue, (206, 96, 100), show=show & (look.mouth > 0.35)),
            Patch(
                np.concatenate([edges["upper"], edges["upper_inner"][:, ::-1]], 1),
                palette.mix(traits.lip_colour, palette.INK, 0.14),
                show=show,
            ),
            Patch(np.concatenate([edges["lower_inner"], edges["lower"][:, ::-1]], 1), traits.lip_colour, show=show),
            Patch(corners, dark, show=show & ~opened),
        ]

    def _cheeks(self) -> list[Patch]:
        traits = self.traits
        turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        patches = []
        for sign in (-1, 1):
            x, y = sign * (traits.eye_x + 0.09), traits.nose_y + 0.02
            for size in (0.19, 0.12):
                points = self._curve(x + size * np.cos(turn), y + 0.7 * size * np.sin(turn))
                colour = palette.mix(traits.skin, (226, 70, 80), 0.6)
                patches.append(Patch(points, colour, show=self._visible(x, y), opacity=0.08 + 0.14 * traits.blush))
        return patches

    def _marks(self) -> list[Patch]:
        traits = self.traits
        dark = palette.mix(traits.skin, (90, 40, 30), 0.55)
        if traits.marks == "mole":
            places, size = [(0.42 * traits.mark_place, traits.mouth_y - 0.16 + 0.1 * abs(traits.mark_place))], 0.03
        elif traits.marks == "freckles":
            places = [
                (sign * (traits.eye_x + dx), traits.nose_y - 0.05 + dy)
                for sign in (-1, 1)
                for dx, dy in ((-0.12, 0), (-0.05, -0.05), (0, 0.05), (0.07, -0.02), (0.12, 0.04), (-0.1, 0.09))
            ]
            size = 0.018
        else:
            return []
        opacity = 0.95 if traits.marks == "mole" else 0.55
        return [
            Patch(
                circle(self._curve(np.array([x]), np.array([y]))[:, 0], self.head.lengths(size), 8),
                dark,
                show=self._visible(x, y),
                opacity=opacity,
            )
            for x, y in places
        ]

    def _beard_area(self, above: float, reach: float) -> Array:
        """[F, K, 2] the lower face from a line `above` the mouth, below the lips, along the jaw to the chin.

        `reach` is the share of the face's width that it covers: 1 goes up to the ears.
        """
        traits, width = self.traits, self.head.shape.width
        x = np.linspace(-1, 1, 25)
        side = traits.mouth_y - above
        end = side - 0.45 * max(reach - 0.6, 0) / 0.4  # where it ends beside the ears, or beside the chin
        top = side + (end - side) * np.abs(x) ** 3
        mouth = (x * reach * traits.half_width) / (traits.mouth_width * 1.08)
        top = top + (above + 1.15 * traits.lip + 0.025) * np.exp(-(mouth**4))
        upper = self._curve(x * reach * width(top) * 0.999, top, 0.02)
        down = np.linspace(end, 0.999, 12)
        edge = width(down) * np.minimum(1, reach + 0.35 * (down - end) / (1 - end))
        lower = np.concatenate([edge, -edge[::-1]]), np.concatenate([down, down[::-1]])
        return np.concatenate([upper, self._curve(*lower, 0.02)], 1)

    def _stubble(self) -> list[Patch]:
        if self.traits.beard != "stubble":
            return []
        colour = palette.mix(self.traits.skin, self.traits.hair, 0.6)
        return [Patch(self._beard_area(0.12, 1.0), colour, show=self.front, opacity=0.4)]

    def _hairy(self) -> list[Patch]:
        """Moustache and beard. The mouth stays free: it has been drawn on the skin, and the beard around it."""
        traits = self.traits
        colour = palette.mix(traits.hair, palette.INK, 0.1)
        patches = []
        show = self._visible(0.0, traits.mouth_y, 0.05)
        if traits.beard in ("full", "goatee"):
            reach = 1.0 if traits.beard == "full" else 0.5
            above = 0.06 if traits.beard == "full" else -0.02
            patches.append(Patch(self._beard_area(above, reach), colour, show=self.front))
        if traits.beard in ("full", "goatee", "moustache"):
            x = np.linspace(-1, 1, 11)
            half = traits.mouth_width * 1.25
            rise = traits.mouth_y - traits.lip - 0.035
            top = rise - 0.075 * (1 - x**2) + 0.08 * np.abs(x) ** 3 + 0.02 * np.exp(-((x / 0.12) ** 2))
            low = rise + 0.03 * (1 - x**2) + 0.12 * np.abs(x) ** 3
            shape = np.concatenate([self._curve(half * x, top, 0.04), self._curve(half * x, low, 0.04)[:, ::-1]], 1)
            patches.append(Patch(shape, colour, show=show))
        return patches

    def _glasses(self) -> list[Patch]:
        traits = self.traits
        if traits.glasses == "none":
            return []
        turn = np.linspace(0, 2 * np.pi, 25)
        power = 1.0 if traits.glasses == "round" else 0.55
        corner_x = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** power
        corner_y = np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** power
        half_x, half_y = traits.eye_x - 0.07, (0.25 if traits.glasses == "round" else 0.2)
        wire, colour, patches = self.head.lengths(0.018), traits.glasses_colour, []
        level = traits.eye_y + 0.02
        for sign in (-1, 1):
            flat = np.stack(
                [
                    sign * traits.eye_x + half_x * corner_x,
                    level + half_y * corner_y,
                    np.full(25, self._bridge_depth() - 0.06),
                ],
                -1,
            )
            rim = self.head.place(flat)
            show = self._visible(sign * traits.eye_x, traits.eye_y, -0.12) & self.front
            patches.append(Patch(rim[:, :-1], (226, 240, 248), show=show, opacity=0.2))
            patches += [
                Patch(ribbon(rim[:, part], wire[:, None]), colour, show=show) for part in (slice(0, 13), slice(12, 25))
            ]
            hinge = [sign * (traits.eye_x + half_x), level - 0.04, self._bridge_depth() - 0.08]
            ear = [sign * (self.head.shape.width(np.array(0.1)) + 0.03), 0.05, 0.0]
            temple = self.head.place(np.array([hinge, ear]))
            near = self.front & (sign * self.head.toward[:, 0] > 0.05)
            patches.append(Patch(ribbon(temple, wire[:, None]), colour, show=near))
        bridge = np.array(
            [
                [x, level - 0.06 - 0.04 * (1 - (x / 0.08) ** 2), self._bridge_depth()]
                for x in (-0.08, -0.04, 0.0, 0.04, 0.08)
            ]
        )
        middle = self._visible(0.0, traits.eye_y, 0.1)
        return [*patches, Patch(ribbon(self.head.place(bridge), wire[:, None]), colour, show=middle)]

    def _bridge_depth(self) -> float:
        centre, depth = self.head.shape.depth(np.array(self.traits.eye_y))
        return float(centre + depth + 0.08)

    def _flat(self, local: Array) -> Array:
        return self.head.place(local)


def face_outline(head: Head, hairline: float) -> Array:
    """[F, K, 2] the edge of the face: over the jaw from ear to ear and along the hairline."""
    turn = np.linspace(-np.pi / 2, np.pi / 2, 11)
    top = np.full(11, hairline) * np.cos(turn) ** 0.5
    down = np.linspace(0.05, 1.0, 10)
    width = head.shape.width(down)
    jaw = np.concatenate([np.stack([width, down], -1), np.stack([-width, down], -1)[::-1]])
    angles = np.concatenate([turn, head.shape.angle(jaw[:, 0], jaw[:, 1])])
    heights = np.concatenate([top, jaw[:, 1]])
    return head.place(head.seen(angles, heights))
