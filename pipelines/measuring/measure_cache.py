"""Which measures of which shots are in the store, and under which keys.

A measure's key is the fingerprint of all that its values depend on beside the pixels: version, settings, weights, and
the keys of the measures it reads. Change any of them and its rows are made again; nothing else is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.curation import CurateSettings
from pipelines.measures import camera_motion, face_quality, keypoints, people, picture, picture_hash, thumbnail
from pipelines.measures.frames import SAMPLING_VERSION
from pipelines.storage.part_rows import PartRows, find_rows
from pipelines.storage.store import Store, fingerprint
from pipelines.storage.tables import MEASURES, SHOTS, THUMBNAILS, scalar_columns
from stableanimator.errors import ConfigError
from stableanimator.paths import local_path
from stableanimator.perception.onnx_session import require_file, weights_sha256
from stableanimator.perception.settings import PerceptionSettings

UPSTREAM = {
    "people": (),
    "face_quality": (),
    "keypoints": ("people",),
    "camera_motion": ("people", "keypoints"),
    "picture": (),
    "picture_hash": (),
}
"""Which measures a measure reads, where they run."""

NEED_WEIGHTS = ("people", "face_quality", "keypoints")


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """Keys of the cached tables."""

    shots: str
    thumbnails: str
    measures: dict[str, str]
    """By measure, in the order in which they run."""
    weights: dict[str, str]
    """SHA-256 of the weights of each measure that has some; part of its key, and of the release's manifest."""

    def family(self, measure: str) -> tuple[str, str]:
        """Family and key of a measure's parts in the store."""
        return f"measures-{measure}", self.measures[measure]

    def families(self) -> list[tuple[str, str]]:
        """Family and key of all cached tables."""
        measures = [self.family(measure) for measure in self.measures]
        return [("shots", self.shots), ("thumbnails", self.thumbnails), *measures]


def measure_keys(settings: CurateSettings, perception: PerceptionSettings | None) -> Keys:
    """The keys of everything that the settings ask for. Reads weights files, loads no model.

    Raises:
        ConfigError: a measure needs the section `perception`.
        WeightsError: a weights file is missing.
    """
    identities: dict[str, tuple[int, dict[str, Any], float | None]] = {
        "people": (people.VERSION, asdict(settings.people), settings.sample_fps),
        "face_quality": (face_quality.VERSION, asdict(settings.face_quality), settings.sample_fps),
        "keypoints": (keypoints.VERSION, asdict(settings.keypoints), settings.sample_fps),
        "camera_motion": (camera_motion.VERSION, camera_motion.identity(settings.camera_motion), None),
        "picture": (picture.VERSION, asdict(settings.picture), settings.sample_fps),
        "picture_hash": (picture_hash.VERSION, asdict(settings.picture_hash), settings.sample_fps),
    }
    keys: dict[str, str] = {}
    weights: dict[str, str] = {}
    for measure in MEASURES:
        if measure not in settings.measures:
            continue
        version, of_measure, rate = identities[measure]
        models = None
        if measure in NEED_WEIGHTS:
            models, weights[measure] = _models(measure, perception)
        elif measure == "camera_motion" and settings.camera_motion.tracker == "cotracker":
            weights[measure] = _tracker_weights(settings.camera_motion)
        keys[measure] = fingerprint(
            {
                "measure": measure,
                "version": version,
                "settings": of_measure,
                "sample_fps": rate,
                "sampling": SAMPLING_VERSION,
                "models": models,
                "weights": weights.get(measure),
                "upstream": {name: keys[name] for name in UPSTREAM[measure] if name in keys},
            }
        )
    shot_key = fingerprint({"table": "shots", **settings.shots.identity()})
    thumbnails = fingerprint({"table": "thumbnails", "version": thumbnail.VERSION})
    return Keys(shots=shot_key, thumbnails=thumbnails, measures=keys, weights=weights)


def _models(measure: str, perception: PerceptionSettings | None) -> tuple[dict[str, Any], str]:
    """The model settings that change a measure's values, and the checksum of its weights."""
    if perception is None:
        raise ConfigError(
            f"curate.measures has {measure}, which needs weights; add the section perception or keep camera_motion only"
        )
    pose, faces = perception.pose, perception.faces
    if measure == "people":
        detector = require_file(pose.detector, "DWPose's person detector (yolox_l.onnx)")
        return {"min_score": pose.min_score, "max_overlap": pose.max_overlap}, weights_sha256([detector])
    if measure == "keypoints":
        return {}, weights_sha256([require_file(pose.pose, "DWPose's pose network (dw-ll_ucoco_384.onnx)")])
    folder = local_path(faces.pack_root) / "models" / faces.pack
    files = sorted(folder.glob("*.onnx")) or [require_file(folder / "*.onnx", f"InsightFace's pack {faces.pack}")]
    return {"detector_sizes": list(faces.detector_sizes), "min_score": faces.min_score}, weights_sha256(files)


def _tracker_weights(settings: camera_motion.CameraMotionSettings) -> str:
    """The checksum of the tracker's weights."""
    from stableanimator.perception.cotracker_tracks import checkpoint_file  # here: it imports torch

    assert settings.cotracker is not None  # the settings see to it
    return weights_sha256([checkpoint_file(settings.cotracker)])


@dataclass(frozen=True, kw_only=True, slots=True)
class Cached:
    """Cached rows of a set of videos."""

    shots: pa.Table
    """SHOTS, sorted by shot_id."""
    measures: dict[str, pa.Table]
    """By measure; one row for each measured shot, sorted by shot_id: all columns, or the numbers alone."""
    thumbnails: pa.Table
    """THUMBNAILS, or the ids alone."""
    rows: dict[str, PartRows] = field(default_factory=dict)
    """Where the other columns lie, by measure and "thumbnails"; also those of shots that are no longer cut so."""


def read_cached(store: Store, keys: Keys, video_ids: Collection[str]) -> Cached:
    """All that the store has for these videos, arrays included."""
    return _read(store, keys, video_ids, {measure: MEASURES[measure].names for measure in keys.measures}, THUMBNAILS)


def read_numbers(store: Store, keys: Keys, video_ids: Collection[str]) -> Cached:
    """What thresholds apply to, of these videos: no column with one entry for each frame is read, and no picture."""
    columns = {measure: ["shot_id", "error", *scalar_columns(measure)] for measure in keys.measures}
    return _read(store, keys, video_ids, columns, pa.schema([THUMBNAILS.field("shot_id")]))


def _read(
    store: Store, keys: Keys, video_ids: Collection[str], columns: Mapping[str, Sequence[str]], thumbnails: pa.Schema
) -> Cached:
    wanted = set(video_ids)
    shots = find_rows(store, "shots", keys.shots, SHOTS, SHOTS.names, wanted).table
    shots = shots.filter(pc.is_in(shots["video_id"], value_set=pa.array(sorted(wanted), pa.string())))
    known = shots["shot_id"].combine_chunks()

    def of_shots(table: pa.Table) -> pa.Table:
        # a video may have rows of other shots, from other settings of the cuts
        return table.filter(pc.is_in(table["shot_id"], value_set=known))

    rows = {
        measure: find_rows(store, *keys.family(measure), MEASURES[measure], columns[measure], wanted)
        for measure in keys.measures
    }
    rows["thumbnails"] = find_rows(store, "thumbnails", keys.thumbnails, THUMBNAILS, thumbnails.names, wanted)
    tables = {name: of_shots(found.table) for name, found in rows.items()}
    return Cached(
        shots=shots,
        measures={measure: tables[measure] for measure in keys.measures},
        thumbnails=tables["thumbnails"],
        rows=rows,
    )


def missing_of(cached: Cached, keys: Keys, video_ids: Iterable[str]) -> dict[str, set[str]]:
    """What has to be made, by video: names of measures, "shots", "thumbnails". Videos that lack nothing are absent."""
    names = (*keys.measures, "thumbnails")
    cut = set(pc.unique(cached.shots["video_id"]).to_pylist())
    missing = {video_id: {"shots", *names} for video_id in video_ids if video_id not in cut}
    good = cached.shots.filter(pc.is_null(cached.shots["error"]))
    for name, table in {**cached.measures, "thumbnails": cached.thumbnails}.items():
        lacking = good.filter(pc.invert(pc.is_in(good["shot_id"], value_set=table["shot_id"].combine_chunks())))
        for video_id in pc.unique(lacking["video_id"]).to_pylist():
            missing.setdefault(video_id, set()).add(name)
    return missing
