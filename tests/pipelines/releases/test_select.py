from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipelines.curation import CurateSettings
from pipelines.measures.shots import bad_video_row, shot_rows
from pipelines.measuring.measure import Measured
from pipelines.measuring.measure_cache import Cached, Keys, missing_of, read_numbers
from pipelines.releases.near_duplicates import NearPair
from pipelines.releases.people import People
from pipelines.releases.select import clip_rows, count_steps, frame_table, judge, make_release, split_clips
from pipelines.releases.settings import SelectSettings
from pipelines.releases.splits import Earlier
from pipelines.storage.compaction import mend_part
from pipelines.storage.part_rows import DamagedPart
from pipelines.storage.store import Collection, Store
from pipelines.storage.tables import FRAMES, MEASURES, SHOTS, SOURCES, THUMBNAILS

KEYS = Keys(shots="s", thumbnails="t", measures=dict.fromkeys(MEASURES, "k"), weights={"people": "w"})
GOOD = {
    "people": {"people_median": 1.0, "people_most": 1.0},
    "face_quality": {"face_share": 1.0, "face_size": 90.0},
    "keypoints": {"keypoint_coverage": 1.0},
    "camera_motion": {"camera_translation": 0.001, "subject_motion": 0.1},
    "picture": {"black_bars": 0.0, "interlaced": 0.0, "combing": 0.0},
    "picture_hash": {},
}


def _source(video_id: str, status: str = "fetched", **values: Any) -> dict[str, Any]:
    row = {**dict.fromkeys(SOURCES.names), "source_uri": f"/clips/{video_id}.mp4", "status": status}
    return {**row, "video_id": video_id, "extension": ".mp4", "bytes": 9, **values}


def _shots(video_id: str, cuts: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    return shot_rows(video_id, list(cuts), 48, 8.0, 512, 768, np.arange(48) / 8)


def _per_frame(measure: str, shot: dict[str, Any]) -> dict[str, Any]:
    count = shot["end"] - shot["start"]
    box, joints = [1.0, 2.0, 3.0, 4.0], [0.5] * 399
    of_measure = {
        "people": {"person_boxes": [[box]] * count, "person_scores": [[0.9]] * count},
        "keypoints": {"keypoints": [[joints]] * count},
        "face_quality": {
            "face_boxes": [[box]] * (count - 1) + [[]],  # no face in the last frame
            "face_scores": [[0.8]] * (count - 1) + [[]],
            "face_landmarks": [[[0.0] * 10]] * (count - 1) + [[]],
            "face_embedding": [[0.6, 0.8]] * (count - 1) + [None],
        },
        "camera_motion": {},
        "picture": {},
        "picture_hash": _hashes(shot["video_id"], count),
    }
    return of_measure[measure]


def _hashes(name: str, count: int) -> dict[str, Any]:
    """Of moving pictures, unlike those of any other name."""
    drawn = np.random.default_rng(list(name.encode())).integers(2**64, size=(7, count), dtype=np.uint64)
    return {"plain_hash": drawn[0], "mirrored_hash": drawn[1], "cut_hashes": drawn[2:].T.tolist()}


def _row(measure: str, shot: dict[str, Any], **values: Any) -> dict[str, Any]:
    frames = list(range(shot["start"], shot["end"]))
    head = {"shot_id": shot["shot_id"], "frame_index": frames, "time": [frame / 8 for frame in frames]}
    return {**head, **GOOD[measure], **_per_frame(measure, shot), **values}


def _measured(
    shots: list[dict[str, Any]],
    changed: dict[tuple[str, str], dict[str, Any] | None] | None = None,
    failures: list[dict[str, str]] | None = None,
) -> Measured:
    """Good measures of all shots but for `changed`: (measure, shot_id) -> values, or None for no row."""
    tables = {}
    for measure, schema in MEASURES.items():
        rows = []
        for shot in shots:
            values = (changed or {}).get((measure, shot["shot_id"]), {})
            if shot["error"] is None and values is not None:
                rows.append(_row(measure, shot, **values))
        tables[measure] = pa.Table.from_pylist(rows, schema=schema).sort_by("shot_id")
    cached = Cached(
        shots=pa.Table.from_pylist(shots, schema=SHOTS).sort_by("shot_id"),
        measures=tables,
        thumbnails=THUMBNAILS.empty_table(),
    )
    return Measured(keys=KEYS, cached=cached, failures=failures or [])


def _stored(store: Store, shots: list[dict[str, Any]], tables: dict[str, pa.Table]) -> Measured:
    """The same rows as parts of a store, one for each video, and what selecting reads of them."""
    videos = sorted({shot["video_id"] for shot in shots})
    for video in videos:
        rows = [shot for shot in shots if shot["video_id"] == video]
        store.write_part("shots", KEYS.shots, video, pa.Table.from_pylist(rows, schema=SHOTS))
        jpegs = [{"shot_id": row["shot_id"], "jpeg": row["shot_id"].encode()} for row in rows]
        store.write_part("thumbnails", KEYS.thumbnails, video, pa.Table.from_pylist(jpegs, schema=THUMBNAILS))
        for measure, table in tables.items():
            of_video = table.filter(pc.starts_with(table["shot_id"], f"{video}:"))
            store.write_part(*KEYS.family(measure), video, of_video)
    return Measured(keys=KEYS, cached=read_numbers(store, KEYS, videos), failures=[])


def _reasons(row: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(one["rule"], one["error"]) for one in row["failed_rules"]]


def test_every_shot_has_a_verdict_with_its_measures():
    shots = [*_shots("a", (16,)), *_shots("b"), bad_video_row("c", "truncated", "nothing left")]
    rows = judge(_measured(shots, {("people", "b:0-48"): {"people_most": 2.0}}), CurateSettings())
    assert [(row["shot_id"], row["verdict"]) for row in rows] == [
        ("a:0-16", "accept"),
        ("a:16-48", "accept"),
        ("b:0-48", "reject"),
        ("c:0-0", "reject"),
    ]
    assert rows[2]["failed_rules"] == [{"rule": "max_people_most", "value": 2.0, "threshold": 1.0, "error": None}]
    assert _reasons(rows[3]) == [("decode", "truncated")]
    assert rows[0]["face_size"] == 90
    assert rows[0]["camera_zoom"] is None


def test_a_measure_that_failed_or_is_missing_rejects_by_name():
    shots = [*_shots("a"), *_shots("b"), *_shots("c")]
    failed = {
        ("keypoints", "a:0-48"): {"error": "people_failed", "keypoint_coverage": None},
        ("keypoints", "b:0-48"): None,
        ("keypoints", "c:0-48"): None,
    }
    failures = [{"shot_id": "c:0-48", "measure": "keypoints", "reason": "measure_failed", "detail": "KeyError: x"}]
    rows = judge(_measured(shots, failed, failures), CurateSettings())
    assert [_reasons(row) for row in rows] == [
        [("keypoints", "people_failed")],
        [("keypoints", "not_measured")],
        [("keypoints", "measure_failed")],
    ]


def test_clips_carry_rights_and_the_place_of_the_video():
    shots = [*_shots("a", (16,)), *_shots("b")]
    verdicts = judge(_measured(shots, {("people", "b:0-48"): {"people_median": 0.0}}), CurateSettings())
    sources = [_source("a", licence="CC0", consent="yes"), _source("a", "duplicate", licence="other"), _source("b")]
    clips = clip_rows(verdicts, sources)
    assert [clip["shot_id"] for clip in clips] == ["a:0-16", "a:16-48"]
    assert {(clip["licence"], clip["consent"], clip["media"]) for clip in clips} == {("CC0", "yes", "media/a/a.mp4")}


def _clip(shot: str, uploader: str | None = None) -> dict[str, Any]:
    return {"shot_id": shot, "video_id": shot.partition(":")[0], "uploader": uploader}


def test_whoever_belongs_together_is_on_one_side_and_the_rest_by_itself():
    """a and b show one person, b and c are copies, d and e of one uploader, without a face; f is too, with one."""
    clips = [_clip(f"{name}:0-9", {"d": "ann", "e": "ann", "f": "ann"}.get(name)) for name in "abcdefgh"]
    people = People([["a:0-9", "b:0-9"], ["f:0-9"]], [["a:0-9", "b:0-9"], ["f:0-9"]])
    copies = [NearPair("b:0-9", "c:0-9", 0.05)]
    for seed in range(20):
        draw = SelectSettings(heldout_share=0.4, seed=seed)
        split_clips(clips, people, copies, Earlier(), draw)
        split = {clip["video_id"]: clip["split"] for clip in clips}
        assert split["a"] == split["b"] == split["c"]
        assert split["d"] == split["e"]
        assert 2 <= list(split.values()).count("heldout") <= 4  # 3.2 of 8 are wanted
    assert [clip["person"] is None for clip in clips] == [False, False, True, True, True, False, True, True]
    assert clips[0]["person"] == clips[1]["person"] != clips[5]["person"]


def test_frames_of_all_measures_are_joined():
    ids = pa.array(["a:16-48", "b:0-48"])
    tables = _measured([*_shots("a", (16,)), *_shots("b")]).cached.measures
    of_shots = {name: table.filter(pc.is_in(table["shot_id"], value_set=ids)) for name, table in tables.items()}
    for name in ("camera_motion", "picture", "picture_hash"):  # they have no column here
        del of_shots[name]
    frames = frame_table(ids, of_shots)
    assert frames.schema.equals(FRAMES)
    rows = frames.to_pylist()
    assert len(rows) == 32 + 48
    assert [row["frame_index"] for row in rows] == [*range(16, 48), *range(48)]
    assert [row["shot_id"] for row in rows] == ["a:16-48"] * 32 + ["b:0-48"] * 48
    assert rows[0]["person_boxes"] == [[1, 2, 3, 4]]
    assert len(rows[0]["keypoints"][0]) == 399
    assert rows[0]["face_embedding"] == pytest.approx([0.6, 0.8])
    assert rows[31]["face_boxes"] == []
    assert rows[31]["face_embedding"] is None


def test_frames_of_measures_that_did_not_run_are_null():
    measures = _measured(_shots("a")).cached.measures
    frames = frame_table(pa.array(["a:0-48"]), {"face_quality": measures["face_quality"]})
    assert frames["keypoints"].null_count == 48
    assert frames["face_boxes"].null_count == 0
    assert frame_table(pa.array(["a:0-48"]), {}).num_rows == 0


def _split(clips: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [clip | {"split": "train", "person": "p"} for clip in clips]


def test_counts_add_up_at_every_step():
    shots = [*_shots("a", (16,)), *_shots("b"), *_shots("d"), bad_video_row("c", "truncated", "")]
    changed = {
        ("people", "b:0-48"): {"people_median": 0.0},
        ("face_quality", "b:0-48"): {"face_share": 0.0, "face_size": None},
        ("people", "d:0-48"): {"people_most": 2.0},
    }
    failed = _source("x", "failed", reason="http_404") | {"video_id": None}
    sources = [_source("a"), _source("b"), _source("b", "duplicate"), _source("c"), _source("d"), failed]
    verdicts = judge(_measured(shots, changed), CurateSettings())
    counts = count_steps(sources, verdicts, _split(clip_rows(verdicts, sources)))
    assert counts["sources"] == {"listed": 6, "fetched": 4, "duplicate": 1, "failed": 1}
    assert counts["failed_sources"] == {"http_404": 1}
    assert counts["undecodable_videos"] == {"truncated": 1}
    assert counts["shots"] == {"total": 5, "accept": 2, "reject": 3}
    assert counts["first_failed_rule"] == {"decode": 1, "max_people_most": 1, "min_people_median": 1}
    assert counts["failed_rules"] == {
        "decode": 1,
        "max_people_most": 1,
        "min_people_median": 1,
        "min_face_share": 1,
        "min_face_size": 1,
    }
    assert counts["only_failed_rule"] == {"decode": 1, "max_people_most": 1}
    assert counts["clip_seconds"] == 6
    assert counts["split_videos"] == {"train": 1}
    assert counts["people"] == 1


def _release(root: Path, settings: CurateSettings, shots: list[dict[str, Any]]) -> Any:
    sources = pa.Table.from_pylist([_source(name) for name in sorted({s["video_id"] for s in shots})], schema=SOURCES)
    store = Store(str(root))
    measured = _stored(store, shots, _measured(shots).cached.measures)
    return make_release(store, sources, measured, settings, {"host": str(root)})


def test_a_release_is_the_same_anywhere_and_another_with_another_threshold(tmp_path: Path):
    shots = [*_shots("b"), *_shots("a", (16,))]
    one = _release(tmp_path / "one", CurateSettings(), shots)
    two = _release(tmp_path / "two", CurateSettings(actors=3), shots[::-1])
    other = _release(tmp_path / "one", CurateSettings(select=SelectSettings(min_seconds=3)), shots)
    assert one.id == two.id != other.id
    for name in ("sources", "verdicts", "clips", "frames"):
        assert [Path(file).read_bytes() for file in one.files(name)] == [
            Path(file).read_bytes() for file in two.files(name)
        ]
    assert one.table("clips")["shot_id"].to_pylist() == ["a:0-16", "a:16-48", "b:0-48"]
    assert other.table("clips")["shot_id"].to_pylist() == ["a:16-48", "b:0-48"]
    assert str(tmp_path) not in (tmp_path / "one" / one.folder / "manifest.json").read_text()
    assert "3 of 3 shots" in (tmp_path / "one" / one.folder / "report.html").read_text()


def test_what_was_damaged_since_is_named_and_made_again(tmp_path: Path):
    shots, store = [*_shots("a", (16,)), *_shots("b")], Store(str(tmp_path))
    measured = _stored(store, shots, _measured(shots).cached.measures)
    sources = pa.Table.from_pylist([_source("a"), _source("b")], schema=SOURCES)
    (part,) = store.parts(*KEYS.family("keypoints"), "b")
    path = tmp_path / part.path
    whole = path.read_bytes()
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = {group.column(number).path_in_schema.split(".")[0]: group.column(number) for number in range(5, 8)}
    last = columns["keypoints"].data_page_offset + columns["keypoints"].total_compressed_size - 1
    path.write_bytes(whole[:last] + bytes([whole[last] ^ 8]) + whole[last + 1 :])
    with pytest.raises(DamagedPart) as caught:
        make_release(store, sources, measured, CurateSettings(), {})
    assert caught.value.path == part.path
    mend_part(store, part.path)
    assert missing_of(read_numbers(store, KEYS, ["a", "b"]), KEYS, ["a", "b"]) == {"b": {"keypoints"}}
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(whole)
    assert make_release(store, sources, measured, CurateSettings(), {}).table("frames").num_rows == 96


def test_frames_of_many_shots_go_to_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shots = [shot for number in range(9) for shot in _shots(f"{number}", (16,))]
    one = _release(tmp_path / "one", CurateSettings(), shots)
    monkeypatch.setattr("pipelines.releases.select._SHOTS_IN_FILE", 5)
    monkeypatch.setattr("pipelines.releases.select._SHOTS_AT_A_TIME", 2)
    many = _release(tmp_path / "many", CurateSettings(), shots)
    assert [Path(file).name for file in many.files("frames")] == [f"frames-{number:05}.parquet" for number in range(4)]
    assert many.table("frames").equals(one.table("frames"))
    batches = list(many.batches("frames", ["frame_index", "shot_id"]))
    assert pa.concat_tables(batches).equals(one.table("frames").select(["frame_index", "shot_id"]))
    assert len(batches) == 3 + 3 + 3 + 2  # files of 5, 5, 5 and 3 shots, two at a time


def _with_faces(root: Path, degrees: dict[str, float], settings: SelectSettings) -> Collection:
    """A release of videos, each of somebody whose face points there."""
    shots = [shot for video in degrees for shot in _shots(video)]
    changed = {}
    for shot in shots:
        angle = np.radians(degrees[shot["video_id"]])
        face = [20 * np.cos(angle), 20 * np.sin(angle)]
        changed["face_quality", shot["shot_id"]] = {"face_embedding": [face] * 48}
    store = Store(str(root))
    measured = _stored(store, shots, _measured(shots, changed).cached.measures)  # type: ignore[arg-type]
    sources = pa.Table.from_pylist([_source(video) for video in sorted(degrees)], schema=SOURCES)
    return make_release(store, sources, measured, CurateSettings(select=settings), {})


def _split_of(release: Collection) -> dict[str, str]:
    clips = release.table("clips")
    return dict(zip(clips["video_id"].to_pylist(), clips["split"].to_pylist(), strict=True))


def test_a_release_keeps_what_the_last_one_said_of_its_people(tmp_path: Path):
    """50 degrees apart two faces are not alike; 25 between them is like both, and joins a held-out person and one who
    trains."""
    settings = SelectSettings(heldout_share=0.5, same_person_cosine=0.9)
    first = _with_faces(tmp_path, {"a": 0, "b": 50}, settings)
    split, (person_a, person_b) = _split_of(first), first.table("clips")["person"].to_pylist()
    assert sorted(split.values()) == ["heldout", "train"]
    assert first.build()["splits"] == {"follows": None, "moved_to_training": []}
    again = _with_faces(tmp_path, {"a": 0, "b": 50}, settings)
    assert (again.id, again.build()["splits"]) == (first.id, first.build()["splits"])

    more = _with_faces(tmp_path, {"0": 2, "a": 0, "b": 50, "c": 140, "d": 200}, settings)
    assert {video: _split_of(more)[video] for video in "ab"} == split
    assert _split_of(more)["0"] == split["a"]
    assert more.table("clips")["person"].to_pylist()[:3] == [person_a, person_a, person_b]  # though 0 comes first now
    assert more.build()["splits"]["follows"] == first.id

    joined = _with_faces(tmp_path, {"a": 0, "b": 50, "e": 25}, settings)
    assert set(_split_of(joined).values()) == {"train"}
    lost = next(video for video, side in split.items() if side == "heldout")
    told = {"follows": more.id, "moved_to_training": [lost]}
    assert joined.build()["splits"] == told
    page = (tmp_path / joined.folder / "report.html").read_text()
    assert "held-out videos train now" in page
    assert f"<code>{lost}</code>" in page
    once_more = _with_faces(tmp_path, {"a": 0, "b": 50, "e": 25}, settings)
    assert (once_more.id, once_more.build()["splits"]) == (joined.id, told)


def test_another_threshold_of_sameness_joins_others_and_another_seed_draws_anew(tmp_path: Path):
    degrees = {name: 40.0 * number for number, name in enumerate("abcdefgh")}
    apart = _with_faces(tmp_path, degrees, SelectSettings(heldout_share=0.5, same_person_cosine=0.9))
    assert apart.manifest["counts"]["people"] == 8
    joined = _with_faces(tmp_path, degrees, SelectSettings(heldout_share=0.5, same_person_cosine=0.7))
    assert joined.manifest["counts"]["people"] == 4  # 40 degrees are alike, 80 are not
    assert joined.build()["splits"]["follows"] == apart.id
    assert set(_split_of(joined).values()) == {"train"}  # the chain is one group, and half of it trained
    other = _with_faces(tmp_path, degrees, SelectSettings(heldout_share=0.5, same_person_cosine=0.9, seed=1))
    assert other.build()["splits"]["follows"] is None


def test_a_copy_is_rejected_by_name_and_its_video_follows_the_kept_one(tmp_path: Path):
    """b holds the pictures of a in a larger size; c those of a too, mirrored; d is like nothing."""
    shots = [*_shots("a"), *_shots("b"), *_shots("c"), *_shots("d")]
    hashes, other = _hashes("a", 48), _hashes("x", 48)
    turned = {"plain_hash": hashes["mirrored_hash"], "mirrored_hash": hashes["plain_hash"]} | {
        "cut_hashes": other["cut_hashes"]
    }
    shots[1] |= {"width": 1024}
    changed = {("picture_hash", "b:0-48"): hashes, ("picture_hash", "c:0-48"): turned}
    store = Store(str(tmp_path))
    measured = _stored(store, shots, _measured(shots, changed).cached.measures)  # type: ignore[arg-type]
    sources = pa.Table.from_pylist([_source(video) for video in "abcd"], schema=SOURCES)
    rows = make_release(store, sources, measured, CurateSettings(), {}).table("verdicts").to_pylist()
    assert [(row["verdict"], row["near_duplicate_of"]) for row in rows] == [
        ("reject", "b:0-48"),
        ("accept", None),
        ("reject", "b:0-48"),
        ("accept", None),
    ]
    assert rows[0]["failed_rules"] == [
        {"rule": "min_near_duplicate_distance", "value": 0.0, "threshold": 0.1, "error": None}
    ]
    assert [row["near_duplicate_distance"] for row in rows] == [0, 1, 0, 1]
    lenient = CurateSettings(select=SelectSettings(min_near_duplicate_distance=None))
    kept = make_release(store, sources, measured, lenient, {})
    assert kept.manifest["counts"]["shots"]["accept"] == 4
    assert kept.table("verdicts")["near_duplicate_of"].to_pylist() == ["b:0-48", None, "a:0-48", None]


TABLES = ("sources", "verdicts", "clips", "frames")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Three accepted shots of two videos, 96 frames."""
    return _release(tmp_path_factory.mktemp("release"), CurateSettings(), [*_shots("a", (16,)), *_shots("b")])


def test_a_release_is_read_by_duckdb(release: Collection):
    import duckdb

    for name in TABLES:
        (count,) = duckdb.sql(f"select count(*) from read_parquet({release.files(name)})").fetchall()[0]
        assert count == release.manifest["tables"][name]["rows"] == release.table(name).num_rows
    query = f"""
        select shot_id, count(*), avg(list_extract(list_extract(keypoints, 1), 3))
        from '{release.uri}/frames-*.parquet' join '{release.uri}/clips.parquet' using (shot_id) group by all order by 1
    """
    assert duckdb.sql(query).fetchall() == [("a:0-16", 16, 0.5), ("a:16-48", 32, 0.5), ("b:0-48", 48, 0.5)]


def test_a_release_is_read_by_pandas(release: Collection):
    import pandas as pd

    tables = {name: pd.concat(pd.read_parquet(file) for file in release.files(name)) for name in TABLES}
    assert {name: len(table) for name, table in tables.items()} == {
        "sources": 2,
        "verdicts": 3,
        "clips": 3,
        "frames": 96,
    }
    assert tables["verdicts"]["verdict"].tolist() == ["accept"] * 3
    assert tables["frames"]["person_boxes"].iloc[5][0].tolist() == [1, 2, 3, 4]


def test_a_release_becomes_tensors(release: Collection):
    import torch

    frames = release.table("frames").combine_chunks()
    joints = pc.list_flatten(pc.list_flatten(frames["keypoints"])).combine_chunks().to_numpy()
    tensor = torch.from_numpy(joints.copy()).reshape(len(frames), 133, 3)  # one person in each frame
    assert tensor.dtype == torch.float32
    assert (tensor == 0.5).all()


@pytest.mark.usefixtures("cluster")
def test_a_release_is_read_by_ray(release: Collection):
    import ray.data

    for name in TABLES:
        rows = ray.data.read_parquet(release.files(name)).take_all()
        assert len(rows) == release.table(name).num_rows
        assert rows[0].keys() == set(release.table(name).column_names)
    by_frame = {(row["shot_id"], row["frame_index"]): row for row in rows}
    assert by_frame["a:16-48", 20]["face_embedding"] == pytest.approx([0.6, 0.8])
