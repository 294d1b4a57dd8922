"""One HTML page with the sheets of all pairs, those with warnings first. It loads nothing from elsewhere."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from typing import Any

import cv2
import jinja2
import numpy as np
import numpy.typing as npt

from pipelines.storage.store import Store

_WIDTH = 1280
"""Pixels of a sheet on the page; the PNG is whole."""
_QUALITY = 75  # of WebP: about 50 kB a sheet


def preview_page(store: Store, rows: Sequence[dict[str, Any]]) -> str:
    """The page of rows of PREVIEWS, whose sheets lie in `store`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jobs.preview", "."), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    done = sorted((row for row in rows if row["status"] == "done"), key=lambda row: -len(row["warnings"]))
    return environment.get_template("page.html.jinja").render(
        pairs=[row | {"picture": _small(sheet_of(store, row))} for row in done],
        failed=[row for row in rows if row["status"] != "done"],
        counts=Counter(name for row in done for name in row["warnings"]).most_common(),
    )


def sheet_of(store: Store, row: dict[str, Any]) -> npt.NDArray[np.uint8]:
    """The sheet of a row that is done, uint8 RGB [H, W, 3]."""
    data = store.read_bytes(row["sheet_uri"])
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def _small(sheet: npt.NDArray[np.uint8]) -> str:
    """A sheet as a data URL."""
    factor = min(1.0, _WIDTH / sheet.shape[1])
    small = cv2.resize(sheet, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    data = bytes(cv2.imencode(".webp", small[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1])
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"
