"""What a source is judged by. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backup_platform.domain.keep.copies import CopiesState
from backup_platform.domain.model import Proof
from backup_platform.domain.status.objectives import DrillRun
from backup_platform.domain.status.outline import PointOutline
from backup_platform.domain.trust.latest import in_time
from backup_platform.domain.windows.health import DrillPolicy, MissedWindows


@dataclass(frozen=True, slots=True)
class SourceEvidence:
    """What is known of a source.

    `points` are oldest sequence first. `unreadable` says why points cannot be read, and then `missed` is None. `proofs`
    gives the verdicts of a point by its id. `due_since` is when the open window became due, where it has no point.
    `failed` are points of which a proof found a difference that stands. `can_drill`: this host has a key to the
    contents. `repositories` are the names of those where its points are to be, the first one first.
    """

    source: str
    now: datetime
    points: Sequence[PointOutline]
    missed: MissedWindows | None
    kind: str = ""
    proofs: Callable[[str], Sequence[Proof]] = lambda point: ()
    unreadable: Sequence[str] = ()
    due_since: datetime | None = None
    failed: Sequence[PointOutline] = ()
    drill: DrillPolicy = "window"
    drills: Sequence[DrillRun] = ()
    rpo: timedelta | None = None
    rto: timedelta | None = None
    copies: CopiesState | None = None
    repositories: Sequence[str] = ()
    can_drill: bool = True


def sound_points(points: Sequence[PointOutline]) -> list[PointOutline]:
    """Those that `latest` may select, in the order in which they were stored."""
    sound = [point for point in points if not point.incomplete and not point.is_suspect]
    return [point for point in sound if in_time(point)] or sound


def standing_points(points: Sequence[PointOutline]) -> list[PointOutline]:
    """Those that no later sound point of the same window has replaced, oldest sequence first."""
    replaced_by = {point.window.key: point.sequence for point in sound_points(points)}
    return [point for point in points if point.sequence >= replaced_by.get(point.window.key, 0)]


def shown_at(point: PointOutline) -> datetime:
    """The instant that its data shows; not after the store received it, whatever the writer's clock said."""
    return min(point.captured_at, point.stored_at) if point.stored_at else point.captured_at
