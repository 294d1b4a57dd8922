"""Which measures of which shots are in the store, and under which keys.

A measure's key is the fingerprint of all that its values depend on beside the pixels: version, settings, weights, and
the keys of the measures it reads. Change any of them and its rows are made again; nothing else is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import camera_motion, face_quality, keypoints, people
from pipelines.curation import CurateSettings
from pipelines.store import Store, fingerprint
from pipelines.tables import MEASURES, SHOTS, THUMBNAILS
from stableanimator.errors import ConfigError
from stableanimator.perception.onnx_session import require_file, weights_sha256
from stableanimator.perception.settings import PerceptionSettings

UPSTREAM = {
    "people": (),
    "face_quality": (),
    "keypoints": ("people",),
    "camera_motion": ("people", "keypoints"),
}
"""Which measures a measure reads, where they run."""

NEED_WEIGHTS = ("people", "face_quality", "keypoints")

_THUMBNAIL_VERSION = 1


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


def measure_keys(settings: CurateSettings, perception: PerceptionSettings | None) -> Keys:
    """The keys of everything that the settings ask for. Reads weights files, loads no model.

    Raises:
        ConfigError: a measure needs the section `perception`.
        WeightsError: a weights file is missing.
    """
    identities: dict[str, tuple[int, Any, float | None]] = {
        "people": (people.VERSION, settings.people, settings.sample_fps),
        "face_quality": (face_quality.VERSION, settings.face_quality, settings.sample_fps),
        "keypoints": (keypoints.VERSION, settings.keypoints, settings.sample_fps),
        "camera_motion": (camera_motion.VERSION, settings.camera_motion, None),
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
        keys[measure] = fingerprint(
            {
                "measure": measure,
                "version": version,
                "settings": asdict(of_measure),
                "sample_fps": rate,
                "models": models,
                "weights": weights.get(measure),
                "upstream": {name: keys[name] for name in UPSTREAM[measure] if name in keys},
            }
        )
    shot_key = fingerprint({"table": "shots", **settings.shots.identity()})
    thumbnails = fingerprint({"table": "thumbnails", "version": _THUMBNAIL_VERSION})
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
    folder = Path(faces.pack_root) / "models" / faces.pack
    files = sorted(folder.glob("*.onnx")) or [require_file(folder / "*.onnx", f"InsightFace's pack {faces.pack}")]
    return {"detector_sizes": list(faces.detector_sizes), "min_score": faces.min_score}, weights_sha256(files)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cached:
    """Cached rows of a set of videos."""

    shots: pa.Table
    """SHOTS, sorted by shot_id."""
    measures: dict[str, pa.Table]
    """By measure; one row for each measured shot, sorted by shot_id."""
    thumbnails: pa.Table


def read_cached(store: Store, keys: Keys, video_ids: Iterable[str]) -> Cached:
    """What the store has for these videos."""
    wanted = set(video_ids)
    shot_rows = _read(store, "shots", keys.shots, SHOTS, wanted)
    known = pc.unique(shot_rows["shot_id"])

    def of_shots(table: pa.Table) -> pa.Table:
        # a video may have rows of other shots, from other settings of the cuts
        return table.filter(pc.is_in(table["shot_id"], value_set=known))

    measures = {
        measure: of_shots(_read(store, *keys.family(measure), MEASURES[measure], wanted)) for measure in keys.measures
    }
    thumbnails = of_shots(_read(store, "thumbnails", keys.thumbnails, THUMBNAILS, wanted))
    return Cached(shots=shot_rows, measures=measures, thumbnails=thumbnails)


def _read(store: Store, family: str, key: str, schema: pa.Schema, video_ids: set[str]) -> pa.Table:
    """Committed rows of these videos, one for each shot, sorted by shot_id."""
    one = next(iter(video_ids)) if len(video_ids) == 1 else ""  # an actor asks for its video alone
    parts = [
        part.cast(schema)
        for path in store.part_paths(family, key, one)
        if path.split("/")[-2] in video_ids and (part := store.read_part(path)) is not None
    ]
    table = pa.concat_tables([schema.empty_table(), *parts]).sort_by("shot_id")
    ids = table["shot_id"].to_pylist()
    first = [index for index, shot in enumerate(ids) if index == 0 or shot != ids[index - 1]]
    return table if len(first) == len(ids) else table.take(first)


def missing_of(cached: Cached, keys: Keys, video_ids: Iterable[str]) -> dict[str, set[str]]:
    """What has to be made, by video: names of measures, "shots", "thumbnails". Videos that lack nothing are absent."""
    shots_of: dict[str, list[str]] = {}
    bad: set[str] = set()
    for row in cached.shots.select(["video_id", "shot_id", "error"]).to_pylist():
        shots_of.setdefault(row["video_id"], []).append(row["shot_id"])
        if row["error"] is not None:
            bad.add(row["video_id"])
    have = {name: set(table["shot_id"].to_pylist()) for name, table in cached.measures.items()}
    have["thumbnails"] = set(cached.thumbnails["shot_id"].to_pylist())
    missing: dict[str, set[str]] = {}
    for video_id in video_ids:
        if video_id not in shots_of:
            missing[video_id] = {"shots", *have}
        elif video_id not in bad:
            lacking = {name for name, known in have.items() if not known.issuperset(shots_of[video_id])}
            if lacking:
                missing[video_id] = lacking
    return missing
