"""Every error that this project raises on purpose.

    StableAnimatorError
    ├── UserError            a user's mistake: one line on stderr, exit code 2, no traceback
    │   ├── ConfigError      a setting: unknown key, wrong type, relative path, missing variable
    │   ├── InputError       a list, table, picture or clip that the user named and that cannot be used
    │   ├── StorageError     a disk that is full (`storage_error` knows one by what libraries make of it)
    │   ├── WeightsError     a weights file that is missing or is not what its name says
    │   └── CheckpointError  a checkpoint that is damaged, or whose names or shapes do not fit the model
    ├── DivergedError        a training whose losses or weights are no numbers any more: one line, exit code 1
    ├── RowError             one row is bad: it becomes a row with a reason, and the run goes on
    │   ├── FetchError       a source that could not be fetched
    │   ├── DecodeError      a file that holds no frames we can decode
    │   ├── GoneError        a file that is gone or changed since the job was planned
    │   └── PersonError      a picture or clip without the person, face or pose that is needed
    └── DecodeTimeout        a decoder gave no answer: no row is remembered, since a busy machine may be the cause

Each message says what is wrong, where, and what to do; secrets that other libraries' words bring along are taken out.
"""

from __future__ import annotations

import errno

from stableanimator.redaction import redacted

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a disk that takes no more."""

_FULL_WORDS = (
    "No space left on device",
    "Disk quota exceeded",
    "File too large",
    "database or disk is full",  # SQLite
    "disk I/O error",  # the same, where its journal has no room
    "PytorchStreamWriter failed writing file",
    "basic_ios::clear: iostream error",  # PyTorch
    "inline_container.cc",
    "OutOfDiskError",  # Ray's object store, while it spills
)
"""Of libraries that keep no error number."""


class StableAnimatorError(Exception):
    """Root of the tree in the module's docstring."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(redacted(each) if isinstance(each, str) else each for each in arguments))


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
    """A checkpoint that is damaged, or whose names or shapes do not fit the model."""


class DivergedError(StableAnimatorError):
    """A training that came to a loss, a gradient or weights that are no finite numbers. Jobs print its message as one
    line and exit with code 1."""


class RowError(StableAnimatorError):
    """One bad row. `reason` is a stable snake_case name that tables carry; `detail` is for people."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = redacted(detail)

    def __reduce__(self) -> tuple[type[RowError], tuple[str, str]]:
        # Exceptions pickle by their message; ours are rebuilt from both parts across processes.
        return type(self), (self.reason, self.detail)


class FetchError(RowError):
    """A source that could not be fetched."""


class DecodeError(RowError):
    """A file without frames that we can decode."""


class GoneError(RowError):
    """A file that is not what it was when the job was planned (`not_found`, `changed`). It may come back, so nothing
    remembers it."""


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
        UserError: the error is a user's mistake, or a full disk, and no row's.
    """
    if isinstance(error, UserError):
        raise error
    if isinstance(error, RowError):
        return error
    if (full := storage_error(error)) is not None:
        raise full from error
    reason = "decode_timeout" if isinstance(error, DecodeTimeout) else unexpected
    return RowError(reason, " ".join(redacted(f"{type(error).__name__}: {error}").split())[:300])


def storage_error(error: BaseException, place: object = None) -> StorageError | None:
    """What a full disk makes of a library's call, in words for people; None of any other error.

    Args:
        place: what was being written, where the error may not say it.
    """
    number = getattr(error, "errno", None)
    text = " ".join(f"{type(error).__name__}: {error}".split())
    word = next((each for each in _FULL_WORDS if each in text), None)
    if number not in FULL and word is None:
        return None
    place = place or getattr(error, "filename", None)
    where = f"while writing {place}" if place else text[max(0, text.find(word or "") - 60) :][:160]
    return StorageError(f"a disk is full ({where}); free some space and run the job again: what was committed is kept")
