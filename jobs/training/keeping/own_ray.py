"""Ray Train asks the right Ray whether a training's driver still lives.

It ends the workers of a driver that its state API does not know (`ray.train.v2._internal.execution.controller.
placement_group_cleaner`), and looks for that API as the command line does: RAY_ADDRESS, else the Ray that was started
last on the machine. That one knows nothing of a training in another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import ray
from ray.actor import ActorHandle
from ray.train.v2._internal import constants
from ray.util.state import get_actor
from ray.util.state.exception import RayStateApiException

from jobs.running.environment import variables
from stableanimator.errors import ConfigError

_ADDRESS = "RAY_ADDRESS"
_ANSWER_S = 30


@contextlib.contextmanager
def asked_about_workers(known: ActorHandle) -> Iterator[None]:
    """What Ray Train starts meanwhile asks the Ray that this process is connected to.

    Args:
        known: an actor that lives there.

    Raises:
        ConfigError: that Ray has no dashboard, and where it would be another one answers.
    """
    ray.get(known.__ray_ready__.remote())
    constants.ENV_VARS_TO_PROPAGATE.add(_ADDRESS)  # no public way leads to the environment of what Ray Train starts
    with variables({_ADDRESS: ray.get_runtime_context().gcs_address}):
        with contextlib.suppress(RayStateApiException):  # without an answer the workers are let be
            if get_actor(known._actor_id.hex(), timeout=_ANSWER_S) is None:
                raise ConfigError(
                    "this Ray has no dashboard, and at its address that of another Ray answers, for which Ray Train "
                    "would end the training: start this one with --include-dashboard=true"
                )
        yield
