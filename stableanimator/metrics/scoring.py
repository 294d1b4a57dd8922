"""One result to its metrics, frame by frame, in any number of protocols; and several results to means and distances.

    scoring = Scoring(reference.identity, judges, ["standard", "disco"], fps=25, drive=aligned_people)
    for generated, truth in frames:                  # the frame that was the reference is not among them
        scoring.add(Seen(generated, judges), Seen(truth, judges))
    row = scoring.finish()

Metrics of a protocol are called `<protocol>/<metric>`; the others are the same in all.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stableanimator.errors import require_finite
from stableanimator.media.framing import Size
from stableanimator.metrics import image
from stableanimator.metrics.clips import ClipFeatures, Features
from stableanimator.metrics.flicker import Flicker
from stableanimator.metrics.frechet import Gaussian, frechet_distance
from stableanimator.metrics.identity import Identity, cosine
from stableanimator.metrics.motion import dis, velocity_agreement
from stableanimator.metrics.networks.loading import Networks
from stableanimator.metrics.networks.lpips import Layers, Lpips
from stableanimator.metrics.networks.preparing import for_lpips
from stableanimator.metrics.pose import PoseAgreement, pose_agreement
from stableanimator.metrics.protocol import PROTOCOLS
from stableanimator.metrics.seen import Judges, Seen
from stableanimator.metrics.settings import ProtocolName
from stableanimator.perception.person_boxes import in_picture

_NOBODY = np.zeros((0, 133, 3), np.float32)

_WEIGHTS: dict[str, str] = {
    "csim": "faces",
    "csim_held_out": "faces",
    "csim_truth": "faces_with_truth",
    "csim_truth_held_out": "faces_with_truth",
    "face_found": "frames",
    "pck_05": "joints",
    "pck_10": "joints",
    "pck_moved_05": "joints_moved",
    "pck_moved_10": "joints_moved",
    "pck_drive_05": "joints_drive",
    "pck_drive_10": "joints_drive",
    "pck_drive_moved_05": "joints_drive_moved",
    "pck_drive_moved_10": "joints_drive_moved",
    "joint_error": "joints_found",
    "joint_error_drive": "joints_drive_found",
    "velocity": "velocities",
    "velocity_drive": "velocities_drive",
    "delay": "results",
    "delay_drive": "results",
    "speed": "velocities",
    "speed_drive": "velocities_drive",
    "dis": "frames_with_dis",
    "flicker": "frames",
    "flicker_truth": "frames_with_truth",
    "seam": "results",
}
"""The columns that are the same in every protocol, and of which count each is a mean."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairMetrics:
    """The metrics of one result."""

    columns: dict[str, float | None]
    """By `column_names`; None is missing, and `reason` says why."""
    counts: dict[str, int]
    """What they are means over: frames, faces, joints, …."""
    features: Features
    """For `set_metrics`."""
    reason: str | None
    """`no_reference_face`, `no_truth`, or None."""


def column_names(protocols: Iterable[ProtocolName], lpips_column: str | None = None) -> tuple[str, ...]:
    """The columns of a result, in the order in which tables show them; `lpips_column` as the loaded networks say."""
    names = []
    for protocol in protocols:
        metrics = ["l1", "psnr", *(["psnr_uint8"] if PROTOCOLS[protocol].psnr_uint8 else []), "ssim"]
        names += [f"{protocol}/{metric}" for metric in [*metrics, *([lpips_column] if lpips_column else [])]]
    return (*names, *_WEIGHTS)


class Scoring:
    """One result.

    Args:
        reference: who is to be shown.
        judges: find faces and people, and see features.
        protocols: in which picture metrics and features are told.
        fps: frames a second of the result.
        drive: people of the aligned drive, [F] of [P, 133, 3], in pixels of the result, a row for each frame that will
            be added; joints outside the picture count for Dis alone. None: nothing is compared with it.
        borders: numbers of the added frames with which a window of the sampler begins.
    """

    def __init__(
        self,
        reference: Identity,
        judges: Judges,
        protocols: Sequence[ProtocolName],
        fps: float,
        drive: Sequence[npt.NDArray[np.floating]] | None = None,
        borders: Collection[int] = (),
    ) -> None:
        self._reference, self._judges, self._protocols = reference, judges, tuple(protocols)
        self._fps, self._drive, self._borders = fps, drive, borders
        self._frames, self._truths, self._faces, self._faces_with_truth = 0, 0, 0, 0
        self._sums = _Means()
        self._people: list[npt.NDArray[np.float32]] = []
        self._true_people: list[npt.NDArray[np.float32]] = []
        self._size: Size = (0, 0)
        self._flicker = Flicker()
        self._features = ClipFeatures(judges.networks, self._protocols)

    def add(self, generated: Seen, truth: Seen | None) -> None:
        """The next frame, and its true one where that is known."""
        self._frames += 1
        self._truths += truth is not None
        self._size = size = generated.size
        self._identity(generated, truth)
        self._people.append(generated.people)
        self._true_people.append(_NOBODY if truth is None else truth.people_at(size))
        self._flicker.add(generated.brightness_at(size), None if truth is None else truth.brightness_at(size))
        self._features.add(generated, None if truth is None else truth.size)
        if truth is not None:
            for name in self._protocols:
                for metric, value in picture_metrics(name, generated, truth, self._judges.networks).items():
                    self._sums.add(f"{name}/{metric}", value)

    def _identity(self, generated: Seen, truth: Seen | None) -> None:
        face = generated.identity
        self._faces += face.own is not None
        self._sums.add("face_found", float(face.own is not None))
        self._sums.add("csim", cosine(face.own, self._reference.own))
        self._sums.add("csim_held_out", cosine(face.held_out, self._reference.held_out))
        if truth is not None and face.own is not None:
            self._faces_with_truth += truth.identity.own is not None
            self._sums.add("csim_truth", cosine(face.own, truth.identity.own))
            self._sums.add("csim_truth_held_out", cosine(face.held_out, truth.identity.held_out))

    def finish(self) -> PairMetrics:
        """The metrics of all frames that were added.

        Without any true frame whatever compares with it is None (reason `no_truth`); without a face in the reference
        CSIM to it is None (reason `no_reference_face`).

        Raises:
            ValueError: there is no frame, or the drive has another number of them.
            RowError: `not_finite`, a metric or a feature is NaN or infinite.
        """
        if not self._frames:
            raise ValueError("the result has no frame")
        if self._drive is not None and len(self._drive) != self._frames:
            raise ValueError(f"the drive has {len(self._drive)} frames, the result {self._frames}")
        columns = dict.fromkeys(column_names(self._protocols, self._judges.networks.lpips_column), None)
        counts = {
            "results": 1,
            "frames": self._frames,
            "frames_with_truth": self._truths,
            "faces": self._faces,
            "faces_with_truth": self._faces_with_truth,
        }
        columns |= self._sums.means()
        flicker = self._flicker
        columns |= {"flicker": flicker.still, "flicker_truth": flicker.unexplained, "seam": flicker.seam(self._borders)}
        drive = [np.asarray(people, np.float32) for people in self._drive or []]
        self._motion("", self._true_people, columns, counts)
        self._motion("_drive", [in_picture(people, self._size) for people in drive], columns, counts)
        apart = dis(drive, self._true_people, self._size[0]) if drive else np.zeros(0)
        there = np.isfinite(apart)
        columns["dis"] = float(apart[there].mean()) if there.any() else None
        counts["frames_with_dis"] = int(there.sum())
        odd = [name for name, value in columns.items() if value is not None and not math.isfinite(value)]
        require_finite(not odd, ", ".join(odd))
        reason = "no_reference_face" if self._reference.own is None else None if self._truths else "no_truth"
        return PairMetrics(columns=columns, counts=counts, features=self._features.finish(), reason=reason)

    def _motion(
        self,
        suffix: str,
        wanted: Sequence[npt.NDArray[np.floating]],
        columns: dict[str, float | None],
        counts: dict[str, int],
    ) -> None:
        """How the result moves beside the truth (suffix ``) or the aligned drive (`_drive`)."""
        generated = self._people if wanted else []
        pose: PoseAgreement = pose_agreement(generated, wanted)
        columns |= {
            f"pck{suffix}_05": pose.pck_05,
            f"pck{suffix}_10": pose.pck_10,
            f"pck{suffix}_moved_05": pose.pck_moved_05,
            f"pck{suffix}_moved_10": pose.pck_moved_10,
            f"joint_error{suffix}": pose.joint_error,
        }
        velocity = velocity_agreement(generated, wanted, self._fps)
        columns |= {
            f"velocity{suffix}": velocity.agreement,
            f"delay{suffix}": velocity.delay,
            f"speed{suffix}": velocity.speed,
        }
        counts |= {
            f"joints{suffix}": pose.joints,
            f"joints{suffix}_moved": pose.joints_moved,
            f"joints{suffix}_found": pose.joints_found,
            f"velocities{suffix}": velocity.joints,
        }


def picture_metrics(
    name: ProtocolName, generated: Seen, truth: Seen, networks: Networks | None = None
) -> dict[str, float]:
    """L1, PSNR, SSIM, and LPIPS where there is a network for it, of one frame in a protocol."""
    protocol = PROTOCOLS[name]
    size = protocol.common_size(generated.size, truth.size)
    first, second = generated.resized(size, protocol.resize), truth.resized(size, protocol.resize)
    apart = image.differences(first, second)
    metrics = {"l1": protocol.l1(apart), "psnr": image.psnr(apart), "ssim": protocol.ssim(first, second)}
    if protocol.psnr_uint8:
        metrics["psnr_uint8"] = image.psnr_uint8(apart)
    if networks is not None and networks.lpips is not None and networks.lpips_column is not None:
        layers = [_layers(networks.lpips, seen, name, networks.device, size) for seen in (generated, truth)]
        metrics[networks.lpips_column] = float(networks.lpips.distance(*layers))
    return metrics


def _layers(lpips: Lpips, seen: Seen, name: ProtocolName, device: str, size: Size) -> Layers:
    protocol = PROTOCOLS[name]
    frame = seen.resized(size, protocol.resize)
    key = ("lpips", protocol.lpips_low, size, protocol.resize if size != seen.size else None)
    return seen.remembered(key, lambda: lpips.layers(for_lpips(frame, protocol.lpips_low)[None].to(device)))


class _Means:
    """Sums of values by name; what is None counts as not there."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, value: float | None) -> None:
        if value is not None:
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        return {name: total / self._counts[name] for name, total in self._sums.items()}


def mean_over_frames(rows: Sequence[PairMetrics]) -> dict[str, float | None]:
    """Means of several results over all their frames, as the published scripts take them: not over videos, but where a
    protocol says so. CSIM is a mean over the frames with a face, PCK over joints. What no result has is None.
    """
    names = dict.fromkeys(name for row in rows for name in row.columns)
    return {name: _weighted([(row.columns.get(name), row.counts[weight_of(name)]) for row in rows]) for name in names}


def weight_of(column: str) -> str:
    """The count that a column is a mean over."""
    protocol, _, metric = column.rpartition("/")
    if not protocol:
        return _WEIGHTS[metric]
    return "results" if PROTOCOLS[protocol].per_clip else "frames_with_truth"  # type: ignore[index]


def _weighted(values: Iterable[tuple[float | None, int]]) -> float | None:
    there = [(value, weight) for value, weight in values if value is not None]
    total = sum(weight for _, weight in there)
    return sum(value * weight for value, weight in there) / total if total > 0 else None


def set_metrics(
    results: Iterable[Mapping[str, npt.NDArray[np.floating]]], truths: Iterable[Mapping[str, npt.NDArray[np.floating]]]
) -> dict[str, float]:
    """FVD, FID-VID and FID of a set of videos, by `<protocol>/<column>`.

    Args:
        results: features of each result, as `PairMetrics.features` has them.
        truths: those of its true video, in the same order; a result whose truth is unknown has none, and is left out.

    Returns:
        The distance of all results' features to all truths', or the mean of the videos' own where a protocol says so.
        A column is left out where either side has fewer than two features.

    Raises:
        ValueError: there are more of one than of the other.
    """
    gathered: dict[str, tuple[Gaussian, Gaussian]] = {}
    alone: dict[str, list[float]] = {}
    for result, truth in zip(results, truths, strict=True):
        for name in result.keys() & truth.keys():
            pair = (Gaussian(), Gaussian()) if _by_video(name) else gathered.setdefault(name, (Gaussian(), Gaussian()))
            for gaussian, features in zip(pair, (result[name], truth[name]), strict=True):
                gaussian.add(features)
            if _by_video(name) and min(each.count for each in pair) > 1:
                alone.setdefault(name, []).append(frechet_distance(*pair))
    together = {name: frechet_distance(*pair) for name, pair in gathered.items() if min(p.count for p in pair) > 1}
    means = {name: float(np.mean(values)) for name, values in alone.items()}
    return dict(sorted((together | means).items()))


def _by_video(name: str) -> bool:
    """Whether a distance is of each video first: FID's, in a protocol that averages over videos."""
    protocol, _, column = name.partition("/")
    of_frames = column.startswith("fid") and not column.startswith("fid_vid")
    return of_frames and PROTOCOLS[protocol].per_clip  # type: ignore[index]
