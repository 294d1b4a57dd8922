"""Features of one video's frames and clips, by protocol and network, while its frames pass by once.

Memory does not grow with the video but by its features: a clip of frames and a batch of clips wait for each network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stableanimator.errors import require_finite
from stableanimator.media.framing import Size
from stableanimator.metrics.image import Frame
from stableanimator.metrics.networks.loading import FeatureNetwork, Networks
from stableanimator.metrics.protocol import PROTOCOLS, Clips
from stableanimator.metrics.seen import Seen
from stableanimator.metrics.settings import ProtocolName

Features = dict[str, npt.NDArray[np.float32]]
"""By `<protocol>/<column>`: [W, D], a row for each frame or clip; [0, 0] where a video is too short for one."""

_LONGEST = 256
"""Frames of a whole video that go through a network at once; of a longer one the parts' means are taken, by length."""
_FRAMES_OF_A_CLIP = 4
"""So many single frames stand for a clip where a batch is cut."""


class ClipFeatures:
    """Of one video: `add` its frames in order, then `finish`."""

    def __init__(self, networks: Networks, protocols: Sequence[ProtocolName]) -> None:
        self._streams = {
            (name, network.column): _Stream(network, PROTOCOLS[name].clips(network.kind), networks.batch)
            for name in protocols
            for network in networks.features
        }

    def add(self, seen: Seen, truth: Size | None = None) -> None:
        """The next frame; `truth` is the size of its true one, where it has one and is none itself."""
        for (name, _), stream in self._streams.items():
            protocol = PROTOCOLS[name]
            size = protocol.common_size(seen.size, truth or seen.size)
            stream.add(_prepared(stream.network, seen, size, protocol.resize))

    def finish(self) -> Features:
        """What there is of each protocol and network.

        Raises:
            RowError: `not_finite`.
        """
        features = {f"{name}/{column}": stream.finish() for (name, column), stream in self._streams.items()}
        for name, rows in features.items():
            require_finite(bool(np.isfinite(rows).all()), f"features of {name}")
        return features


def _prepared(network: FeatureNetwork, seen: Seen, size: Size, resize: Callable[[Frame, Size], Frame]) -> Tensor:
    """What a network reads of a frame, once for all protocols in which it is the same."""
    key = (network.prepare, size, resize if size != seen.size else None)
    return seen.remembered(key, lambda: network.prepare(seen.resized(size, resize)))


class _Stream:
    """The clips of one network in one protocol, or its frames where `clips` is None."""

    def __init__(self, network: FeatureNetwork, clips: Clips | None, batch: int) -> None:
        self.network = network
        self._clips = clips
        self._length = 1 if clips is None else clips.length or _LONGEST
        self._stride = 1 if clips is None else clips.stride if clips.length else _LONGEST
        self._batch = batch * _FRAMES_OF_A_CLIP if clips is None else batch
        self._frames: list[Tensor] = []
        self._waiting: list[Tensor] = []
        self._features: list[npt.NDArray[np.float32]] = []
        self._weights: list[int] = []

    def add(self, frame: Tensor) -> None:
        """The next frame, [3, h, w]."""
        self._frames.append(frame)
        if len(self._frames) == self._length:
            self._clip(self._frames)
            self._frames = self._frames[self._stride :]

    def _clip(self, frames: list[Tensor]) -> None:
        self._waiting.append(frames[0] if self._clips is None else torch.stack(frames, 1))
        self._weights.append(len(frames))
        if len(self._waiting) == self._batch:
            self._look()

    def _look(self) -> None:
        if self._waiting:
            self._features.append(self.network(torch.stack(self._waiting)).numpy())
            self._waiting = []

    def finish(self) -> npt.NDArray[np.float32]:
        """[W, D] of all clips."""
        clips = self._clips
        if clips is not None and self._frames:
            if clips.length is None:
                self._look()  # a batch holds clips of one length
                self._clip(self._frames)
            elif clips.tail == "repeat":
                self._clip(self._frames + self._frames[-1:] * (self._length - len(self._frames)))
        self._look()
        if not self._features:
            return np.zeros((0, 0), np.float32)
        rows = np.concatenate(self._features)
        if clips is not None and (clips.averaged or clips.length is None):
            rows = np.average(rows, axis=0, weights=self._weights)[None].astype(np.float32)
        return rows
