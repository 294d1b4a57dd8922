"""Sends what is spooled to the tracker, in the background of a job: what earlier jobs left, then its own.

A tracker that does not answer is asked again after a while, in the next job too. Nothing here ends or delays the job,
but for two waits of seconds: at the start, so that a wrong password is told before work begins, and at the end.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from mlflow.tracking import MlflowClient

from jobs.tracking.delivery import Delivery
from jobs.tracking.pages import without_password
from jobs.tracking.spool import Spool, spools
from jobs.tracking.tracker import beginning, brief, experiment_id, is_file, is_refused, users_mistake
from stableanimator.errors import ConfigError

log = logging.getLogger(__name__)

_LOOK_S = 1.0
"""Between looks at what other processes of the job logged."""
_OTHERS_S = 60.0
"""Between looks at what other jobs left."""
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""After the first, second, … time that the tracker did not answer."""
_START_S = 10.0
_START_FILE_S = 60.0
"""Where runs are in a file: its tables take seconds of work to make."""
_STILL_S, _MOST_S = 10.0, 60.0
"""At the end: seconds without a record sent, and seconds in all."""


@dataclass(frozen=True, slots=True)
class Unsent:
    """What the tracker has not got."""

    runs: int
    records: int
    folder: Path
    why: str

    def __str__(self) -> str:
        return (
            f"not in MLflow yet: {self.records} records of {self.runs} runs ({self.why}); they lie in {self.folder}, "
            f"and the next job on this root sends them, as `python -m jobs.tracking {self.folder}` does"
        )


class Sender:
    """One tracker's. Use as a context: a thread sends while it lasts.

    Args:
        uri: of the tracker; spools for others are left alone.
        folder: of spools (`jobs.tracking.spool.spools_folder`).
        experiment: looked for at the start, and made.
    """

    def __init__(self, uri: str, folder: Path, experiment: str | None = None) -> None:
        self.runs: dict[str, str] = {}
        """Ids in MLflow by the name of the spool, of those that this job opened."""
        self.experiment_id: str | None = None
        """In MLflow, where it is known."""
        self._uri, self._folder, self._experiment = uri, folder, experiment
        self._own: dict[str, tuple[Spool, FileLock | None]] = {}
        self._client: MlflowClient | None = None
        self._changed = threading.Condition()
        self._over = self._hurry = self._busy = False
        self._patient = True
        self._rounds = self._sent = 0
        self._problem: Exception | None = None
        self._refused: dict[str, ConfigError] = {}
        self._looked = -_OTHERS_S
        self._patience = _START_FILE_S if is_file(uri) else _START_S
        self._thread = threading.Thread(target=self._send, name="tracking", daemon=True)

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """A thread that waits for an answer ends when it gets none; what it holds is free then."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._thread.join(timeout=_LOOK_S)

    def greet(self) -> None:
        """Wait until the tracker has answered or has not.

        Raises:
            ConfigError: it does not let us in, it is none, or the experiment was deleted.
        """
        self._wait(lambda: self._client is not None)
        if self._client is not None:
            return
        if self._problem is not None and (mistake := users_mistake(self._uri, self._problem)) is not None:
            raise mistake
        shown, why = without_password(self._uri), self._why()
        log.warning("the tracking server %s does not answer (%s): what is logged waits in %s", shown, why, self._folder)

    def own(self, spool: Spool, lock: FileLock | None) -> None:
        """Send this one (`new_spool`) while its job lasts, and wait until its run has begun, if the tracker answers.

        Raises:
            ConfigError: the tracker does not let us write.
        """
        with self._changed:
            self._own[spool.name] = (spool, lock)
            self._hurry = True
            self._changed.notify_all()
        self._wait(lambda: spool.name in self.runs or spool.name in self._refused)
        if spool.name in self._refused:
            with self._changed:
                del self._own[spool.name]
            spool.delete()
            raise self._refused[spool.name]

    def drain(self) -> Unsent | None:
        """Send what is left, unless the tracker does not answer; returns what it has not got."""
        with self._changed:
            begun = self._rounds + (1 if self._busy else 0)  # one that is under way may have missed something
            self._hurry, self._looked = True, -_OTHERS_S
            self._changed.notify_all()
            end, sent, still = time.monotonic() + _MOST_S, self._sent, time.monotonic() + _STILL_S
            while self._rounds <= begun and time.monotonic() < min(end, still):
                self._changed.wait(timeout=0.2)
                if self._sent != sent:
                    sent, still = self._sent, time.monotonic() + _STILL_S
        return self._unsent()

    def _unsent(self) -> Unsent | None:
        count = runs = 0
        for spool in spools(self._folder):
            with contextlib.suppress(OSError, ValueError):  # sent meanwhile
                if self._is_ours(spool) and (spool.name in self._own or not self._is_live(spool.name)):
                    noted = spool.sent()
                    count += sum(1 for _ in spool.records(noted["upto"]))
                    runs += 1
        return Unsent(runs, count, self._folder, self._why()) if runs else None

    def _why(self) -> str:
        return "no answer yet" if self._problem is None else brief(self._problem)

    def _wait(self, done: Callable[[], bool]) -> None:
        """Until that is so or the tracker has failed; and where it was waited for in vain, not again."""
        with self._changed:
            ended = self._changed.wait_for(
                lambda: done() or self._problem is not None, timeout=self._patience if self._patient else 0
            )
            self._patient &= ended

    # the thread

    def _send(self) -> None:
        failures = 0
        while not self._over:
            self._busy, self._hurry = True, False
            try:
                self._round()
                failures, problem = 0, None
            except Exception as error:  # whatever MLflow, a network or a disk comes up with: the job goes on
                log.debug("tracking", exc_info=error)
                failures, problem = failures + 1, error
            with self._changed:
                self._problem, self._busy = problem, False
                self._rounds += 1
                self._changed.notify_all()
                pause = _PAUSES_S[min(failures, len(_PAUSES_S)) - 1] if failures else _LOOK_S
                self._changed.wait_for(lambda: self._over or self._hurry, timeout=pause)
        for _, lock in self._own.values():
            if lock is not None:
                lock.release()

    def _round(self) -> None:
        """Everything that is there, oldest first.

        Raises:
            Exception: the tracker does not answer.
        """
        if self._client is None:
            with beginning(self._uri) as client:
                if self._experiment is not None:
                    self.experiment_id = experiment_id(client, self._experiment)
                else:
                    client.search_experiments(max_results=1)
                self._client = client
        now, problem = time.monotonic(), None
        if others := now - self._looked >= _OTHERS_S:
            self._looked = now
        for spool in spools(self._folder) if others else [spool for spool, _ in list(self._own.values())]:
            if self._over:  # the job did not wait for an answer that came late
                return
            with self._held(spool) as held:
                try:
                    if held:
                        self._deliver(spool, self._client)
                except Exception as error:
                    self._client.search_experiments(max_results=1)  # or the tracker does not answer at all
                    problem = error
        if problem is not None:
            raise problem

    @contextlib.contextmanager
    def _held(self, spool: Spool) -> Iterator[bool]:
        """Whether it is ours to send now."""
        if spool.name in self._own:
            yield True
            return
        try:
            lock = spool.lock() if self._is_ours(spool) else None
        except (OSError, ValueError) as error:
            lock = None
            if not isinstance(error, FileNotFoundError):  # which another job has just sent
                log.warning("%s cannot be read (%s) and stays", spool.folder, error)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release()

    def _is_ours(self, spool: Spool) -> bool:
        uri: str = spool.described()["uri"]
        return uri == without_password(self._uri)

    def _is_live(self, name: str) -> bool:
        """Whether a spool's job is at work. The name may be anything: it comes from the tracker."""
        if name in self._own:
            return True
        for spool in spools(self._folder):
            if spool.name == name:
                lock = spool.lock()
                if lock is not None:
                    lock.release()
                return lock is None and spool.folder.exists()
        return False

    def _deliver(self, spool: Spool, client: MlflowClient) -> None:
        own = spool.name in self._own
        delivery = Delivery(client, spool, self._is_live)
        try:
            delivery.begin()
        except Exception as error:
            if not isinstance(error, ConfigError) and not is_refused(error) and users_mistake(self._uri, error) is None:
                raise
            self._refuse(spool, error)
            return
        with self._changed:
            if own:
                self.runs[spool.name] = delivery.run_id
            self._changed.notify_all()
        for count in delivery.send():
            with self._changed:
                self._sent += count
                self._changed.notify_all()
            if self._over:
                return
        if not own and not delivery.ended:
            delivery.fail()
        if delivery.ended or not own:
            spool.delete()
            _, lock = self._own.pop(spool.name, (spool, None))
            if lock is not None:
                lock.release()

    def _refuse(self, spool: Spool, error: Exception) -> None:
        """A run that cannot begin: its job is told, or, where that has ended, the log."""
        mistake = users_mistake(self._uri, error)
        if spool.name in self._own and mistake is not None:
            with self._changed:
                self._refused[spool.name] = mistake
                self._changed.notify_all()
        if spool.name not in self._own and (is_refused(error) or isinstance(error, ConfigError)):
            log.warning("%s; what belongs to it now lies in %s", mistake, spool.set_aside())
        else:
            raise error
