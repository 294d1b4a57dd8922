"""One row of a pairs table to what the inference path takes: the reference person, and the driving poses.

What a pair lacks (a face, a person, a readable file) raises a RowError, which becomes the pair's reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from jobs.pairs.drives import Drive, read_keypoints
from jobs.pairs.pairs_table import Pair, misalignment
from jobs.pairs.people import People
from pipelines.measures.frames import steady_indices
from stableanimator.animate import Driving, Reference, ReferenceFace
from stableanimator.driving import follow_people, pair_people
from stableanimator.errors import PersonError, RowError
from stableanimator.media.pictures import Colour, read_image
from stableanimator.media.video import VideoInfo, VideoReader
from stableanimator.perception.faces import Face, FaceAnalyser
from stableanimator.perception.person_boxes import in_picture, visible
from stableanimator.perception.settings import PerceptionSettings

Array = npt.NDArray[np.float32]
Frame = npt.NDArray[np.uint8]

_WINDOW = 32
"""Driving frames in memory at a time."""


FrameProgress = Callable[[Iterator[Frame], int], Iterable[Frame]]
"""Passes on frames, of which there are so many, and shows how far it is."""


def _silent(frames: Iterator[Frame], count: int) -> Iterable[Frame]:
    return frames


class PairReader:
    """Holds the perception models of an actor.

    Raises:
        WeightsError: one of their files is missing or unreadable.
    """

    def __init__(self, settings: PerceptionSettings) -> None:
        self.faces = FaceAnalyser(settings.faces, settings.threads, settings.device)
        self.people = People(settings)

    def reference(self, uri: str, background: Colour) -> Reference:
        """The people of a reference picture, first the one with the main face, or where no face is found the largest;
        `background` shows through transparent parts.

        Raises:
            PersonError: `no_reference_person`.
            DecodeError: the picture cannot be read.
        """
        picture = read_image(uri, background)
        faces = self.faces(picture)
        people = self.people(picture)
        if not len(people):
            raise PersonError("no_reference_person", uri)
        if not faces:
            return Reference(picture=picture, keypoints=people, face_box=None, face_embedding=None)
        main = faces[0]
        seen = in_picture(people, (picture.shape[0], picture.shape[1]))
        order = owner_first(seen, main)
        others = [
            None if face is None else ReferenceFace(box=face.box, embedding=self.faces.embedding(picture, face))
            for face in faces_of(seen[order[1:]], faces[1:])
        ]
        return Reference(
            picture=picture,
            keypoints=people[order],
            face_box=main.box,
            face_embedding=main.embedding,
            other_faces=tuple(others),
        )

    def drive(self, pair: Pair, fps: float, most: int | None, progress: FrameProgress = _silent) -> Drive:
        """The driving poses of a pair: from its table of keypoints, or by running DWPose on its video.

        Args:
            pair: a row of PAIRS.
            fps: frames a second to take, as `pipelines.measures.frames.steady_indices` does.
            most: frames at most, from the start; null: all.
            progress: is given the frames in which people are looked for, and how many there are, and passes them on.

        Raises:
            PersonError: `no_driving_person`, in none of the frames.
            RowError: `no_driving_frames`, or as `read_keypoints`.
            DecodeError: the video cannot be read.
        """
        from_table = pair["driving_keypoints_uri"] is not None
        drive = read_keypoints(pair, fps, most) if from_table else self._read_video(pair, fps, most, progress)
        if not any(len(people) for people in drive.poses):
            raise PersonError("no_driving_person", f"in none of {len(drive.poses)} frames")
        return drive

    def _read_video(self, pair: Pair, fps: float, most: int | None, progress: FrameProgress) -> Drive:
        with VideoReader(pair["driving_uri"]) as video:
            info = video.info
            start = pair["start"] or 0
            end = info.frame_count if pair["end"] is None else min(pair["end"], info.frame_count)
            if start >= end:
                raise RowError("no_driving_frames", f"{start} to {pair['end']} of {info.frame_count} frames")
            indices, steady = steady_indices(info.times, start, end, fps)
            taken, places = np.unique(indices[:most], return_inverse=True)
            read = (frame for _, frames in video.windows(taken, _WINDOW) for frame in frames)
            seen = [self.people(frame) for frame in progress(read, len(taken))]
            return Drive(
                frame_index=indices[:most].tolist(),
                poses=[seen[place] for place in places],
                height=info.height,
                width=info.width,
                fps=steady,
                begins=float(info.times[indices[0]]),
                left_out=len(indices) - len(places),
                remarks=tuple(_of_video(pair, info)),
            )


def _of_video(pair: Pair, info: VideoInfo) -> Iterator[str]:
    """What a person should know of a driving video."""
    if pair["end"] is not None and pair["end"] > info.frame_count:
        yield f"end is {pair['end']}, the driving video has {info.frame_count} frames"
    if info.truncated:
        yield f"the driving file is cut short, after {info.frame_count} frames"


def owner_first(people: Array, face: Face) -> list[int]:
    """Order of poses [P, 133, 3], the face's owner first: whose nose and eyes are nearest to the middle of its box."""
    owner = int(np.argmin(_distances(people, face)))
    return [owner, *(i for i in range(len(people)) if i != owner)]


def faces_of(people: Array, faces: Sequence[Face]) -> list[Face | None]:
    """The face of each of poses [P, 133, 3], or None. A face belongs to one of them at most: whose nose and eyes are
    nearest to the middle of its box, no farther than the half of its longer side."""
    found: list[Face | None] = [None] * len(people)
    distances = [_distances(people, face) / (np.max(face.box[2:] - face.box[:2]) / 2) for face in faces]
    pairs = [
        (float(row[person]), person, place) for place, row in enumerate(distances) for person in range(len(people))
    ]
    given: set[int] = set()
    for distance, person, place in sorted(pairs):
        if distance <= 1 and found[person] is None and place not in given:
            found[person] = faces[place]
            given.add(place)
    return found


def _distances(people: Array, face: Face) -> npt.NDArray[np.float64]:
    """Of the noses and eyes of poses [P, 133, 3] from the middle of a face's box, means in pixels [P]; infinite where
    none is seen."""
    middle = (face.box[:2] + face.box[2:]) / 2
    points, seen = people[:, :3, :2], visible(people[:, :3])
    distances = np.linalg.norm(points - middle, axis=-1)
    return np.array(
        [np.mean(row[there]) if there.any() else np.inf for row, there in zip(distances, seen, strict=True)]
    )


def assign(pair: Pair, reference: Reference, drive: Drive) -> tuple[Reference, Driving]:
    """Reference people and driving people brought into one order, and the pair's misalignment.

    `person_map` names the driving person (in order of size in the first frame) for each reference person; without it as
    many as both sides usually have, from the first on, drive those whose place and size is most like theirs
    (`stableanimator.driving.pair_people`): somebody who passes by drives nobody.

    Raises:
        RowError: `bad_person_map`, it names a person who is not there; `bad_misalignment`.
    """
    counts = [len(people) for people in drive.poses]
    available, usual = max(counts), max(1, int(np.median(counts)))
    named = pair["person_map"]
    wanted = list(range(min(len(reference.keypoints), usual))) if named is None else named
    if not wanted or len(wanted) > len(reference.keypoints) or not all(0 <= i < available for i in wanted):
        detail = f"{wanted}: the reference shows {len(reference.keypoints)} people, the driving video {available}"
        raise RowError("bad_person_map", detail)
    size = (drive.height, drive.width)
    followed = follow_people(drive.poses, max(wanted) + 1, size)
    if named is None:
        shown = in_picture(reference.keypoints[: len(wanted)], (reference.picture.shape[0], reference.picture.shape[1]))
        wanted = pair_people(shown, in_picture(followed, size))
    followed = followed[:, wanted]
    people = replace(
        reference, keypoints=reference.keypoints[: len(wanted)], other_faces=reference.other_faces[: len(wanted) - 1]
    )
    moved = misalignment(pair)
    return people, Driving(
        keypoints=followed, height=drive.height, width=drive.width, fps=drive.fps, misalignment=moved
    )
