"""Who may be asked, how often, and for how long: the limits around every request of a crawl, yt-dlp's included.

A `Visit` is one source's dealings with the network. Its limits hold in the adapter and the connections of a `requests`
session, below redirects, proxies and whatever a library does above:

- An address is looked up once, checked, and that very address is connected to, so that a name which leads elsewhere
  when it is looked up again (DNS rebinding) leads nowhere.
- Each request waits until its host may be asked again, whoever asked it last.
- A watchdog cuts all connections at the deadline, so that a server which drips a byte now and then, into a header, a
  handshake or a body, cannot hold a worker.
"""

from __future__ import annotations

import contextlib
import email.utils
import functools
import ipaddress
import os
import re
import socket
import threading
import time
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.connection import create_connection

from pipelines.crawling.settings import CrawlSettings
from stableanimator.errors import FetchError
from stableanimator.redaction import redacted

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that may pass."""

STOPPED = "stopped"
"""Reason of a visit that the crawl itself ended; it says nothing about the source."""

_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All that the internet routes of IPv6 (RFC 4291, 2.4; IANA has given out nothing else)."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)
"""What precedes the IPv4 address in the lower half of an address (RFC 5214)."""
_NO_HOSTS = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))
"""Protocols' own, relays, documentation: what some versions of `ipaddress` take for global."""
_ODD_IPV4 = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)\.?", re.IGNORECASE)
"""A host that ends in a number, which is an IPv4 address in some way of writing (WHATWG URL, 3.5)."""
_REDIRECTS = 10


class TryAgainError(Exception):
    """A failure that may pass. `wait_s` is what the server asked for in seconds, or None."""

    def __init__(self, reason: str, detail: str, wait_s: float | None = None) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.wait_s = reason, detail, wait_s


class HostTurns:
    """When each host may be asked again. Shared by all threads of a crawl."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next: dict[str, float] = {}
        self._lock = threading.Lock()

    def take(self, host: str) -> float:
        """Book the next turn; returns the seconds until it comes."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next.get(host, 0.0))
            self._next[host] = turn + self._seconds
        return turn - now

    def postpone(self, host: str, seconds: float) -> None:
        """Nobody asks this host for so long."""
        with self._lock:
            self._next[host] = max(time.monotonic() + seconds, self._next.get(host, 0.0))


class Visit:
    """One source's dealings with the network, until its deadline. Use it as a context manager.

    What ends it (`end`, the deadline, a refusal) is kept, since libraries on the way turn errors into their own.
    """

    def __init__(self, settings: CrawlSettings, turns: HostTurns) -> None:
        self.settings = settings
        self._turns = turns
        self._over = threading.Event()
        self._failure: FetchError | None = None
        self._connections: list[socket.socket] = []
        self._lock = threading.Lock()
        text = f"not complete after {settings.deadline_s:g} s"
        self._watchdog = threading.Timer(settings.deadline_s, self.end, (FetchError("deadline", text),))
        self._watchdog.daemon = True

    def __enter__(self) -> Visit:
        self._watchdog.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._watchdog.cancel()
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    def end(self, failure: FetchError) -> None:
        """Cut every connection; whatever is asked from now on fails for this reason. May be called from any thread."""
        with self._lock:
            if self._failure is None:
                self._failure = failure
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._over.set()

    def refuse(self, failure: FetchError) -> FetchError:
        """End the visit and hand the failure back to be raised."""
        self.end(failure)
        return failure

    def refuse_private(self, address: str) -> None:
        """Raises FetchError, and ends the visit, when the address is not on the public internet."""
        try:
            refuse_private(address)
        except FetchError as failure:
            raise self.refuse(failure) from None

    def check(self) -> None:
        """Raises FetchError when the visit is over."""
        if self._failure is not None:
            raise FetchError(self._failure.reason, self._failure.detail)

    def pause(self, seconds: float) -> None:
        """Sleep. Raises FetchError when the visit ends meanwhile."""
        self._over.wait(max(0.0, seconds))
        self.check()

    def await_turn(self, host: str) -> None:
        """Wait until this host may be asked again. Raises FetchError when the visit ends meanwhile."""
        self.pause(self._turns.take(host))

    def leave_alone(self, host: str, seconds: float) -> None:
        """Nobody asks this host for so long, at most `max_pause_s`."""
        self._turns.postpone(host, min(seconds, self.settings.max_pause_s))

    def watch(self, connection: socket.socket) -> None:
        """Let `end` cut this connection, also after TLS has taken it over."""
        with self._lock:
            self._connections.append(connection.dup())
        self.check()

    def session(self) -> requests.Session:
        """A session within the limits, with the proxies and certificates that the environment names."""
        session = requests.Session()
        session.trust_env = False  # else it would send the passwords of ~/.netrc to hosts that a list names
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        session.max_redirects = _REDIRECTS
        session.headers["User-Agent"] = self.settings.user_agent
        for scheme in ("http://", "https://"):
            session.mount(scheme, GuardedAdapter(self))
        return session

    def get(self, session: requests.Session, url: str, headers: dict[str, str]) -> requests.Response:
        """The answer to GET, its body not read yet."""
        proxies = get_environ_proxies(url)
        return session.get(url, headers=headers, proxies=proxies, stream=True, timeout=self.settings.timeout_s)


class GuardMixin(HTTPAdapter):
    """An adapter of `requests` whose every request, redirects included, keeps the limits of `visit`."""

    visit: Visit

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools(checked=not self.visit.settings.allow_private_addresses)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = self._pools(checked=False)  # the proxy itself may be at home
        return manager

    def _pools(self, *, checked: bool) -> Any:
        """What urllib3 makes its connection pools with, by scheme."""

        def maker(pool_kind: Any, connection_kind: Any) -> Any:
            def make(*args: Any, **kwargs: Any) -> Any:
                pool = pool_kind(*args, **kwargs)
                pool.ConnectionCls = functools.partial(connection_kind, self.visit, checked)
                return pool

            return make

        return {
            "http": maker(urllib3.HTTPConnectionPool, _GuardedHTTP),
            "https": maker(urllib3.HTTPSConnectionPool, _GuardedHTTPS),
        }

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        self.visit.check()
        url = request.url or ""
        parts = urlsplit(url)
        if parts.scheme not in self.visit.settings.allowed_schemes:
            detail = f"{parts.scheme}; crawl.allowed_schemes has {', '.join(self.visit.settings.allowed_schemes)}"
            raise self.visit.refuse(FetchError("scheme_not_allowed", detail))
        host = parts.hostname or ""
        if not self.visit.settings.allow_private_addresses and select_proxy(url, kwargs.get("proxies")):
            # The proxy looks the name up itself. What can be seen of it from here is checked, the rest is its own; of
            # numbers such as 010.0.0.1 it may see another address.
            if _ODD_IPV4.fullmatch(host):
                self.visit.refuse_private(host)
            with contextlib.suppress(OSError, UnicodeError):
                for address in _addresses(host, None):
                    self.visit.refuse_private(address)
        self.visit.await_turn(host)
        response = super().send(request, **kwargs)
        self.visit.check()  # headers that were cut off look complete
        if response.status_code in TEMPORARY and (wait := retry_after(response.headers.get("Retry-After"))):
            self.visit.leave_alone(host, wait)
        if response.is_redirect:
            response._content = b""  # else `requests` reads the body of a redirect into memory, whatever its size
        return response


class GuardedAdapter(GuardMixin):
    """The adapter for plain requests."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        super().__init__()


class _GuardedHTTP(HTTPConnection):
    def __init__(self, visit: Visit, checked: bool, *args: Any, **kwargs: Any) -> None:
        self._visit, self._checked = visit, checked
        super().__init__(*args, **kwargs)

    def _new_conn(self) -> socket.socket:
        return _connect(self, self._visit, self._checked)


class _GuardedHTTPS(HTTPSConnection):
    def __init__(self, visit: Visit, checked: bool, *args: Any, **kwargs: Any) -> None:
        self._visit, self._checked = visit, checked
        super().__init__(*args, **kwargs)

    def _new_conn(self) -> socket.socket:
        return _connect(self, self._visit, self._checked)


def _connect(connection: HTTPConnection, visit: Visit, checked: bool) -> socket.socket:
    """Look the host up once, check every address, connect to the first that answers."""
    try:
        addresses = _addresses(connection.host, connection.port)
    except socket.gaierror as error:
        kind = TryAgainError if error.errno == socket.EAI_AGAIN else FetchError
        raise kind("unknown_host", f"{connection.host}: {error}") from error
    except (OSError, UnicodeError) as error:  # a label of more than 63 characters, for one
        raise FetchError("unknown_host", f"{connection.host}: {error}") from error
    if checked:
        for address in addresses:
            visit.refuse_private(address)
    failure: OSError = OSError("it has no address")
    for address in addresses:
        try:
            opened = create_connection(
                (address, connection.port),
                connection.timeout,
                source_address=connection.source_address,
                socket_options=connection.socket_options,
            )
        except OSError as error:
            failure = error
            continue
        visit.watch(opened)
        return opened
    if isinstance(failure, TimeoutError):
        raise ConnectTimeoutError(connection, f"{connection.host} timed out") from failure
    raise NewConnectionError(connection, f"{connection.host}: {failure}") from failure


def _addresses(host: str, port: int | None) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def refuse_private(address: str) -> None:
    """Raises FetchError for all but unicast addresses of the public internet."""
    if not _is_public(address):
        raise FetchError("private_address", f"{address}; crawl.allow_private_addresses=true would allow it")


def _is_public(text: str) -> bool:
    """Whether an address is one that the internet routes to a host, and every IPv4 address inside of it too."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast and not any(address in each for each in _NO_HOSTS)
    if address.scope_id is not None:  # of one link
        return False
    inner, tunnel = _inner(address)
    routed = address in _UNICAST and address.is_global and not any(address in each for each in _NO_HOSTS)
    return (tunnel or routed) and all(_is_public(str(each)) for each in inner)


def _inner(address: ipaddress.IPv6Address) -> tuple[list[ipaddress.IPv4Address], bool]:
    """The IPv4 addresses that an IPv6 one leads to, and whether it is nothing but a way to these (mapped, NAT64, 6to4,
    Teredo); an interface of ISATAP lies in some network of its own."""
    last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None or address in _NAT64:
        return [last], True
    ways = [address.sixtofour] if address.sixtofour is not None else list(address.teredo or ())
    isatap = (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    return [*ways, *([last] if isatap else [])], bool(ways)


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: a number of them, or a date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - time.time())


def one_line(text: str) -> str:
    """Other libraries' messages as a detail: one line of at most 300 characters."""
    return " ".join(redacted(text).split())[:300]
