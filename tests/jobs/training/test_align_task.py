from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.training.align_task import SCOPES, AlignTask, evaluation_drives
from jobs.training.sample_order import SampleOrder, validation_passes
from stableanimator.alignment.aligner import alignment_loss
from stableanimator.alignment.aligner_folder import load_aligner_folder
from stableanimator.alignment.scoring.evaluate import compare
from stableanimator.alignment.settings import AlignerSettings, AlignSettings, EvaluationSettings, PairsSettings
from stableanimator.alignment.training_data.pose_clips import PoseClips, write_pose_clips
from stableanimator.alignment.training_data.training_pairs import PROCEDURAL, AlignmentPairs

EVALUATION = EvaluationSettings(methods=("none", "svd", "learned"), clips=2, drives_per_clip=3, frames=4, worst=2)
SETTINGS = AlignSettings(
    aligner=AlignerSettings(width=8, heads=2),
    pairs=PairsSettings(procedural_share=0),
    steps=3,
    batch_size=4,
    validation_pairs=6,
    evaluation=EVALUATION,
)


def clip(seed: int, frames: int = 9) -> np.ndarray:
    poses = np.random.default_rng(seed).uniform(0.2, 0.8, (frames, 18, 3)).astype(np.float32)
    poses[..., 2] = 0.9
    return poses


def task(held_out: list[np.ndarray]) -> AlignTask:
    names = [f"clip {number}" for number in range(len(held_out))]
    return AlignTask(SETTINGS, [clip(0), clip(1)], held_out, names, {"told": "to people"})


def test_every_pair_is_one_sample_and_a_batch_is_what_the_data_set_gives() -> None:
    made = task([clip(2)])
    assert [len(group) for group in made.groups()] == [12]
    assert [len(group) for group in made.validation_groups()] == [6]
    (piece,) = validation_passes(made.validation_groups(), 0, 1, 6)
    expected = AlignmentPairs(SETTINGS, [clip(2)], "validation").batch(range(6))
    for name, value in made.load(piece).items():
        torch.testing.assert_close(value, expected[name], equal_nan=True)
    assert set(expected["clip"].tolist()) == {0}  # of the held-out clip, whose only number is 0


def test_the_loss_is_that_of_the_aligned_poses() -> None:
    made = task([clip(2)])
    (piece,) = validation_passes(made.validation_groups(), 0, 1, 6)
    batch, module = made.load(piece), made.build()
    aligned = module(batch["reference"], batch["driven"]).apply(batch["driven"][..., :2])
    loss = made.loss(module, batch, piece, torch.device("cpu"))
    torch.testing.assert_close(loss, alignment_loss(aligned, batch["truth"]))


def test_every_process_builds_the_same_first_weights_and_leaves_the_random_state_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two = task([]).build().state_dict(), task([]).build().state_dict()
    assert torch.equal(before, torch.random.get_rng_state())
    for name, value in one.items():
        assert torch.equal(value, two[name])


def test_drives_are_those_of_the_first_held_out_clips() -> None:
    held_out = [clip(2), clip(3), clip(4)]
    drives = evaluation_drives(SETTINGS, ["a", "b", "c"], held_out)
    assert [drive.clip for drive in drives] == ["a"] * 3 + ["b"] * 3
    for drive in drives:
        assert len(drive.truth) == 4
        poses = torch.from_numpy(held_out["ab".index(drive.clip)])
        assert min(float((poses[frame] - drive.reference).abs().max()) for frame in range(9)) == 0
    alone = evaluation_drives(SETTINGS, ["b"], held_out[1:2])
    for one, other in zip(alone, drives[3:], strict=True):  # a clip's drives do not depend on the others
        assert torch.equal(one.driven, other.driven)


@pytest.mark.parametrize("held_out", [[], [clip(2, frames=1)]])
def test_without_a_usable_held_out_clip_drives_are_procedural(held_out: list[np.ndarray]) -> None:
    drives = evaluation_drives(SETTINGS, ["a"] * len(held_out), held_out)
    assert [drive.clip for drive in drives] == [f"procedural {number}" for number in range(6)]
    pairs = AlignmentPairs(SETTINGS, held_out, "validation").batch(range(6))
    assert (pairs["clip"] == PROCEDURAL).all()
    assert all(not torch.equal(drive.truth[0], truth) for drive in drives for truth in pairs["truth"])


def test_what_is_found_is_dis_of_every_alignment_and_pictures_of_the_worst() -> None:
    made = task([clip(2), clip(3)])
    module = made.build().eval()
    findings = made.examine(module)
    scores = compare(EVALUATION.methods, SCOPES, made.drives, module)
    for (name, scope), values in scores.items():
        people = [values[:3].mean(), values[3:].mean()]  # three drives of each of two clips
        assert findings.metrics[f"dis_{name}_{scope}"] == pytest.approx(np.mean(people))
    assert {row["alignment"] for row in findings.tables["dis"]} == set(EVALUATION.methods)
    assert [row["clip"] for row in findings.tables["dis_by_clip"]] == ["clip 0", "clip 1"]
    assert findings.pictures["worst_cases"].shape == (2 * 240, 4 * 240, 3)


def test_it_travels_without_what_it_opened_and_with_paths_of_the_clips(tmp_path: Path) -> None:
    stem = write_pose_clips(tmp_path / "train", [("a", clip(0, frames=2000)), ("b", clip(1))])
    clips = PoseClips(stem)
    made = AlignTask(SETTINGS, clips, clips, clips.names, {})
    (piece,) = validation_passes(made.validation_groups(), 0, 1, 6)
    expected, drives = made.load(piece), made.drives
    sent = pickle.dumps(made)
    assert len(sent) < 10_000
    there = pickle.loads(sent)
    for name, value in there.load(piece).items():
        torch.testing.assert_close(value, expected[name], equal_nan=True)
    assert all(torch.equal(one.driven, other.driven) for one, other in zip(there.drives, drives, strict=True))


def test_training_passes_take_training_clips() -> None:
    made = task([clip(2)])
    piece = next(SampleOrder(made.groups(), 4, 0, 1, 3).passes(0, 0, 1, 4))
    batch = made.load(piece)
    expected = AlignmentPairs(SETTINGS, [clip(0), clip(1)]).batch([draw.index for draw in piece.draws])
    for name, value in batch.items():
        torch.testing.assert_close(value, expected[name], equal_nan=True)


def test_the_exported_folder_holds_the_weights_and_what_people_want_to_know(tmp_path: Path) -> None:
    made = task([])
    state = {name: value + 0.5 for name, value in made.build().state_dict().items()}
    made.export(tmp_path, state)
    loaded = load_aligner_folder(tmp_path)
    assert loaded.settings == SETTINGS.aligner
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, state[name])
    assert '"told": "to people"' in (tmp_path / "config.json").read_text()
