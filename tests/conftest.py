"""Fixtures for all tests."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import ray
import torch
from hypothesis import settings

from stableanimator.media import video
from stableanimator.media.video_index import FrameIndex
from stableanimator.models.settings import FaceEncoderSettings, ModelSettings, PoseNetSettings, UNetSettings

# Properties are tried on the same examples in every run, however slow the machine, so that a failure is the change's;
# --hypothesis-profile=search tries many others.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=3000, deadline=None)
settings.load_profile("same")

# One thread a process, of those that tests start as well: the networks here are small, and threads that wait for each
# other cost most of the time, above all where two processes test at once. OMP_NUM_THREADS=2 asks for another number.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their argument: files that tests make may hold the time, and processes must agree on names."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(autouse=True)
def _same_draws() -> None:
    """What a test draws of torch does not depend on the tests before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Jobs that name no root spool what they log among the user's state files."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real clips and small weights: the folder that SA_REAL_DATA names, or `../shared` beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("SA_REAL_DATA") or beside)
    for part in ("media", "weights"):
        if not (folder / part).is_dir():
            pytest.skip(f"no real clips and weights: {folder / part} is missing; name their folder in SA_REAL_DATA")
    return folder


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """`127.0.0.1:port` of a server that plays S3."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    yield "{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3_root(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A root in a new bucket, whose URI has a query; copies of its media lie below `tmp_path`/cache."""
    import boto3

    names = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_EC2_METADATA_DISABLED": "true"}
    for name, value in (names | {"XDG_CACHE_HOME": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{uuid.uuid4().hex}"
    boto3.client("s3", endpoint_url=f"http://{s3_server}", region_name="us-east-1").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/my%20set?region=us-east-1&scheme=http&endpoint_override={quote(s3_server)}"


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """Address of a local Ray cluster with three logical CPUs, the same for all tests of a session."""
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    # Workers' logs stay in their files: without a dashboard Ray Train repeats a warning every second.
    context = ray.init("local", num_cpus=3, include_dashboard=False, logging_level="WARNING", log_to_driver=False)
    yield context.address_info["address"]
    ray.shutdown()


@pytest.fixture
def hanging_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """While the test runs, no video file comes to the list of its frames, as one on which a demuxer hangs."""
    index_frames, over = video.index_frames, threading.Event()

    def hang(path: str, threads: int) -> Iterator[FrameIndex | None]:
        over.wait()
        yield from index_frames(path, threads)

    monkeypatch.setattr(video, "index_frames", hang)
    yield
    over.set()


@pytest.fixture
def tiny_settings() -> ModelSettings:
    """The smallest real model: every class of the full size, VAE factor 8, context width 32, face embeddings of 16."""
    return ModelSettings(
        unet=UNetSettings(
            block_out_channels=(32, 64),
            down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
            up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
            layers_per_block=1,
            num_attention_heads=(2, 2),
            cross_attention_dim=32,
            addition_time_embed_dim=32,
        ),
        face_encoder=FaceEncoderSettings(embedding_width=16, cross_attention_dim=32, layers=2, heads=2, head_dim=16),
        pose_net=PoseNetSettings(widths=(8, 16, 16), final_width=32),
        skeleton="ours",
    )
