"""Head turn from geometry, errors of incomplete packs; detection and identity on real pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from insightface.app import FaceAnalysis

from stableanimator.errors import WeightsError
from stableanimator.media.pictures import read_image
from stableanimator.media.video import VideoReader
from stableanimator.perception.faces import FaceAnalyser, _canvas, head_yaw
from stableanimator.perception.settings import FaceSettings
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.script import ClipSettings


@pytest.mark.parametrize("yaw", [-50.0, -20.0, 0.0, 10.0, 45.0])
@pytest.mark.parametrize("roll", [0.0, 25.0])
def test_head_yaw_of_a_turned_head(yaw: float, roll: float) -> None:
    # Millimetres: x to the right of the picture, y down, z to the camera; an average adult's face.
    head = np.array([[-31.5, 0, 0], [31.5, 0, 0], [0, 40, 30], [-25, 70, 10], [25, 70, 10]])
    turn, tilt = np.radians(yaw), np.radians(roll)
    x = head[:, 0] * np.cos(turn) + head[:, 2] * np.sin(turn)
    picture = np.stack([x, head[:, 1]], -1)
    rotation = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    landmarks = (2.5 * picture @ rotation.T + [300, 200]).astype(np.float32)
    assert head_yaw(landmarks) == pytest.approx(yaw, abs=0.2)


def test_a_missing_pack_names_its_folder_and_downloads_nothing(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"models/antelopev2 has no \*.onnx; unpack"):
        FaceAnalyser(FaceSettings(pack_root=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_pack_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "broken"
    folder.mkdir(parents=True)
    (folder / "det.onnx").write_text("<html>")
    with pytest.raises(WeightsError, match=r"det\.onnx cannot be read as ONNX"):
        FaceAnalyser(FaceSettings(pack_root=str(tmp_path), pack="broken"))


def test_settings_check_their_ranges() -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        FaceSettings(pack_root="/weights", detector_sizes=(600,))
    with pytest.raises(ValueError, match=r"min_score must be .* not 2"):
        FaceSettings(pack_root="/weights", min_score=2)


@pytest.mark.parametrize("shape", [(2, 1400), (1400, 2), (20, 20_000), (1, 1)])
def test_a_frame_too_narrow_for_the_detector_shows_no_face(shape: tuple[int, int]) -> None:
    drawn = FaceAnalyser(FaceSettings(pack_root="package://stableanimator.synthetic/weights/insightface", pack="drawn"))
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3)).astype(np.uint8)
    assert drawn(noise) == []


def test_any_face_has_an_identity_on_demand_and_the_main_ones_is_the_same() -> None:
    frame = draw_clip(write_clip("talk", 0, ClipSettings()), [0])[0][0]
    drawn = FaceAnalyser(FaceSettings(pack_root="package://stableanimator.synthetic/weights/insightface", pack="drawn"))
    main, *_ = drawn(frame)
    assert main.embedding is not None
    np.testing.assert_allclose(drawn.embedding(frame, main), main.embedding, rtol=1e-5)


@pytest.fixture(scope="module")
def analyser(real_data: Path) -> FaceAnalyser:
    return FaceAnalyser(FaceSettings(pack_root=str(real_data / "weights/insightface"), pack="small"))


@pytest.mark.real_data
@pytest.mark.parametrize(("kept", "lacking"), [("det_2.5g", "face recogniser"), ("MobileFaceNet", "face detector")])
def test_an_incomplete_pack_names_what_lacks(real_data: Path, tmp_path: Path, kept: str, lacking: str) -> None:
    folder = tmp_path / "models" / "half"
    folder.mkdir(parents=True)
    for file in (real_data / "weights/insightface/models/small").glob(f"{kept}*"):
        shutil.copy(file, folder)
    with pytest.raises(WeightsError, match=f"has no {lacking}"):
        FaceAnalyser(FaceSettings(pack_root=str(tmp_path), pack="half"))


@pytest.mark.real_data
def test_six_faces_in_a_group(real_data: Path, analyser: FaceAnalyser) -> None:
    picture = read_image(real_data / "media/images/group_of_six.jpg")
    faces = analyser(picture)
    assert len(faces) == 6
    areas = [(face.box[2] - face.box[0]) * (face.box[3] - face.box[1]) for face in faces]
    assert areas == sorted(areas, reverse=True)
    for face in faces:
        x0, y0, x1, y1 = face.box
        assert ((face.landmarks >= [x0, y0]) & (face.landmarks <= [x1, y1])).all()
    assert [face.embedding is None for face in faces] == [False] + [True] * 5  # only the main face is recognised
    assert faces[0].embedding is not None
    assert faces[0].embedding.shape == (analyser.embedding_width,) == (128,)
    assert analyser(np.zeros((200, 300, 3), np.uint8)) == []


@pytest.mark.real_data
def test_faces_are_what_insightface_gives(real_data: Path, analyser: FaceAnalyser) -> None:
    picture = read_image(real_data / "media/images/group_of_six.jpg")
    folder = real_data / "weights/insightface/models/small"
    theirs = FaceAnalysis(str(folder), allowed_modules=["detection", "recognition"], providers=["CPUExecutionProvider"])
    theirs.prepare(ctx_id=0, det_size=[(640, 640), (320, 320)])
    expected = theirs.get(np.ascontiguousarray(picture[..., ::-1]))
    faces = analyser(picture)
    assert len(expected) == len(faces)
    # Theirs pads the picture to a square, ours to the detector's stride: the same but for the faces near that border.
    for face in faces:
        same = min(expected, key=lambda other: float(np.abs(other.bbox - face.box).max()))
        size = float(min(face.box[2:] - face.box[:2]))
        np.testing.assert_allclose(face.box, same.bbox, atol=0.03 * size)
        np.testing.assert_allclose(face.landmarks, same.kps + 0.5, atol=0.03 * size)
        assert face.score == pytest.approx(same.det_score, abs=0.02)
    main = min(expected, key=lambda other: float(np.abs(other.bbox - faces[0].box).max()))
    assert faces[0].embedding is not None
    # The network's own output, of a length that says nothing: not the unit vector.
    length = np.linalg.norm(main.embedding)
    assert length > 2
    assert faces[0].embedding @ main.normed_embedding == pytest.approx(length, rel=0.03)


@pytest.mark.real_data
def test_a_square_picture_is_seen_as_insightface_sees_it(real_data: Path, analyser: FaceAnalyser) -> None:
    picture = read_image(real_data / "media/images/group_of_six.jpg")
    picture = np.ascontiguousarray(picture[:, : picture.shape[0]])  # nothing is padded
    folder = real_data / "weights/insightface/models/small"
    theirs = FaceAnalysis(str(folder), allowed_modules=["detection", "recognition"], providers=["CPUExecutionProvider"])
    theirs.prepare(ctx_id=0, det_size=[(640, 640), (320, 320)])
    expected = theirs.get(np.ascontiguousarray(picture[..., ::-1]))
    faces = analyser(picture)
    assert len(faces) == len(expected) > 1
    for face in faces:
        same = min(expected, key=lambda other: float(np.abs(other.kps + 0.5 - face.landmarks).max()))
        np.testing.assert_allclose(face.box, np.clip(same.bbox, 0, picture.shape[0]), atol=1e-2)
        np.testing.assert_allclose(face.landmarks, same.kps + 0.5, atol=1e-3)
        assert face.score == pytest.approx(same.det_score, abs=1e-5)


@pytest.mark.parametrize(
    ("height", "width", "canvas"),
    [(720, 1280, (640, 384)), (1280, 720, (384, 640)), (512, 512, (640, 640)), (16, 10000, (640, 32))],
)
def test_the_detectors_input_holds_the_picture_and_no_more_than_its_stride(
    height: int, width: int, canvas: tuple[int, int]
) -> None:
    assert _canvas(640, height, width) == canvas


@pytest.mark.real_data
def test_a_face_that_fills_the_frame_is_found(real_data: Path, analyser: FaceAnalyser) -> None:
    with VideoReader(real_data / "media/videos/moore_th1.mp4") as video:
        frames = video.read([0, 100, 200])
    assert [len(analyser(frame)) for frame in frames] == [1, 1, 1]


@pytest.mark.real_data
def test_the_same_person_is_more_alike_than_others(real_data: Path, analyser: FaceAnalyser) -> None:
    embeddings: dict[str, list[np.ndarray]] = {}
    for name in ("amy", "raj", "penny"):
        for number in (1, 2, 3):
            picture = read_image(real_data / f"media/images/identity/{name}{number}.png")
            padded = np.pad(picture, ((60, 60), (60, 60), (0, 0)))
            embedding = analyser(padded)[0].embedding
            embeddings.setdefault(name, []).append(embedding / np.linalg.norm(embedding))
    means = {name: np.mean(rows, axis=0) for name, rows in embeddings.items()}
    for name, rows in embeddings.items():
        for row in rows:
            assert max(means, key=lambda other: float(row @ means[other])) == name
