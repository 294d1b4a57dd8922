"""Ray Train asks the right Ray whether a training's driver still lives.

It ends the workers of a driver that the state API does not know (its `placement_group_cleaner`), and looks for that API
as the command line does: at the Ray that was started last on the machine, or, of a Ray without a dashboard, at the port
that its dashboard would have. What answers there may know nothing of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import ray
from ray.actor import ActorHandle
from ray.dashboard.utils import ray_address_to_api_server_url
from ray.train.v2._internal import constants
from ray.util.state import get_actor
from ray.util.state.exception import RayStateApiException

from jobs.running.environment import variables

_ADDRESS = "RAY_API_SERVER_ADDRESS"
_NOWHERE = "http://127.0.0.1:9"
"""The port on which what comes is thrown away. Without an answer Ray Train lets workers be."""
_ANSWER_S = 30


@contextlib.contextmanager
def asked_about_workers(known: ActorHandle) -> Iterator[None]:
    """What Ray Train starts meanwhile asks the Ray that this process is connected to, or nobody.

    Args:
        known: an actor that lives there.
    """
    ray.get(known.__ray_ready__.remote())
    constants.ENV_VARS_TO_PROPAGATE.add(_ADDRESS)  # no public way leads to the environment of what Ray Train starts
    with variables({_ADDRESS: _api_server(known)}):
        yield


def _api_server(known: ActorHandle) -> str:
    address = ray_address_to_api_server_url(ray.get_runtime_context().gcs_address)
    with variables({_ADDRESS: address}), contextlib.suppress(RayStateApiException):
        if get_actor(known._actor_id.hex(), timeout=_ANSWER_S) is not None:
            return address
    return _NOWHERE
