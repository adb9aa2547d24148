"""The words for states, the worst first, and what is found of a source or repository. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from backup_platform.advice import Hint


class SourceState(StrEnum):
    """Of a source. The order is that of urgency; values are stable, because they appear in JSON."""

    UNKNOWN = "unknown"  # its points cannot be read
    NEVER = "never"  # it has no recovery point
    FAILED = "failed"  # a proof of the last point found a difference
    OVERDUE = "overdue"  # a window is due, or the last point is older than `rpo`
    SUSPECT = "suspect"  # the newest point looks emptied or shrunk
    INCOMPLETE = "incomplete"  # the newest point lacks a part of the source
    UNPROVEN = "unproven"  # no drill of a recent point passed
    UNCOPIED = "uncopied"  # the last point is in fewer places than the plan wants
    SLOW = "slow"  # a restore takes longer than `rto`
    MISSED = "missed"  # windows of the last days have no point; the last due one has
    FINE = "fine"

    @property
    def is_bad(self) -> bool:
        """Whether somebody has to act."""
        return self not in (SourceState.FINE, SourceState.MISSED)


class RepositoryState(StrEnum):
    """Of a repository, the most urgent first."""

    AWAY = "away"  # it does not answer
    OTHER = "other"  # another repository is in its place
    EMPTY = "empty"  # its place is there, and holds none
    CLOSED = "closed"  # a key is missing or wrong
    DAMAGED = "damaged"  # packs are known to be damaged
    FULL = "full"  # its disk has no room for the next backups
    UNREAD = "unread"  # something was not read again within the cycle
    FINE = "fine"

    @property
    def is_bad(self) -> bool:
        return self not in (RepositoryState.FINE, RepositoryState.UNREAD)


@dataclass(frozen=True, slots=True)
class SourceFinding:
    """What is not fine, and what to do about it."""

    state: SourceState
    text: str
    advice: Hint = ""


@dataclass(frozen=True, slots=True)
class RepositoryFinding:
    state: RepositoryState
    text: str
    advice: Hint = ""


_SOURCES = list(SourceState)
_REPOSITORIES = list(RepositoryState)


def source_urgency(state: SourceState) -> int:
    """The smaller, the more urgent."""
    return _SOURCES.index(state)


def repository_urgency(state: RepositoryState) -> int:
    return _REPOSITORIES.index(state)


def worst_first(findings: Iterable[SourceFinding]) -> tuple[SourceFinding, ...]:
    return tuple(sorted(findings, key=lambda each: source_urgency(each.state)))
