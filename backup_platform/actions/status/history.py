"""The points and the missed windows of a source. What was read or judged before is neither read nor judged again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from backup_platform.actions.status.noted import Noted, read_noted, write_noted
from backup_platform.domain.model import Window
from backup_platform.domain.status.outline import PointOutline
from backup_platform.domain.status.past import (
    corrected,
    extended,
    lacked_anew,
    missed_by,
    reaches,
    settled_until,
    signature,
)
from backup_platform.domain.trust.latest import captures
from backup_platform.domain.windows.health import MissedWindows
from backup_platform.domain.windows.schedule import WindowSchedule
from backup_platform.errors import BackupError, DamageError, WindowError
from backup_platform.repository.objects.names import ManifestKey
from backup_platform.repository.records.forgotten import (
    forgotten_places,
    read_forgotten,
    was_forgotten,
)
from backup_platform.repository.repository import Repository

ASKED_SINGLY = 50  # points, of which it is asked whether they were forgotten; of more, all records are listed


@dataclass(frozen=True, slots=True)
class SourceHistory:
    """`points` oldest sequence first, without acceptances. `missed` is None where a manifest cannot be read: a window
    of which nobody knows whether it has a point was not missed. `damaged` says what is wrong with these."""

    points: tuple[PointOutline, ...]
    missed: MissedWindows | None
    damaged: tuple[BackupError, ...] = ()


def look_back(
    repository: Repository,
    schedule: WindowSchedule,
    source: str,
    now: datetime,
    *,
    known: datetime | None = None,
    listed: Mapping[ManifestKey, datetime] | None = None,
) -> SourceHistory:
    """`known` is since when somebody watches the source with this schedule. `listed` are its manifests, where they were
    listed already."""
    noted = read_noted(repository.notes, source)
    listed = repository.points.stored(source) if listed is None else listed
    points, damaged = _outlines(repository, listed, noted)
    if damaged:
        return SourceHistory(_ordered(points), None, tuple(damaged))
    judging = _Judging(repository, schedule, source, noted, points)
    missed = judging.missed(now, known)
    if judging.noted != noted:
        write_noted(repository.notes, source, judging.noted)
    return SourceHistory(_ordered(points), missed)


def points_of(repository: Repository, source: str, listed: Mapping[ManifestKey, datetime]) -> SourceHistory:
    """The points alone: no window is judged, and nothing is noted."""
    points, damaged = _outlines(repository, listed, read_noted(repository.notes, source))
    return SourceHistory(_ordered(points), None, tuple(damaged))


def _ordered(points: Mapping[ManifestKey, PointOutline]) -> tuple[PointOutline, ...]:
    return tuple(sorted(points.values(), key=lambda point: point.sequence))


def _outlines(
    repository: Repository, listed: Mapping[ManifestKey, datetime], noted: Noted
) -> tuple[dict[ManifestKey, PointOutline], list[DamageError]]:
    """Only manifests that are new, or that the store received anew, are read."""
    known = {
        key: point for key, point in noted.points.items() if key in listed and listed[key] == point.stored_at
    }
    new = {key: at for key, at in listed.items() if key not in known}
    read, damaged = repository.points.read(new)
    return known | {repository.points.key(each): PointOutline.of(each) for each in read}, damaged


class _Judging:
    """The judgement of one source from the captures among its points; `noted` is what to note of it afterwards."""

    def __init__(
        self,
        repository: Repository,
        schedule: WindowSchedule,
        source: str,
        noted: Noted,
        points: Mapping[ManifestKey, PointOutline],
    ) -> None:
        self._repository, self._schedule, self._source = repository, schedule, source
        self._before, self._counting = noted, captures(points.values())
        self._captured = {point.window.key for point in self._counting if not point.incomplete}
        self._here = {point.id for point in points.values()}
        mark = signature(schedule)
        self._past = noted.past if noted.signature == mark else None
        self._lost: tuple[PointOutline, ...] = ()
        self.noted = Noted(points, None, mark)

    def missed(self, now: datetime, known: datetime | None) -> MissedWindows:
        begun = begun_of(self._schedule, self._counting, known, now)
        if self._past is not None and not reaches(self._past, self._schedule, begun):
            self._past = None
        forgotten = set(self._settle_gone())
        ahead = self._past is not None and self._past.end > settled_until(self._schedule, now)
        highest = self._before.highest if self._past and not ahead else 0

        def recorded() -> set[str]:
            nonlocal highest
            windows, highest = windows_forgotten(self._repository, self._source, highest)
            forgotten.update(windows)
            return {window.key for window in forgotten}

        past = extended(self._past, self._schedule, self._captured, now, begun=begun, forgotten=recorded)
        unsettled = frozenset(window for window in forgotten if window.end > past.end)
        self.noted = replace(self.noted, past=past, forgotten=unsettled, highest=highest, lost=self._lost)
        return missed_by(past, self._schedule, self._captured, now, begun)

    def _settle_gone(self) -> frozenset[Window]:
        """Correct the past by points that came or went since it was judged; windows of which points were forgotten."""
        before = {point.id: point for point in (*self._before.lost, *self._before.points.values())}
        away = [point for point in before.values() if point.id not in self._here]
        recorded = self._recorded_of(away)
        forgotten = frozenset(point.window for point in away if point.id in recorded)
        settled = self._captured | {window.key for window in forgotten}
        self._lost = tuple(p for p in away if p.id not in recorded and p.window.key not in settled)
        if self._past is not None:
            seen = {point.id for point in captures(self._before.points.values())}
            new = {p.window.start for p in self._counting if p.id not in seen and not p.incomplete}
            arrived = new | {window.start for window in forgotten}
            self._past = corrected(self._past, self._schedule, arrived, ())
            lost = lacked_anew(self._past, self._without_point(settled))
            if lost:  # a window may have had another point, which was forgotten
                windows, _ = windows_forgotten(self._repository, self._source, above=0)
                lost -= (known := {window.start for window in windows})
                self._lost = tuple(point for point in self._lost if point.window.start not in known)
            self._past = corrected(self._past, self._schedule, (), lost)
        return self._before.forgotten | forgotten

    def _without_point(self, settled: Collection[str]) -> set[datetime]:
        """Starts of windows that had a complete capture, and have none now."""
        counting = {point.id for point in self._counting}
        were = (*captures(self._before.points.values()), *self._lost)
        gone = (point for point in were if point.id not in counting and not point.incomplete)
        return {point.window.start for point in gone if point.window.key not in settled}

    def _recorded_of(self, points: Sequence[PointOutline]) -> set[str]:
        """The ids of those that were forgotten, and not lost."""
        objects = self._repository.objects
        if len(points) > ASKED_SINGLY:
            return {place.point for place in forgotten_places(objects, self._source)}
        return {each.id for each in points if was_forgotten(objects, self._source, each.sequence, each.id)}


def windows_forgotten(repository: Repository, source: str, above: int) -> tuple[list[Window], int]:
    """The windows of forgotten points with a sequence `above` this one, and the highest of these sequences. Records do
    not change: each is read once."""
    known = repository.forgotten_windows
    listed = [each for each in forgotten_places(repository.objects, source) if each.sequence > above]
    places = [place for place in listed if place.key not in known]
    records = {record.point: record for record in read_forgotten(repository.objects, places)[0]}
    known.update({place.key: records[place.point].window for place in places if place.point in records})
    windows = [known[place.key] for place in listed if place.key in known]
    return windows, max((place.sequence for place in listed), default=above)


def begun_of(
    schedule: WindowSchedule, points: Sequence[PointOutline], known: datetime | None, now: datetime
) -> datetime:
    """The time since which windows of the schedule are due: that of their oldest point, or for a source without
    points the time when it was first known."""
    ordered = sorted(points, key=lambda point: point.window.start)
    first = _first_of(schedule, ordered)
    if first is None:
        return known or now
    earlier = known and first is ordered[0] and first.sequence == 1  # else what came before was forgotten
    return min(known, first.window.start) if known and earlier else first.window.start


def _first_of(schedule: WindowSchedule, points: Sequence[PointOutline]) -> PointOutline | None:
    """The first point of the present schedule. Looking at each costs seconds: those of one schedule follow each
    other."""
    if not points or not _fits(schedule, points[-1].window):
        return None
    low, high = 0, len(points) - 1
    if _fits(schedule, points[0].window):
        return points[0]
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fits(schedule, points[middle].window) else (middle, high)
    return points[high]


def _fits(schedule: WindowSchedule, window: Window) -> bool:
    try:
        return schedule.window(window.key) == window
    except WindowError:
        return False
