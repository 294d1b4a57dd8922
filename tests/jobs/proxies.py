"""A proxy on the loopback address before a job server, whose connections break as those of real networks do."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import Literal
from urllib.parse import urlsplit

Fault = Literal["reset", "silence", "refuse"]


class Proxy:
    """Passes bytes on, and spoils connections that follow logs.

    faults[i] says what becomes of the i-th of them after `after` bytes of the server's: `reset` breaks it, `silence`
    keeps it open and passes nothing on, `refuse` answers 403, as proxies do that know no websockets.
    """

    def __init__(self, target: str, faults: list[Fault], after: int = 400) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._faults, self._after = faults, after
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.followed = 0
        """Connections that asked for a log so far."""
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Be gone, with all connections."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        self._server.close()
        for each in self._open:
            _reset(each)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._server.accept()[0]
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            request = client.recv(65536)
            fault: Fault | None = None
            if b"/logs/tail" in request.split(b"\r\n", 1)[0]:
                fault = self._faults[self.followed] if self.followed < len(self._faults) else None
                self.followed += 1
            if fault == "refuse":
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                client.close()
                return
            server = socket.create_connection(self._target)
            server.sendall(request)
            threading.Thread(target=_pump, args=(client, server), daemon=True).start()
            self._answer(server, client, fault)

    def _answer(self, server: socket.socket, client: socket.socket, fault: Fault | None) -> None:
        passed = 0
        while piece := server.recv(65536):
            passed += len(piece)
            if fault == "reset" and passed > self._after:
                client.sendall(piece[: len(piece) // 2])  # in the midst of a message
                _reset(client)
                server.close()
                return
            if fault == "silence" and passed > self._after:
                time.sleep(600)
            client.sendall(piece)
        client.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


def _reset(connection: socket.socket) -> None:
    """Break it; a thread that waits to read from it would keep it open, so it is woken before."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD)
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
