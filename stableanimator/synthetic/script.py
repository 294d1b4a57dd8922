"""What a script of a clip is made of, and how one is written: the format, the cast, shots, roles.

stableanimator.synthetic.clips writes the kinds that there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from stableanimator.limits.checks import Range, checked
from stableanimator.synthetic.figure.actor import Actor, draw_actor
from stableanimator.synthetic.scene.camera import Framing
from stableanimator.synthetic.scene.sets import Set, draw_set

_Pixels = Annotated[int, Range(16, 8192)]
_Seconds = Annotated[float, Range(0.1, 600)]


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class ClipSettings:
    """Format and length of drawn clips."""

    width: _Pixels = 256
    """Pixels. The published tables are measured at 256x256."""

    height: _Pixels = 256
    """Pixels; see `width`."""

    fps: Annotated[float, Range(1, 240)] = 25.0
    """Frames per second."""

    min_seconds: _Seconds = 3.0
    """Shortest clip. Clips with two shots are at least 5 seconds, so that each can be long enough to be of use."""

    max_seconds: _Seconds = 6.0
    """Longest clip."""

    supersample: Annotated[int, Range(1, 8)] = 2
    """Pictures are drawn this many times as large and shrunk."""

    def __post_init__(self) -> None:
        if not 0.2 <= self.width / self.height <= 5:
            raise ValueError(f"one side may be up to five times the other, not {self.width}x{self.height}")
        if self.min_seconds > self.max_seconds:
            raise ValueError(f"seconds must be shortest first, not {self.min_seconds} to {self.max_seconds}")


@dataclass(frozen=True, slots=True)
class Role:
    """One of the cast in one shot."""

    person: int
    """Number in the cast."""
    motion: str
    x: float = 0.0
    """Where the feet are in the plane of the set when the shot is half over, body heights."""
    y: float = 0.0
    scale: float = 1.0
    """Size of the person: those farther away are smaller."""


@dataclass(frozen=True, slots=True)
class Shot:
    """What one camera sees without a break."""

    start: int
    end: int
    """Frames, end exclusive."""
    set: Set
    framing: str
    """full body, half body, close-up or far."""
    view: Framing
    camera: str
    roles: tuple[Role, ...]
    expect: str = "accept"
    """accept or reject, by what curation is meant to keep."""
    reason: str = ""
    """Why not: camera_motion, face_quality, several_people, no_person, no_motion, too_short or
    background_change."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A whole script; the same script always gives the same pictures."""

    kind: str
    seed: int
    settings: ClipSettings
    cast: tuple[Actor, ...]
    shots: tuple[Shot, ...]
    note: str
    flashes: tuple[tuple[int, float], ...] = ()
    """Frames and shares of white."""

    @property
    def frame_count(self) -> int:
        """Frames of all shots."""
        return self.shots[-1].end


def view_of(framing: str, actor: Actor, aspect: float) -> Framing:
    """A camera that shows as much of an actor at x = 0 as the framing says, in a picture of an aspect.

    Raises:
        KeyError: no such framing.
    """
    crown = -actor.body.stature
    top, bottom, width = {
        "full body": (crown - 0.17, 0.16, 1.2),
        "half body": (crown - 0.13, crown + 0.60, 0.72),
        "close-up": (crown - 0.11, crown + 0.36, 0.44),
        "far": (-1.9, 0.7, 1.6),
    }[framing]
    height = max(bottom - top, width / aspect)
    if framing == "close-up":
        return Framing(0.0, (top + bottom) / 2, height)
    return Framing(0.0, bottom - height / 2 if framing == "full body" else (top + bottom) / 2, height)


class Writer:
    """Writes the script of one clip."""

    def __init__(
        self, kind: str, seed: int, settings: ClipSettings, identities: Sequence[NDArray[np.floating]]
    ) -> None:
        self._identities = identities
        self.kind, self.seed, self.settings = kind, seed, settings
        self.generator = np.random.default_rng([seed, 0])
        self.aspect = settings.width / settings.height
        self.cast: list[Actor] = []
        self.shots: list[Shot] = []
        self.flashes: tuple[tuple[int, float], ...] = ()

    def actor(self) -> int:
        number = len(self.cast)
        identity = self._identities[number] if number < len(self._identities) else None
        self.cast.append(draw_actor(self.generator, identity))
        return len(self.cast) - 1

    def seconds(self, least: float = 0.0) -> float:
        low, high = self.settings.min_seconds, self.settings.max_seconds
        return float(max(self.generator.uniform(low, high), least))

    def shot(
        self,
        place: Set,
        framing: str,
        view: Framing,
        camera: str,
        roles: tuple[Role, ...],
        seconds: float,
        reason: str = "",
    ) -> None:
        start = self.shots[-1].end if self.shots else 0
        end = start + max(1, round(seconds * self.settings.fps))
        expect = "reject" if reason else "accept"
        self.shots.append(Shot(start, end, place, framing, view, camera, roles, expect, reason))

    def solo(
        self, motion: str, framing: str, camera: str = "static", reason: str = "", seconds: float | None = None
    ) -> None:
        """One person before one camera."""
        person = self.actor()
        view = view_of(framing, self.cast[person], self.aspect)
        self.shot(
            draw_set(self.generator),
            framing,
            view,
            camera,
            (Role(person, motion),),
            self.seconds() if seconds is None else seconds,
            reason,
        )

    def clip(self, note: str) -> Clip:
        return Clip(self.kind, self.seed, self.settings, tuple(self.cast), tuple(self.shots), note, self.flashes)
