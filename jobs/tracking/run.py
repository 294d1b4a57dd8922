"""One run, as any process of a job can hold it: what it logs goes to the run's spool, and from there to MLflow."""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from jobs.tracking.spool import Spool, Writer

DIGEST_LENGTH = 32  # MLflow refuses dataset digests over 36 characters
_SHORT = 12
"""Characters of an id in a tag, where people read it: enough for every setting that names a collection."""


class Run:
    """A handle on one run that any process can hold: it carries the folder of the run's spool.

    Nothing here waits for the tracker or fails because of it.
    """

    def __init__(self, folder: str | Path, outputs: dict[str, str] | None = None) -> None:
        self.folder = str(folder)
        self.outputs = {} if outputs is None else outputs
        """Ids of what this process recorded as made, by name."""
        self.run_id: str | None = None
        """In MLflow, where the driver knows it: a tracker that does not answer has given none."""
        self._digests: dict[str, str] = {}
        self._writer = Writer(Spool(Path(folder)))

    def __reduce__(self) -> tuple[type[Run], tuple[str]]:
        return Run, (self.folder,)

    def params(self, values: Mapping[str, Any]) -> None:
        """Log flat parameters in their order, which is the one of MLflow's captions (its tables sort by name). A value
        that this run already has is left as it is (a restart logs them again)."""
        self._writer.append({"kind": "params", "values": {name: str(value) for name, value in values.items()}})

    def metrics(
        self,
        values: Mapping[str, float | None],
        step: int = 0,
        model: str | None = None,
        dataset: str | None = None,
    ) -> None:
        """Log numbers of one step. None is left out: what is missing is recorded as missing. NaN and infinity are
        shown as what they are.

        Args:
            model: id of the collection that they judge (`judges_model`): MLflow shows them beside it too.
            dataset: what it was judged on: the name of one that this process recorded (`dataset`).
        """
        points = {name: float(value) for name, value in values.items() if value is not None}
        of = None if dataset is None else [dataset, self._digests[dataset]]
        record = {"kind": "metrics", "values": points, "step": step, "time": _now(), "model": model, "dataset": of}
        self._writer.append(record)

    def system_metrics(self, values: Mapping[str, float], number: int) -> None:
        """What the machine did: sample `number` of this job, after those that the run had before."""
        self._writer.append({"kind": "system", "values": dict(values), "step": number, "time": _now()})

    def table(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Log rows as the table artifact `<name>.json`, which the MLflow page shows and compares."""
        names = list(dict.fromkeys(name for row in rows for name in row))
        if names:
            table = {"columns": names, "data": [[_json(row.get(name)) for name in names] for row in rows]}
            data = json.dumps(table, ensure_ascii=False).encode()
            self._writer.keep(data, {"kind": "table", "path": f"{name}.json"})

    def file(self, local_path: str | Path, folder: str = "") -> None:
        """Log a local file as an artifact."""
        name = Path(local_path).name
        self._writer.keep(Path(local_path), {"kind": "artifact", "path": f"{folder}/{name}" if folder else name})

    def video(self, local_path: str | Path, name: str, step: int) -> None:
        """Log an mp4 as the artifact `videos/<name>_step_<step>.mp4`: MLflow shows artifacts in the order of names."""
        self._writer.keep(Path(local_path), {"kind": "artifact", "path": f"videos/{name}_step_{step:07d}.mp4"})

    def text(self, text: str, name: str) -> None:
        """Log a text (YAML, HTML) as the artifact `name`."""
        self._writer.keep(text.encode(), {"kind": "artifact", "path": name})

    def picture(self, picture: npt.NDArray[np.uint8], name: str) -> None:
        """Log an RGB picture [H, W, 3] as the artifact `name`. (MLflow's series of pictures, by key and step, are shown
        below all of a run's parameters.)"""
        encoded = io.BytesIO()
        Image.fromarray(picture).save(encoded, Image.registered_extensions()[Path(name).suffix.lower()])
        self._writer.keep(encoded.getvalue(), {"kind": "artifact", "path": name})

    def tag(self, key: str, value: str) -> None:
        self._writer.append({"kind": "tag", "name": key, "value": value})

    def dataset(self, name: str, uri: str, digest: str, context: str = "input") -> None:
        """Record a dataset by its manifest's SHA-256: MLflow gets 32 characters of `digest` and all of it in the
        dataset's source; the tag `name`, by which people group and filter, its first 12."""
        self._writer.append({"kind": "dataset", "name": name, "uri": uri, "sha256": digest, "context": context})
        self.tag(name, digest[:_SHORT])
        self._digests[name] = digest[:DIGEST_LENGTH]
        if context == "output":
            self.outputs[name] = digest

    def makes_model(self, kind: str, name: str, collection_id: str, folder: str, step: int) -> None:
        """Record that this run made a model, with this run's parameters.

        A model of the same collection, which an earlier run made, is not made again.

        Args:
            kind: `model`, `aligner`, `encoders`, `tiny_decoder`.
            name: of its folder.
            collection_id: of the finished training.
            folder: of its weights, which stay where they are.
            step: optimiser steps of its training.
        """
        described = {"collection": collection_id, "type": kind, "name": name, "folder": folder}
        self._writer.append({"kind": "made", "model": described, "step": step})

    def judges_model(self, collection_id: str, kind: str = "model") -> None:
        """Record that this run judges a model, before the metrics that do.

        One that no training has recorded in this tracker (weights from elsewhere) is recorded now.
        """
        described = {"collection": collection_id, "type": kind, "name": collection_id[:_SHORT], "folder": ""}
        self._writer.append({"kind": "judged", "model": described})
        self.tag(kind, collection_id[:_SHORT])

    def end(self, status: str) -> None:
        """The last that is logged: `FINISHED` or `FAILED`."""
        self._writer.append({"kind": "end", "status": status, "time": _now()})


def _now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _json(value: Any) -> Any:
    """A table's cell: what JSON has no word for is absent, or text."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_json(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): _json(each) for name, each in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
