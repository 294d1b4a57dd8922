"""Following a submitted job to its end: its log as it grows, each line once, and the exit code that it deserves.

A connection may drop, stay open without a word, or never come about (a proxy that passes no websockets). The job goes
on meanwhile, and so does this: it asks again, skips what was shown, and reads the log by plain HTTP where that is all
that works.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import aiohttp
from ray.exceptions import AuthenticationError

from jobs.running.ending import EXIT_FAILED, EXIT_OK, EXIT_USER
from jobs.running.job_server import short_reason

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

PATIENCE_S = 900.0
"""Seconds without any answer of the job server after which following ends; the job may well go on."""
QUIET_S, _QUIETEST_S = 60.0, 600.0
"""Seconds without a line after which the connection is not trusted any more: at first, and at most."""
_DROPPED = (OSError, RuntimeError, aiohttp.ClientError, asyncio.TimeoutError, AuthenticationError)
_GONE = "does not exist"


class Log:
    """What of a job's log has been shown. Every connection gives it from its first character."""

    def __init__(self, show: Callable[[str], object]) -> None:
        self._show = show
        self._shown = 0

    def add(self, text: str, begin: int) -> None:
        """Show what is new of `text`, whose first character is number `begin` of the log."""
        new = text[max(0, self._shown - begin) :]
        if new:
            self._show(new)
            self._shown = begin + len(text)


def _print(text: str) -> None:
    print(text, end="", flush=True)


def follow(
    client: JobSubmissionClient,
    job_id: str,
    *,
    patience: float = PATIENCE_S,
    quiet: float = QUIET_S,
    show: Callable[[str], object] = _print,
) -> int:
    """Show the job's log until it ends. Returns 0 when it succeeded, 2 where its driver ended with 2, else 1, which is
    also what a job server that is silent for `patience` seconds gives."""
    log, first, heard = Log(show), quiet, time.monotonic()
    wait = 1.0
    while True:
        whole, lost = False, ""
        try:
            whole = asyncio.run(_tail(client, job_id, log, quiet))
            quiet = first if whole else min(2 * quiet, _QUIETEST_S)
        except _DROPPED as error:
            lost = short_reason(error)
        try:
            details = client.get_job_info(job_id)
            if details.status.is_terminal():
                return _end(client, details, job_id, log)
            if not whole:
                log.add(client.get_job_logs(job_id), 0)
        except _DROPPED as error:
            if _GONE in str(error):
                return _say(
                    f"{_where(client)} does not know job {job_id} any more: its head was started again; {_AGAIN}"
                )
            if time.monotonic() - heard > patience:
                return _say(f"no answer of {_where(client)} for {patience:.0f} s; job {job_id} may go on; {_AGAIN}")
            _say(f"lost the connection ({lost or short_reason(error)}); the job goes on, asking again in {wait:.0f} s")
            time.sleep(wait)
            wait = min(2 * wait, 30.0)
            continue
        heard, wait = time.monotonic(), 1.0
        time.sleep(1)


_AGAIN = "the same command follows it, or submits it again, which resumes"


async def _tail(client: JobSubmissionClient, job_id: str, log: Log, quiet: float) -> bool:
    """Show the log until the job has ended; False where nothing came for `quiet` seconds.

    Raises:
        OSError, RuntimeError, aiohttp.ClientError: the connection did not come about, or dropped.
    """
    begin = 0
    pieces = client.tail_job_logs(job_id)
    ended = asyncio.ensure_future(_ended(client, job_id))
    try:
        while True:
            piece = asyncio.ensure_future(anext(pieces))
            await asyncio.wait({piece, ended}, timeout=quiet, return_when=asyncio.FIRST_COMPLETED)
            if not piece.done():
                piece.cancel()
                await asyncio.wait({piece})
                if ended.done():
                    ended.result()  # raises where asking failed
                return ended.done()
            log.add(piece.result(), begin)
            begin += len(piece.result())
    except StopAsyncIteration:
        return True
    finally:
        ended.cancel()
        await pieces.aclose()


async def _ended(client: JobSubmissionClient, job_id: str) -> None:
    """Return when the job has ended, which its log's connection says some seconds later."""
    while not (await asyncio.to_thread(client.get_job_info, job_id)).status.is_terminal():
        await asyncio.sleep(0.5)


def _say(text: str) -> int:
    print(f"\n{text}", file=sys.stderr, flush=True)
    return EXIT_FAILED


def _where(client: JobSubmissionClient) -> str:
    return str(client.get_address())


def _end(client: JobSubmissionClient, details: JobDetails, job_id: str, log: Log) -> int:
    """The exit code, after what a connection that ended too early left out of the log."""
    from ray.job_submission import JobStatus

    try:
        log.add(client.get_job_logs(job_id), 0)
    except _DROPPED as error:
        _say(f"the end of the log could not be had ({short_reason(error)}); ray job logs {job_id} has it")
    if details.status == JobStatus.SUCCEEDED:
        return EXIT_OK
    if details.driver_exit_code == EXIT_USER:
        return EXIT_USER
    print(f"job {job_id} {details.status.value.lower()}: {details.message or ''}".strip(), file=sys.stderr)
    return EXIT_FAILED
