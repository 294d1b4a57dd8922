"""Every table's Arrow schema: each column with its type, unit, and who writes it.

Nested arrays are stored flat in C order; the trailing comment gives their shape.
Missing values are null; a missing point inside an array is NaN with score 0. Keypoints that the pose network puts
outside the picture have their places there: negative, or beyond its width or height.

    F frames   P people in a frame   N faces in a frame   E face embedding width   K candidate references
"""

from __future__ import annotations

import pyarrow as pa

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
