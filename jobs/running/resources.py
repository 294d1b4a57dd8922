"""What each job reserves in a cluster, and how many such places a list of nodes has."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jobs.pairs.settings import AnimateJobSettings, EvaluateSettings
from jobs.running.config import Config
from jobs.training.settings import EngineSettings
from pipelines.curation import CurateSettings
from pipelines.shards.settings import EncodeSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """Processes of one kind, each with a reservation of its own."""

    section: str
    """Of the settings that say so, as `curate` or `train.loop.engine`."""
    what: str
    """`actors` or `training workers`."""
    count: int
    cpus: float
    gpus: float
    memory: float = 0.0
    """Bytes."""
    all_at_once: bool = False
    """Whether fewer than `count` will not do: workers of a training wait for each other, actors do not."""

    @property
    def needs(self) -> dict[str, float]:
        """Of each, as Ray names resources."""
        return {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}


def demand(verb: str, config: Config) -> Demand | None:
    """What a job reserves; None for one that runs in its driver."""
    engines: dict[str, tuple[str, EngineSettings]] = {
        "align": ("align.engine", config.align.engine),
        "distill_decoder": ("distill_decoder.loop.engine", config.distill_decoder.loop.engine),
        "pretrain_encoders": ("pretrain_encoders.loop.engine", config.pretrain_encoders.loop.engine),
        "train": ("train.loop.engine", config.train.loop.engine),
    }
    if verb in engines:
        section, engine = engines[verb]
        return Demand(
            section=section, what="training workers", count=engine.workers, cpus=engine.cpus_per_worker,
            gpus=engine.gpus_per_worker, all_at_once=True,
        )  # fmt: skip
    sections: dict[str, CurateSettings | EncodeSettings | AnimateJobSettings | EvaluateSettings] = {
        "curate": config.curate or CurateSettings(),
        "encode": config.encode,
        "animate": animate_reserves(config),
        "evaluate": config.evaluate,
    }
    if verb == "latency":  # one after another, where animations are made
        cpus, gpus = config.animate.cpus_per_actor, config.animate.gpus_per_actor
        return Demand(section="animate", what="actors", count=1, cpus=cpus, gpus=gpus)
    if verb not in sections:
        return None
    settings = sections[verb]
    memory = settings.memory_gb_per_actor * 1e9 if isinstance(settings, CurateSettings) else 0.0
    return Demand(
        section=verb, what="actors", count=settings.actors, cpus=settings.cpus_per_actor,
        gpus=settings.gpus_per_actor, memory=memory,
    )  # fmt: skip


def animate_reserves(config: Config) -> AnimateJobSettings:
    """A preview has no use for a GPU but for the perception."""
    on_gpu = config.perception is not None and config.perception.device == "cuda"
    return replace(config.animate, gpus_per_actor=0.0) if config.animate.preview and not on_gpu else config.animate


def resources(verb: str, config: Config) -> str:
    """What a job reserves in the cluster, in one line."""
    wanted = demand(verb, config)
    if wanted is None:
        return f"{verb} reserves nothing: it runs in the driver"
    count, cpus, gpus = wanted.count, wanted.cpus, wanted.gpus
    return (
        f"{verb} reserves {count} {wanted.what} x ({cpus:g} CPU, {gpus:g} GPU) = {count * cpus:g} CPU, "
        f"{count * gpus:g} GPU"
    )
