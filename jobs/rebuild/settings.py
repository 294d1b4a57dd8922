"""Settings of `jobs.rebuild`, importable without Ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verb = Literal["curate", "encode", "align", "alignment_table", "benchmark", "train", "animate", "evaluate"]

ORDER: tuple[Verb, ...] = ("curate", "encode", "align", "alignment_table", "benchmark", "train", "animate", "evaluate")
"""Each job reads what those before it made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RebuildSettings:
    """What a rebuild brings up to date."""

    verbs: tuple[Verb, ...] = ("curate", "encode")
    """The jobs that belong to it, in the order of the line; `curate` writes a benchmark set too, and `benchmark`
    one of the papers', which is then the one that is animated. Where a job's
    setting names `latest`, it reads what this rebuild made, also where somebody else made something meanwhile."""

    def __post_init__(self) -> None:
        if not self.verbs or list(self.verbs) != [verb for verb in ORDER if verb in self.verbs]:
            raise ValueError(f"verbs must name jobs in the order of the line, each once: {', '.join(ORDER)}")
