"""Point tracks by CoTracker3 (Karaev et al., arXiv 2410.11831): the package github.com/facebookresearch/co-tracker.

    T frames of a window   N points   h, w the network's resolution

The package is an extra of its own (`pip install '.[cotracker]'`) and its weights are a download; nothing here runs
without them. Its places are pixels of the network's picture, the first pixel's centre at 0.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stableanimator.errors import ConfigError, WeightsError
from stableanimator.perception.onnx_session import require_file
from stableanimator.perception.point_seeds import free_of_boxes, in_mask, new_corners
from stableanimator.perception.point_tracks import Boxes, Frames, Tracks, check_counts, table_of
from stableanimator.perception.settings import CoTrackerSettings, Device
from stableanimator.state_files import read_checkpoint, require_state_dict

_LONGEST = 512  # frames after which an online run ends: its state grows with them

Places = NDArray[np.float32]
Mask = NDArray[np.uint8]


def checkpoint_file(settings: CoTrackerSettings) -> Path:
    """The file with the weights.

    Raises:
        WeightsError: it is missing.
    """
    name = f"CoTracker3's scaled_{settings.mode}.pth (from huggingface.co/facebook/cotracker3)"
    return require_file(settings.checkpoint, name)


def load_network(settings: CoTrackerSettings, device: Device) -> nn.Module:
    """The package's network with its weights, to be shared by any number of `CoTracker`s.

    Raises:
        ConfigError: the package is not installed, there is no GPU, or the window is not one of the checkpoint's.
        WeightsError: the checkpoint is missing or is no CoTracker3.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda, but torch sees no GPU; give the job a GPU, or set cpu")
    file = checkpoint_file(settings)
    state = _read_state(file)
    trained = state["time_emb"].shape[1]
    _check_window(settings, trained, file)
    try:
        from cotracker.models.build_cotracker import build_cotracker
    except ImportError as error:
        raise ConfigError(
            f"camera_motion.tracker is cotracker, but its package cannot be imported ({error}); "
            "pip install '.[cotracker]' in the project's folder, or set tracker to klt"
        ) from error
    network: nn.Module = build_cotracker(checkpoint=None, offline=settings.mode == "offline", window_len=trained)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{file} does not fit CoTracker3: {' '.join(str(error).split())[:200]}") from error
    return network.eval().requires_grad_(False).to(device)


def _read_state(file: Path) -> dict[str, Tensor]:
    state = read_checkpoint(file)
    state = require_state_dict(state.get("model", state) if isinstance(state, dict) else state, file)
    if getattr(state.get("time_emb"), "ndim", 0) != 3:
        raise WeightsError(f"{file} is no checkpoint of CoTracker3: it has no embedding of time (time_emb)")
    return state


def _check_window(settings: CoTrackerSettings, trained: int, file: Path) -> None:
    """A network sees only as many frames as its checkpoint was trained with; an online one exactly as many."""
    if settings.mode == "online" and settings.window != trained:
        raise ConfigError(
            f"cotracker.window is {settings.window}, but {file} was trained with {trained} frames; "
            f"set window to {trained}, or mode to offline if it is an offline checkpoint"
        )
    if settings.window > trained:
        raise ConfigError(
            f"cotracker.window is {settings.window}, but {file} was trained with {trained} frames; give at most those"
        )


class CoTracker:
    """CoTracker3 as a `PointTracker` of one video; see there.

    The network sees windows that overlap: the new frames of a push, and frames before them. An online run carries its
    tracks on from window to window; where it ends, and in offline mode with every window, the points that are left
    and new corners are asked for anew. It ends where fewer than `seeds.reseed_share` of the points asked for are seen,
    if need be within a window (after a whip pan the next step has points to go by), and where as many others appear.
    """

    def __init__(self, network: nn.Module, settings: CoTrackerSettings) -> None:
        """`network` is `load_network`'s for the same settings."""
        self.settings = settings
        self._run = CoTrackerRun(network, settings)
        self._pictures: list[NDArray[np.uint8]] = []  # the last ones, [h, w, 3]
        self._places = np.zeros((0, 2), np.float32)  # live points of the last frame

    @property
    def wanted(self) -> int:
        """Frames of a push; the last may have fewer."""
        return self.settings.window // 2 if self.settings.mode == "online" else self.settings.window - 1

    def push(self, frames: Frames, boxes: Boxes) -> Tracks:
        """Track through the next frames; see `PointTracker.push`.

        Raises:
            ValueError: the counts of frames and boxes differ, or there are none, or more than wanted.
        """
        check_counts(frames, boxes)
        if not 0 < len(frames) <= self.wanted:
            raise ValueError(f"{len(frames)} frames; push 1 to {self.wanted} at a time")
        height, width = self.settings.resolution
        scale = np.array([width, height]) / (frames[0].shape[1], frames[0].shape[0])
        new = [stretch(frame, self.settings.resolution) for frame in frames]
        masks = [free_of_boxes((height, width), one, scale, self.settings.seeds.box_margin) for one in boxes]
        if not self._pictures:
            self._places = self._corners(new[0], masks[0])
            # An online run begins with a whole window, or the next could not carry it on.
            before = self.settings.window - len(new) + 1 if self.settings.mode == "online" else 1
            self._pictures, new, masks = [new[0]] * before, new[1:], masks[1:]
        pictures = self._pictures + new
        rows, tracks = self._track(np.stack(pictures[-self.settings.window :]), masks)
        self._pictures = pictures[-self.wanted :]  # what windows overlap by: half of one, or all but a frame
        return table_of(rows, tracks, scale)

    def _track(self, video: NDArray[np.uint8], masks: Sequence[Mask]) -> tuple[list[dict[int, Places]], int]:
        """Follow the live points through the end of a window, its new pictures, which are those with a mask.

        Returns:
            Places by track of the last known picture and of each new one; the number of tracks.
        """
        last = len(video) - 1
        at = last - len(masks)
        names = np.arange(len(self._places))
        tracks, rows = len(names), [dict(enumerate(self._places))]
        while at < last:
            points, seen = self._run.follow(video, at, self._places)
            for number in range(at + 1, last + 1):
                seen[number] &= in_mask(points[number], masks[number - last - 1])
            rows[-1] = _by_name(names, points[at], seen[at])  # a run that is carried on corrects its last places
            end = self._run.end(seen, at)
            rows += [_by_name(names, points[number], seen[number]) for number in range(at + 1, end + 1)]
            at, live = end, seen[end]
            names, self._places = names[live], points[end][live]
            fresh = self._corners(video[at], masks[at - last - 1])
            if not self._run.carry_on(live, len(fresh), whole=end == last):
                names = np.concatenate([names, np.arange(tracks, tracks + len(fresh))])
                tracks += len(fresh)
                self._places = np.concatenate([self._places, fresh])
                rows[-1] = dict(zip(names.tolist(), self._places, strict=True))
        return rows, tracks

    def _corners(self, picture: NDArray[np.uint8], mask: Mask) -> Places:
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
        return new_corners(grey, mask, self._places, self.settings.seeds)


def _by_name(names: NDArray[np.int64], places: Places, seen: NDArray[np.bool_]) -> dict[int, Places]:
    return dict(zip(names[seen].tolist(), places[seen], strict=True))


class CoTrackerRun:
    """The network on the windows of a video, from where points are asked for until too few of them are seen."""

    def __init__(self, network: nn.Module, settings: CoTrackerSettings) -> None:
        # A copy has a state of its own and shares the weights: an online network remembers its video.
        self._network = copy.copy(network)
        self._settings = settings
        self._asked = 0  # points that the run began with
        self._live: NDArray[np.int64] | None = None  # which of them are live; None: the run has ended
        self._queries: Tensor | None = None  # [1, N + S, 3] those points and the support: frame, x, y
        self._window = self._length = 0  # frames of the last window, and of all windows of the run

    def follow(self, video: NDArray[np.uint8], at: int, places: Places) -> tuple[Places, NDArray[np.bool_]]:
        """Follow the live points through a window [T, h, w, 3]: half a window on from the last if the run goes on.

        Args:
            video: the window.
            at: number of the picture in which `places` are. A run begins there, pictures before it only give context.
            places: [N, 2] the live points.

        Returns:
            Places [T, N, 2], and which of them are seen [T, N].
        """
        self._window = len(video)
        if self._live is not None:
            points, seen = self._predict(video)
            return points[:, self._live], seen[:, self._live]
        self._asked, self._length, self._live = len(places), 0, np.arange(len(places))
        if len(places) == 0:
            return np.zeros((len(video), 0, 2), np.float32), np.zeros((len(video), 0), np.bool_)
        self._ask(at, places)
        points, seen = self._predict(video)
        points[at], seen[at] = places, True  # they are what was asked for
        return points, seen

    def _ask(self, at: int, places: Places) -> None:
        height, width = self._settings.resolution
        share = (np.arange(self._settings.support_grid) + 0.5) / max(1, self._settings.support_grid)
        x, y = np.meshgrid(share * width - 0.5, share * height - 0.5)
        points = np.concatenate([places, np.stack([x.ravel(), y.ravel()], -1)])
        queries = np.concatenate([np.full((len(points), 1), at), points], -1)[None].astype(np.float32)
        self._queries = torch.from_numpy(queries).to(self._network.time_emb.device)
        if self._settings.mode == "online":
            self._network.init_video_online_processing()

    def _predict(self, video: NDArray[np.uint8]) -> tuple[Places, NDArray[np.bool_]]:
        """Places [T, N, 2] of the points asked for, and which are seen [T, N]."""
        frames = torch.from_numpy(video).to(self._network.time_emb.device).permute(0, 3, 1, 2)[None].float()  # 0 to 255
        options = {"is_online": True} if self._settings.mode == "online" else {}
        with torch.inference_mode():
            points, visible, confident, _ = self._network(
                video=frames, queries=self._queries, iters=self._settings.iterations, **options
            )
            # An online network answers for the whole run so far, and also for the support.
            points, sure = (found[0, -len(video) :, : self._asked] for found in (points, visible * confident))
        self._length += len(video)
        return points.float().cpu().numpy(), (sure > self._settings.min_visibility).cpu().numpy()

    def end(self, seen: NDArray[np.bool_], at: int) -> int:
        """Up to which picture a window that was followed from `at` counts: where too few points are seen [T, N]."""
        if self._asked == 0:
            return at + 1
        too_few = np.flatnonzero(seen[at + 1 :].sum(1) < self._enough())
        return at + 1 + int(too_few[0]) if len(too_few) else len(seen) - 1

    def carry_on(self, live: NDArray[np.bool_], others: int, whole: bool) -> bool:
        """Whether the next window goes on with the live points; if not, they have to be asked for anew.

        Args:
            live: [N] which of the points that were followed are live.
            others: number of points that could be asked for beside them.
            whole: the last window counted to its end.
        """
        going = (
            self._settings.mode == "online"
            and whole
            and self._window == self._settings.window
            and live.sum() >= max(1.0, self._enough(), self._settings.seeds.reseed_share * (live.sum() + others))
            and self._length < _LONGEST
        )
        self._live = self._live[live] if going and self._live is not None else None
        return self._live is not None

    def _enough(self) -> float:
        return self._settings.seeds.reseed_share * self._asked


def stretch(frame: NDArray[np.uint8], resolution: tuple[int, int]) -> NDArray[np.uint8]:
    """An RGB frame [H, W, 3] at another height and width. Each side is averaged where it shrinks and interpolated where
    it grows; both leave a place at the same share of the side."""
    height, width = resolution
    smaller = (min(width, frame.shape[1]), min(height, frame.shape[0]))
    frame = np.asarray(cv2.resize(frame, smaller, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
