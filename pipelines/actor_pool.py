"""A pool of Ray actors over a list of rows, one row at a time, that tells a user's mistake from a row's own failure.

The one way in which jobs spread work that holds models: measure or encode a video, animate a pair, measure a
prediction. Whatever goes wrong with a row stays with it; a user's mistake ends the run.
"""

from __future__ import annotations

import logging
import pickle
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import ray
import ray.data
from ray.actor import ActorHandle
from ray.data import ActorPoolStrategy
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipelines import telemetry
from pipelines.machines import Need, largest, room
from pipelines.progress import track
from stableanimator.errors import ConfigError, RowError, UserError, row_error

log = logging.getLogger(__name__)

Row = dict[str, Any]


_TRIES = 2
"""Of a row whose actor dies while working on it, and its machine does not: once may be another's fault."""
_MACHINES = 8
"""Machines that may go while they work on one row. They are taken away for reasons of their own, and a long row must
outlive some; but a row that fills the memory may take its machine with it, and must not take all of them."""

UNEXPECTED, DIED = "unexpected_error", "worker_died"
"""Reasons of a row whose work raised what nobody foresaw, or killed its actor."""

_AHEAD = 2
"""Rows that an actor is given at a time: while it works on one, the next is on its way."""


class Attempts:
    """Where work on each row has begun. An actor that dies takes its waiting row with it and Ray tries both again;
    only the row that was being worked on has used up an attempt."""

    def __init__(self) -> None:
        self._begun: dict[int, list[str]] = defaultdict(list)
        self._given_up = False

    def begin(self, row: int, machine: str) -> str | None:
        """Begin on a machine (the id of a Ray node); or why no more may begin, for people."""
        earlier = self._begun[row]
        there = {node["NodeID"] for node in ray.nodes() if node["Alive"]} if earlier else set()
        died = sum(each in there for each in earlier)
        gone = len(earlier) - died
        if self._given_up or died >= _TRIES or gone >= _MACHINES:
            went = f", and {gone} of their machines went away" if gone else ""
            return f"the processes that worked on it died, {len(earlier)} of them{went}; run the job again"
        earlier.append(machine)
        return None

    def give_up(self) -> None:
        """Let no more begin."""
        self._given_up = True


class PoolActor:
    """What runs in the pool: makes the actor and calls it; a user's mistake is handed over as a value.

    An actor that dies while it is made loses the type of its error, and Ray Data adds its own advice to the message of
    one that is raised later. Rows travel pickled, so that what they hold needs no type that Arrow could infer.
    """

    def __init__(
        self,
        attempts: ActorHandle,
        what: str,
        actor: Callable[..., Callable[[Row], Row]],
        *arguments: Any,
    ) -> None:
        self._attempts, self._what = attempts, what
        self._mistake: UserError | None = None
        try:
            self._actor = actor(*arguments)
        except UserError as error:
            self._mistake = error

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        started = time.monotonic()
        outcome = self._mistake or self._outcome(item["number"], pickle.loads(item["row"]))
        telemetry.add("sa_actor_seconds", time.monotonic() - started, step=self._what)
        return {"number": item["number"], "outcome": pickle.dumps(outcome)}

    def _outcome(self, number: int, row: Row) -> Row | RowError | UserError:
        machine = ray.get_runtime_context().get_node_id()
        if refused := ray.get(self._attempts.begin.remote(number, machine)):
            return RowError(DIED, refused)
        try:
            return self._actor(row)
        except Exception as error:
            try:
                failure = row_error(error, UNEXPECTED)
            except UserError as mistake:  # also a full disk, whatever a library made of it
                return mistake
            if failure is not error:
                log.exception("row %d", number)
            return failure


def run_actors(
    rows: Sequence[Row],
    actor: Callable[..., Callable[[Row], Row]],
    arguments: Sequence[Any],
    *,
    lost: Callable[[Row, RowError], Row],
    what: str,
    actors: int,
    cpus: float,
    gpus: float = 0.0,
    memory: float = 0.0,
    labels: Mapping[str, str] | None = None,
) -> Generator[Row, None, None]:
    """Give each row to an actor, and yield what it returns, in the order in which they are done, under a progress bar.

    Args:
        rows: each becomes a block of its own, since blocks are what Ray Data hands out.
        actor: a class, made once a process with `arguments`, then called with one row at a time.
        lost: what is yielded for a row of which the actor raised an error or died (`Attempts`), given the row and why.
        what: names the step in the bar ("encoding videos").
        actors: processes at most. Where the cluster has room for fewer, fewer run, and the log says so.
        cpus, gpus, memory: reserved for each; memory in bytes.
        labels: Ray labels of the machines that they may run on; none: any machine.

    Raises:
        UserError: as the actor raised it, while it was made or when it was called; after the rows that others are at.
    """
    if not rows:
        return
    need = Need(cpus=cpus, gpus=gpus, memory=memory, labels=labels or {})
    size = _as_many_as_fit(what, min(actors, len(rows)), need)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # ours counts rows
    attempts = _count_here()
    items = [{"number": number, "row": pickle.dumps(row)} for number, row in enumerate(rows)]
    outcomes = ray.data.from_items(items, override_num_blocks=len(rows)).map(
        PoolActor,
        fn_constructor_args=(attempts, what, actor, *arguments),
        compute=ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=_AHEAD),
        num_cpus=cpus,
        num_gpus=gpus,
        memory=memory or None,
        label_selector=dict(need.labels) or None,
    )
    items_done = iter(outcomes.iter_rows())
    try:
        for item in track(items_done, what, len(rows)):
            outcome: Row | RowError | UserError = pickle.loads(item["outcome"])
            if isinstance(outcome, UserError):
                raise outcome
            if isinstance(outcome, RowError):
                telemetry.add("sa_failures", step=what, reason=outcome.reason)
            yield lost(rows[item["number"]], outcome) if isinstance(outcome, RowError) else outcome
    except (UserError, GeneratorExit):
        # To its end, where rows that wait are not begun: Ray Data's threads that outlive Ray end the process, and with
        # it what it has to say.
        attempts.give_up.remote()
        for _ in items_done:
            pass
        raise


def _count_here() -> ActorHandle:
    """Attempts are counted beside the driver: the count must outlive every machine that work may be taken from."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(Attempts).remote()


def require_resources(
    section: str, cpus: float, gpus: float = 0.0, memory: float = 0.0, labels: Mapping[str, str] | None = None
) -> None:
    """Refuse to wait for ever for an actor that no machine of the cluster can hold.

    Raises:
        ConfigError: no node has this many CPU cores and GPUs and this much memory (bytes), and none can be added.
    """
    need = Need(cpus=cpus, gpus=gpus, memory=memory, labels=labels or {})
    if room(need) == 0:
        raise ConfigError(
            f"{section}: an actor needs {need}, and the nodes of the cluster have at most {largest(need.labels)}; "
            f"lower {section}.cpus_per_actor, gpus_per_actor or what else it reserves, or add a node"
        )


def _as_many_as_fit(what: str, actors: int, need: Need) -> int:
    places = room(need)
    if places < actors:
        log.warning(
            "%s: %d actors of %s are asked for, and the cluster has room for %d; %d will run",
            what, actors, need, places, max(1, places),
        )  # fmt: skip
        actors = max(1, places)
    free = ray.available_resources()
    if busy := [name for name, each in need.resources.items() if free.get(name, 0) < each]:
        log.warning("%s: waits for %s, until other jobs give it back or machines are added", what, " and ".join(busy))
    return actors
