"""A training ends after its step, with a checkpoint, when its driver is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayError

log = logging.getLogger(__name__)

_SAVING_S = 600.0
"""Seconds that a stop waits for the checkpoint; whoever kills the process earlier finds the one before."""
_ANSWER_S = 5.0


class _Wish:
    """What a driver and its first worker know in common: whether to stop."""

    def __init__(self) -> None:
        self._stop, self._heard = asyncio.Event(), False

    async def stop(self) -> bool:
        """Wish it; whether a worker hears it, which it does from its first step on."""
        self._stop.set()
        return self._heard

    async def stopped(self) -> None:
        """Answered when it is wished."""
        self._heard = True
        await self._stop.wait()


def new_wish() -> ActorHandle:
    """An actor that ends with its driver."""
    return ray.remote(num_cpus=0)(_Wish).remote()


class Listener:
    """The first worker's: asks once and then only looks whether there is an answer, which takes microseconds.

    Args:
        wish: from `new_wish`.
    """

    def __init__(self, wish: ActorHandle) -> None:
        self._answer: ray.ObjectRef[None] | None = wish.stopped.remote()

    def stopped(self) -> bool:
        """Whether to stop now. The end of the actor that would say so is no wish: the training goes on, deaf."""
        if self._answer is None or not ray.wait([self._answer], timeout=0)[0]:
            return False
        try:
            ray.get(self._answer)
            return True
        except RayError:
            self._answer = None
            return False


def until_stopped(work: Callable[[], Any], wish: ActorHandle) -> None:
    """Do the work in a thread of its own: Ray Train takes SIGINT for itself in the main one, and a stop must not cut
    off a checkpoint.

    Raises:
        KeyboardInterrupt: the driver was stopped; the work has ended, or was not to be waited for.
        Exception: the work's own.
    """
    raised: list[BaseException] = []
    done = threading.Event()  # `Thread.join` that is interrupted takes the thread for ended

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)
        done.set()

    threading.Thread(target=run, name="training", daemon=True).start()
    try:
        done.wait()
    except KeyboardInterrupt:
        with contextlib.suppress(RayError, GetTimeoutError):
            if ray.get(wish.stop.remote(), timeout=_ANSWER_S):
                log.warning("stopping after this step, with a checkpoint; the same signal again stops at once")
                done.wait(_SAVING_S)
        raise
    if raised:
        raise raised[0]
