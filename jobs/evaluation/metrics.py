"""The predictions of a pair to rows of metrics, side by side, so that a true frame is looked at once. No Ray here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.evaluation.frames import Image, Prediction, framed_reference, open_result, reference_frame, true_frames
from jobs.evaluation.results import located
from jobs.pairs.drives import read_poses
from jobs.pairs.files import opened, renamed, restored
from jobs.pairs.people import People
from jobs.pairs.settings import REPEAT
from pipelines.actor_pool import UNEXPECTED
from pipelines.storage.inputs import Inputs
from pipelines.storage.store import Store
from stableanimator.errors import RowError, row_error
from stableanimator.media.framing import Size
from stableanimator.media.pictures import WHITE, Colour, read_image
from stableanimator.media.video import FrameReader
from stableanimator.metrics.clips import ClipFeatures, Features
from stableanimator.metrics.identity import Identity, main_identity
from stableanimator.metrics.networks.loading import load_networks
from stableanimator.metrics.scoring import PairMetrics, Scoring
from stableanimator.metrics.seen import Judges, Seen
from stableanimator.metrics.settings import MetricNetworkSettings, ProtocolName
from stableanimator.perception.faces import FaceAnalyser
from stableanimator.perception.held_out import HeldOutRecogniser
from stableanimator.perception.settings import PerceptionSettings

LOOKED_AT = ("reference_uri", "truth_uri", "driving_uri", "prediction_uri", "frames_uri", "skeleton_uri", "poses_uri")
"""Columns whose files are held against their checksums."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Measured:
    """What came of one prediction: metrics, or why there are none."""

    prediction: Prediction
    metrics: PairMetrics | None = None
    truth: Features | None = None
    """Features of the true frames."""
    error: RowError | None = None

    @property
    def driven(self) -> int:
        """Frames that the whole drive would have, at the prediction's rate; 0 where nothing is known of it."""
        return len(self.prediction["frame_index"] or ()) + (self.prediction["frames_left_out"] or 0)

    def row(self) -> dict[str, Any]:
        """A row of the METRICS table."""
        known = {name: self.prediction[name] for name in ("pair_id", "variant")}
        if self.metrics is None:
            reason, detail = (self.error.reason, self.error.detail) if self.error else (None, None)
            return known | {"reason": reason, "detail": detail}
        frames, fps = self.metrics.counts["frames"], self.prediction["fps"]
        told = {"fps": fps, "seconds": frames / fps, "coverage": frames / self.driven, "reason": self.metrics.reason}
        return known | told | self.metrics.counts | self.metrics.columns


class MeasurePairs:
    """An actor: holds the networks that judge, and measures all predictions of a pair.

    `actor({"predictions": rows of PREDICTIONS, "repeat": bool})` returns `{"measured": [Measured], "remarks": …}`.

    Raises:
        WeightsError: files of networks are missing or unreadable, or the held-out recogniser is the pack's own.
        CheckpointError: a file holds another network.
    """

    def __init__(
        self,
        store: Store,
        perception: PerceptionSettings,
        networks: MetricNetworkSettings,
        protocols: Sequence[ProtocolName],
        backgrounds: Mapping[str, Colour],
    ) -> None:
        self._protocols, self._backgrounds = tuple(protocols), backgrounds
        self._judges, self._inputs = judges_of(perception, networks), Inputs(store)

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        def measure(there: Sequence[Prediction]) -> list[Measured]:
            return measure_pair(there, item["repeat"], self._judges, self._protocols, self._backgrounds)

        measured = with_files(self._inputs, item["predictions"], measure)
        return {"measured": measured, "remarks": self._judges.networks.remarks}


def judges_of(perception: PerceptionSettings, networks: MetricNetworkSettings) -> Judges:
    """The networks that judge.

    Raises:
        WeightsError, CheckpointError: as `MeasurePairs`.
    """
    faces, threads, device = perception.faces, perception.threads, perception.device
    return Judges(
        faces=FaceAnalyser(faces, threads, device),
        held_out=HeldOutRecogniser.from_settings(faces, threads, device),
        people=People(perception),
        networks=load_networks(networks),
    )


def with_files(
    inputs: Inputs, predictions: Sequence[Prediction], measure: Callable[[Sequence[Prediction]], list[Measured]]
) -> list[Measured]:
    """What `measure` makes of the predictions of a pair, given where their files are. A prediction of which one is gone
    or changed is one that failed."""
    rows = {each["variant"]: each for each in predictions}
    with contextlib.ExitStack() as stack:
        there = {name: _placed(stack, inputs, row) for name, row in rows.items()}
        measured = measure(list(there.values()))
    return [_as_named(one, rows, there) for one in measured]


def _placed(stack: contextlib.ExitStack, inputs: Inputs, row: Prediction) -> Prediction:
    try:
        return stack.enter_context(opened(inputs, row, LOOKED_AT)) if row["status"] == "done" else row
    except RowError as error:
        return row | {"status": "failed", "reason": error.reason, "detail": error.detail}


def _as_named(one: Measured, rows: Mapping[str, Prediction], there: Mapping[str, Prediction]) -> Measured:
    """With what rows name in the place of places."""
    name = one.prediction["variant"] if one.prediction["variant"] in rows else next(iter(rows))
    error = None if one.error is None else renamed(one.error, rows[name], there[name])
    return replace(one, prediction=restored(one.prediction, rows[name]), error=error)


def measure_pair(
    predictions: Sequence[Prediction],
    repeat: bool,
    judges: Judges,
    protocols: Sequence[ProtocolName],
    backgrounds: Mapping[str, Colour],
) -> list[Measured]:
    """Metrics of the predictions of one pair, in their order, those of the repeated reference last.

    Args:
        predictions: rows of PREDICTIONS, or of `results.read_results`.
        repeat: whether the reference, in the place of every frame of the first prediction that is there, is measured as
            one more variant.
        judges: look at frames.
        protocols: see `stableanimator.metrics.protocol`.
        backgrounds: of variants, what their reference was put on; white where none is named.

    Raises:
        UserError: as the judges raise it. Anything else stays with its prediction.
    """
    done: dict[str, Measured] = {}
    with contextlib.ExitStack() as stack:
        opened = []
        for prediction in predictions:
            variant = prediction["variant"]
            try:
                result = _open(prediction, judges, protocols, backgrounds.get(variant, WHITE))
            except Exception as error:
                done[variant] = Measured(prediction=prediction, error=row_error(error, UNEXPECTED))
                continue
            opened.append(result)
            stack.enter_context(result.reader)
        if repeat and opened:
            opened.append(_repeated(opened[0], judges, protocols))
        for results in _together(opened):
            done |= _score(results, judges, protocols)
    return [done[name] for name in dict.fromkeys([*(each["variant"] for each in predictions), *done])]


@dataclass(kw_only=True, slots=True)
class _Result:
    """A prediction that is being scored."""

    prediction: Prediction
    reader: FrameReader
    reference: Image
    scoring: Scoring
    still: Seen | None = None
    """What stands in the place of every frame; None: the frames themselves."""

    @property
    def size(self) -> Size:
        return self.reader.info.height, self.reader.info.width

    def frames(self, judges: Judges) -> Iterator[Seen]:
        """Its frames, seen."""
        if self.still is not None:
            while True:
                yield self.still
        for _, frame in self.reader.frames(range(len(self.prediction["frame_index"]))):
            yield Seen(frame, judges)


def _open(prediction: Prediction, judges: Judges, protocols: Sequence[ProtocolName], background: Colour) -> _Result:
    if prediction["status"] != "done":
        raise RowError(prediction["reason"], prediction["detail"] or "")
    if prediction.get("result") is not None:
        prediction = located(prediction)
    reference = read_image(prediction["reference_uri"], background)
    identity = main_identity(judges.faces, judges.held_out, reference)
    scoring = _scoring(prediction, identity, judges, protocols)
    return _Result(prediction=prediction, reader=open_result(prediction), reference=reference, scoring=scoring)


def _scoring(prediction: Prediction, identity: Identity, judges: Judges, protocols: Sequence[ProtocolName]) -> Scoring:
    scored = [index for index in prediction["frame_index"] if index != reference_frame(prediction)]
    drive: list[npt.NDArray[np.float32]] | None = None
    if prediction["poses_uri"] is not None:
        poses = read_poses(prediction["poses_uri"])
        drive = [poses[index] for index in scored]
    return Scoring(identity, judges, protocols, prediction["fps"], drive)


def _repeated(first: _Result, judges: Judges, protocols: Sequence[ProtocolName]) -> _Result:
    """The reference, framed as a result is, in the place of each of its frames."""
    prediction = first.prediction | {"variant": REPEAT}
    still = Seen(framed_reference(first.reference, prediction, first.size), judges)
    scoring = _scoring(prediction, main_identity(judges.faces, judges.held_out, first.reference), judges, protocols)
    return _Result(prediction=prediction, reader=first.reader, reference=first.reference, scoring=scoring, still=still)


def _together(results: Sequence[_Result]) -> list[list[_Result]]:
    """Results that stand for the same frames of the truth, cut alike: those are looked at once for all of them."""
    groups: dict[Any, list[_Result]] = {}
    for result in results:
        row = result.prediction
        key = (row["truth_uri"], tuple(row["frame_index"]), tuple(row["cut_middle"]), result.size)
        groups.setdefault(key, []).append(result)
    return list(groups.values())


def _score(results: Sequence[_Result], judges: Judges, protocols: Sequence[ProtocolName]) -> dict[str, Measured]:
    """Metrics of results that stand for the same frames, frame by frame; whose frames cannot be read is left out."""
    first, errors = results[0].prediction, dict[str, RowError]()
    of_truth = ClipFeatures(judges.networks, protocols)
    frames = {result.prediction["variant"]: result.frames(judges) for result in results}
    reference = reference_frame(first)
    truths = iter(true_frames(first, results[0].size)) if first["truth_uri"] is not None else None
    for index in first["frame_index"]:
        try:
            truth = None if truths is None else Seen(next(truths), judges)
        except Exception as error:
            errors |= dict.fromkeys(frames, row_error(error, UNEXPECTED))
            break
        if truth is not None and index != reference:
            of_truth.add(truth)
        for result in results:
            variant = result.prediction["variant"]
            if variant in errors:
                continue
            try:
                seen = next(frames[variant])
                if index != reference:  # which is given to the networks, and is no result
                    result.scoring.add(seen, truth)
            except Exception as error:
                errors[variant] = row_error(error, UNEXPECTED)
    features = of_truth.finish() if truths is not None else None
    return {
        result.prediction["variant"]: _finished(result, errors.get(result.prediction["variant"]), features)
        for result in results
    }


def _finished(result: _Result, error: RowError | None, truth: Features | None) -> Measured:
    if error is None:
        try:
            return Measured(prediction=result.prediction, metrics=result.scoring.finish(), truth=truth)
        except RowError as odd:
            error = odd
        except ValueError as nothing:
            error = RowError("no_scored_frame", str(nothing))
    return Measured(prediction=result.prediction, error=error)
