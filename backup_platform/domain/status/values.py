"""The state of a source, of a repository and of a whole plan, as values. Sizes in bytes. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from backup_platform.domain.keep.copies import CopiesState
from backup_platform.domain.status.objectives import DrillRun, Objective
from backup_platform.domain.status.outline import PointOutline
from backup_platform.domain.status.trends import days_until_full
from backup_platform.domain.status.words import (
    RepositoryFinding,
    RepositoryState,
    SourceFinding,
    SourceState,
    repository_urgency,
    source_urgency,
)
from backup_platform.domain.windows.health import MissedWindows


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """What is known of a source.

    `last` is the newest sound point: complete, not suspect, and of a window that had begun. `proven` is the newest
    point whose last drill passed, `proven_at` when that was. `missed` is None where nobody can tell. `rpo` measures how
    old the data of `last` is, `rto` how long a restore of it takes. `growth` is in bytes per day.
    """

    source: str
    kind: str
    findings: tuple[SourceFinding, ...]
    rpo: Objective
    rto: Objective
    last: PointOutline | None = None
    proven: PointOutline | None = None
    proven_at: datetime | None = None
    points: int = 0
    suspect: tuple[PointOutline, ...] = ()
    missed: MissedWindows | None = None
    drills: tuple[DrillRun, ...] = ()
    copies: CopiesState | None = None
    growth: float | None = None

    @property
    def state(self) -> SourceState:
        return self.findings[0].state if self.findings else SourceState.FINE

    def proof_age(self, now: datetime) -> timedelta | None:
        """How long ago a drill passed."""
        return now - self.proven_at if self.proven_at else None


@dataclass(frozen=True, slots=True)
class RepositoryStatus:
    """What is known of a repository. `stored` are the bytes of its packs, `free` the room of its disk, where these can
    be told; `oldest_unread_s` is the age of the byte that was not seen to be right for longest."""

    repository: str
    location: str
    findings: tuple[RepositoryFinding, ...] = ()
    points: int | None = None
    stored: int | None = None
    free: int | None = None
    capacity: int | None = None
    oldest_unread_s: float | None = None
    growth: float | None = None

    @property
    def days_until_full(self) -> float | None:
        """If it goes on growing like this; None where it does not, or nobody knows."""
        return days_until_full(self.free, self.growth)

    @property
    def state(self) -> RepositoryState:
        return self.findings[0].state if self.findings else RepositoryState.FINE


@dataclass(frozen=True, slots=True)
class PlanStatus:
    """The state of everything in a plan at an instant. `unprotected` says what is in no source, or could not be
    looked at, one sentence each."""

    at: datetime
    sources: tuple[SourceStatus, ...]
    repositories: tuple[RepositoryStatus, ...]
    unprotected: tuple[str, ...] = field(default_factory=tuple)

    @property
    def is_fine(self) -> bool:
        """Whether nobody has to act."""
        bad = [
            *(each.state.is_bad for each in self.sources),
            *(each.state.is_bad for each in self.repositories),
        ]
        return not any(bad) and not self.unprotected


def by_urgency(sources: Sequence[SourceStatus]) -> tuple[SourceStatus, ...]:
    """The most urgent first; those of one state by how old their last point is, then by name."""
    return tuple(
        sorted(
            sources,
            key=lambda each: (
                source_urgency(each.state),
                -(each.rpo.measured or timedelta.max).total_seconds() if each.findings else 0,
                each.source,
            ),
        )
    )


def repositories_by_urgency(repositories: Sequence[RepositoryStatus]) -> tuple[RepositoryStatus, ...]:
    return tuple(sorted(repositories, key=lambda each: repository_urgency(each.state)))
