"""What a check says: right, wrong or not known, with a way out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from stableanimator.errors import ConfigError
from stableanimator.redaction import redacted

State = Literal["ok", "wrong", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's."""

    state: State
    """`wrong`: jobs of this configuration fail; `note`: worth knowing, or not to be told from here."""
    what: str
    """What was looked at, and what was seen."""
    do: str = ""
    """What to do about it; every finding that is not ok says so."""

    def __post_init__(self) -> None:
        if (self.state == "ok") == bool(self.do):
            raise ValueError(f"{self.what}: what is ok needs no way out, and all else has one")

    def __str__(self) -> str:
        return redacted(f"{self.state:<5}  {self.what}{f'; {self.do}' if self.do else ''}")


def require_none_wrong(findings: Iterable[Finding]) -> None:
    """Raises ConfigError with all that is wrong, in one line."""
    wrong = [f"{finding.what}; {finding.do}" for finding in findings if finding.state == "wrong"]
    if wrong:
        raise ConfigError(". ".join(wrong))
