"""Schemas of pairs, of what animation and evaluation make of them, and of what people write for these jobs.

As `pipelines.storage.tables`: each column with its type, unit, and who writes it. A column `…_uri` holds a reference: a
path below the root (`media/…`, `predictions/videos/…`, `previews/sheets/…`), so that ids do not follow the root; or an
absolute path or URI, as people name files. `Store.resolve` says where it lies, `pipelines.storage.inputs` opens it.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from pipelines.storage.verdict_columns import JUDGED, MISSED, TRY

PAIRS = pa.schema(  # written by pipelines.benchmark_sets.sets, or by people; the only input of jobs.animate
    [
        ("pair_id", pa.string()),
        ("reference_uri", pa.string()),  # a picture, or a video with #frame=<index>
        ("driving_uri", pa.string()),  # a video; null when keypoints are given
        ("driving_keypoints_uri", pa.string()),  # a Parquet table of FRAMES columns; null when a video is given
        ("start", pa.int32()),  # frames of the driving video, end exclusive; null: all
        ("end", pa.int32()),
        ("person_map", pa.list_(pa.int32())),  # driving person for each reference person; null: in order
        ("rotation", pa.float64()),  # degrees; misalignment applied to the driven poses about their centroid
        ("scale", pa.float64()),
        ("tx", pa.float64()),  # units of image height
        ("ty", pa.float64()),
        ("truth_uri", pa.string()),  # the true frames, same range; null where unknown
        ("seed", pa.int64()),
        ("licence", pa.string()),
        ("consent", pa.string()),
    ]
)

BENCHMARK_FILES = pa.schema(  # written by pipelines.benchmark_sets.named: one row for each file that was supplied
    [
        ("role", pa.string()),  # video | reference (a picture)
        ("name", pa.string()),  # as it was supplied, without its folder; of a missing id of TikTok: its number
        ("id", pa.string()),  # SHA-256 of its bytes; of a folder of frames: of the lossless video made of them
        ("media", pa.string()),  # path below the root
        ("frames", pa.int32()),
        ("fps", pa.float64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("level", pa.string()),  # mild | medium | strong: how far MisAlign100 misaligns it
        ("reference_frame", pa.int32()),  # which of its frames is the reference of its pair
        ("reason", pa.string()),  # why it is in no pair; null otherwise
        ("detail", pa.string()),
    ]
)

FACE_STEP = pa.struct(  # what face optimisation did in a denoising step (stableanimator/diffusion/hjb.py)
    [
        ("step", pa.int32()),  # from 0
        ("sigma", pa.float64()),  # noise level
        ("before", pa.float64()),  # HJB loss of the denoiser's prediction
        ("after", pa.float64()),  # of the optimised sample
        ("carried", pa.float64()),  # of what the sampler went on with
    ]
)

PREDICTIONS = pa.schema(  # written by jobs.animate: one row for each pair and variant
    [
        ("pair_id", pa.string()),
        ("status", pa.string()),  # done | failed
        ("reason", pa.string()),  # null when done
        ("detail", pa.string()),  # the same for people; of a row that is done, what else they should know of it
        ("prediction_uri", pa.string()),  # mp4; of another system's results also a folder of pictures
        ("frames_uri", pa.string()),  # the same frames without loss, for metrics; null where animate.lossless is off
        ("skeleton_uri", pa.string()),  # mp4 of what the model was driven by
        ("poses_uri", pa.string()),  # the aligned poses it was driven by, a table that driving_keypoints_uri can name
        ("prediction_sha256", pa.string()),  # of the bytes of these four, as they were written
        ("frames_sha256", pa.string()),
        ("skeleton_sha256", pa.string()),
        ("poses_sha256", pa.string()),
        ("fps", pa.float64()),  # frames a second of the prediction
        ("reference_uri", pa.string()),
        ("truth_uri", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("frame_index", pa.list_(pa.int32())),  # [F] frames of the truth that the frames of the prediction stand for
        ("frames_left_out", pa.int32()),  # frames of the drive behind the last one that was taken (max_frames)
        ("coverage", pa.float64()),  # seconds that were driven, over seconds of the drive
        ("seed", pa.int64()),  # of the noise of the first try, which all columns above and face_* are of
        ("reference_sha256", pa.string()),  # of the bytes of its file; of a frame of a video those of the video
        ("driving_sha256", pa.string()),  # of what was read of the drive: its video, or its table of keypoints
        ("frames_with_person", pa.int32()),  # frames in which the driving person is found; of several the least so
        ("joints_in_picture", pa.float64()),  # share of the driven joints that the reference shows too, 0 to 1
        ("cut_middle", pa.list_(pa.float64())),  # x, y of the middle of the reference's cut, shares of its sides
        ("variant", pa.string()),  # its name in animate.variants
        (
            "reference_face",
            pa.bool_(),
        ),  # whether a face was found in the reference; without one the model is shown zeros
        ("face_loss_before", pa.float64()),  # HJB loss of the prediction at the first optimised step; null without it
        ("face_loss_after", pa.float64()),  # of what the sampler went on with after the last one
        ("face_loss_final", pa.float64()),  # of the final frames, as the VAE decodes them
        ("face_steps", pa.list_(FACE_STEP)),  # of each optimised step
        ("checkpoint", pa.string()),
        ("kept_uri", pa.string()),  # mp4 of the try that is kept; from here on all null where nothing is judged
        ("kept_try", pa.int32()),  # its number, from 1; metrics are always of the first one
        ("accepted", pa.bool_()),  # whether it misses nothing of animate.accept
        ("verdict", pa.list_(MISSED)),  # what it misses
        ("figures", JUDGED),  # of the first try
        ("kept_figures", JUDGED),  # of the one that is kept
        ("tries", pa.list_(TRY)),  # all of them
    ]
)

TIMINGS = pa.schema(  # beside PREDICTIONS as timings.parquet, which no id depends on: one row for each piece of work
    [
        ("pair_id", pa.string()),
        ("variant", pa.string()),
        ("try", pa.int32()),  # from 1
        ("work", pa.string()),  # animate | judge
        ("seconds", pa.float64()),  # of sampling and decoding; of looking at all frames
        ("peak_bytes", pa.int64()),  # most memory at one time: on a GPU what torch had allocated, else the process
    ]
)

PREVIEWS = pa.schema(  # written by jobs.animate --preview: one row for each pair and variants that look alike
    [
        ("pair_id", pa.string()),
        ("variants", pa.list_(pa.string())),  # of animate.variants; they differ in nothing that a look depends on
        ("status", pa.string()),  # done | failed
        ("reason", pa.string()),  # null when done
        ("detail", pa.string()),  # the same for people; of a row that is done, its warnings as sentences
        ("warnings", pa.list_(pa.string())),  # their names (stableanimator.preview.warnings), each once
        ("sheet_uri", pa.string()),  # png
        ("reference_uri", pa.string()),
        ("driving_uri", pa.string()),
        ("frames", pa.int32()),
        ("fps", pa.float64()),
        ("height", pa.int32()),  # of the animation, pixels
        ("width", pa.int32()),
        ("reference_people", pa.int32()),  # whom the whole picture shows
        ("driving_people", pa.int32()),  # whom the drive usually shows
        ("animated_people", pa.int32()),
        ("stature", pa.float64()),  # from here on of the first person: in the result, share of the picture's height
        ("scale", pa.float64()),  # driven size over the reference's
        ("place", pa.list_(pa.float64())),  # x, y of the person's middle in the result, shares of its sides
        ("offset", pa.list_(pa.float64())),  # from the reference's joints to the driven ones, the same
        ("outside", pa.float64()),  # share of the driven joints outside the picture
        ("turned", pa.float64()),  # of the drive, degrees: 0 faces the camera, 90 is a profile, 180 the back
        ("reference_turned", pa.float64()),
        ("face", pa.float64()),  # shorter side in the result, pixels; null where the reference shows none
        ("found", pa.float64()),  # share of the driving frames that show the person
    ]
)

RESULTS = pa.schema(  # written by people: what another system made of the pairs of a table; evaluate.results names it
    [
        ("pair_id", pa.string()),
        ("variant", pa.string()),  # the system's name: letters, digits, _ and -, at most 40
        ("uri", pa.string()),  # a video or a folder of pictures; a relative path begins where this table lies
        (
            "fps",
            pa.float64(),
        ),  # frames a second; null: the video's own, and of pictures those of the drive over `every`
        ("every", pa.int32()),  # frames of the drive from one of the result to the next; null: as `fps` asks for
        ("skip", pa.int32()),  # frames of the drive before the first one of the result; null: none
        ("cut_x", pa.float64()),  # middle of what is shown of the drive's picture, shares of its sides; null: its own
        ("cut_y", pa.float64()),
    ]
)

METRICS = pa.schema(  # written by jobs.evaluate: one row for each pair and variant
    [
        ("pair_id", pa.string()),
        ("variant", pa.string()),  # its name in animate.variants, or of another system
        ("fps", pa.float64()),  # frames a second of the prediction
        ("seconds", pa.float64()),  # that were scored; the frame that was the reference is not
        ("coverage", pa.float64()),  # share of the drive's seconds that was scored, 0 to 1
        ("reason", pa.string()),  # why there are no metrics, or not all; null otherwise
        ("detail", pa.string()),  # the same for people
    ]
)
"""Followed by an int32 for each count and a float64 for each metric of `stableanimator.metrics.scoring`, whose names
are there (docs/evaluation.md): `metrics_schema`."""


def metrics_schema(counts: Iterable[str], metrics: Iterable[str]) -> pa.Schema:
    """METRICS with the columns of an evaluation's protocols and networks."""
    numbers = [(name, pa.int32()) for name in counts] + [(name, pa.float64()) for name in metrics]
    return pa.schema([*METRICS, *numbers])
