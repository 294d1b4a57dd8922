from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from jobs.training.dis_report import (
    Scores,
    clip_rows,
    dis_rows,
    groups,
    metrics,
    print_tables,
    ratio,
    tables_three,
    what_of,
)
from stableanimator.alignment.scoring.drives import Drive, FramingName
from stableanimator.alignment.settings import AlignmentName


def drive(clip: str, person: str, framing: FramingName = "whole body", moving: bool = False) -> Drive:
    pose = torch.zeros(1, 18, 3)
    return Drive(clip=clip, person=person, framing=framing, moving=moving, reference=pose[0], truth=pose, driven=pose)


DRIVES = [drive("a", "ann"), drive("a", "ann"), drive("b", "ann", "half body"), drive("c", "ben", "half body")]
SCORES: Scores = {
    ("svd_literal", "clip"): np.array([0.2, 0.4, 0.3, 0.5]),
    ("learned", "clip"): np.array([0.1, 0.2, 0.15, 0.25]),
    ("learned", "frame"): np.array([0.1, 0.1, 0.1, 0.3]),
}


def row(name: str, scope: str, group: str) -> dict[str, object]:
    (found,) = (
        each
        for each in dis_rows(SCORES, DRIVES)
        if (each["alignment"], each["scope"], each["group"]) == (name, scope, group)
    )
    return found


def test_groups_that_no_drive_belongs_to_are_left_out() -> None:
    found = groups(DRIVES)
    assert {name: mask.tolist() for name, mask in found.items()} == {
        "all": [True] * 4,
        "whole body": [True, True, False, False],
        "half body": [False, False, True, True],
    }
    assert groups([drive("a", "ann", moving=True)])["moving camera"].tolist() == [True]


def test_a_row_is_the_mean_over_people_with_its_interval_and_its_ratio() -> None:
    found = row("svd_literal", "clip", "all")
    assert found["dis"] == pytest.approx((0.3 + 0.5) / 2)  # ann's three drives, ben's one
    assert (found["low"], found["high"]) == (pytest.approx(0.3), pytest.approx(0.5))
    assert (found["drives"], found["people"]) == (4, 2)
    assert found["over_svd_literal"] == 1
    learned = row("learned", "clip", "all")
    # Half of the literal SVD's on every drive, so whoever is drawn.
    assert [learned[name] for name in ("over_svd_literal", "over_low", "over_high")] == pytest.approx([0.5] * 3)


def test_a_group_counts_its_own_drives_and_people() -> None:
    whole, half = row("learned", "clip", "whole body"), row("learned", "clip", "half body")
    assert (whole["dis"], whole["drives"], whole["people"]) == (pytest.approx(0.15), 2, 1)
    assert (whole["low"], whole["high"]) == (pytest.approx(0.15), pytest.approx(0.15))  # one person: no spread
    assert (half["dis"], half["drives"], half["people"]) == (pytest.approx(0.2), 2, 2)


def test_without_the_literal_svd_of_the_same_scope_there_is_no_ratio() -> None:
    found = row("learned", "frame", "all")
    assert [found[name] for name in ("over_svd_literal", "over_low", "over_high")] == [None] * 3


def test_a_ratio_is_that_of_the_means_over_people() -> None:
    values, under = np.array([1.0, 3.0, 1.0]), np.array([2.0, 2.0, 4.0])
    found = ratio(values, under, ["a", "a", "b"])
    assert found.value == pytest.approx(1.5 / 3.0)
    assert (found.low, found.high) == (pytest.approx(0.25), pytest.approx(1.0))  # b twice, a twice


def test_a_clip_has_the_mean_of_its_drives() -> None:
    rows = clip_rows(SCORES, DRIVES)
    assert [(each["clip"], each["framing"], each["drives"]) for each in rows] == [
        ("a", "whole body", 2), ("b", "half body", 1), ("c", "half body", 1)
    ]  # fmt: skip
    assert rows[0]["svd_literal, one a clip"] == pytest.approx(0.3)
    assert rows[0]["learned, one a frame"] == pytest.approx(0.1)
    assert rows[2]["learned, one a clip"] == pytest.approx(0.25)


def test_metrics_are_named_by_alignment_scope_and_group() -> None:
    found = metrics(dis_rows(SCORES, DRIVES))
    assert found["dis_learned_clip"] == pytest.approx(0.2)
    assert found["dis_learned_clip_whole_body"] == pytest.approx(0.15)
    assert len(found) == len(SCORES) * 3
    assert all(name.replace("_", "").isalnum() for name in found)


def test_the_table_has_a_line_for_each_alignment_beside_the_papers_figure() -> None:
    html = print_tables(tables_three(dis_rows(SCORES, DRIVES), what_of(DRIVES)))
    assert html.count("Table III: Dis (image heights) on 4 drives of 3 clips of 2 people") == 2
    assert "; one a clip" in html
    assert "; one a frame" in html
    lines = html.splitlines()
    (literal,) = (line for line in lines if "SVD, literal" in line and "0.345" in line)
    assert "0.4000 [0.3000, 0.5000]" in literal
    learned = [line for line in lines if line.startswith("│ learned") or "learned  " in line]
    assert all("0.105" in line for line in learned)
    assert ["0.2000 [0.1500, 0.2500]" in line for line in learned] == [True, False]  # a clip, then a frame
    assert "0.500 [0.500, 0.500]" in html
    assert "whole body" in html
    assert "…" not in html  # nothing is cut off


def test_an_alignment_without_a_published_figure_has_a_dash() -> None:
    scores: Scores = {("per_bone", "clip"): np.array([0.1, 0.1, 0.1, 0.1])}
    (table,) = tables_three(dis_rows(scores, DRIVES), what_of(DRIVES))
    assert list(table.columns[0].cells) == ["UniAnimate's (per bone)"]
    assert list(table.columns[1].cells) == ["–"]
    assert list(table.columns[2].cells) == ["0.1000 [0.1000, 0.1000]"]


def test_every_alignment_has_a_label() -> None:
    names = get_args(AlignmentName)
    scores: Scores = {(name, "clip"): np.full(4, 0.1) for name in names}
    (table,) = tables_three(dis_rows(scores, DRIVES), "x")
    assert len(set(table.columns[0].cells)) == len(names)
