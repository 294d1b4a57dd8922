from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.storage import pair_tables, tables
from pipelines.storage.tables import CLIPS, FRAMES, MEASURES, SAMPLES, SHOTS, VERDICTS, scalar_columns

BETWEEN_SHOTS = ["near_duplicate_of", "near_duplicate_distance"]
SCHEMAS = {name: value for name, value in (vars(tables) | vars(pair_tables)).items() if isinstance(value, pa.Schema)}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_no_schema_names_a_column_twice(name: str):
    assert len(set(SCHEMAS[name].names)) == len(SCHEMAS[name].names)


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_begins_with_what_was_sampled(measure: str):
    assert MEASURES[measure].names[: len(SAMPLES)] == ["shot_id", "error", "detail", "frame_index", "time"]


def test_verdicts_carry_every_number_that_a_threshold_may_apply_to():
    scalars = [name for measure in MEASURES for name in scalar_columns(measure)]
    assert scalars[:2] == ["people_median", "people_most"]
    assert VERDICTS.names == [*SHOTS.names, "verdict", "failed_rules", *scalars, *BETWEEN_SHOTS]


def test_measures_run_in_the_order_in_which_they_read_each_other():
    assert list(MEASURES) == ["people", "face_quality", "keypoints", "camera_motion", "picture", "picture_hash"]


def test_a_null_embedding_and_a_missing_measure_can_be_stored():
    row = {**dict.fromkeys(FRAMES.names), "shot_id": "v:0-1", "frame_index": 0, "time": 0.0}
    assert pa.Table.from_pylist([row], schema=FRAMES)["face_embedding"].null_count == 1


def test_clips_say_where_the_video_is_and_whose_it_is():
    assert {"media", "split", "licence", "consent"} <= set(CLIPS.names)
