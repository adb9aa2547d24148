"""One tree of errors. A class answers one question: what will the handler do?

BackupError
├── PlanError            the user's plan is wrong; nothing ran                          exit 2
├── UsageError           the command or its arguments are wrong; nothing ran            exit 2
│   └── NotInstalledError        an optional dependency is not there; nothing ran
├── NotFoundError        no such source, recovery point or path                         exit 11
├── RepositoryError      the repository's side failed
│   ├── RepositoryMissingError   there is no repository there                           exit 10
│   ├── RepositoryChangedError   another repository than before is there                exit 12
│   ├── RecipientsChangedError   it would be written for nobody who is expected         exit 12
│   ├── KeyMissingError          the key is absent or wrong                             exit 12
│   ├── DamageError              stored data is missing, altered or not decodable
│   ├── ConflictError            an object that must not exist yet does
│   └── StoreError               the store failed (retryable when transient)
│       ├── StoreFullError           its disk is full
│       └── StoreRefusedError        it does not allow this with these credentials
│           └── StoreLockedError         … nor with any, before the object's retention is over
├── SourceError          the source's side failed
│   ├── SourceMissingError       the source is not there
│   ├── SourceBusyError          locked for longer than the timeout (retryable)
│   ├── SourceConnectionsError   it gives no more connections (retryable)
│   ├── SourceLocksError         its lock table is full
│   ├── DrillExposedError        a drill cannot be kept from the rest of the machine
│   └── SourceFormatError        it is not what the plan says it is
│       └── SourceUnreadableError    what was asked for cannot be read, and other things can
│           └── SourceEncodingError      … because it is no text in its encoding
├── WindowError          the window cannot be captured (any more)
├── IncompleteError      a recovery point was stored, but something is missing in it    exit 3
├── TimeLimitError       it took longer than it may
├── ProofError           a drill or a verify found a difference
└── TargetError          the target of a restore is occupied or unusable
    └── TargetRefusedError       it answers, and did not take one thing: others may go on

A repository's failure is never reported as a source's, nor the other way round.
"""

from __future__ import annotations

from typing import ClassVar, Final

MOST: Final = 2_000  # characters of a message: people read it, and it goes into alerts


def bounded(text: str, most: int = MOST) -> str:
    """A text for people that came from elsewhere, as a server's or a program's; what is cut is said."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end]} … ({len(text) - most:,} characters are left out here) … {text[-end:]}"


class BackupError(Exception):
    """What failed, why, and what to do next.

    `code` is stable and only ever added to; `retryable` says that the same call may succeed later without a
    change by a person; `exit_code` is the command line's.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", retryable: bool = False) -> None:
        self.message = bounded(message)
        self.hint = bounded(hint)
        super().__init__(self.message)
        self.retryable = retryable

    def __str__(self) -> str:
        end = "." if self.hint and self.message[-1:] not in ".:!?…" else ""
        return f"{self.message}{end} {self.hint}".rstrip()


class PlanError(BackupError):
    code = "plan-invalid"
    exit_code = 2


class UsageError(BackupError):
    code = "usage"
    exit_code = 2


class NotInstalledError(UsageError):
    code = "not-installed"


class NotFoundError(BackupError):
    code = "not-found"
    exit_code = 11


class RepositoryError(BackupError):
    code = "repository-failed"


class RepositoryMissingError(RepositoryError):
    """`empty` when its place answered, and holds none."""

    code = "repository-missing"
    exit_code = 10
    empty = False


class RepositoryChangedError(RepositoryError):
    code = "repository-changed"
    exit_code = 12


class RecipientsChangedError(RepositoryError):
    code = "recipients-changed"
    exit_code = 12


class KeyMissingError(RepositoryError):
    code = "key-missing"
    exit_code = 12


class DamageError(RepositoryError):
    code = "repository-damaged"


class ConflictError(RepositoryError):
    code = "object-exists"


class StoreError(RepositoryError):
    code = "store-failed"


class StoreFullError(StoreError):
    code = "store-full"


class StoreRefusedError(StoreError):
    code = "store-refused"


class StoreLockedError(StoreRefusedError):
    code = "store-locked"


class SourceError(BackupError):
    code = "source-failed"


class SourceMissingError(SourceError):
    code = "source-missing"


class SourceBusyError(SourceError):
    code = "source-busy"

    def __init__(self, message: str, *, hint: str = "", retryable: bool = True) -> None:
        super().__init__(message, hint=hint, retryable=retryable)


class SourceFormatError(SourceError):
    code = "source-format"


class SourceUnreadableError(SourceFormatError):
    code = "source-unreadable"


class SourceEncodingError(SourceUnreadableError):
    code = "source-encoding"


class SourceConnectionsError(SourceError):
    code = "source-connections"


class SourceLocksError(SourceError):
    code = "source-locks"


class DrillExposedError(SourceError):
    code = "drill-not-isolated"


class WindowError(BackupError):
    code = "window-closed"


class IncompleteError(BackupError):
    code = "incomplete"
    exit_code = 3


class TimeLimitError(BackupError):
    code = "time-limit"


class ProofError(BackupError):
    code = "proof-failed"


class TargetError(BackupError):
    code = "target-unusable"


class TargetRefusedError(TargetError):
    """`said` are the target's own words."""

    code = "target-refused"

    def __init__(self, message: str, *, said: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.said = said
