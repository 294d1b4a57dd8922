"""How every command ends: with a line, and a code that says whether it is done, was stopped, or whose mistake it was.

    leave(ended(work))

0         done
1         a defect, with a traceback; or a training that diverged, in a line
2         the user's mistake or a full disk, in a line
128 + n   stopped by signal n, in a line: 143 after SIGTERM, 130 after SIGINT
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from stableanimator.errors import DivergedError, StorageError, UserError, WeightsError, storage_error
from stableanimator.redaction import redacted

EXIT_OK, EXIT_FAILED, EXIT_USER = 0, 1, 2
SIGNALS = (signal.SIGTERM, signal.SIGINT)
KEPT = "what is done is kept, and the same command goes on from there"
_AGAIN_S = 2.0
"""A signal that comes again within this time is the same one: who sends it to a process group may send it twice."""


class Stopped(KeyboardInterrupt):
    """A stop with words of its own on what is kept. That of any other is `KeyboardInterrupt`, the one exception that
    Ray's calls let through from a signal's handler.

    Args:
        kept: what is, and how to go on.
        number: the signal, where it came by another way than our handler.
    """

    def __init__(self, kept: str, number: int | None = None) -> None:
        super().__init__(kept)
        self.kept, self.number = kept, number


class _Signals:
    """What came, since `ended` began."""

    armed = False
    number: int | None = None
    time = 0.0


def ended(work: Callable[[], int], kept: str = KEPT) -> int:
    """Do the work and return its exit code, or that of what it ended in, of which a line is said on stderr.

    Args:
        kept: said of a stop that has no words of its own.
    """
    with _handlers():
        try:
            return work()
        except KeyboardInterrupt as stop:
            return _stopped(stop, kept)
        except Exception as error:
            return failed(error)


def arm() -> None:
    """Take the signals again from a library that took them: Ray answers SIGTERM by aborting the process."""
    if _Signals.armed and threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, _interrupt)


def until_begun() -> None:
    """From now on a signal ends the process in a line, until `ended` takes it: while modules are imported, where an
    exception would be told with a traceback."""
    for number in SIGNALS:
        signal.signal(number, _nothing_begun)


def _nothing_begun(number: int, _: Any) -> None:
    print(f"stopped by {signal.Signals(number).name}; nothing was begun", file=sys.stderr, flush=True)
    os._exit(128 + number)


@contextlib.contextmanager
def _handlers() -> Iterator[None]:
    """Signals interrupt the main thread. A process that was told to ignore SIGINT, as a script's shell tells what it
    starts beside itself, hears it all the same. After a stop they stay, for one that comes twice."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    _Signals.armed, _Signals.number = True, None
    arm()
    try:
        yield
    finally:
        _Signals.armed = False
        for number, handler in before.items():
            if _Signals.number is None:
                signal.signal(number, handler or signal.SIG_DFL)


def _interrupt(number: int, _: Any) -> None:
    now = time.monotonic()
    if _Signals.number is None:
        _Signals.number, _Signals.time = number, now
        raise KeyboardInterrupt
    if now - _Signals.time > _AGAIN_S:
        print(f"stopped at once by {signal.Signals(number).name}; {KEPT}", file=sys.stderr, flush=True)
        os._exit(128 + number)


def _stopped(stop: KeyboardInterrupt, kept: str) -> int:
    number = getattr(stop, "number", None) or _Signals.number or signal.SIGINT
    begin = "\n" if sys.stderr.isatty() else ""  # after the ^C that a terminal shows
    print(f"{begin}stopped by {signal.Signals(number).name}; {getattr(stop, 'kept', kept)}", file=sys.stderr)
    return 128 + number


def failed(error: Exception) -> int:
    """Say what went wrong and return the exit code: a line and 2 or 1 for what can be told in one, else a traceback
    and 1."""
    mistake = told(error)
    if mistake is None:
        print(redacted("".join(traceback.format_exception(error))), file=sys.stderr)
        return EXIT_FAILED
    print(f"error: {one_line(mistake)}", file=sys.stderr)
    return EXIT_USER if isinstance(mistake, UserError) else EXIT_FAILED


def told(error: BaseException | None) -> UserError | DivergedError | None:
    """What can be told in a line inside an error that Ray, Ray Data or Ray Train wrapped: the user's mistake, a
    divergence, or a full disk by any library's name for it."""
    full: StorageError | None = None
    for each in _within(error):
        # Ray's wrapper of a task's error is also of the error's own class, with a traceback for a message.
        if isinstance(each, (UserError, DivergedError)) and getattr(each, "cause", None) is None:
            return each
        full = storage_error(each) or full  # the innermost says it best
    return full


def _within(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that it was made of, outermost first."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        current = pending.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        pending += [current.__cause__, current.__context__, getattr(current, "cause", None)]
        pending += list(getattr(current, "worker_failures", {}).values())


def one_line(mistake: Exception) -> str:
    """What is wrong, where, what to do; of weights that should lie below SA_WEIGHTS also how they get there."""
    folder = os.environ.get("SA_WEIGHTS")
    if isinstance(mistake, WeightsError) and folder and os.path.abspath(folder) in str(mistake):
        return f"{mistake}; python -m jobs.weights list shows what belongs where, fetch brings it"
    return "\\n".join(str(mistake).splitlines())  # a file's name may have lines


def leave(code: int) -> NoReturn:
    """End at once, with this code whatever signal comes now. While an interpreter is torn down a library's threads may
    abort the process, which would call failed what is done."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # whoever read it is gone
            stream.flush()
    os._exit(code)
