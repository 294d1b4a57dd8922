"""What Ray's users write for a cluster becomes the address of its job server, as Ray itself converts it, or is refused.

    http(s)://host:8265      the job server itself
    host:port                its port, without http://; else that of the GCS (6379), which knows the job server
    ray://host:10001         a Ray Client server, which knows it too
    auto, or nothing         the head that runs on this machine

Ray converts the last three by connecting to the cluster. A process of its own does that here: Ray keeps what it
connected to for the life of a process, waits long, and may end the process where a cluster refuses it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from jobs.running.job_server import CONNECT_S, short_reason, token, versions
from stableanimator.errors import ConfigError

API_SERVER, RAY_ADDRESS = "RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"
_ASK_S = 90.0
"""Seconds for which Ray may look for a cluster's job server; its own client gives up after 30."""
_FOUND = "job server: "
_ASK = (
    "import sys; from ray.dashboard.utils import get_address_for_submission_client as ask; "
    f"print({_FOUND!r} + ask(sys.argv[1] or None), flush=True)"
)
_FORMS = "give http://HEAD:8265 (the dashboard), HEAD:6379 (the GCS), ray://HEAD:10001 (Ray Client) or auto"


def named_address(given: str | None, environment: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """The address that a user named, and where: --address, else RAY_API_SERVER_ADDRESS, else RAY_ADDRESS, of which Ray
    takes the same one first. None where none is named."""
    places = [("--address", given), *((name, environment.get(name)) for name in (API_SERVER, RAY_ADDRESS))]
    return next(((value.strip(), place) for place, value in places if value and value.strip()), None)


def job_server_address(given: str | None) -> str:
    """`http(s)://host:port` of the job server that `given` or the environment names.

    Raises:
        ConfigError: in one line what was named, where, why it leads to no job server, and what to write instead.
    """
    named = named_address(given)
    address, place = named or ("auto", "no --address, no RAY_ADDRESS")
    where = f"{place} {address!r}" if named else place
    scheme, separator, rest = address.partition("://")
    if separator and scheme in ("http", "https"):
        return _checked_url(address, where)
    if separator and scheme != "ray":
        raise ConfigError(f"{where}: {scheme}:// is no address of a Ray cluster that is known here; {_FORMS}")
    if address == "auto":
        return _ask_ray("", where)
    if not separator and address == "local":
        raise ConfigError(f"{where}: `local` names no running cluster; {_FORMS}")
    host, port = _host_and_port(rest if separator else address, where, 10001 if separator else None)
    _require_listener(host, port, where)
    if not separator and _answers(host, port, where):
        return f"http://{_bracketed(host)}:{port}"
    found = _ask_ray(address, where)
    if _is_here(urlsplit(found).hostname or "", loopback_only=True) and not _is_here(host):
        raise ConfigError(
            f"{where}: the cluster's job server listens at {found} of its head alone; start the head with "
            "--dashboard-host=0.0.0.0, or forward the port and give http://127.0.0.1:PORT"
        )
    return found


def _checked_url(address: str, where: str) -> str:
    try:
        parts = urlsplit(address)
        good = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise ConfigError(f"{where} is no URL of a job server; {_FORMS}")
    return address.rstrip("/")


def _host_and_port(text: str, where: str, usual: int | None) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port or usual
    except ValueError:
        host, port = None, None
    if not host or not port or parts.path or parts.query:
        raise ConfigError(f"{where} has no host and port; {_FORMS}")
    return host, port


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _require_listener(host: str, port: int, where: str) -> None:
    """Answered at once where Ray would try for half a minute."""
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError as error:
        raise ConfigError(f"{where}: nobody answers there ({short_reason(error)}); {_FORMS}") from error


def _answers(host: str, port: int, where: str) -> bool:
    """Whether a job server is at this very port; False where what is there speaks no HTTP.

    Raises:
        ConfigError: it speaks HTTP and is none, or does not take our token.
    """
    try:
        versions(f"http://{_bracketed(host)}:{port}")
    except ConfigError as error:
        if error.__cause__ is None:  # it spoke HTTP
            raise ConfigError(f"{where}: {error}") from error
        return False
    return True


def _ask_ray(address: str, where: str) -> str:
    """What Ray makes of an address; empty: of the head that runs here."""
    environment = {name: value for name, value in os.environ.items() if name not in (API_SERVER, RAY_ADDRESS)}
    if found := token():
        environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": found[0]}
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _ASK, address], env=environment, capture_output=True, text=True, timeout=_ASK_S
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"{where}: no cluster answered within {_ASK_S:.0f} s; {_FORMS}") from error
    answers = [line.removeprefix(_FOUND) for line in asked.stdout.splitlines() if line.startswith(_FOUND)]
    if asked.returncode == 0 and answers:
        return answers[-1]
    if "authenticat" in asked.stderr.lower():
        which = f"refuses the token of {found[1]}" if found else "wants a token, and none was found"
        raise ConfigError(f"{where}: the cluster {which}; set RAY_AUTH_TOKEN to what `ray get-auth-token` prints there")
    if not address:
        reason = "several heads run" if "multiple" in asked.stderr.lower() else "no Ray head runs"
        raise ConfigError(f"{where}: {reason} on this machine; name one: {_FORMS}")
    raise ConfigError(f"{where}: Ray finds no job server through it ({_last_line(asked.stderr)}); {_FORMS}")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200].rstrip(".") if lines else "it said nothing"


def _is_here(host: str, *, loopback_only: bool = False) -> bool:
    """Whether a host's name or address is one of this machine's."""
    with contextlib.suppress(OSError):
        for family, kind, _, _, place in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
            ip = str(place[0])
            if ip.startswith("127.") or ip == "::1":
                return True
            if not loopback_only:
                with socket.socket(family, kind) as probe, contextlib.suppress(OSError):
                    probe.bind(place)
                    return True
    return False
