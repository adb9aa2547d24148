"""`status`: everything that a plan protects, looked at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from backup_platform.actions.status.history import SourceHistory, look_back
from backup_platform.actions.status.proofs import ListedProofs
from backup_platform.actions.status.repositories import WatchedRepository, look_at, with_room
from backup_platform.domain.keep.copies import CopiesState, CopyRule, Holding, judge_copies
from backup_platform.domain.ports import Clock
from backup_platform.domain.status.evidence import SourceEvidence, sound_points, standing_points
from backup_platform.domain.status.judging import judge_source
from backup_platform.domain.status.outline import PointOutline
from backup_platform.domain.status.values import (
    PlanStatus,
    RepositoryStatus,
    SourceStatus,
    by_urgency,
    repositories_by_urgency,
)
from backup_platform.domain.windows.health import DrillPolicy, overdue_at
from backup_platform.domain.windows.schedule import WindowSchedule
from backup_platform.errors import BackupError
from backup_platform.repository.objects.names import ManifestKey, source_tag
from backup_platform.repository.records.acceptances import read_acceptances
from backup_platform.repository.repository import Repository

RECENT = 5  # points that tell how much the next one stores


@dataclass(frozen=True, slots=True)
class WatchedSource:
    """What the plan says of a source. `places` are those of its repositories by their names, the first one first."""

    name: str
    kind: str
    schedule: Callable[[], WindowSchedule]
    drill: DrillPolicy = "window"
    rpo: timedelta | None = None
    rto: timedelta | None = None
    rule: CopyRule | None = None
    places: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenedRepository:
    """A repository that answered, with what one listing of each kind tells."""

    repository: Repository
    manifests: Mapping[str, Mapping[ManifestKey, datetime]]  # by the tag of their source

    @classmethod
    def of(cls, repository: Repository) -> OpenedRepository:
        found = defaultdict[str, dict[ManifestKey, datetime]](dict)
        for key, at in repository.points.stored().items():
            found[key.split("/")[1]][key] = at
        return cls(repository, found)

    def listed(self, source: str) -> Mapping[ManifestKey, datetime]:
        return self.manifests.get(source_tag(source, self.repository.cipher.hash), {})


class PlanSurvey:
    """Looks at all of a plan: its sources, and its repositories, the first of which is written to."""

    def __init__(
        self, sources: Sequence[WatchedSource], repositories: Sequence[WatchedRepository], clock: Clock
    ) -> None:
        self._sources, self._repositories, self._clock = sources, repositories, clock
        self._opened: dict[str, OpenedRepository] = {}

    def run(self, unprotected: Sequence[str] = ()) -> PlanStatus:
        """Never raises for what is wrong with a source or a repository: that is their state."""
        now = self._clock.now()
        statuses = [self._look(planned) for planned in self._repositories]
        histories = self._histories(now)
        sources = self._judge(histories, statuses[0], now)
        statuses = [self._completed(status, histories) for status in statuses]
        return PlanStatus(now, by_urgency(sources), repositories_by_urgency(statuses), tuple(unprotected))

    def _look(self, planned: WatchedRepository) -> RepositoryStatus:
        repository, status = look_at(planned, self._clock)
        if repository is not None:
            try:
                self._opened[planned.name] = OpenedRepository.of(repository)
            except BackupError as error:
                _, status = look_at(replace(planned, open=_raising(error)), self._clock)
        return status

    @property
    def _first(self) -> OpenedRepository | None:
        return self._opened.get(self._repositories[0].name)

    def _histories(self, now: datetime) -> dict[str, SourceHistory]:
        if (first := self._first) is None:
            return {}
        found = {each.name: self._history(first, each, now) for each in self._sources}
        return with_acceptances(first.repository, found)

    def _history(self, first: OpenedRepository, planned: WatchedSource, now: datetime) -> SourceHistory:
        listed = first.listed(planned.name)
        try:
            return look_back(first.repository, planned.schedule(), planned.name, now, listed=listed)
        except BackupError as error:
            return SourceHistory((), None, (error,))

    def _judge(
        self, histories: Mapping[str, SourceHistory], status: RepositoryStatus, now: datetime
    ) -> list[SourceStatus]:
        if (first := self._first) is None:
            away = f"its repository {status.repository} is {status.state}"
            return [_unknown(each, now, away) for each in self._sources]
        proofs = ListedProofs(first.repository)
        found = [
            judge_source(self._evidence(each, histories[each.name], proofs, now)) for each in self._sources
        ]
        proofs.note()
        return found

    def _evidence(
        self, planned: WatchedSource, history: SourceHistory, proofs: ListedProofs, now: datetime
    ) -> SourceEvidence:
        points, missed = history.points, history.missed
        current = missed.current if missed is not None else None
        sound, first = sound_points(points), self._first
        assert first is not None
        return SourceEvidence(
            planned.name,
            now,
            points,
            history.missed,
            planned.kind,
            proofs=proofs.of,
            unreadable=[error.message for error in history.damaged],
            due_since=overdue_at(planned.schedule(), current) if current else None,
            failed=proofs.failed(standing_points(points)),
            drill=planned.drill,
            drills=proofs.drills(sound),
            rpo=planned.rpo,
            rto=planned.rto,
            copies=self._copies(planned, sound[-1], now) if sound else None,
            repositories=[*planned.places],
            can_drill=first.repository.cipher.reads_contents,
        )

    def _copies(self, planned: WatchedSource, point: PointOutline, now: datetime) -> CopiesState | None:
        if planned.rule is None or len(planned.places) < 2:
            return None
        holdings = [Holding(name, place, self._holds(name, point)) for name, place in planned.places.items()]
        return judge_copies(planned.rule, holdings, point.committed_at, now)

    def _holds(self, name: str, point: PointOutline) -> bool | None:
        """Whether the chain of a repository has a point in this place; None where it does not answer."""
        if (opened := self._opened.get(name)) is None:
            return None
        return opened.repository.points.key_of(point.source, point.sequence) in opened.listed(point.source)

    def _completed(
        self, status: RepositoryStatus, histories: Mapping[str, SourceHistory]
    ) -> RepositoryStatus:
        opened = self._opened.get(status.repository)
        if opened is None:
            return status
        needed = sum(
            max((p.stored_bytes for p in each.points[-RECENT:]), default=0) for each in histories.values()
        )
        points = sum(map(len, opened.manifests.values()))
        return with_room(replace(status, points=points), needed)


def _raising(error: BackupError) -> Callable[[], Repository]:
    def opened() -> Repository:
        raise error

    return opened


def with_acceptances(repository: Repository, found: Mapping[str, SourceHistory]) -> dict[str, SourceHistory]:
    """The histories, in which suspect points that somebody accepted say so."""
    suspect = {point.id for each in found.values() for point in each.points if point.suspect}
    accepted = read_acceptances(repository.objects, suspect) if suspect else {}
    reasons = {identity: each.reason for identity, each in accepted.items()}
    return {name: _accepting(each, reasons) if reasons else each for name, each in found.items()}


def _accepting(history: SourceHistory, reasons: Mapping[str, str]) -> SourceHistory:
    points = tuple(
        replace(point, accepted=reasons[point.id]) if point.id in reasons else point
        for point in history.points
    )
    return replace(history, points=points)


def _unknown(planned: WatchedSource, now: datetime, why: str) -> SourceStatus:
    """The state of a source whose repository cannot be used. Its objectives stand."""
    known = SourceEvidence(
        planned.name, now, (), None, planned.kind, unreadable=(why,), rpo=planned.rpo, rto=planned.rto
    )
    return judge_source(known)
