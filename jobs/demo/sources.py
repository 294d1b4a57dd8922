"""Drawn clips on a web server of this machine, and the list of URLs that the demo crawls.

Good clips, one of each kind that curation is meant to turn away, and three sources that are no video at all.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from stableanimator.paths import own_file

GOOD = ("dance", "wave", "gesture", "walk", "talk", "spin", "flash", "cut_inside", "bystander", "dance", "gesture")
BAD = ("pan", "pair", "statue", "zoom", "away", "follow", "empty", "shake", "turn_away", "cut_short", "roll", "group",
       "far")  # fmt: skip
_SEED = 20
_PORT = "port"
_CUT_OFF, _NO_VIDEO, _MISSING = "cut_off.mp4", "page.mp4", "missing.mp4"


def draw_sources(folder: Path, log: IO[str]) -> None:
    """Draw the clips and make the two damaged files; clips that are there already are kept."""
    if (folder / _NO_VIDEO).exists():  # what is made last
        return
    command = [sys.executable, "-m", "stableanimator.synthetic.render", "--count", str(len(GOOD + BAD))]
    command += ["--kinds", ",".join(GOOD + BAD), "--seed", str(_SEED), "--fps", "16", "--seconds", "2.5-3.5"]
    subprocess.run([*command, "--out", str(folder)], check=True, stdout=log, stderr=log)
    whole = min(folder.glob("*.mp4")).read_bytes()
    (folder / _CUT_OFF).write_bytes(whole[: len(whole) // 3])
    (folder / _NO_VIDEO).write_text("<!doctype html><title>Not a video</title>")


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on the loopback address while the block runs; yields its URL.

    The port is that of the last time, if it is free: with the same URLs nothing is fetched twice.
    """
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", _port(folder / _PORT)), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def write_list(folder: Path, url: str) -> Path:
    """The list of sources as `curate.crawl.lists` reads it, with what is known of rights."""
    path = folder / "list.csv"
    names = [*sorted(clip.name for clip in folder.glob("*.mp4")), _MISSING]
    partial = own_file(path.with_suffix(".partial"))
    with partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("url", "licence", "consent"))
        writer.writerows((f"{url}/{name}", "drawn by this program", "nobody real is shown") for name in names)
    os.replace(partial, path)
    return path


def _port(remembered: Path) -> int:
    """A free port: the remembered one, or another, which is remembered."""
    text = remembered.read_text() if remembered.exists() else ""
    known = int(text) if text.isdecimal() and int(text) < 65536 else 0
    for wanted in (known, 0):
        with contextlib.suppress(OSError), socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", wanted))
            port: int = free.getsockname()[1]
            remembered.write_text(str(port))
            return port
    raise OSError("no port of the loopback address is free")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Says nothing on the terminal."""

    def log_message(self, format: str, *arguments: Any) -> None:
        pass
