"""Settings of a release: which shots are accepted, and how the page for people shows them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

from stableanimator.limits.checks import Cosine, NotNegative, NotNegativeInt, Range, Seed, Share, checked


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class SelectSettings:
    """Which shots are accepted. Defaults say what the number means; none was fitted to a set of clips."""

    min_seconds: NotNegative | None = 2.0
    """Seconds. A training row is 16 frames at 8 per second (the released spacing of 4 frames at 30 per second)."""

    max_seconds: NotNegative | None = None
    """Seconds."""

    min_width: NotNegative | None = 256
    """Pixels. The published tables are measured at 256x256; with less, detail would have to be invented."""

    min_height: NotNegative | None = 256
    """Pixels; see `min_width`."""

    max_black_bars: Share | None = None
    """Share of the picture in black bars. A model learns to draw the bars it sees, but what is between them may be a
    good clip, and how much of it is left is for the user to weigh: 0.44 is an upright video in a square picture."""

    max_interlaced: Share | None = None
    """Share of the frames that the video says are two fields woven into one picture; 0 keeps none that has any. Much
    that says so holds two fields of one moment, which harms nothing: `max_combing` looks at the picture."""

    max_combing: Share | None = None
    """Share of the frames in which woven fields are seen, as combs at the edges of what moves; a model learns to draw
    them. Somebody who sits still shows few, and fine stripes look like them, so how many are too many depends on the
    set: 0.1 is a start."""

    min_people_median: NotNegative | None = 1
    """People in the median frame. Without one there is nothing to animate."""

    max_people_most: NotNegative | None = 1
    """People who are not in the background, in all but the tenth of the frames with most. One reference picture
    and one skeleton teach nothing about a second person; raise it for a set with several people."""

    min_face_share: Share | None = 0.5
    """Share of the sampled frames with a face. Identity can only be learned from frames that show it: half of them."""

    min_face_size: NotNegative | None = 32
    """Pixels, shorter side of the median face. ArcFace reads 112x112: below 32, twelve of thirteen pixels that it
    reads are interpolated, and in SVD's latents, 8 times smaller, the face is 4 cells wide."""

    min_face_score: Share | None = None
    """Detection score of the median face, 0 to 1; the detector's own threshold holds already."""

    min_face_sharpness: NotNegative | None = None
    """Grey levels squared; see pipelines.measures.face_quality. Depends on codec and skin, so there is no default."""

    max_face_yaw: Annotated[float, Range(0, 180)] | None = None
    """Degrees of the median face. Turning dancers are wanted, so there is no default."""

    min_face_consistency: Cosine | None = None
    """Mean cosine to the mean identity: 1 for one identity, 0.71 for two halves. Depends on the recogniser."""

    min_keypoint_coverage: Share | None = 0.3
    """Share of the joints that should be there and are, mean over the frames. StableAnimator++, IV-B, removes videos
    whose skeletons lack more than 70 % of the keypoints."""

    max_keypoint_missing_share: Share | None = None
    """Share of frames whose skeleton lacks more than 70 % of its joints."""

    max_camera_translation: NotNegative | None = 0.02
    """Shares of the picture's diagonal per second, in the median step. A phone's diagonal sees about 70 degrees, so
    this is 1.4 degrees per second: a hand that holds still stays below. Film makers' slowest pans take about seven
    seconds for the width of the picture, six times as fast."""

    max_camera_rotation: NotNegative | None = 2.0
    """Degrees per second about the viewing axis. It moves the corners as far as `max_camera_translation` does."""

    max_camera_zoom: NotNegative | None = 0.03
    """|log scale| per second, about 3 % a second. It moves the corners nearly as far as `max_camera_translation`."""

    max_camera_drift: NotNegative | None = 0.15
    """Share of the picture's diagonal between the two farthest camera positions of the shot. Beyond that another
    part of the world is shown, however slowly the camera went there."""

    max_background_change: Share | None = 0.5
    """Share of background tracks that no camera motion explains, in the median step: sea, crowds, screens. Above one
    half, more of the background moves by itself than stays in place."""

    accept_unseen_background: bool = True
    """Accept a shot whose camera motion cannot be told because the background shows nothing to track: a plain studio
    wall, or a person who fills the picture. What cannot be seen cannot be learned wrongly either."""

    min_subject_motion: NotNegative | None = 0.001
    """Heights of the person per second: motion of the fastest tenth of the points on people beyond the one that all
    share. 1.7 mm per second of a grown person: quiet breathing moves a chest by more, and tracking noise (0.1 pixels of
    512 in a second, on a person of half the picture's height) makes 0.0004. Rejects statues, posters and frozen
    pictures, also before a moving camera. docs/curation.md has the distributions."""

    min_near_duplicate_distance: Share | None = 0.1
    """Share of the bits of its hashes in which a shot differs from any better one that is kept: a copy that was encoded
    again, mirrored, trimmed or cropped by 5 % differs in less (`pipelines.releases.near_duplicates`). A copy teaches
    nothing new and weighs its clip twice. Of two the one with the larger picture is kept, then the longer one."""

    same_person_cosine: Cosine = 0.7
    """Least cosine of the faces of one person's clips (`pipelines.releases.people`): decides who shares a split, and
    whose clips lend each other references. It depends on the recogniser: docs/curation.md has what was measured. Too
    low a value makes one large group of everybody, too high a one leaves somebody on both sides of the split."""

    heldout_share: Share = 0.02
    """Share of the videos that are kept out of training, for benchmark sets: 100 of the paper's 5,000. Who is one
    person stays together, so the share is met as nearly as whole groups allow."""

    seed: Seed = 0
    """Which of the videos that no earlier release knows are kept out. Another seed, or another `heldout_share`, is
    another draw, which follows no earlier release."""

    def __post_init__(self) -> None:
        for rule in fields(self):
            kind, _, column = rule.name.partition("_")
            low, high = getattr(self, f"min_{column}", None), getattr(self, f"max_{column}", None)
            if kind == "min" and low is not None and high is not None and low > high:
                raise ValueError(f"{rule.name} is {low}, above max_{column}, which is {high}")


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class ReportSettings:
    """The page for people."""

    thumbnails: NotNegativeInt = 200
    """Shots with a picture in the contact sheet at most; a picture is about 6 kB."""
