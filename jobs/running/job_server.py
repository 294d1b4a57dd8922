"""A cluster's job server: its token, whether it is one at all, its versions and nodes, and Ray's client of it.

Whoever is not answered by a job server of Ray learns it here, in one line, before anything is sent.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.running.environment import variables
from stableanimator.errors import ConfigError
from stableanimator.redaction import redacted

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

CONNECT_S, ANSWER_S = 10.0, 120.0
"""Seconds until a server must have taken a connection, and between two pieces of its answer."""
SUBMITTER = "SA_SUBMITTER"
"""Variable by which a job knows the versions of Ray and Python of whoever submitted it."""
_PROBE_S = 10.0
_NODES_S = 15.0  # a head that has just started lists its nodes only then
_WAY_OUT = "give http://HEAD:8265 with the port of its dashboard"


@dataclass(frozen=True, kw_only=True, slots=True)
class Versions:
    """What a cluster runs, as its head says."""

    ray: str
    python: str | None
    """None where the head does not say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A machine of a cluster that is alive."""

    address: str
    resources: Mapping[str, float]
    """All that it has, used or not: CPU and GPU as counts, memory in bytes."""


def token(environment: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """The token for clusters that want one, and where it was found, in Ray's order: RAY_AUTH_TOKEN, the file of
    RAY_AUTH_TOKEN_PATH, `~/.ray/auth_token`. None where there is none, or RAY_AUTH_MODE is `disabled`.

    Raises:
        ConfigError: RAY_AUTH_TOKEN_PATH names no readable file, or what was found is no token.
    """
    if environment.get("RAY_AUTH_MODE", "").lower() == "disabled":
        return None
    if value := environment.get("RAY_AUTH_TOKEN"):
        return _checked(value, "RAY_AUTH_TOKEN")
    if named := environment.get("RAY_AUTH_TOKEN_PATH"):
        try:
            return _checked(Path(named).expanduser().read_text(), f"RAY_AUTH_TOKEN_PATH ({named})")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise ConfigError(
                f"RAY_AUTH_TOKEN_PATH: {named} cannot be read ({reason}); name the token's file"
            ) from error
    usual = Path(environment.get("HOME", "~")).expanduser() / ".ray" / "auth_token"
    try:
        return _checked(usual.read_text(), str(usual))
    except (OSError, UnicodeDecodeError):
        return None


def _checked(text: str, where: str) -> tuple[str, str]:
    value = text.strip()
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(f"{where} holds no token; put in it what `ray get-auth-token` prints on the head")
    return value, where


def headers() -> dict[str, str]:
    """What every request carries: the token, and what RAY_JOB_HEADERS (JSON, as Ray's own commands read it) adds.

    Raises:
        ConfigError: as `token`, or RAY_JOB_HEADERS is no JSON object of texts.
    """
    found = token()
    result = {"Authorization": f"Bearer {found[0]}"} if found else {}
    if given := os.environ.get("RAY_JOB_HEADERS"):
        try:
            added = json.loads(given)
            result |= {str(name): str(value) for name, value in added.items()}
        except (ValueError, AttributeError) as error:
            raise ConfigError('RAY_JOB_HEADERS is no JSON object, as {"Name": "value"}; mend or unset it') from error
    return result


def _get(address: str, path: str, seconds: float | None = None) -> Any:
    """The answer (requests.Response) of a server; redirects are not followed, since a login page is no job server."""
    import requests  # here: a mistake in the settings is answered before it is loaded

    return requests.get(
        f"{address}{path}",
        headers=headers(),
        timeout=(CONNECT_S, seconds or _PROBE_S),
        allow_redirects=False,
        verify=_verify(),
    )


def _verify() -> str | bool:
    """What requests would do by itself; Ray's client wants to be told, for its connection that follows logs."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True


def versions(address: str) -> Versions:
    """Ask whether this is a job server that takes our token, and what it runs.

    Raises:
        ConfigError: nobody answers, what answers is no job server of Ray, or the token is missing or wrong.
    """
    try:
        answer = _get(address, "/api/version")
    except OSError as error:  # of which all errors of requests are
        raise ConfigError(f"no Ray job server answers at {address} ({short_reason(error)}); {_WAY_OUT}") from error
    if answer.status_code in (401, 403):
        raise ConfigError(_refusal(address, answer.status_code, answer.text))
    try:
        ray_version = str(answer.json()["ray_version"]) if answer.status_code == 200 else None
    except (ValueError, KeyError, TypeError):
        ray_version = None
    if ray_version is None:
        said = f"it answers /api/version with status {answer.status_code} and no version of Ray"
        raise ConfigError(f"what answers at {address} is no Ray job server ({said}); {_WAY_OUT}")
    return Versions(ray=ray_version, python=_python(address))


def _python(address: str) -> str | None:
    """Raises no error: only who asked for the version of Ray is known to be answered."""
    try:
        return str(_get(address, "/api/v0/cluster_metadata").json()["data"]["pythonVersion"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _refusal(address: str, status: int, body: str) -> str:
    how = "set RAY_AUTH_TOKEN to what `ray get-auth-token` prints on the head, or RAY_AUTH_TOKEN_PATH to its file"
    found = token()
    if not body.startswith(("Unauthorized: Missing authentication", "Forbidden: Invalid authentication")):
        return (
            f"something before {address} refuses the request (status {status}); log in there, or give the headers that "
            "it wants in RAY_JOB_HEADERS"
        )
    if found is None or status == 401:
        off = " (RAY_AUTH_MODE is disabled here)" if os.environ.get("RAY_AUTH_MODE", "").lower() == "disabled" else ""
        return f"the Ray job server at {address} wants a token, and none was found{off}; {how}"
    return f"the Ray job server at {address} refuses the token of {found[1]}; {how}"


def short_reason(error: BaseException) -> str:
    """Why a connection came to nothing, in a few words: those of the innermost error."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = [each for each in (*error.args, getattr(error, "reason", None)) if isinstance(each, BaseException)]
        error = next(iter(inner), None) or error.__cause__ or error.__context__ or error
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(redacted(str(text)).split())[:160].rstrip(".")


def nodes(address: str) -> list[Node]:
    """The machines that are alive now; what an autoscaler may add is not known to the job server.

    Raises:
        ConfigError: the server does not say.
    """
    deadline = time.monotonic() + _NODES_S
    while True:
        try:
            rows = _get(address, "/api/v0/nodes?detail=1&limit=10000", ANSWER_S).json()["data"]["result"]["result"]
            found = [row for row in rows if row["state"] == "ALIVE"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = short_reason(error)
            raise ConfigError(f"{address} does not say which nodes its cluster has ({reason})") from error
        if found or time.monotonic() > deadline:
            return [Node(address=str(row["node_ip"]), resources=row["resources_total"] or {}) for row in found]
        time.sleep(0.5)


def job_client(address: str) -> JobSubmissionClient:
    """Ray's job client for exactly this job server, with our headers, that waits for no answer for ever.

    Ray lets its environment variables win over the address that is asked for, and looks for a token once, when it is
    imported, which may be before `local_head` made one.
    """
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):
        def _do_request(self, *arguments: Any, **options: Any) -> Any:
            return super()._do_request(*arguments, **{"timeout": (CONNECT_S, ANSWER_S), **options})

    with variables({"RAY_API_SERVER_ADDRESS": address}):
        return Client(address, headers=headers() or None, verify=_verify())
