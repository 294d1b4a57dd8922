"""The job that looks at pairs, with Ray and MLflow, on drawn people."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs import animate
from jobs.running import entry
from jobs.running.config import load
from jobs.running.plans.animate import animate_plan
from jobs.running.resources import demand
from pipelines.storage.store import Store
from stableanimator.media.video import write_mp4
from stableanimator.paths import local_path
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.script import ClipSettings

SHORT = ClipSettings(width=192, height=192, fps=8.0)


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of a table with a pair that works, one whose drive is lost, and the package's model with svd alignment."""
    monkeypatch.setenv("SA_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    Image.fromarray(draw_clip(write_clip("dance", 5, SHORT), [0])[0][0]).save(tmp_path / "person.png")
    write_mp4(tmp_path / "drive.mp4", draw_clip(write_clip("gesture", 8, SHORT), range(4))[0], 8.0)
    table = {
        "pair_id": ["a", "lost"],
        "reference_uri": [str(tmp_path / "person.png")] * 2,
        "driving_uri": [str(tmp_path / "drive.mp4"), str(tmp_path / "gone.mp4")],
    }
    pq.write_table(pa.table(table), tmp_path / "pairs.parquet")
    model = local_path("package://stableanimator.synthetic/weights/base")
    config = Path(animate.__file__).parent / "configs" / "tiny.yaml"
    return ["--config", str(config), f"animate.pairs={tmp_path}/pairs.parquet", f"animate.model={model}",
            "animate.settings.alignment=svd"]  # fmt: skip


@pytest.mark.usefixtures("cluster")
def test_a_preview_is_a_table_a_page_and_a_run_that_shows_them(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry.main("animate", animate.run, ["--preview", *arguments]) == 0
    said = capsys.readouterr().out
    assert "animate: 1 looks, 0 without a warning; warnings: 1 face_too_small, 1 feet_cut; failed: 1 not_found" in said
    collection = Store(str(tmp_path / "tiny")).open("previews")
    done, lost = collection.table("previews").to_pylist()
    assert (done["pair_id"], done["variants"], done["status"]) == ("a", ["plain", "hjb"], "done")
    assert (lost["pair_id"], lost["reason"]) == ("lost", "not_found")
    assert collection.store.exists(done["sheet_uri"])
    assert "feet_cut" in Path(collection.uri, "preview.html").read_text()
    assert not (tmp_path / "tiny" / "predictions").exists()
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.data.metrics["warnings/feet_cut"] == 1
    names = {each.path for each in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert {"preview.html", "previews.json", "sheets"} <= names
    logged = json.loads(
        Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="previews.json")).read_text()
    )
    assert len(logged["data"]) == 2


def test_a_preview_reserves_a_gpu_for_the_perception_alone(arguments: list[str]) -> None:
    on_gpu = [*arguments[2:], "animate.gpus_per_actor=1"]
    for more, gpus in (([], 1), (["animate.preview=true"], 0), (["animate.preview=true", "perception.device=cuda"], 1)):
        reserved = demand("animate", load(arguments[1], [*on_gpu, *more]))
        assert reserved is not None
        assert reserved.gpus == gpus


def test_a_dry_run_says_that_nothing_is_animated(arguments: list[str]) -> None:
    assert "nothing is animated" in animate_plan(load(arguments[1], [*arguments[2:], "animate.preview=true"]))
