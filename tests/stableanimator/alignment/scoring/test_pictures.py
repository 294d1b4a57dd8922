from __future__ import annotations

import numpy as np
import pytest
import torch

from stableanimator.alignment.scoring.drives import Drive
from stableanimator.alignment.scoring.evaluate import compare
from stableanimator.alignment.scoring.pictures import worst_cases

SIDE = 240
GREY, RED, GREEN, BLUE = (170, 170, 170), (210, 60, 50), (30, 150, 60), (40, 90, 220)


def person() -> torch.Tensor:
    pose = np.random.default_rng(0).uniform(0.2, 0.8, (18, 3)).astype(np.float32)
    pose[:, 2] = 0.9
    return torch.from_numpy(pose)


def drive(name: str, shifts: list[float]) -> Drive:
    """A drive whose frame f is off by `shifts[f]` to the right and otherwise right."""
    truth = person().expand(len(shifts), 18, 3)
    driven = truth.clone()
    driven[..., 0] += torch.tensor(shifts)[:, None]
    return Drive(
        clip=name, person=name, framing="whole body", moving=False, reference=person(), truth=truth, driven=driven
    )


def shows(panel: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((panel == np.array(colour, np.uint8)).all(-1).any())


def panels(row: np.ndarray) -> list[np.ndarray]:
    return [row[:, SIDE * place : SIDE * (place + 1)] for place in range(4)]


def pictures_of(drives: list[Drive], count: int) -> np.ndarray:
    return worst_cases(drives, compare(("none",), ("clip",), drives)["none", "clip"], count, "none", "clip")


def test_there_is_a_row_of_four_panels_for_each_of_the_worst_drives_in_order() -> None:
    drives = [drive("a", [0.1]), drive("b", [0.3]), drive("c", [0.2])]
    picture = pictures_of(drives, 2)
    assert (picture.shape, picture.dtype) == ((2 * SIDE, 4 * SIDE, 3), np.uint8)
    expected = np.concatenate([pictures_of([each], 1) for each in (drives[1], drives[2])])
    np.testing.assert_array_equal(picture, expected)
    assert len(pictures_of(drives, 9)) == 3 * SIDE


def test_each_panel_shows_its_poses_in_their_colours() -> None:
    reference, driven, aligned, together = panels(pictures_of([drive("a", [0.3])], 1))
    found = [
        [shows(panel, colour) for colour in (GREY, RED, BLUE, GREEN)]
        for panel in (reference, driven, aligned, together)
    ]
    assert found[0] == [True, False, False, False]
    assert found[1] == [False, True, False, False]
    assert found[2] == [False, False, True, True]
    assert found[3][3]  # drawn last, over the others


def test_a_row_shows_the_drives_worst_frame() -> None:
    mixed = pictures_of([drive("a", [0.1, 0.4, 0.2])], 1)
    np.testing.assert_array_equal(mixed, pictures_of([drive("a", [0.4])], 1))


def test_a_joint_lies_where_the_window_puts_it() -> None:
    # Two joints on a diagonal: with the margin the square of the poses covers 1 / 1.3 of the panel below its title.
    truth = torch.full((1, 18, 3), torch.nan)
    truth[..., 2] = 0
    truth[0, 2], truth[0, 10] = torch.tensor([0.2, 0.2, 0.9]), torch.tensor([0.8, 0.8, 0.9])
    one = Drive(
        clip="two", person="two", framing="half body", moving=False, reference=truth[0], truth=truth, driven=truth
    )
    panel = panels(worst_cases([one], np.array([0.0]), 1, "none", "frame"))[0]
    rows, columns = np.nonzero((panel == np.array(GREY)).all(-1))
    margin = 0.15 / 1.3 * 220
    assert columns.min() == pytest.approx(margin - 3, abs=1.5)
    assert columns.max() == pytest.approx(220 - margin + 3, abs=1.5)
    assert rows.min() == pytest.approx(20 + margin - 3, abs=1.5)
    assert rows.max() == pytest.approx(240 - margin + 3, abs=1.5)


def test_missing_joints_and_drives_without_a_figure_are_left_out() -> None:
    partly = drive("a", [0.2])
    partly.driven[0, 4] = torch.tensor([torch.nan, torch.nan, 0])
    assert len(pictures_of([partly], 1)) == SIDE
    picture = worst_cases([drive("a", [0.1]), drive("b", [0.3])], np.array([0.1, np.nan]), 5, "none", "clip")
    np.testing.assert_array_equal(picture, pictures_of([drive("a", [0.1])], 1))


def test_without_drives_the_picture_is_white() -> None:
    picture = worst_cases([], np.array([]), 4, "none", "clip")
    assert picture.shape == (SIDE, 4 * SIDE, 3)
    assert (picture == 255).all()
