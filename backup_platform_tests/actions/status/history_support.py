"""Points that are committed without a capture, and what all windows of a source say when each is looked at."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from backup_platform.actions.status.history import SourceHistory, begun_of, look_back
from backup_platform.domain.model import EMPTY, RecoveryPoint, Stats, StreamRef, Window
from backup_platform.domain.status.outline import PointOutline
from backup_platform.domain.trust.latest import captures
from backup_platform.domain.windows.health import MissedWindows, missed_windows
from backup_platform.domain.windows.schedule import CADENCES, WindowSchedule
from backup_platform.repository.creating import init_repository
from backup_platform.repository.points.notes import Notes
from backup_platform.repository.records.forgotten import (
    forgotten_places,
    read_forgotten,
    record_forgotten,
)
from backup_platform.repository.repository import Repository
from backup_platform_tests.support import START, ClockedStore, ManualClock

SOURCE = "docs"


def hourly(late: timedelta = timedelta(0), since: datetime = START) -> WindowSchedule:
    return WindowSchedule(CADENCES["hour"], since=since, late_limit=late)


@dataclass
class Past:
    """A repository whose points have no contents. Every look opens it anew, as a process would."""

    root: Path
    clock: ManualClock = field(default_factory=ManualClock)
    schedule: WindowSchedule = field(default_factory=hourly)

    def __post_init__(self) -> None:
        self.stores = ManualClock(self.clock.now())
        self.store = ClockedStore(str(self.root / "repository"), self.stores)
        self.notes = str(self.root / "notes")
        init_repository(self.store, self.clock)

    def open(self) -> Repository:
        repository = Repository(self.store, self.clock)
        repository.notes = Notes(self.notes)
        return repository

    def commit(self, window: Window, *, incomplete: bool = False, size: int = 1_000) -> RecoveryPoint:
        """A point of a window, stored now."""
        points, now = self.open().points, self.clock.now()
        self.stores.instant = now
        point = RecoveryPoint(
            id="",
            sequence=points.next_sequence(SOURCE),
            predecessor="",
            source=SOURCE,
            kind="files",
            window=window,
            timezone="UTC",
            captured_at=now,
            committed_at=now,
            lateness_s=0.0,
            incomplete=incomplete,
            problem_count=0,
            problems=(),
            facts={},
            stats=Stats(source_bytes=size, new_bytes=size, stored_bytes=size, duration_s=1.0),
            inventory=StreamRef(0, EMPTY),
            versions={},
        )
        return points.commit(point)

    def forget(self, point: RecoveryPoint) -> None:
        repository = self.open()
        record_forgotten(repository.objects, point, "not kept", self.clock.now())
        repository.points.delete(point)

    def lose(self, point: RecoveryPoint) -> bytes:
        """Take a manifest away; `bring_back` has it again."""
        path = self._path(point)
        data = path.read_bytes()
        path.unlink()
        return data

    def bring_back(self, point: RecoveryPoint, data: bytes) -> None:
        self._path(point).write_bytes(data)
        os.utime(self._path(point), (self.clock.now().timestamp(),) * 2)

    def _path(self, point: RecoveryPoint) -> Path:
        return Path(self.store.location, self.open().points.key(point))

    def look(self, known: datetime | None = None) -> SourceHistory:
        return look_back(self.open(), self.schedule, SOURCE, self.clock.now(), known=known)

    def looked_at_anew(self, known: datetime | None = None) -> MissedWindows:
        """What a look at every window and at every record finds."""
        repository, now = self.open(), self.clock.now()
        points = captures(PointOutline.of(point) for point in repository.points.all(SOURCE))
        captured = {point.window.key for point in points if not point.incomplete}
        begun = begun_of(self.schedule, points, known, now)
        found = missed_windows(self.schedule, captured, now, begun=begun)
        places = forgotten_places(repository.objects, SOURCE)
        gone = {each.window.key for each in read_forgotten(repository.objects, places)[0]}
        missed = tuple(window for window in found.missed if window.key not in gone)
        return MissedWindows(found.current, found.late, missed, found.scanned_from, found.awaited)
