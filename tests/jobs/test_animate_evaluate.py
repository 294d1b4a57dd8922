"""The animate and evaluate jobs on real clips, with tiny random networks, local Ray and MLflow on SQLite."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from jobs import animate, evaluate
from jobs.pairs.settings import AnimateJobSettings, EvaluateSettings
from jobs.running import ending
from jobs.running.config import Config
from jobs.tracking.runs import Job, job_run, job_runs
from pipelines.storage.pair_tables import METRICS, PAIRS, PREDICTIONS, TIMINGS
from pipelines.storage.store import Store
from stableanimator.animate_settings import AnimateSettings
from stableanimator.diffusion.settings import FaceOptimisationSettings, SamplerSettings
from stableanimator.errors import CheckpointError, InputError, WeightsError
from stableanimator.media.video import VideoReader, write_mp4
from stableanimator.metrics.settings import AcceptSettings
from stableanimator.models.animator import Animator
from stableanimator.models.checkpoints import save_model_folder
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import (
    CLIPSettings,
    EncoderSettings,
    FaceEncoderSettings,
    FrameRates,
    ModelSettings,
    PoseNetSettings,
    UNetSettings,
    VAESettings,
)
from stableanimator.perception.settings import FaceSettings, PerceptionSettings, PoseSettings

pytestmark = [pytest.mark.real_data, pytest.mark.usefixtures("cluster")]

ENCODERS = EncoderSettings(
    vae=VAESettings(block_out_channels=(32, 32, 32), layers_per_block=1, scaling_factor=1.0),
    clip=CLIPSettings(
        hidden_size=16, intermediate_size=16, layers=1, heads=1, image_size=28, patch_size=14, projection_dim=16
    ),
)
MODEL = ModelSettings(
    unet=UNetSettings(
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        layers_per_block=1,
        num_attention_heads=(2, 2),
        cross_attention_dim=16,
        addition_time_embed_dim=32,
    ),
    face_encoder=FaceEncoderSettings(
        embedding_width=128, cross_attention_dim=16, tokens=2, layers=1, heads=1, head_dim=16
    ),
    pose_net=PoseNetSettings(widths=(8, 8), final_width=8),
)


def _pair(pair_id: str, **columns: Any) -> dict[str, Any]:
    return {"pair_id": pair_id, "seed": 1, **columns}


def _beside(clip: str, path: Path) -> str:
    """The first frames of a clip at the right edge of a picture three times as wide, then three frames of nobody."""
    with VideoReader(clip) as video:
        frames = video.read(range(0, 8, 2))
    wide = np.full((len(frames) + 3, frames.shape[1], 3 * frames.shape[2], 3), 90, np.uint8)
    wide[: len(frames), :, 2 * frames.shape[2] :] = frames
    write_mp4(path, wide, 5)
    return str(path)


@pytest.fixture(scope="module")
def config(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Pairs that work (a talking head drives itself, misaligned; at the side of a wide picture, for half of the time),
    and pairs that do not: a reference without a person, a lost video, a strip of a picture, a drive of nobody."""
    folder = tmp_path_factory.mktemp("jobs")
    torch.manual_seed(0)
    save_model_folder(
        folder / "model",
        Animator(MODEL),
        None,
        FrameRates(fps=(5.0,), fps_id=None),
        {"encoders": Encoders(ENCODERS).fingerprint},
    )
    (folder / "model" / "state.json").write_text(json.dumps({"step": 7}))
    clip, dog = str(real_data / "media/videos/lp_d18.mp4"), str(real_data / "media/images/dog.jpg")
    wide = _beside(clip, folder / "wide.mp4")
    Image.new("RGB", (20_000, 20)).save(folder / "strip.png")
    pairs = [
        _pair(
            "good", reference_uri=f"{clip}#frame=0", driving_uri=clip, start=10, end=40, truth_uri=clip, rotation=10.0
        ),
        _pair("nobody/here", reference_uri=dog, driving_uri=clip, end=20),
        _pair("lost", reference_uri=f"{clip}#frame=0", driving_uri=str(folder / "gone.mp4")),
        _pair("side", reference_uri=f"{wide}#frame=0", driving_uri=wide, truth_uri=wide, start=2, end=5),
        _pair("strip", reference_uri=str(folder / "strip.png"), driving_uri=clip),
        _pair("seldom", reference_uri=f"{clip}#frame=0", driving_uri=wide, start=3, end=6),
        _pair("relative", reference_uri="a.png", driving_uri=clip),
    ]
    pq.write_table(pa.Table.from_pylist(pairs, schema=PAIRS), folder / "pairs.parquet")
    weights = real_data / "weights"
    return Config(
        experiment="test",
        root=str(folder / "root"),
        encoders=ENCODERS,
        perception=PerceptionSettings(
            faces=FaceSettings(pack_root=str(weights / "insightface"), pack="small"),
            pose=PoseSettings(
                detector=str(weights / "dwpose/yolox_nano_640.onnx"),
                pose=str(weights / "dwpose/simplepose_as_wholebody133.onnx"),
            ),
        ),
        animate=AnimateJobSettings(
            pairs=str(folder / "pairs.parquet"),
            model=str(folder / "model"),
            precision="float32",
            cpus_per_actor=0.5,
            gpus_per_actor=0,
            settings=AnimateSettings(
                sizes=((64, 64),),
                max_frames=3,
                sampler=SamplerSettings(steps=2),
                alignment="svd",
                hjb=FaceOptimisationSettings(sigma_min=1.0, sigma_max=1000.0, optimisation_steps=2),
            ),
        ),
        evaluate=EvaluateSettings(cpus_per_actor=0.5),
    )


@pytest.fixture(scope="module", autouse=True)
def tracking_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_TRACKING_URI", uri)
        yield uri
    mlflow.end_run()


@pytest.fixture(scope="module")
def animated(config: Config, tracking_server: str) -> str:
    with job_run(Job(verb="animate", experiment="test", key="a")) as run:
        return animate.run(config, run)


def test_every_pair_and_variant_is_a_row_and_what_worked_is_a_video(config: Config, animated: str) -> None:
    table = Store(config.root).open("predictions").table("predictions")
    assert table.schema == PREDICTIONS
    rows = {(row["pair_id"], row["variant"]): row for row in table.to_pylist()}
    assert len(rows) == 14
    reasons = {key: (row["status"], row["reason"]) for key, row in rows.items()}
    for variant in ("plain", "hjb"):
        assert reasons["good", variant] == ("done", None)
        assert reasons["nobody/here", variant] == ("failed", "no_reference_person")
        assert reasons["lost", variant] == ("failed", "not_found")
        assert reasons["side", variant] == ("done", None)
        assert reasons["strip", variant] == ("failed", "no_reference_person")
        assert reasons["seldom", variant] == ("failed", "person_seldom_found")
        assert reasons["relative", variant] == ("failed", "relative_path")
    good, optimised = rows["good", "plain"], rows["good", "hjb"]
    assert good["frame_index"][0] == 10
    assert len(good["frame_index"]) == 3
    assert good["detail"].startswith("driven by the first 3 of")
    assert good["frames_left_out"] > 0
    assert (good["frames_with_person"], good["cut_middle"]) == (3, [0.5, 0.5])  # a square
    assert good["joints_in_picture"] > 0.9
    side = rows["side", "plain"]
    assert side["cut_middle"] == [pytest.approx(5 / 6, abs=0.01), 0.5]
    assert side["joints_in_picture"] > 0.9
    assert (side["frames_with_person"], side["frames_left_out"]) == (2, 0)
    assert side["detail"].startswith("the driving person is found in 2 of 3 frames; ")
    assert "face_too_small: " in side["detail"]  # what a look would have warned of
    assert "1 of 3 frames" in rows["seldom", "hjb"]["detail"]
    for row in (good, optimised):
        for uri in (row["prediction_uri"], row["skeleton_uri"]):
            with VideoReader(Store(config.root).resolve(uri)) as video:
                assert (video.info.frame_count, video.info.height, video.info.width) == (3, 64, 64)
    assert good["face_loss_before"] is None
    assert optimised["face_loss_after"] < optimised["face_loss_before"]
    assert (good["reference_face"], good["face_steps"]) == (True, None)
    (step,) = optimised["face_steps"]  # the other level lies below sigma_min
    assert (step["step"], step["sigma"]) == (0, pytest.approx(SamplerSettings().sigma_max))
    assert step["before"] == optimised["face_loss_before"]
    assert step["carried"] == optimised["face_loss_after"]
    assert 0 < optimised["face_loss_final"] < 2


def test_the_last_line_says_what_was_made_and_how_far_the_model_was_trained(animated: str) -> None:
    failed = "failed: 4 no_reference_person, 2 not_found, 2 person_seldom_found, 2 relative_path"
    assert animated.startswith(f"4 videos of 7 pairs, {failed}, 2 driven by their first frames only, 2 with frames in")
    assert "the model was trained for 7 steps: pictures will be poor" in animated
    assert "VAE and image encoder have random weights" in animated


def test_a_second_run_animates_nothing_and_tries_failed_pairs_again(config: Config, animated: str) -> None:
    root = Path(config.root, "predictions/videos")
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.mp4")}
    with job_run(Job(verb="animate", experiment="test", key="b")) as run:
        again = animate.run(config, run)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.mp4")} == before
    assert again == animated


def test_times_lie_beside_the_predictions_and_no_id_depends_on_them(config: Config, animated: str) -> None:
    store = Store(config.root)
    collection = store.open("predictions")
    times = pq.read_table(Path(config.root, collection.folder, "timings.parquet"))
    assert times.schema == TIMINGS
    rows = times.to_pylist()
    assert [(row["pair_id"], row["variant"], row["try"], row["work"]) for row in rows] == [
        (pair, variant, 1, "animate") for pair in ("good", "side") for variant in ("plain", "hjb")
    ]
    assert all(row["seconds"] > 0 and row["peak_bytes"] > 2**20 for row in rows)
    assert list(collection.manifest["tables"]) == ["predictions"]


def test_results_are_judged_tried_again_and_told(config: Config, tmp_path: Path, tracking_server: str) -> None:
    """Results of a random denoiser have noise, and the drive shows a face."""
    variants = {"plain": config.animate.variants["plain"]}
    accept = AcceptSettings(max_flicker=0.0, min_csim_held_out=0.5)
    job = replace(config.animate, variants=variants, limit=1, accept=accept, tries=2)
    judged = config.model_copy(update={"animate": job, "root": str(tmp_path)})
    with job_run(Job(verb="animate", experiment="test", key="j")) as run:
        line = animate.run(judged, run)
    assert line.startswith("1 videos of 1 pairs, 0% accepted, missed: 1 flicker, 1 driven by their first frames only")
    (row,) = Store(judged.root).open("predictions").table("predictions").to_pylist()
    assert (row["accepted"], [each["seed"] for each in row["tries"]]) == (False, [1, 2])
    assert "csim_held_out is not judged: perception.faces.held_out names no recogniser" in row["detail"]
    assert row["prediction_uri"].endswith("-plain.mp4")
    assert row["kept_uri"].endswith({1: "-plain.mp4", 2: "-plain-try2.mp4"}[row["kept_try"]])
    (logged,) = mlflow.tracking.MlflowClient(tracking_server).search_runs(["1"], "tags.job = 'j'")
    assert logged.data.metrics["accepted_share"] == 0
    assert logged.data.metrics["missed/flicker"] == 1
    lenient = judged.model_copy(update={"animate": replace(job, accept=AcceptSettings(max_flicker=255.0))})
    with job_run(Job(verb="animate", experiment="test", key="k")) as run:
        assert "100% accepted at 1.0 tries and " in animate.run(lenient, run)


def test_evaluate_logs_both_variants_and_the_dataset(config: Config, animated: str, tracking_server: str) -> None:
    with job_runs(Job(verb="evaluate", experiment="test", key="c")) as runs:
        line = evaluate.run(config, runs)
    assert line.startswith("4 results measured, 10 without metrics; the model was trained for 7 steps")
    collection = Store(config.root).open("metrics")
    table = collection.table("metrics")
    assert table.schema.names[: len(METRICS)] == METRICS.names
    rows = table.to_pylist()
    assert [row["reason"] for row in rows if row["pair_id"] == "lost"] == ["not_found"] * 2
    assert all("gone.mp4" in row["detail"] for row in rows if row["pair_id"] == "lost")
    client = mlflow.tracking.MlflowClient(tracking_server)
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    stored = client.search_runs([experiment.experiment_id], "tags.job = 'c'")
    below = {each.data.tags["variant"]: each for each in stored}
    pairs = Store(config.root).open("predictions").manifest["pairs"]
    assert (len(stored), set(below)) == (3, {"plain", "hjb", "repeat"})
    assert below["plain"].data.metrics.keys() == below["hjb"].data.metrics.keys()  # what MLflow compares
    changed = {name for name, value in below["plain"].data.params.items() if below["hjb"].data.params[name] != value}
    assert changed == {"animate.settings.face_optimisation"}
    assert below["hjb"].data.params["animate.settings.hjb.optimisation_steps"] == "2"
    assert below["repeat"].data.metrics.keys() >= below["hjb"].data.metrics.keys()  # a face is found in it
    psnr = "standard/psnr"
    assert below["repeat"].data.metrics[psnr] > below["plain"].data.metrics[psnr]  # no noise in it
    for name, each in below.items():
        assert (each.data.tags["variant"], each.info.status) == (name, "FINISHED")
        both = [row for row in rows if row[psnr] and row["variant"] == name]
        frames = sum(row["frames"] for row in both)
        mean = sum(row[psnr] * row["frames"] for row in both) / frames
        assert each.data.metrics[psnr] == pytest.approx(mean)
        assert each.data.metrics[f"{psnr}_low"] <= mean <= each.data.metrics[f"{psnr}_high"]
        assert each.data.tags["benchmark"] == pairs["sha256"][:12]
    repeats = [row for row in rows if row["variant"] == "repeat"]
    assert [row["pair_id"] for row in repeats] == ["good", "side"]  # what no variant could make has none
    measured = [row for row in rows if row["pair_id"] in ("good", "side") and row["variant"] != "repeat"]
    assert len(measured) == 4
    for row in measured:
        assert 3 < row[psnr] < 25  # random networks
        assert row["disco/psnr_uint8"] > 24.17
        assert row["csim_held_out"] is None  # none is named
        assert row["joints"] > 0
        assert 0 <= row["pck_05"] <= row["pck_10"] <= 1
    files = sorted(path.name for path in Path(config.root, collection.folder).glob("*.*"))
    assert files == [
        "build.json",
        "contact_sheet.png",
        "manifest.json",
        "metrics.parquet",
        "pair_000.mp4",
        "pair_001.mp4",
    ]


def test_other_systems_are_measured_in_the_same_tables(
    config: Config, animated: str, tracking_server: str, tmp_path: Path
) -> None:
    """One system gave back our own video, another a folder with the true frames, of one of the pairs."""
    store = Store(config.root)
    predictions = {
        (row["pair_id"], row["variant"]): row for row in store.open("predictions").table("predictions").to_pylist()
    }
    ours = predictions["good", "plain"]
    (tmp_path / "truth").mkdir()
    with VideoReader(ours["truth_uri"]) as video:
        for number, frame in enumerate(video.read(ours["frame_index"])):
            Image.fromarray(frame).save(tmp_path / "truth" / f"{number}.png")
    every = ours["frame_index"][1] - ours["frame_index"][0]
    lines = [
        "pair_id,variant,uri,every",
        f"good,MRAA,{store.resolve(ours['frames_uri'])},",
        f"good,Champ,truth,{every}",
    ]
    (tmp_path / "results.csv").write_text("\n".join(lines))
    settings = replace(config.evaluate, results=str(tmp_path / "results.csv"), repeat=False, videos=1)
    both = config.model_copy(update={"evaluate": settings})
    with job_runs(Job(verb="evaluate", experiment="test", key="others")) as runs:
        evaluate.run(both, runs)
    rows = {(row["pair_id"], row["variant"]): row for row in store.open("metrics").table("metrics").to_pylist()}
    again, plain, true = rows["good", "MRAA"], rows["good", "plain"], rows["good", "Champ"]
    same = [name for name, value in plain.items() if isinstance(value, float) and "drive" not in name and name != "dis"]
    assert {name: again[name] for name in same} == pytest.approx({name: plain[name] for name in same}, nan_ok=True)
    assert again["pck_drive_10"] is None  # what it was driven by is not known
    assert plain["pck_drive_10"] is not None
    assert (true["standard/psnr"], true["pck_10"]) == (100, 1)
    assert rows["side", "Champ"]["reason"] == "no_result"
    client = mlflow.tracking.MlflowClient(tracking_server)
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    variants = {
        run.data.tags["variant"]: run.data.metrics
        for run in client.search_runs([experiment.experiment_id], "tags.job = 'others'")
    }
    assert set(variants) == {"plain", "hjb", "MRAA", "Champ"}
    assert variants["Champ"]["standard/psnr"] == 100
    only = replace(settings, predictions=None, pairs=str(config.animate.pairs))
    with job_runs(Job(verb="evaluate", experiment="test", key="only others")) as runs:
        line = evaluate.run(config.model_copy(update={"evaluate": only}), runs)
    assert line.startswith("2 results measured, 12 without metrics; in ")


def test_a_job_of_which_every_row_failed_does_not_say_that_it_went_well(
    config: Config, animated: str, tmp_path: Path, tracking_server: str
) -> None:
    bad = [_pair("a", reference_uri=str(tmp_path)), _pair("b", reference_uri="/gone.png", driving_uri="/gone.mp4")]
    pq.write_table(pa.Table.from_pylist(bad, schema=PAIRS), tmp_path / "pairs.parquet")
    job = replace(config.animate, pairs=str(tmp_path / "pairs.parquet"))
    both = config.model_copy(update={"animate": job, "root": str(tmp_path / "root")})
    for verb, reasons in ((animate, "2 no_driving, 2 not_found"), (evaluate, "2 no_driving, 2 not_found")):
        with job_runs(Job(verb="x", experiment="test", key=verb.__name__)) as runs:
            begun = runs.open() if verb is animate else runs
            with pytest.raises(InputError, match=reasons):
                verb.run(both, begun)


def test_a_raised_bar_fails_what_was_made_without_making_it_again(
    config: Config, animated: str, tracking_server: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(config.root, "predictions/videos").rglob("*.mp4")}
    strict = config.model_copy(update={"animate": replace(config.animate, min_person_share=0.9)})
    with job_run(Job(verb="animate", experiment="test", key="f")) as run:
        assert animate.run(strict, run).startswith("2 videos of 7 pairs, failed: 4 no_reference_person")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_another_variant_or_judge_makes_no_other_anew(config: Config, animated: str, tracking_server: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(config.root, "predictions/videos").rglob("*.mp4")}
    assert config.perception is not None
    variants = {**config.animate.variants, "face_off": replace(config.animate.variants["plain"], face=False)}
    held_out = replace(config.perception.faces, held_out="/w/another.onnx")
    job = replace(config.animate, variants=variants)
    update = {"animate": job, "perception": replace(config.perception, faces=held_out)}
    with job_run(Job(verb="animate", experiment="test", key="g")) as run:
        assert animate.run(config.model_copy(update=update), run).startswith("6 videos of 7 pairs")
    after = {path: path.stat().st_mtime_ns for path in Path(config.root, "predictions/videos").rglob("*.mp4")}
    assert before.items() <= after.items()
    new = [path.name for path in after.keys() - before.keys()]
    assert len(new) == 6  # of two pairs: the video, its frames without loss, its skeletons
    assert all("-face_off" in name for name in new)
    assert [each["name"] for each in Store(config.root).open("predictions").manifest["variants"]] == list(variants)


def test_a_model_without_aligner_is_one_line_for_the_user(config: Config, tracking_server: str) -> None:
    learned = replace(config.animate.settings, alignment="learned")
    job = replace(config.animate, variants={"svd": config.animate.settings, "ours": learned})
    with (
        job_run(Job(verb="animate", experiment="test", key="d")) as run,
        pytest.raises(Exception, match="has no aligner, which the variant ours needs") as caught,
    ):
        animate.run(config.model_copy(update={"animate": job}), run)
    assert isinstance(ending.told(caught.value), CheckpointError)


def test_face_models_that_are_missing_are_one_line_for_the_user(
    config: Config, animated: str, tmp_path: Path, tracking_server: str
) -> None:
    assert config.perception is not None
    perception = replace(config.perception, faces=FaceSettings(pack_root=str(tmp_path), pack="none"))
    with (
        job_runs(Job(verb="evaluate", experiment="test", key="e")) as runs,
        pytest.raises(Exception, match=r"none has no \*\.onnx") as caught,
    ):
        evaluate.run(config.model_copy(update={"perception": perception}), runs)
    assert isinstance(ending.told(caught.value), WeightsError)
