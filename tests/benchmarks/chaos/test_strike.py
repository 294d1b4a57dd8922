"""A part of the suite, as it is run whole: faults of every kind that this machine can have, over all verbs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chaos.__main__ import SEED, chaos, told
from benchmarks.chaos.injections import impossible
from benchmarks.chaos.plan import KINDS
from benchmarks.chaos.world import World


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_disturbed_jobs_end_as_undisturbed_ones_do(tmp_path: Path) -> None:
    kinds = [kind for kind in KINDS if kind not in impossible()]
    found = chaos(World(folder=tmp_path), 10, SEED, kinds)
    assert len(found) == 10
    assert [told(each) for each in found if not each.sound] == []
