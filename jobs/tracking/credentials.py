"""Name and password of the tracker, where MLFLOW_TRACKING_URI has them: kept out of what is shown and recorded.

Of a server they become MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD of this process, so that its address can
be told. They reach a submitted job in a file of its working directory, not in its environment, which Ray shows to all
who may list jobs. What they open is open to whoever may run code in the cluster: Ray keeps working directories there.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from jobs.tracking.pages import without_password

_URI = "MLFLOW_TRACKING_URI"
_SENT = Path(__file__).resolve().parents[2] / "tracking_credentials.json"
_given: dict[str, str] = {}
"""The URI as it was given, where it has a password that `take` took out."""


def take() -> None:
    """Find what was sent with a submitted job, and let MLflow's client find name and password where it looks for them.
    Every process that speaks to the tracker does this first."""
    if _SENT.exists():
        os.environ[_URI] = json.loads(_SENT.read_text())[_URI]
    uri = os.environ.get(_URI, "")
    if not uri.startswith(("http://", "https://")) or without_password(uri) == uri:
        return
    parts = urlsplit(uri)
    _given[_URI], os.environ[_URI] = uri, without_password(uri)
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username or "")
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")


def send(folder: Path) -> None:
    """Write into a job's working directory what its processes `take`; nothing where the URI has no password."""
    uri = os.environ.get(_URI, "")
    given = _given.get(_URI, "")
    uri = given if without_password(given) == uri else uri
    if without_password(uri) != uri:
        file = folder / _SENT.name
        file.touch(mode=0o600)
        file.write_text(json.dumps({_URI: uri}))
