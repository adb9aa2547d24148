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

How one is raised: the message is one or two sentences, what failed and why; what to do is the hint, in which commands
are data and not text. What a handler decides by is an attribute or the class, set where it is known. Nobody reads a
message or `__cause__` to decide.

    raise DamageError(
        f"The object {key} is not in the store any more.",
        subject=key,
        missing=True,
        hint=(command("repair"), " takes it from a copy."),
    ) from error
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Final, Literal, TypedDict, Unpack

from backup_platform.advice import Advice, Hint, advice, joined, mapped, written

MOST: Final = 2_000  # characters of a message: people read it, and it goes into alerts


def bounded(text: str, most: int = MOST) -> str:
    """A text from a server or a program, for people. If it is too long, it is cut, and says how much is missing."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end]} … ({len(text) - most:,} characters are left out here) … {text[-end:]}"


class Facts(TypedDict, total=False):
    """What every error may carry, see `BackupError`."""

    hint: Hint
    subject: str
    said: str
    repository: str
    retryable: bool


class BackupError(Exception):
    """What failed, why, and what to do next.

    `code` is stable, and codes are only added. `retryable` means that the same call may succeed later without a change
    by a person. `exit_code` is the command line's. `subject` is what the error is about: a source, a recovery point,
    the key of an object, a path. `repository` is the plan's name of the repository that it is about, if that is known.
    `said` are the words of the other side: a server, a store, a program.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        hint: Hint = "",
        subject: str = "",
        said: str = "",
        repository: str = "",
        retryable: bool = False,
    ) -> None:
        self.message = bounded(message)
        self.advice: Advice = mapped(advice(hint), bounded)
        super().__init__(self.message)
        self.subject, self.said, self.repository = bounded(subject), bounded(said), repository
        self.retryable = retryable

    @property
    def hint(self) -> str:
        """The advice as text, for callers that know no plan."""
        return written(self.advice)

    def advise(self, hint: Hint) -> None:
        """Add advice to what is there."""
        self.advice = joined(self.advice, hint)

    def __str__(self) -> str:
        return sentences(self.message, self.hint)


def sentences(message: str, hint: str) -> str:
    """A message and what to do, as one text."""
    end = "." if hint and message[-1:] not in ".:!?…" else ""
    return f"{message}{end} {hint}".rstrip()


@contextmanager
def about_repository(name: str) -> Iterator[None]:
    """Sets the repository of the plan for errors of the block that do not name one."""
    try:
        yield
    except BackupError as error:
        error.repository = error.repository or name
        raise


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
    """`empty` means that the place answered, and holds no repository."""

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
    """`missing` means that the object does not exist at all, which may be the work of a prune."""

    code = "repository-damaged"

    def __init__(self, message: str, *, missing: bool = False, **facts: Unpack[Facts]) -> None:
        super().__init__(message, **facts)
        self.missing = missing


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


Refusal = Literal["", "login", "access", "room"]


class SourceError(BackupError):
    """`refusal` says what a server denied: the login, access to the database or its contents, space on a disk."""

    code = "source-failed"

    def __init__(self, message: str, *, refusal: Refusal = "", **facts: Unpack[Facts]) -> None:
        super().__init__(message, **facts)
        self.refusal = refusal


class SourceMissingError(SourceError):
    code = "source-missing"


class SourceBusyError(SourceError):
    code = "source-busy"

    def __init__(self, message: str, *, refusal: Refusal = "", **facts: Unpack[Facts]) -> None:
        facts.setdefault("retryable", True)
        super().__init__(message, refusal=refusal, **facts)


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
    """`number` is the error number of the operating system (errno), 0 for other failures. `full` means that there is no
    space left, which says nothing about the data to restore."""

    code = "target-unusable"

    def __init__(self, message: str, *, number: int = 0, full: bool = False, **facts: Unpack[Facts]) -> None:
        super().__init__(message, **facts)
        self.number, self.full = number, full


class TargetRefusedError(TargetError):
    """`said` are the target's own words."""

    code = "target-refused"
