"""The inference path end to end: every real class at tiny widths with random weights, and a tiny ONNX recogniser."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from stableanimator import animate as inference
from stableanimator.alignment.settings import AlignmentName
from stableanimator.alignment.similarity import Similarity
from stableanimator.animate import Animation, Driving, Models, Reference, ReferenceFace, aligned, framing_of
from stableanimator.animate_settings import AnimateSettings
from stableanimator.diffusion.settings import FaceOptimisationSettings, SamplerSettings
from stableanimator.driving import skeleton_pictures
from stableanimator.errors import CheckpointError
from stableanimator.models.animator import Animator
from stableanimator.models.encoders import Encoders, tiny_autoencoder
from stableanimator.models.settings import (
    Branches,
    CLIPSettings,
    EncoderSettings,
    FaceEncoderSettings,
    FrameRates,
    ModelSettings,
    PoseNetSettings,
    UNetSettings,
    VAESettings,
)
from stableanimator.optimised_faces import face_hook
from stableanimator.perception.arcface import ArcFace

pytestmark = pytest.mark.numeric

EMBEDDING = 8
FRAMES = 3


def write_recogniser(path: Path) -> Path:
    """An ONNX file with a recogniser's interface: [N, 3, 112, 112] -> [N, 8], random weights."""
    generator = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        values = generator.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        return numpy_helper.from_array(values.astype(np.float32), name)

    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "kernel"], ["features"], strides=[14, 14], kernel_shape=[14, 14]),
            helper.make_node("Relu", ["features"], ["active"]),
            helper.make_node("Flatten", ["active"], ["flat"]),
            helper.make_node("Gemm", ["flat", "matrix"], ["embedding"], transB=1),
        ],
        "recogniser",
        [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["N", 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, ["N", EMBEDDING])],
        [weights("kernel", 16, 3, 14, 14), weights("matrix", EMBEDDING, 16 * 8 * 8)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    torch.manual_seed(0)
    settings = ModelSettings(
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
            embedding_width=EMBEDDING, cross_attention_dim=16, layers=1, heads=1, head_dim=16
        ),
        pose_net=PoseNetSettings(widths=(8, 8), final_width=8),
        reference_gain=1.0,
        skeleton="ours",
    )
    encoders = EncoderSettings(
        vae=VAESettings(block_out_channels=(32, 32, 32), layers_per_block=1, scaling_factor=1.0),
        clip=CLIPSettings(
            hidden_size=16, intermediate_size=16, layers=1, heads=1, image_size=28, patch_size=14, projection_dim=16
        ),
        decode_chunk=2,
    )
    animator = Animator(settings).eval()
    for parameter in animator.parameters():  # away from the zeros that new parts start with
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    path = write_recogniser(tmp_path_factory.mktemp("arcface") / "recogniser.onnx")
    return Models(
        animator=animator,
        rates=FrameRates(),
        encoders=Encoders(encoders),
        arcface=ArcFace.from_onnx(path, 127.5, 127.5),
    )


def _pose(offset: float = 0.0) -> np.ndarray:
    """A face of three points, shoulders and hips, in a picture of 40x40."""
    pose = np.full((133, 3), np.nan, np.float32)
    pose[:, 2] = 0
    places = {0: (20, 16), 1: (24, 11), 2: (16, 11), 5: (28, 24), 6: (12, 24), 11: (25, 36), 12: (15, 36)}
    for joint, place in places.items():
        pose[joint] = (place[0] + offset, place[1], 0.9)
    return pose


@pytest.fixture(scope="module")
def reference() -> Reference:
    picture = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    embedding = 7 * np.random.default_rng(2).normal(size=EMBEDDING).astype(np.float32)  # of length 20, about
    box = np.array([14, 8, 26, 20], np.float32)
    return Reference(picture=picture, keypoints=_pose()[None], face_box=box, face_embedding=embedding)


@pytest.fixture(scope="module")
def driving() -> Driving:
    """Twice as large a video; the person moves by a pixel a frame, and turns away in the last one."""
    poses = np.stack([_pose(offset) * [2, 2, 1] for offset in range(FRAMES)]).astype(np.float32)
    poses[-1, 0, 2] = 0
    return Driving(keypoints=poses[:, None], height=80, width=80, fps=7.0)


PLAIN = AnimateSettings(
    sizes=((32, 32),),
    sampler=SamplerSettings(steps=3, sigma_max=20.0, s_churn=1.0),
    alignment="svd",
    face_optimisation=False,
)
HJB = replace(
    PLAIN, face_optimisation=True, hjb=FaceOptimisationSettings(sigma_min=0.2, sigma_max=100.0, optimisation_steps=4)
)


def animate(
    models: Models, reference: Reference, driving: Driving, settings: AnimateSettings, seed: int = 0
) -> Animation:
    return inference.animate(models, reference, aligned(reference, driving, settings, models.aligner), settings, seed)


@pytest.fixture(scope="module")
def plain(models: Models, reference: Reference, driving: Driving) -> Animation:
    return animate(models, reference, driving, PLAIN, seed=5)


def test_the_same_seed_gives_the_same_frames_and_another_gives_others(
    models: Models, reference: Reference, driving: Driving, plain: Animation
) -> None:
    assert plain.frames.shape == (FRAMES, 32, 32, 3)
    assert plain.frames.std() > 5
    assert plain.face_optimisation is None
    np.testing.assert_array_equal(animate(models, reference, driving, PLAIN, seed=5).frames, plain.frames)
    assert (animate(models, reference, driving, PLAIN, seed=6).frames != plain.frames).mean() > 0.3


def test_the_model_is_told_the_drives_rate_unless_it_knows_one_alone(
    models: Models, reference: Reference, driving: Driving, plain: Animation
) -> None:
    """Of the released rates, whose fps_id is 6, `plain` was made; 7 frames a second have this one of their own."""
    own = replace(models, rates=FrameRates(fps=(8.0,), fps_id=None))
    np.testing.assert_array_equal(animate(own, reference, driving, PLAIN, seed=5).frames, plain.frames)
    faster = replace(driving, fps=30.0)
    assert (animate(own, reference, faster, PLAIN, seed=5).frames != plain.frames).mean() > 0.01
    np.testing.assert_array_equal(animate(models, reference, faster, PLAIN, seed=5).frames, plain.frames)


def test_face_optimisation_lowers_its_loss_and_changes_the_frames(
    models: Models, reference: Reference, driving: Driving, plain: Animation
) -> None:
    result = animate(models, reference, driving, HJB, seed=5)
    report = result.face_optimisation
    assert report is not None
    assert (report.frames, report.frames_with_face, report.skipped) == (FRAMES, FRAMES - 1, None)
    assert [record.step for record in report.records] == [0, 1]
    assert all(record.after < record.before for record in report.records)
    assert (result.frames[:2] != plain.frames[:2]).mean() > 0.05


def test_without_a_visible_face_face_optimisation_does_nothing_and_says_so(
    models: Models, reference: Reference, driving: Driving, plain: Animation
) -> None:
    keypoints = driving.keypoints.copy()
    hidden = animate(models, reference, replace(driving, keypoints=keypoints), PLAIN, seed=5)
    np.testing.assert_array_equal(hidden.frames, plain.frames)
    keypoints[..., 0, 2] = 0
    result = animate(models, reference, replace(driving, keypoints=keypoints), HJB, seed=5)
    assert result.face_optimisation is not None
    assert result.face_optimisation.skipped == "no driven frame has a face"
    without = animate(models, reference, replace(driving, keypoints=keypoints), PLAIN, seed=5)
    np.testing.assert_array_equal(result.frames, without.frames)


def _couple(reference: Reference, driving: Driving) -> tuple[Reference, np.ndarray]:
    """Two people of half the size side by side, with an embedding each, and their poses in the animation of 32x32; the
    second turns away before the first does."""
    pair = np.stack([_pose() * [0.5, 0.5, 1], _pose() * [0.5, 0.5, 1] + [20, 0, 0]]).astype(np.float32)
    poses = np.repeat(pair[None] * np.array([0.8, 0.8, 1], np.float32), FRAMES, 0)
    poses[2, 0, 2] = poses[1:, 1, 2] = 0
    poses[2, :, 0, 2] = 0
    other = ReferenceFace(box=np.array([27, 4, 33, 10], np.float32), embedding=-reference.face_embedding[::-1].copy())
    return replace(reference, keypoints=pair, other_faces=(other,)), poses


def test_everybody_with_a_face_is_drawn_towards_their_own(
    models: Models, reference: Reference, driving: Driving
) -> None:
    """The loss of both is the mean over the faces of each: two frames show the first person, one the second."""
    both, poses = _couple(reference, driving)
    poses[1, 1, 0, 2] = 0
    latents = torch.randn(1, FRAMES, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    second = replace(
        both,
        keypoints=both.keypoints[1:],
        face_box=both.other_faces[0].box,  # type: ignore[union-attr]
        face_embedding=both.other_faces[0].embedding,  # type: ignore[union-attr]
        other_faces=(),
    )
    hjb = FaceOptimisationSettings()
    together = face_hook(models, both, poses, (32, 32), hjb)
    alone = [
        face_hook(models, replace(both, other_faces=(None,)), poses, (32, 32), hjb),
        face_hook(models, second, poses[:, 1:], (32, 32), hjb),
    ]
    assert [hook.report.frames_with_face for hook in (together, *alone)] == [2, 2, 1]
    assert together.report.people == 2
    losses = [hook.loss(latents) for hook in alone]
    assert together.loss(latents) == pytest.approx((2 * losses[0] + losses[1]) / 3, rel=1e-4)
    changes = [hook(latents, 0, 25, 1.0) - latents for hook in (together, *alone)]
    moved = [(change.abs().amax(2) > 0)[0] for change in changes]
    assert torch.equal(moved[0], moved[1] | moved[2])
    assert not bool((moved[1] & moved[2]).any())


def test_the_tiny_decoder_gives_gradients_and_the_vae_the_frames(
    models: Models, reference: Reference, driving: Driving, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    tiny_autoencoder(4, 4, 8).save_pretrained(tmp_path)
    encoders = Encoders(replace(models.encoders.settings, tiny_decoder=str(tmp_path)))
    settings = replace(HJB, hjb=replace(HJB.hjb, decoder="tiny", region="face", region_margin=2))
    with pytest.raises(ValueError, match=r"encoders\.tiny_decoder"):
        animate(models, reference, driving, settings)
    optimised = animate(replace(models, encoders=encoders), reference, driving, settings, seed=5)
    report = optimised.face_optimisation
    assert report is not None
    assert all(record.after < record.before for record in report.records)
    pictures = torch.from_numpy(optimised.frames).permute(0, 3, 1, 2) / 127.5 - 1
    exact = face_hook(models, reference, aligned(reference, driving, PLAIN).poses, (32, 32), HJB.hjb)
    exact.judge(pictures)
    assert exact.report.final is not None
    assert report.final == pytest.approx(exact.report.final, abs=0.02)  # frames are rounded to 8 bits


def test_the_model_is_driven_by_the_aligned_skeleton(plain: Animation) -> None:
    # Motions of 0, 1 and 2 pixels on the reference's scale, about their median: -1, 0, 1; 40 pixels become 32.
    poses = np.stack([_pose(offset) * [0.8, 0.8, 1] for offset in (-1, 0, 1)]).astype(np.float32)
    poses[-1, 0, 2] = 0
    expected = skeleton_pictures(poses[:, None], 32, 32, "ours")
    difference = np.abs(plain.skeletons.astype(int) - expected)
    assert expected.mean() > 5
    assert difference.mean() < 0.05 * expected.mean()  # rounding of the fit moves a line's edge by a grey level


@pytest.mark.parametrize("part", ["pose", "face", "picture"])
def test_every_input_reaches_the_frames(
    part: str, models: Models, reference: Reference, driving: Driving, plain: Animation
) -> None:
    if part == "pose":
        driving = replace(driving, keypoints=driving.keypoints * np.array([1, 0.7, 1], np.float32))
    elif part == "face":
        reference = replace(reference, face_embedding=-reference.face_embedding)
    else:
        reference = replace(reference, picture=255 - reference.picture)
    assert (animate(models, reference, driving, PLAIN, seed=5).frames != plain.frames).mean() > 0.01


def test_without_the_face_nothing_of_it_reaches_the_frames(
    models: Models, reference: Reference, driving: Driving, plain: Animation
) -> None:
    off = replace(PLAIN, face=False)
    without = animate(models, reference, driving, off, seed=5).frames
    other = replace(reference, face_embedding=-reference.face_embedding)
    np.testing.assert_array_equal(animate(models, other, driving, off, seed=5).frames, without)
    assert (without != plain.frames).mean() > 0.01


def test_what_does_not_fit_is_refused(models: Models, reference: Reference, driving: Driving) -> None:
    with pytest.raises(ValueError, match="max_frames"):
        animate(models, reference, driving, replace(PLAIN, max_frames=2))
    two = replace(reference, keypoints=np.repeat(reference.keypoints, 2, 0))
    with pytest.raises(ValueError, match="2 people in the reference are driven by 1"):
        animate(models, two, driving, PLAIN)
    with pytest.raises(ValueError, match="reads 8 values"):
        animate(models, replace(reference, face_embedding=np.ones(4, np.float32)), driving, PLAIN)
    with pytest.raises(ValueError, match="needs ArcFace"):
        animate(replace(models, arcface=None), reference, driving, HJB)
    with pytest.raises(ValueError, match="learned"):
        animate(models, reference, driving, replace(PLAIN, alignment="learned"))
    vae = VAESettings(block_out_channels=(32, 32), layers_per_block=1)
    other = EncoderSettings(vae=vae, clip=models.encoders.settings.clip)
    with pytest.raises(CheckpointError, match="pixels a latent: the model was made for 4, the encoders give 2"):
        replace(models, encoders=Encoders(other))


@pytest.mark.parametrize(("branches", "unet_calls"), [("apart", 10), ("together", 5)])
def test_what_no_step_changes_is_computed_once(
    branches: Branches, unet_calls: int, models: Models, reference: Reference, driving: Driving, plain: Animation
) -> None:
    """Three steps, two of them corrected: five evaluations of two branches."""
    calls: Counter[str] = Counter()
    animator = copy.deepcopy(models.animator)
    for name in ("unet", "face_encoder", "pose_net"):
        getattr(animator, name).register_forward_hook(lambda *_, name=name: calls.update([name]))
    settings = replace(PLAIN, branches=branches)
    frames = animate(replace(models, animator=animator), reference, driving, settings, seed=5).frames
    assert calls == {"unet": unet_calls, "face_encoder": 1, "pose_net": 1}
    assert np.abs(frames.astype(int) - plain.frames).max() <= 1  # rounding, at most a grey level


def test_face_optimisation_does_not_depend_on_how_the_branches_run(
    models: Models, reference: Reference, driving: Driving
) -> None:
    losses = []
    for branches in ("together", "apart"):
        report = animate(models, reference, driving, replace(HJB, branches=branches), seed=5).face_optimisation
        assert report is not None
        losses.append([(record.before, record.after) for record in report.records])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


@pytest.mark.parametrize(("dtype", "share"), [(torch.bfloat16, 0.1), (torch.float16, 0.02)])
def test_a_denoiser_of_half_precision_gives_nearly_the_same_frames(
    dtype: torch.dtype, share: float, models: Models, reference: Reference, driving: Driving, plain: Animation
) -> None:
    half = replace(models, animator=copy.deepcopy(models.animator).to(dtype))
    frames = animate(half, reference, driving, PLAIN, seed=5).frames
    assert np.abs(frames.astype(int) - plain.frames).mean() < share * plain.frames.std()


def _at(x: float, y: float, scale: float = 1.0) -> np.ndarray:
    """The person of `_pose` with the middle of the body at a place."""
    pose = _pose()
    pose[:, :2] = (pose[:, :2] - [20, 23.5]) * scale + [x, y]
    return pose


def _picture_of(height: int, width: int, *people: np.ndarray) -> Reference:
    nose = people[0][0, :2]
    return Reference(
        picture=np.zeros((height, width, 3), np.uint8),
        keypoints=np.stack(people),
        face_box=(nose[[0, 1, 0, 1]] + np.array([-6, -8, 6, 4])).astype(np.float32),
        face_embedding=np.ones(EMBEDDING, np.float32),
    )


def test_the_reference_is_cut_around_its_people() -> None:
    """Bodies reach 8 to each side and 12.5 up and down; heads 12 to each side of the nose, 14 above and 10 below it."""
    sizes = ((96, 96),)
    at_the_side = framing_of(_picture_of(96, 288, _at(260, 48)), sizes)
    assert (at_the_side.left, at_the_side.size) == (192, (96, 96))
    assert framing_of(_picture_of(96, 288, _at(120, 48)), sizes).left == 72
    two = framing_of(_picture_of(96, 288, _at(110, 48), _at(170, 48)), sizes)
    assert two.left == 90  # between the head of the one at 98 and the shoulder of the other at 178
    too_far = framing_of(_picture_of(96, 288, _at(60, 48), _at(260, 48)), sizes)
    assert too_far.left == 48  # where the first one's head begins
    giant = _at(48, 19)
    giant[:, 1] *= 10  # taller than the cut, and no wider
    tall = framing_of(_picture_of(384, 96, giant), sizes)
    assert tall.top == 101  # the nose is at 115


@pytest.mark.parametrize("alignment", ["none", "svd"])
def test_a_clip_that_drives_itself_stays_where_its_reference_is_cut(alignment: AlignmentName) -> None:
    person = _at(260, 48)
    settings = replace(PLAIN, sizes=((96, 96),), alignment=alignment)
    drive = Driving(keypoints=np.stack([person, person])[:, None], height=96, width=288, fps=7.0)
    driven = aligned(_picture_of(96, 288, person), drive, settings)
    np.testing.assert_allclose(driven.poses[1, 0, 0, :2], person[0, :2] - [192, 0], atol=1e-2)
    assert driven.joints_in_picture == 1
    assert driven.framing.middle == (240 / 288, 0.5)


def test_what_the_drive_and_the_reference_do_not_show_decides_nothing_and_is_drawn() -> None:
    """Ankles below both pictures, on which nothing depends but the skeleton: legs run to the edge."""
    settings, person = replace(PLAIN, sizes=((96, 96),), alignment="svd"), _at(48, 70)
    person[11:13] = [(52, 90, 0.9), (44, 90, 0.9)]
    legs = person.copy()
    legs[13:15] = [(60, 110, 0.9), (36, 110, 0.9)]
    strayed = person.copy()
    strayed[13:15] = [(500, -40, 0.9), (-300, 200, 0.9)]
    turn = Similarity.from_degrees(torch.tensor(20.0), torch.tensor(0.5), torch.tensor([0.1, -0.1]))
    bare, whole = (
        aligned(
            _picture_of(96, 288, reference),
            Driving(keypoints=drive[None, None], height=96, width=288, fps=7.0, misalignment=turn),
            settings,
        )
        for reference, drive in ((person, person), (strayed, legs))
    )
    assert whole.framing == bare.framing
    assert whole.joints_in_picture == bare.joints_in_picture == 1
    there = bare.poses[..., 2] > 0
    np.testing.assert_array_equal(whole.poses[there], bare.poses[there])
    np.testing.assert_allclose(whole.poses[0, 0, 13:15, :2], legs[13:15, :2], atol=1e-3)
    pictures = [skeleton_pictures(driven.poses, 96, 96, "ours")[0] for driven in (bare, whole)]
    assert not pictures[0][95].any()
    assert pictures[1][95].any()


def test_poses_that_leave_the_picture_are_counted() -> None:
    reference = _picture_of(96, 96, _at(48, 48))
    settings = replace(PLAIN, sizes=((96, 96),), alignment="none")
    leaving = Driving(keypoints=_at(138, 48)[None, None], height=96, width=192, fps=7.0)  # cut from 48 on
    assert aligned(reference, leaving, settings).joints_in_picture == 7 / 8  # one shoulder is at 98
    far = Similarity.from_degrees(torch.tensor(0.0), torch.tensor(1.0), torch.tensor([9.0, 0.0]))
    assert aligned(reference, replace(leaving, misalignment=far), settings).joints_in_picture == 0


def test_without_a_face_in_the_reference_the_networks_are_shown_zeros(
    models: Models, reference: Reference, driving: Driving
) -> None:
    faceless = replace(reference, face_box=None, face_embedding=None)
    result = animate(models, faceless, driving, HJB, seed=5)
    assert result.face_optimisation is not None
    assert (result.face_optimisation.skipped, result.face_optimisation.records) == ("the reference shows no face", [])
    zeros = replace(reference, face_embedding=np.zeros(EMBEDDING, np.float32))
    np.testing.assert_array_equal(animate(models, zeros, driving, PLAIN, seed=5).frames, result.frames)


def test_faces_that_are_turned_away_are_left_as_they_are(
    models: Models, reference: Reference, driving: Driving
) -> None:
    """In the second frame the nose lies beside both eyes."""
    poses = aligned(reference, driving, HJB).poses.copy()
    poses[1, 0, 0, :2] = poses[1, 0, 1, :2] + [4, 0]
    counts = [
        face_hook(models, reference, poses, (32, 32), replace(HJB.hjb, max_yaw=yaw)).report.frames_with_face
        for yaw in (None, 60.0)
    ]
    assert counts == [2, 1]
