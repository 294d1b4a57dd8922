"""One row of a pairs table to what the inference path takes: the reference person, and the driving poses.

What a pair lacks (a face, a person, a readable file) raises a RowError, which becomes the pair's reason.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import torch

from pipelines.measures.frames import sample_indices
from pipelines.measures.people import PeopleSettings, count_people, keep_people
from pipelines.storage.tables import KEYPOINT_COUNT
from stableanimator.alignment.similarity import Similarity
from stableanimator.animate import Driving, Reference
from stableanimator.driving import follow_people
from stableanimator.errors import InputError, PersonError, RowError
from stableanimator.media.pictures import read_image
from stableanimator.media.video import VideoReader
from stableanimator.perception.dwpose import PersonDetector, WholeBodyPose
from stableanimator.perception.faces import Face, FaceAnalyser
from stableanimator.perception.settings import PerceptionSettings
from stableanimator.perception.skeleton import VISIBLE

Array = npt.NDArray[np.float32]
Pair = dict[str, Any]
"""A row of the PAIRS table."""

_PEOPLE = PeopleSettings()

_WINDOW = 32
"""Driving frames in memory at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drive:
    """The poses of a driving video, people not yet followed, and where they come from."""

    frame_index: list[int]
    """[F] frames of the video."""
    poses: list[Array]
    """[F] of [P_f, 133, 3]."""
    height: int
    width: int
    fps: float
    """At which the frames follow one another."""
    left_out: int
    """Frames of the pair behind the last one that was taken."""


class PairReader:
    """Holds the perception models of an actor.

    Raises:
        WeightsError: one of their files is missing or unreadable.
    """

    def __init__(self, settings: PerceptionSettings) -> None:
        self.faces = FaceAnalyser(settings.faces, settings.threads, settings.device)
        self._detector = PersonDetector.from_settings(settings.pose, settings.threads, settings.device)
        self._pose = WholeBodyPose(settings.pose.pose, settings.threads, settings.device)

    def people(self, frame: npt.NDArray[np.uint8]) -> Array:
        """Poses [P, 133, 3] of the people who matter in a frame, as curation counts them: the largest first."""
        boxes, _ = keep_people(*self._detector(frame), _PEOPLE)
        return self._pose(frame, boxes[: count_people(boxes, _PEOPLE.main_area_share)])

    def reference(self, uri: str) -> Reference:
        """The people of a reference picture, first the one with the main face.

        Raises:
            PersonError: `no_reference_face`, `no_reference_person`.
            DecodeError: the picture cannot be read.
        """
        picture = read_image(uri)
        faces = self.faces(picture)
        if not faces:
            raise PersonError("no_reference_face", uri)
        people = self.people(picture)
        if not len(people):
            raise PersonError("no_reference_person", uri)
        main = faces[0]
        assert main.embedding is not None, "the main face has one"
        return Reference(picture=picture, keypoints=people[owner_first(people, main)], face_embedding=main.embedding)

    def drive(self, pair: Pair, fps: float | None, most: int) -> Drive:
        """The driving poses of a pair: from its table of keypoints, or by running DWPose on its video.

        Args:
            pair: a row of PAIRS.
            fps: frames a second to take, as far as a whole stride can; None: every frame.
            most: frames at most, from the start.

        Raises:
            PersonError: `no_driving_person`, in none of the frames.
            RowError: `no_driving_frames`, `no_driving`, `no_frame_size`, `bad_keypoints_table`.
            DecodeError: the video cannot be read.
        """
        if pair["driving_keypoints_uri"]:
            drive = _read_table(pair, fps, most)
        elif pair["driving_uri"]:
            drive = self._read_video(pair, fps, most)
        else:
            raise RowError("no_driving", "neither driving_uri nor driving_keypoints_uri is given")
        if not any(len(people) for people in drive.poses):
            raise PersonError("no_driving_person", f"in none of {len(drive.poses)} frames")
        return drive

    def _read_video(self, pair: Pair, fps: float | None, most: int) -> Drive:
        with VideoReader(pair["driving_uri"]) as video:
            info = video.info
            start = pair["start"] or 0
            end = info.frame_count if pair["end"] is None else min(pair["end"], info.frame_count)
            if not 0 <= start < end:
                raise RowError("no_driving_frames", f"{start} to {pair['end']} of {info.frame_count} frames")
            indices = sample_indices(info.times, start, end, fps) if fps else np.arange(start, end)
            taken = indices[:most]
            poses = [self.people(frame) for _, frames in video.windows(taken, _WINDOW) for frame in frames]
            return Drive(
                frame_index=taken.tolist(),
                poses=poses,
                height=info.height,
                width=info.width,
                fps=rate(info.times[indices], info.fps),
                left_out=len(indices) - len(taken),
            )


def _read_table(pair: Pair, fps: float | None, most: int) -> Drive:
    """Poses from a table with FRAMES' columns of one clip; frames that were not measured for people are passed over.

    The picture's size is not among the columns: it is the schema metadata `frame_size` ([height, width] as JSON), or
    that of the true frames.
    """
    uri = pair["driving_keypoints_uri"]
    try:
        filesystem, path = pafs.FileSystem.from_uri(uri) if "://" in uri else (pafs.LocalFileSystem(), uri)
        table = pq.read_table(path, filesystem=filesystem)
        columns = table.select(["frame_index", "time", "keypoints"]).sort_by("frame_index")
    except (OSError, pa.ArrowException, KeyError) as error:
        raise RowError("bad_keypoints_table", f"{uri}: {' '.join(str(error).split())}") from error
    rows = [
        row
        for row in columns.to_pylist()
        if row["keypoints"] is not None
        and row["frame_index"] >= (pair["start"] or 0)
        and (pair["end"] is None or row["frame_index"] < pair["end"])
    ]
    if not rows:
        raise RowError("no_driving_frames", f"{uri} has no measured frame from {pair['start']} to {pair['end']}")
    times = np.array([row["time"] for row in rows])
    chosen = sample_indices(times, 0, len(rows), fps) if fps else np.arange(len(rows))
    taken = [rows[i] for i in chosen[:most]]
    height, width = _frame_size(table, pair)
    return Drive(
        frame_index=[row["frame_index"] for row in taken],
        poses=[np.array(row["keypoints"], np.float32).reshape(-1, KEYPOINT_COUNT, 3) for row in taken],
        height=height,
        width=width,
        fps=rate(times[chosen], fps or 1.0),
        left_out=len(chosen) - len(taken),
    )


def _frame_size(table: pa.Table, pair: Pair) -> tuple[int, int]:
    stated = (table.schema.metadata or {}).get(b"frame_size")
    if stated is not None:
        height, width = json.loads(stated)
        return int(height), int(width)
    if pair["truth_uri"]:
        with VideoReader(pair["truth_uri"]) as video:
            return video.info.height, video.info.width
    raise RowError("no_frame_size", "the table of keypoints states no frame_size and the pair has no truth_uri")


def rate(times: npt.NDArray[np.float64], single: float) -> float:
    """Mean frames a second of frames at these times, seconds; `single` for one frame."""
    span = float(times[-1] - times[0])
    return (len(times) - 1) / span if span > 0 else single


def owner_first(people: Array, face: Face) -> list[int]:
    """Order of poses [P, 133, 3], the face's owner first: whose nose and eyes are nearest to the middle of its box."""
    middle = (face.box[:2] + face.box[2:]) / 2
    points, seen = people[:, :3, :2], people[:, :3, 2] >= VISIBLE
    distances = np.where(seen, np.linalg.norm(points - middle, axis=-1), np.nan)
    means = [float(np.mean(row[there])) if there.any() else np.inf for row, there in zip(distances, seen, strict=True)]
    owner = int(np.argmin(means))
    return [owner, *(i for i in range(len(people)) if i != owner)]


def assign(pair: Pair, reference: Reference, drive: Drive) -> tuple[Reference, Driving]:
    """Reference people and driving people brought into one order, and the pair's misalignment.

    `person_map` names the driving person (in order of size in the first frame) for each reference person; without it
    they are taken in order, as many as both sides have.

    Raises:
        RowError: `bad_person_map`, it names a person who is not there; `bad_misalignment`.
    """
    available = max(len(people) for people in drive.poses)
    wanted = pair["person_map"]
    if wanted is None:
        wanted = list(range(min(len(reference.keypoints), available)))
    if not wanted or len(wanted) > len(reference.keypoints) or not all(0 <= i < available for i in wanted):
        detail = f"{wanted}: the reference shows {len(reference.keypoints)} people, the driving video {available}"
        raise RowError("bad_person_map", detail)
    followed = follow_people(drive.poses, max(wanted) + 1)[:, wanted]
    people = Reference(
        picture=reference.picture,
        keypoints=reference.keypoints[: len(wanted)],
        face_embedding=reference.face_embedding,
    )
    return people, Driving(keypoints=followed, height=drive.height, width=drive.width, misalignment=misalignment(pair))


def misalignment(pair: Pair) -> Similarity | None:
    """What a pair's rotation (degrees), scale, tx and ty (image heights) do to the driven poses; None: nothing.

    Null is the identity's value of each.
    """
    degrees, scale = pair["rotation"] or 0.0, 1.0 if pair["scale"] is None else pair["scale"]
    shift = [pair["tx"] or 0.0, pair["ty"] or 0.0]
    if (degrees, scale, *shift) == (0.0, 1.0, 0.0, 0.0):
        return None
    if scale <= 0:
        raise RowError("bad_misalignment", f"scale is {scale}; it must be above 0")
    return Similarity.from_degrees(torch.tensor(degrees), torch.tensor(scale), torch.tensor(shift))


def read_pairs(uri: str) -> pa.Table:
    """A pairs table by path or URI.

    Raises:
        InputError: it cannot be read.
    """
    try:
        filesystem, path = pafs.FileSystem.from_uri(uri) if "://" in uri else (pafs.LocalFileSystem(), uri)
        return pq.read_table(path, filesystem=filesystem)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"animate.pairs: {uri} is no readable Parquet table: {' '.join(str(error).split())}"
        ) from error
