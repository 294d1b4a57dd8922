"""Our windows around CoTracker, with a network that knows the answer, and with the package's own where it is there.

Frames here carry in their first pixel how far the camera has come (x, y) and which scene they show, for that network.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stableanimator.errors import ConfigError, WeightsError
from stableanimator.perception.cotracker_tracks import CoTracker, CoTrackerRun, load_network, stretch
from stableanimator.perception.point_tracks import Tracks
from stableanimator.perception.settings import CoTrackerSettings, SeedSettings

HEIGHT, WIDTH = 96, 128
NO_BOXES = np.zeros((0, 4), np.float32)
ONLINE = CoTrackerSettings(
    checkpoint="/nowhere.pth",
    resolution=(HEIGHT, WIDTH),
    window=8,
    support_grid=2,
    seeds=SeedSettings(max_points=40, min_distance=4),
)
OFFLINE = replace(ONLINE, mode="offline")


def drawn(places: Sequence[tuple[int, int]], scenes: Sequence[int] | None = None) -> np.ndarray:
    """[F, H, W, 3] a window on a texture at these places; another texture for each scene."""
    frames = []
    for (x, y), scene in zip(places, scenes or [0] * len(places), strict=True):
        noise = np.random.default_rng(scene).uniform(20, 235, (60, 75, 3)).astype(np.float32)
        world = cv2.resize(noise, (600, 480), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
        frame = world[y : y + HEIGHT, x : x + WIDTH].copy()
        frame[0, 0] = x, y, scene
        frames.append(frame)
    return np.stack(frames)


class Oracle(nn.Module):
    """Answers as CoTracker3's networks do, from what the frames' first pixels say; checks what it is fed."""

    def __init__(self, online: bool, window: int = 8) -> None:
        super().__init__()
        self.register_buffer("time_emb", torch.zeros(1, window, 4))
        self.online, self.window = online, window
        self.log: list[tuple[int, int]] = []  # of each window: its frames, those of the run so far

    def init_video_online_processing(self) -> None:
        self.run: Tensor | None = None  # [frames so far, 3]

    def forward(self, video: Tensor, queries: Tensor, iters: int, is_online: bool = False) -> tuple[Tensor, ...]:
        assert is_online == self.online
        assert video.shape[2:] == (3, HEIGHT, WIDTH)
        assert video.shape[1] <= self.window
        told = video[0, :, :, 0, 0]  # [T, 3] x, y, scene
        if self.online and self.run is not None:
            half = self.window // 2
            assert len(self.run) % half == 0
            assert torch.equal(told[:half], self.run[-half:])
            told = torch.cat([self.run, told[half:]])
        self.run = told
        self.log.append((video.shape[1], len(told)))
        asked = queries[0, :, 0].long()
        points = queries[0, None, :, 1:] - (told[:, None, :2] - told[asked, :2])
        inside = (points >= -0.5).all(-1) & (points < torch.tensor([WIDTH, HEIGHT]) - 0.5).all(-1)
        seen = (inside & (told[:, None, 2] == told[asked, 2])).float()
        return points[None], seen[None], torch.ones_like(seen)[None], None  # type: ignore[return-value]


def in_pushes(tracker: CoTracker, frames: np.ndarray, boxes: Sequence[np.ndarray] | None = None) -> list[Tracks]:
    boxes = boxes or [NO_BOXES] * len(frames)
    starts = range(0, len(frames), tracker.wanted)
    return [tracker.push(frames[n : n + tracker.wanted], boxes[n : n + tracker.wanted]) for n in starts]


def steps_of(pushes: Sequence[Tracks]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [tracks.step(frame) for tracks in pushes for frame in range(len(tracks.points) - 1)]


def new(settings: CoTrackerSettings) -> tuple[CoTracker, Oracle]:
    oracle = Oracle(settings.mode == "online")
    return CoTracker(oracle, settings), oracle


@pytest.mark.parametrize("settings", [ONLINE, OFFLINE], ids=lambda each: each.mode)
@pytest.mark.parametrize("count", [1, 2, 4, 7, 8, 9, 23])
def test_the_steps_of_all_windows_are_those_of_the_video(settings: CoTrackerSettings, count: int) -> None:
    steps = np.random.default_rng(count).integers(-3, 4, (count, 2))
    places = (120 + steps.cumsum(0)).tolist()
    tracker, _ = new(settings)
    found = steps_of(in_pushes(tracker, drawn(places)))
    assert len(found) == count - 1
    for (before, after), step in zip(found, steps[1:], strict=True):
        assert len(before) >= 20
        np.testing.assert_allclose(after - before, np.tile(-step, (len(before), 1)), atol=1e-4)


def test_an_online_run_goes_on_over_windows_and_ends_where_points_are_lost() -> None:
    tracker, oracle = new(ONLINE)
    in_pushes(tracker, drawn([(100, 100)] * 24))
    assert oracle.log == [(8, 8), (8, 12), (8, 16), (8, 20), (8, 24), (8, 28)]  # four copies of the first frame more
    tracker, oracle = new(ONLINE)
    in_pushes(tracker, drawn([(10 + 10 * number, 100) for number in range(24)]))  # half the picture in six steps
    assert max(length for _, length in oracle.log) <= 16


def test_a_background_that_comes_into_sight_gets_points() -> None:
    tracker, _ = new(ONLINE)
    boxes = [np.array([[0.0, 0.0, WIDTH, HEIGHT - 6.0]])] * 10 + [NO_BOXES] * 10
    pushes = in_pushes(tracker, drawn([(100, 100)] * 20), boxes)
    seen = [len(before) for before, _ in steps_of(pushes)]
    assert 0 < max(seen[:9]) < 15
    assert min(seen[12:]) > 25  # from the push after


def test_an_online_run_does_not_grow_without_end() -> None:
    tracker, oracle = new(ONLINE)
    in_pushes(tracker, drawn([(100, 100)]).repeat(600, axis=0))
    assert 200 < max(length for _, length in oracle.log) < 520


@pytest.mark.parametrize("settings", [ONLINE, OFFLINE], ids=lambda each: each.mode)
def test_after_all_points_are_lost_there_are_new_ones_in_the_same_window(settings: CoTrackerSettings) -> None:
    scenes = [0] * 5 + [1] + [2] * 6
    tracker, _ = new(settings)
    pushes = in_pushes(tracker, drawn([(50 + 2 * number, 40) for number in range(12)], scenes))
    for number, (before, after) in enumerate(steps_of(pushes)):
        assert (len(before) > 20) == (scenes[number] == scenes[number + 1])
        if len(before):
            np.testing.assert_allclose((after - before).mean(0), (-2, 0), atol=1e-4)
    assert all(np.isfinite(tracks.points[:-1]).all(-1).any(1).all() for tracks in pushes)  # points begin every step


@pytest.mark.parametrize("settings", [ONLINE, OFFLINE], ids=lambda each: each.mode)
def test_tracks_of_a_push_begin_with_those_seen_at_the_end_of_the_last(settings: CoTrackerSettings) -> None:
    tracker, _ = new(settings)
    pushes = in_pushes(tracker, drawn([(100 + 5 * number, 100) for number in range(24)]))
    for last, tracks in itertools.pairwise(pushes):
        live = last.points[-1][np.isfinite(last.points[-1]).all(-1)]
        np.testing.assert_allclose(tracks.points[0, : len(live)], live, atol=1e-4)


@pytest.mark.parametrize("settings", [ONLINE, OFFLINE], ids=lambda each: each.mode)
def test_points_stay_out_of_boxes(settings: CoTrackerSettings) -> None:
    frames = drawn([(100 + 3 * number, 100) for number in range(16)])
    box = np.array([[40.0, 20.0, 90.0, 80.0]])
    tracker, _ = new(settings)
    for tracks in in_pushes(tracker, frames, [box] * 16):
        x, y = tracks.points[..., 0], tracks.points[..., 1]
        assert np.isfinite(x).any(1).all()
        assert not ((x > 41) & (x < 89) & (y > 21) & (y < 79)).any()


def test_points_are_pixels_of_the_full_frame() -> None:
    frames = drawn([(100, 100), (104, 102)])
    large = np.stack([cv2.resize(frame, (3 * WIDTH, 2 * HEIGHT), interpolation=cv2.INTER_NEAREST) for frame in frames])
    (small_pushes,), (large_pushes,) = (in_pushes(new(OFFLINE)[0], each) for each in (frames, large))
    before, after = large_pushes.step(0)
    np.testing.assert_allclose((after - before).mean(0), (-12, -4), atol=1e-3)
    np.testing.assert_allclose(large_pushes.points, small_pushes.points * (3, 2), rtol=1e-5)


def test_a_plain_wall_asks_the_network_nothing() -> None:
    tracker, oracle = new(ONLINE)
    pushes = in_pushes(tracker, np.full((12, HEIGHT, WIDTH, 3), 90, np.uint8))
    assert [tracks.points.shape for tracks in pushes] == [(4, 0, 2), (5, 0, 2), (5, 0, 2)]
    assert oracle.log == []


def test_trackers_of_one_network_do_not_disturb_each_other() -> None:
    oracle = Oracle(online=True)
    frames = drawn([(100 + number, 100) for number in range(12)])
    one, other = CoTracker(oracle, ONLINE), CoTracker(oracle, ONLINE)
    for start in (0, 4, 8):
        for tracker, part in ((one, frames), (other, frames[::-1])):  # the oracle sees when windows do not overlap
            tracker.push(part[start : start + 4], [NO_BOXES] * 4)


def test_a_picture_is_stretched_about_its_corners() -> None:
    ramp = np.repeat(np.arange(0, 240, 2, dtype=np.uint8)[None, :, None], 90, 0).repeat(3, 2)  # [90, 120]: 2x + 1
    for width in (60, 240):
        middle = stretch(ramp, (45, width))[20, 10:-10, 0]
        expected = 2 * (np.arange(width)[10:-10] + 0.5) * 120 / width - 1
        assert np.abs(middle - expected).max() <= 1


def test_bad_arguments_are_refused() -> None:
    tracker, _ = new(ONLINE)
    with pytest.raises(ValueError, match="2 frames, but boxes for 1"):
        tracker.push(drawn([(0, 0)] * 2), [NO_BOXES])
    with pytest.raises(ValueError, match="push 1 to 4 at a time"):
        tracker.push(drawn([(0, 0)] * 5), [NO_BOXES] * 5)
    for wrong, match in (
        ({"window": 15}, "window is 15"),
        ({"resolution": (384, 500)}, "multiples of 32"),
        ({"min_visibility": 1.5}, "min_visibility must be .* not 1.5"),
        ({"support_grid": -1}, "support_grid must be .* not -1"),
        ({"iterations": 0}, "iterations must be .* not 0"),
    ):
        with pytest.raises(ValueError, match=match):
            replace(ONLINE, **wrong)


def saved(path: Path, state: object) -> CoTrackerSettings:
    torch.save(state, path)
    return replace(ONLINE, checkpoint=str(path), window=16)


def test_wrong_checkpoints_are_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.pth is missing; put CoTracker3's scaled_online\.pth"):
        load_network(ONLINE, "cpu")
    settings = saved(tmp_path / "other.pth", {"weight": torch.zeros(3)})
    with pytest.raises(WeightsError, match="is no checkpoint of CoTracker3"):
        load_network(settings, "cpu")
    Path(settings.checkpoint).write_bytes(b"<html>")
    with pytest.raises(WeightsError, match="is unreadable"):
        load_network(settings, "cpu")


def test_the_window_must_be_the_checkpoints(tmp_path: Path) -> None:
    settings = saved(tmp_path / "scaled_offline.pth", {"model": {"time_emb": torch.zeros(1, 60, 1110)}})
    with pytest.raises(
        ConfigError, match=r"window is 16, but .* was trained with 60 frames; set window to 60, or mode"
    ):
        load_network(settings, "cpu")
    with pytest.raises(ConfigError, match="window is 64, but"):
        load_network(replace(settings, mode="offline", window=64), "cpu")


def test_a_missing_package_or_gpu_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = saved(tmp_path / "scaled_online.pth", {"time_emb": torch.zeros(1, 16, 1110)})
    monkeypatch.setitem(sys.modules, "cotracker", None)
    with pytest.raises(ConfigError, match=r"pip install '\.\[cotracker\]'"):
        load_network(settings, "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="torch sees no GPU"):
            load_network(settings, "cuda")


@pytest.fixture(scope="module", params=["online", "offline"])
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CoTrackerSettings:
    """Settings of the package's own network, with random weights."""
    pytest.importorskip("cotracker", reason="needs the package cotracker: pip install '.[cotracker]'")
    from cotracker.models.build_cotracker import build_cotracker

    torch.manual_seed(0)
    trained = 16 if request.param == "online" else 60
    network = build_cotracker(checkpoint=None, offline=request.param == "offline", window_len=trained)
    path = tmp_path_factory.mktemp(request.param) / f"scaled_{request.param}.pth"
    torch.save(network.state_dict(), path)
    return replace(ONLINE, checkpoint=str(path), mode=request.param, window=16, support_grid=0)


def test_places_are_those_of_the_packages_predictors(real: CoTrackerSettings) -> None:
    from cotracker.predictor import CoTrackerOnlinePredictor, CoTrackerPredictor

    video = drawn([(100 + 3 * number, 100) for number in range(24)])
    places = np.random.default_rng(0).uniform(10, 80, (4, 2)).astype(np.float32)
    queries = torch.from_numpy(np.concatenate([np.zeros((4, 1), np.float32), places], 1))[None]
    tensor = torch.from_numpy(video).permute(0, 3, 1, 2)[None].float()
    run = CoTrackerRun(load_network(real, "cpu"), real)
    if real.mode == "offline":
        predictor = CoTrackerPredictor(checkpoint=real.checkpoint, offline=True, window_len=60)
        predictor.interp_shape = real.resolution
        expected, _ = predictor(tensor[:, :6], queries=queries, grid_size=1)  # with a size: no support of its own
        np.testing.assert_allclose(run.follow(video[:6], 0, places)[0], expected[0].numpy(), atol=1e-3)
        return
    predictor = CoTrackerOnlinePredictor(checkpoint=real.checkpoint, window_len=16)
    predictor.interp_shape = real.resolution
    predictor(tensor[:, :16], is_first_step=True, queries=queries)
    for start in (0, 8):
        points, seen = run.follow(video[start : start + 16], 0, places)
        expected, visible = (found[0, start:].numpy() for found in predictor(tensor[:, start : start + 16]))
        assert expected.shape[0] == 16
        np.testing.assert_allclose(points[1:], expected[1:], atol=1e-3)  # the first are what was asked for
        np.testing.assert_array_equal(seen[1:], visible[1:])
        assert run.carry_on(np.ones(4, bool), 0, whole=True)


def test_points_that_the_network_is_not_sure_of_are_not_seen(real: CoTrackerSettings) -> None:
    frames = drawn([(100, 100)] * 16)
    few = replace(real, iterations=1, seeds=SeedSettings(max_points=6, min_distance=20))
    sure, unsure = (replace(few, min_visibility=least) for least in (0.0, 1.0))
    tracks = in_pushes(CoTracker(load_network(sure, "cpu"), sure), frames)[0]
    assert np.isfinite(tracks.points).all(-1).sum(1).min() >= 5
    tracks = in_pushes(CoTracker(load_network(unsure, "cpu"), unsure), frames[:3])[0]
    assert all(len(tracks.step(frame)[0]) == 0 for frame in range(2))
