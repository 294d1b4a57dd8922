"""Every error that this project raises on purpose.

    StableAnimatorError
    ├── UserError            a user's mistake: one line on stderr, exit code 2, no traceback
    │   ├── ConfigError      a setting: unknown key, wrong type, relative path, missing variable
    │   ├── InputError       a list, table, picture or clip that the user named and that cannot be used
    │   ├── StorageError     a disk that is full
    │   ├── WeightsError     a weights file that is missing or is not what its name says
    │   └── CheckpointError  a checkpoint whose names or shapes do not fit the model
    ├── RowError             one row is bad: it becomes a row with a reason, and the run goes on
    │   ├── FetchError       a source that could not be fetched
    │   ├── DecodeError      a file that holds no frames we can decode
    │   └── PersonError      a picture or clip without the person, face or pose that is needed
    └── DecodeTimeout        a decoder gave no answer: no row is remembered, since a busy machine may be the cause

Each message says what is wrong, where, and what to do.
"""

from __future__ import annotations


class StableAnimatorError(Exception):
    """Root of the tree in the module's docstring."""


class UserError(StableAnimatorError):
    """A user's mistake. Jobs print its message as one line and exit with code 2."""


class ConfigError(UserError):
    """A setting that cannot be used."""


class InputError(UserError):
    """A list, table, picture or clip named by the user that cannot be used."""


class StorageError(UserError):
    """A disk that is full."""


class WeightsError(UserError):
    """A weights file that is missing or unreadable."""


class CheckpointError(UserError):
    """A checkpoint whose names or shapes do not fit the model."""


class RowError(StableAnimatorError):
    """One bad row. `reason` is a stable snake_case name that tables carry; `detail` is for people."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[RowError], tuple[str, str]]:
        # Exceptions pickle by their message; ours are rebuilt from both parts across processes.
        return type(self), (self.reason, self.detail)


class FetchError(RowError):
    """A source that could not be fetched."""


class DecodeError(RowError):
    """A file without frames that we can decode."""


class PersonError(RowError):
    """A picture or clip without the person, face or pose that is needed."""


class DecodeTimeout(StableAnimatorError):
    """A decoder that gave nothing for too long."""


def require_finite(finite: bool, what: str) -> None:
    """Refuse numbers of one row that are NaN or infinite.

    Raises:
        RowError: `not_finite`.
    """
    if not finite:
        raise RowError("not_finite", f"{what} are NaN or infinite; are the weights whole, and trained to the end?")


def row_error(error: Exception, unexpected: str) -> RowError:
    """What a row says of whatever went wrong with it alone: the one rule for all jobs.

    A RowError says it itself; a decoder without an answer is `decode_timeout`; anything else is a defect or a passing
    trouble, named `unexpected`, with the error's own words.

    Raises:
        UserError: the error is a user's mistake, and no row's.
    """
    if isinstance(error, UserError):
        raise error
    if isinstance(error, RowError):
        return error
    reason = "decode_timeout" if isinstance(error, DecodeTimeout) else unexpected
    return RowError(reason, " ".join(f"{type(error).__name__}: {error}".split())[:300])
