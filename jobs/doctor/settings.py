"""Settings of `jobs.doctor`, importable without Ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stableanimator.limits.checks import NotNegative, Seconds, checked

Verb = Literal[
    "curate",
    "encode",
    "align",
    "alignment_table",
    "benchmark",
    "train",
    "animate",
    "evaluate",
    "pretrain_encoders",
    "distill_decoder",
    "latency",
]


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class DoctorSettings:
    """What a machine or cluster is looked at for."""

    verbs: tuple[Verb, ...] = ("curate", "encode", "align", "alignment_table", "train", "animate", "evaluate")
    """Jobs that shall run there: what each reserves, and the files that it reads, are looked for."""
    free_gib: NotNegative = 5.0
    """GiB that each machine's temporary folder should have free: rows of a video wait there, and Ray's objects."""
    wait_s: Seconds = 120.0
    """Seconds that a machine may take to answer; starting a process there is in it."""

    def __post_init__(self) -> None:
        if not self.verbs or len(set(self.verbs)) < len(self.verbs):
            raise ValueError("verbs must name at least one, and each once")
