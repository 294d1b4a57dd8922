"""What --dry-run says of encode, without a release and with one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jobs import encode
from jobs.running import entry
from pipelines.storage.store import Collection


def test_a_dry_run_tells_rows_and_gib(
    release_with_poses: Callable[..., Collection], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"experiment: plan\nroot: {tmp_path}/root\nencode: {{gpus_per_actor: 0, frames_per_row: 4}}\n")
    assert entry.main("encode", encode.run, ["--config", str(config), "--dry-run"]) == 0
    assert "is known when there is a release: no committed latest under" in capsys.readouterr().out
    poses = np.full((8, 133, 3), 50.0, np.float32)
    release_with_poses(tmp_path / "root", [{"shot_id": "a", "split": "train", "poses": poses}])
    assert entry.main("encode", encode.run, ["--config", str(config), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "gives at most 0 rows, 0.000 GiB;" in shown  # faces were not looked for
    assert "encode reserves 1 actors x (1 CPU, 0 GPU)" in shown
