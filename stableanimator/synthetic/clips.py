"""Kinds of clips: who does what where, before which camera, and what a curator should decide about each shot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stableanimator.synthetic.figure.actor import draw_actor
from stableanimator.synthetic.scene.camera import Framing
from stableanimator.synthetic.scene.living import LIVING
from stableanimator.synthetic.scene.sets import Set, draw_set
from stableanimator.synthetic.script import Clip, ClipSettings, Role, Writer, view_of


def _dance(w: Writer) -> str:
    w.solo("dance", "full body")
    return "solo dance"


def _talk(w: Writer) -> str:
    w.solo("nod", "close-up")
    return "talking head"


def _gesture(w: Writer) -> str:
    w.solo("talk", "half body")
    return "speaks with both hands"


def _walk(w: Writer) -> str:
    w.solo("walk", "full body")
    return "walks towards the camera"


def _wave(w: Writer) -> str:
    w.solo("wave", "half body")
    return "waves"


def _spin(w: Writer) -> str:
    w.solo("spin", "full body", seconds=w.seconds(4.0))
    return "dances and turns once around"


def _moving(camera: str, motions: tuple[str, ...], framings: tuple[str, ...], note: str) -> Callable[[Writer], str]:
    def write(w: Writer) -> str:
        number = int(w.generator.integers(len(motions)))
        w.solo(motions[number], framings[number], camera, "camera_motion")
        return note

    return write


def _away(w: Writer) -> str:
    w.solo("away", "full body", reason="face_quality")
    return "dances with the back to the camera"


def _turn_away(w: Writer) -> str:
    w.solo("turn_away", "half body", reason="face_quality")
    return "turns away and stays so"


def _far(w: Writer) -> str:
    w.solo("wave", "far", reason="face_quality")
    return "a person far away: the face is too small"


def _statue(w: Writer) -> str:
    number = w.actor()
    w.cast[number] = w.cast[number].turned_to_stone()
    view = view_of("full body", w.cast[number], w.aspect)
    w.shot(
        draw_set(w.generator),
        "full body",
        replace(view, y=view.y - PLINTH + 0.1, height=view.height + 0.05),
        "static",
        (Role(number, "statue", y=-PLINTH),),
        w.seconds(),
        "no_motion",
    )
    return "a statue: it has a face, and nothing ever moves"


def _several(count: int) -> Callable[[Writer], str]:
    def write(w: Writer) -> str:
        people = [w.actor() for _ in range(count)]
        gap = 0.56
        view = view_of("full body", w.cast[0], w.aspect)
        height = max(view.height, (gap * count + 0.35) / w.aspect)
        motions = w.generator.choice(["dance", "idle", "talk", "wave"], count)
        roles = tuple(
            Role(person, str(motion), x=gap * (number - (count - 1) / 2), y=0.02 * (number % 2))
            for number, (person, motion) in enumerate(zip(people, motions, strict=True))
        )
        view = Framing(0.0, view.y + view.height / 2 - height / 2, height)
        w.shot(draw_set(w.generator), "full body", view, "static", roles, w.seconds(), "several_people")
        return f"{count} people"

    return write


def _bystander(w: Writer) -> str:
    main, other = w.actor(), w.actor()
    side = float(w.generator.choice([-1.0, 1.0]))
    view = view_of("full body", w.cast[main], w.aspect)
    roles = (
        Role(main, "dance", x=-0.1 * side),
        Role(other, "idle", x=0.45 * side * min(w.aspect, 1.0), y=-0.12, scale=0.36),
    )
    w.shot(draw_set(w.generator), "full body", view, "static", roles, w.seconds())
    return "solo dance with somebody small in the background"


def _empty(w: Writer) -> str:
    view = view_of("full body", draw_actor(w.generator), w.aspect)
    camera = str(w.generator.choice(["static", "pan"]))
    w.shot(draw_set(w.generator), "empty", view, camera, (), w.seconds(), "no_person")
    return "a place without a person"


def _cut_sets(w: Writer) -> str:
    total = w.seconds(5.0)
    share = float(w.generator.uniform(0.44, 0.56))
    w.solo("dance", "full body", seconds=total * share)
    place = draw_set(w.generator, unlike=w.shots[0].set.name)
    person = w.actor()
    view = view_of("half body", w.cast[person], w.aspect)
    w.shot(place, "half body", view, "static", (Role(person, "talk"),), total * (1 - share))
    return "two people in two places, a cut between them"


def _cut_inside(w: Writer) -> str:
    total = w.seconds(5.0)
    share = float(w.generator.uniform(0.44, 0.56))
    w.solo("talk", "full body", seconds=total * share)
    first = w.shots[0]
    framing = str(w.generator.choice(["half body", "close-up"]))
    view = view_of(framing, w.cast[0], w.aspect)
    side = float(w.generator.choice([-1.0, 1.0])) * 0.1 * view.height
    w.shot(first.set, framing, replace(view, x=side), "static", first.roles, total * (1 - share))
    return "one person, a cut inside one set"


def _cut_short(w: Writer) -> str:
    w.solo("wave", "half body", reason="too_short", seconds=float(w.generator.uniform(0.8, 1.6)))
    place = draw_set(w.generator, unlike=w.shots[0].set.name)
    view = view_of("full body", w.cast[0], w.aspect)
    rest = w.seconds() - w.shots[0].end / w.settings.fps
    w.shot(place, "full body", view, "static", (Role(0, "dance"),), max(rest, 2.4))
    return "a shot that is too short, and then a good one"


def _flash(w: Writer) -> str:
    w.solo("dance", "full body")
    flashes: dict[int, float] = {}
    for share in (0.3, 0.7):
        first = round(w.shots[-1].end * share * float(w.generator.uniform(0.9, 1.1)))
        for step, white in enumerate((0.75, 0.55, 0.25)):
            flashes[first + step] = white
    w.flashes = tuple(sorted(flashes.items()))
    return "solo dance under flashes, which are no cuts"


def _speaker(w: Writer) -> str:
    number, framing = w.actor(), str(w.generator.choice(["half body", "half body", "close-up"]))
    traits = w.cast[number].traits
    style = str(w.generator.choice(["long", "long", "curls", "bob", "ponytail"]))
    volume = traits.hair_volume * float(w.generator.uniform(1.5, 4.0))
    w.cast[number] = replace(w.cast[number], traits=replace(traits, hair_style=style, hair_volume=volume))
    view = view_of(framing, w.cast[number], w.aspect)
    wall = Set("wall", int(w.generator.integers(2**31)), str(w.generator.choice(["", "grain"])))
    w.shot(wall, framing, view, "static", (Role(number, "lean"),), w.seconds())
    return "speaks before a plain wall: much loose hair, a head that turns and leans"


def _living(life: str) -> Callable[[Writer], str]:
    def write(w: Writer) -> str:
        person = w.actor()
        framing = str(w.generator.choice(["half body", "full body"]))
        view = view_of(framing, w.cast[person], w.aspect)
        place = replace(draw_set(w.generator), life=life)
        w.shot(place, framing, view, "static", (Role(person, "talk"),), w.seconds(), "background_change")
        return f"speaks before a background that changes: {life}"

    return write


PLINTH = 0.2
"""Height of what statues stand on, body heights."""

KINDS: dict[str, Callable[[Writer], str]] = {
    "dance": _dance,
    "talk": _talk,
    "walk": _walk,
    "pan": _moving("pan", ("dance", "talk"), ("full body", "half body"), "the camera pans"),
    "wave": _wave,
    "cut_sets": _cut_sets,
    "pair": _several(2),
    "statue": _statue,
    "gesture": _gesture,
    "zoom": _moving("zoom", ("talk", "dance"), ("half body", "full body"), "the camera zooms"),
    "spin": _spin,
    "away": _away,
    "flash": _flash,
    "follow": _moving("follow", ("stroll",), ("full body",), "the camera follows someone who walks"),
    "cut_inside": _cut_inside,
    "empty": _empty,
    "bystander": _bystander,
    "shake": _moving("shake", ("talk", "dance"), ("half body", "full body"), "handheld camera"),
    "turn_away": _turn_away,
    "cut_short": _cut_short,
    "roll": _moving("roll", ("wave", "dance"), ("half body", "full body"), "the camera rolls"),
    "group": _several(3),
    "far": _far,
}
"""The kinds of clips that are drawn unless others are asked for, by name and in this order."""
OTHER_KINDS: dict[str, Callable[[Writer], str]] = {
    "speaker": _speaker,
    **{life: _living(life) for life in LIVING},
}
"""Kinds that are drawn when they are asked for: they try the limits of single measures."""


def write_clip(
    kind: str,
    seed: int,
    settings: ClipSettings | None = None,
    identities: Sequence[NDArray[np.floating]] = (),
) -> Clip:
    """The script of a clip of a kind (of `KINDS` or `OTHER_KINDS`).

    `identities` are those of the cast, in order; who has none there is someone new. So one face can be drawn in many
    clips, each time in another body, other clothes and another place.

    Raises:
        KeyError: no such kind.
    """
    writer = Writer(kind, seed, settings or ClipSettings(), identities)
    return writer.clip((KINDS | OTHER_KINDS)[kind](writer))


def write_clips(
    count: int, seed: int, settings: ClipSettings | None = None, kinds: Sequence[str] = tuple(KINDS)
) -> list[Clip]:
    """`count` scripts that go through `kinds` in turn; each depends on (seed, its number, its kind) alone."""
    seeds = [int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) for number in range(count)]
    return [write_clip(kinds[number % len(kinds)], own, settings) for number, own in enumerate(seeds)]
