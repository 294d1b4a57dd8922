"""A pool of Ray actors over a list of rows, one row at a time, that tells a user's mistake from a failure.

The one way in which jobs spread work that holds models: encode a video, animate a pair, measure a prediction.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
import ray.data
from ray.data import ActorPoolStrategy

from pipelines.progress import track
from stableanimator.errors import ConfigError, UserError

Row = dict[str, Any]


class PoolActor:
    """What runs in the pool: makes the actor and calls it; a user's mistake is handed over as a value.

    An actor that dies while it is made loses the type of its error, and Ray Data adds its own advice to the message of
    one that is raised later. Rows travel pickled, so that what they hold needs no type that Arrow could infer.
    """

    def __init__(self, actor: Callable[..., Callable[[Row], Row]], *arguments: Any) -> None:
        self._mistake: UserError | None = None
        try:
            self._actor = actor(*arguments)
        except UserError as error:
            self._mistake = error

    def __call__(self, item: dict[str, bytes]) -> dict[str, bytes]:
        return {"outcome": pickle.dumps(self._mistake or self._outcome(pickle.loads(item["row"])))}

    def _outcome(self, row: Row) -> Row | UserError:
        try:
            return self._actor(row)
        except UserError as error:
            return error


def run_actors(
    rows: Sequence[Row],
    actor: Callable[..., Callable[[Row], Row]],
    arguments: Sequence[Any],
    *,
    what: str,
    actors: int,
    cpus: float,
    gpus: float = 0.0,
    tries: int | None = None,
) -> Iterator[Row]:
    """Give each row to an actor, and yield what it returns, in the order in which they are done, under a progress bar.

    Args:
        rows: each becomes a block of its own, since blocks are what Ray Data hands out.
        actor: a class, made once a process with `arguments`, then called with one row at a time.
        what: names the step in the bar ("encoding videos").
        actors: processes at most.
        cpus, gpus: reserved for each.
        tries: a row whose actor has died so often is given up and yields nothing; the others go on. None tries for
            ever, as Ray Data does.

    Raises:
        UserError: as the actor raised it, while it was made or when it was called.
    """
    if not rows:
        return
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # ours counts rows
    context.max_errored_blocks = 0 if tries is None else -1  # a block is one row, so no neighbour is lost with it
    retries = {} if tries is None else {"max_task_retries": tries - 1}
    outcomes = ray.data.from_items([{"row": pickle.dumps(row)} for row in rows], override_num_blocks=len(rows)).map(
        PoolActor,
        fn_constructor_args=(actor, *arguments),
        # With one row at a time an actor that dies takes no waiting row with it.
        compute=ActorPoolStrategy(size=min(actors, len(rows)), max_tasks_in_flight_per_actor=tries and 1),
        num_cpus=cpus,
        num_gpus=gpus,
        **retries,
    )
    for item in track(outcomes.iter_rows(), what, len(rows)):
        outcome: Row | UserError = pickle.loads(item["outcome"])
        if isinstance(outcome, UserError):
            raise outcome
        yield outcome


def require_resources(section: str, cpus: float, gpus: float = 0.0) -> None:
    """Refuse to wait for ever for an actor that no machine of the cluster can hold.

    Raises:
        ConfigError: no node has this many CPU cores and GPUs.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        most = max(((node.get("GPU", 0), node.get("CPU", 0)) for node in nodes), default=(0, 0))
        raise ConfigError(
            f"{section}: an actor needs {cpus:g} CPU cores and {gpus:g} GPUs, and the largest node has {most[1]:g} and "
            f"{most[0]:g}; lower {section}.cpus_per_actor or {section}.gpus_per_actor, or add a node"
        )
