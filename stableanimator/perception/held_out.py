"""A second face recogniser, which judges results and nothing else: nothing is trained or optimised against it.

HJB face optimisation raises the cosine of the pack's own recogniser, partly by what only that network sees. Import
rules keep this module to the evaluation (pyproject.toml).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from insightface.app.common import Face as InsightFace
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from numpy.typing import NDArray

from stableanimator.errors import WeightsError
from stableanimator.paths import local_path
from stableanimator.perception.arcface import CROP_SIZE
from stableanimator.perception.onnx_session import open_session, read_graph, weights_sha256
from stableanimator.perception.settings import Device, FaceSettings

_WHAT = f"a face recogniser with ArcFace's interface ([B, 3, {CROP_SIZE}, {CROP_SIZE}] to [B, E])"


class HeldOutRecogniser:
    """`recogniser(frame, landmarks)` embeds the face at five landmarks, aligned as InsightFace does.

        recogniser = HeldOutRecogniser("/weights/insightface/models/buffalo_l/w600k_r50.onnx")

    Raises:
        WeightsError: the file is missing, unreadable, or has another interface.
    """

    def __init__(self, path: str | Path, threads: int = 1, device: Device = "cpu") -> None:
        session = open_session(path, _WHAT, threads, device)
        inputs, outputs = session.get_inputs(), session.get_outputs()
        shapes = [one.shape for one in (*inputs, *outputs)]
        if len(shapes) != 2 or not _takes_crops(shapes[0]) or len(shapes[1]) != 2:
            raise WeightsError(f"{local_path(path)} takes and gives {shapes}; it is not {_WHAT}")
        self._network = ArcFaceONNX(str(local_path(path)), session)
        self.weights_sha256 = weights_sha256([path])

    @classmethod
    def from_settings(
        cls, settings: FaceSettings, threads: int = 1, device: Device = "cpu"
    ) -> HeldOutRecogniser | None:
        """The one that `held_out` names: a file, or the recogniser of a pack; None where it names none.

        Raises:
            WeightsError: as above, the pack has no recogniser, or it is the very network of `pack`.
        """
        if settings.held_out is None:
            return None
        packs = local_path(settings.pack_root) / "models"
        is_file = "/" in settings.held_out
        path = local_path(settings.held_out) if is_file else recogniser_of_pack(packs / settings.held_out)
        judge = cls(path, threads, device)
        if any(weights_sha256([own]) == judge.weights_sha256 for own in sorted((packs / settings.pack).glob("*.onnx"))):
            raise WeightsError(f"perception.faces.held_out: {path} is a network of the pack {settings.pack} itself")
        return judge

    def __call__(self, frame: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> NDArray[np.float32]:
        """Embedding [E] of a face in an RGB frame [H, W, 3]; five landmarks [5, 2] in pixels, as `Face.landmarks`."""
        # InsightFace counts from the centre of the first pixel when it crops; we from its corner.
        face = InsightFace(kps=np.asarray(landmarks, np.float32) - np.float32(0.5))
        self._network.get(np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), np.uint8), face)
        return np.asarray(face.embedding, np.float32)


def recogniser_of_pack(folder: Path) -> Path:
    """The recogniser among the networks of an InsightFace pack: the one that takes aligned faces.

    Raises:
        WeightsError: there is none.
    """
    for path in sorted(folder.glob("*.onnx")):
        graph = read_graph(path)
        weights = {tensor.name for tensor in graph.initializer}  # older exports list them among the inputs
        inputs = [one.type.tensor_type.shape.dim for one in graph.input if one.name not in weights]
        if len(inputs) == 1 and _takes_crops([axis.dim_value for axis in inputs[0]]):
            return path
    raise WeightsError(f"{folder} has no face recogniser (an ArcFace *.onnx); unpack a pack there, or name a file")


def _takes_crops(shape: list[int | str | None]) -> bool:
    return shape[1:] == [3, CROP_SIZE, CROP_SIZE]
