"""Every table's Arrow schema: each column with its type, unit, and who writes it.

Nested arrays are stored flat in C order; the trailing comment gives their shape.
Missing values are null; a missing point inside an array is NaN with score 0. Keypoints that the pose network puts
outside the picture have their places there: negative, or beyond its width or height.

    F frames   P people in a frame   N faces in a frame   E face embedding width   K candidate references
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from pipelines.storage.verdict_columns import JUDGED, MISSED, TRY

KEYPOINT_COUNT = 133
"""DWPose's whole-body keypoints: 17 body, 6 feet, 68 face, 21 + 21 hands."""

_box = pa.list_(pa.float32(), 4)  # x0, y0, x1, y1 in pixels of the upright frame
_landmarks = pa.list_(pa.float32(), 10)  # five (x, y): eyes, nose, mouth corners
_keypoints = pa.list_(pa.float32(), KEYPOINT_COUNT * 3)  # [133, 3]: x, y, score

SOURCES = pa.schema(  # written by pipelines.crawling.crawl: one row for each listed source
    [
        ("source_uri", pa.string()),  # as listed, without credentials; of an entry without a URL: its list and number
        ("status", pa.string()),  # fetched | duplicate | failed | passed_over (in a folder, and no video)
        ("reason", pa.string()),  # why it failed or was passed over; null otherwise
        ("detail", pa.string()),  # the same for people
        ("video_id", pa.string()),  # SHA-256 of the bytes; null when failed
        ("extension", pa.string()),  # of the stored file, with its dot
        ("bytes", pa.int64()),
        ("licence", pa.string()),  # the next four as listed, null where not
        ("uploader", pa.string()),
        ("consent", pa.string()),
        ("language", pa.string()),
    ]
)

SHOTS = pa.schema(  # written by pipelines.measures.shots: one row a shot; one with start = end = 0 for a bad video
    [
        ("shot_id", pa.string()),  # {video_id}:{start}-{end}
        ("video_id", pa.string()),
        ("start", pa.int32()),  # first frame, 0-based in decode order
        ("end", pa.int32()),  # one past the last frame
        ("fps", pa.float64()),  # mean frames per second of the video
        ("width", pa.int32()),  # square pixels of the picture that is shown
        ("height", pa.int32()),
        ("seconds", pa.float64()),  # duration of the shot, from timestamps
        ("error", pa.string()),  # reason when the video cannot be decoded; null otherwise
        ("detail", pa.string()),
    ]
)

SAMPLES = [  # the head of every measure's table: which shot, which sampled frames
    ("shot_id", pa.string()),
    ("error", pa.string()),  # reason when the measure failed on this shot; null otherwise
    ("detail", pa.string()),
    ("frame_index", pa.list_(pa.int32())),  # [F] frames of the video, in decode order
    ("time", pa.list_(pa.float64())),  # [F] seconds from the start of the video
]

PEOPLE = pa.schema(  # written by pipelines.measures.people (YOLOX)
    [
        *SAMPLES,
        ("people_median", pa.float64()),  # people not in the background, median over frames
        ("people_most", pa.float64()),  # the same, exceeded by at most a tenth of the frames
        ("person_boxes", pa.list_(pa.list_(_box))),  # [F][P], largest first: the first is the main person
        ("person_scores", pa.list_(pa.list_(pa.float32()))),  # [F][P]
    ]
)

KEYPOINTS = pa.schema(  # written by pipelines.measures.keypoints (DWPose)
    [
        *SAMPLES,
        ("keypoint_coverage", pa.float64()),  # share of the main person's joints in the picture that are visible, mean
        ("keypoint_missing_share", pa.float64()),  # share of frames whose main skeleton lacks over 70 % of joints
        ("keypoints", pa.list_(pa.list_(_keypoints))),  # [F][P], in the order of person_boxes
    ]
)

FACE_QUALITY = pa.schema(  # written by pipelines.measures.face_quality (InsightFace)
    [
        *SAMPLES,
        ("face_share", pa.float64()),  # share of frames with a usable face
        ("face_size", pa.float64()),  # median shorter side of the main face's box, pixels
        ("face_score", pa.float64()),  # median detection score of the main face, 0 to 1
        ("face_sharpness", pa.float64()),  # median variance of the Laplacian on the 112x112 crop, grey levels^2
        ("face_yaw", pa.float64()),  # median absolute head yaw, degrees
        ("face_consistency", pa.float64()),  # mean cosine of the main face's embeddings to their mean
        ("face_boxes", pa.list_(pa.list_(_box))),  # [F][N], main face first
        ("face_scores", pa.list_(pa.list_(pa.float32()))),  # [F][N]
        ("face_landmarks", pa.list_(pa.list_(_landmarks))),  # [F][N]
        ("face_embedding", pa.list_(pa.list_(pa.float32()))),  # [F][E], main face, as ArcFace returns it; or null
    ]
)

CAMERA_MOTION = pa.schema(  # written by pipelines.measures.camera_motion (KLT or CoTracker)
    [
        *SAMPLES,
        # the camera's columns are null where the background shows too little to tell; background_seen says so
        ("camera_translation", pa.float64()),  # share of the picture's diagonal per second, median over steps
        ("camera_rotation", pa.float64()),  # degrees per second, net over a second, median
        ("camera_zoom", pa.float64()),  # |log scale| per second, net over a second, median
        ("camera_drift", pa.float64()),  # how far the background went, share of the picture's diagonal
        ("background_change", pa.float64()),  # share of background tracks that no camera motion explains, median
        ("background_seen", pa.float64()),  # share of steps whose background shows enough to tell
        ("subject_motion", pa.float64()),  # motion within people, their heights per second
        ("step_dx", pa.list_(pa.float32())),  # [F-1] global motion between neighbouring samples, pixels; NaN: unknown
        ("step_dy", pa.list_(pa.float32())),
        ("step_rotation", pa.list_(pa.float32())),  # degrees
        ("step_scale", pa.list_(pa.float32())),
        ("step_inliers", pa.list_(pa.float32())),  # share of the background tracks that agree, 0 to 1
    ]
)

PICTURE = pa.schema(  # written by pipelines.measures.picture
    [
        *SAMPLES,
        ("black_bars", pa.float64()),  # share of the picture in borders that are black in every frame, 0 to 1
        ("interlaced", pa.float64()),  # share of frames that the video says are two woven fields, 0 to 1
        ("combing", pa.float64()),  # share of frames in which the combs of woven fields are seen, 0 to 1
    ]
)

PICTURE_HASH = pa.schema(  # written by pipelines.measures.picture_hash
    [
        *SAMPLES,
        ("plain_hash", pa.list_(pa.uint64())),  # [F] 64 bits of each frame
        ("mirrored_hash", pa.list_(pa.uint64())),  # [F] the same of its mirror image
        ("cut_hashes", pa.list_(pa.list_(pa.uint64(), 5))),  # [F] of the frame without a margin: corners, middle
    ]
)

THUMBNAILS = pa.schema(  # written by pipelines.measures.thumbnail: one picture for each shot, for the report
    [
        ("shot_id", pa.string()),
        ("jpeg", pa.large_binary()),
    ]
)

MEASURES = {
    "people": PEOPLE,
    "face_quality": FACE_QUALITY,
    "keypoints": KEYPOINTS,
    "camera_motion": CAMERA_MOTION,
    "picture": PICTURE,
    "picture_hash": PICTURE_HASH,
}
"""In the order in which they run: a measure may read the columns of those before it."""


def scalar_columns(measure: str) -> list[str]:
    """Names of the float64 columns of a measure: what thresholds apply to and verdicts carry."""
    return [field.name for field in MEASURES[measure] if field.type == pa.float64()]


_failure = pa.struct(
    [("rule", pa.string()), ("value", pa.float64()), ("threshold", pa.float64()), ("error", pa.string())]
)

VERDICTS = pa.schema(  # written by pipelines.releases.select: one row for every shot ever listed
    [
        *SHOTS,
        ("verdict", pa.string()),  # accept | reject
        ("failed_rules", pa.list_(_failure)),  # every rule that failed, with its value and threshold, or an error
        *((name, pa.float64()) for measure in MEASURES for name in scalar_columns(measure)),
        # the next two of shots that no other rule rejects
        ("near_duplicate_of", pa.string()),  # the kept shot of another video that it is most like; null: like none
        (
            "near_duplicate_distance",
            pa.float64(),
        ),  # share of the hashes' bits that differ from it, 0 to 1; 1: like none
    ]
)

CLIPS = pa.schema(  # written by pipelines.releases.select: one row for each accepted shot
    [
        ("shot_id", pa.string()),
        ("video_id", pa.string()),
        ("media", pa.string()),  # path of the video below the dataset's root
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("fps", pa.float64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("seconds", pa.float64()),
        ("split", pa.string()),  # train | heldout: of all videos that show one person, or are copies of each other
        ("person", pa.string()),  # who its main face is, the same in later releases of the root; null without a face
        ("licence", pa.string()),
        ("uploader", pa.string()),
        ("consent", pa.string()),
        ("language", pa.string()),
    ]
)

FRAMES = pa.schema(  # written by pipelines.releases.select: one row for each sampled frame of each accepted shot
    [
        ("shot_id", pa.string()),
        ("frame_index", pa.int32()),
        ("time", pa.float64()),  # seconds from the start of the video
        ("person_boxes", pa.list_(_box)),  # [P], largest first
        ("person_scores", pa.list_(pa.float32())),  # [P]
        ("keypoints", pa.list_(_keypoints)),  # [P]
        ("face_boxes", pa.list_(_box)),  # [N], main face first
        ("face_scores", pa.list_(pa.float32())),  # [N]
        ("face_landmarks", pa.list_(_landmarks)),  # [N]
        ("face_embedding", pa.list_(pa.float32())),  # [E] main face, as ArcFace returns it; null without one
    ]
)

SHARDS = pa.schema(  # written by pipelines.shards.encode: one row for each window, crop and stride of an accepted shot
    [
        ("shot_id", pa.string()),
        ("video_id", pa.string()),
        ("split", pa.string()),
        ("bucket", pa.string()),  # HxW of the pictures in pixels; latents are [h, w] = [H, W] / VAE factor
        ("crop", pa.string()),  # centre | person | half_body: which part of the picture (pipelines.shards.crops)
        ("stride", pa.int32()),  # measured frames from one frame of the row to the next
        ("fps", pa.float64()),  # frames a second of the row: measured frames a second over the stride
        ("frame_index", pa.list_(pa.int32())),  # [F]
        ("latents", pa.list_(pa.float16())),  # [F, C, h, w] VAE mean times scaling factor
        ("reference_shot_id", pa.list_(pa.string())),  # [K] the shot that each reference is a frame of
        ("reference_crop", pa.list_(pa.string())),  # [K] the cut of its picture, to the row's bucket
        ("reference_index", pa.list_(pa.int32())),  # [K] the frame of its video, with a face in the cut; none of the
        # row's own frames where there are others
        ("reference_latent", pa.list_(pa.float16())),  # [K, C, h, w]
        ("clip_embedding", pa.list_(pa.float16())),  # [K, 1, D]
        ("face_embedding", pa.list_(pa.float16())),  # [K, E] as ArcFace returns it, norm about 20
        ("reference_keypoints", pa.list_(pa.float32())),  # [K, 133, 3] main person, pixels of the bucket
        ("face_present", pa.list_(pa.bool_())),  # [F]
        ("face_mask", pa.list_(pa.uint8())),  # [F, h, w] 0 or 1
        ("people", pa.int32()),  # P, the same for all frames of the row
        ("keypoints", pa.list_(pa.float32())),  # [F, P, 133, 3] pixels of the bucket
        ("encoders", pa.string()),  # checksum of the encoders' weights and settings
    ]
)

ENCODE_REPORT = pa.schema(  # written by pipelines.shards.encode: one row for each accepted shot, crop and stride
    [
        ("shot_id", pa.string()),
        ("crop", pa.string()),
        ("stride", pa.int32()),
        ("rows", pa.int32()),  # shard rows made of it
        ("fps", pa.float64()),  # their frames a second; null where there are none, as the next two
        ("references", pa.string()),  # where their references come from: same_clip | same_person
        ("reference_shots", pa.list_(pa.string())),  # the shots of these references
        ("reason", pa.string()),  # why there are none; null otherwise
        ("detail", pa.string()),
    ]
)

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
