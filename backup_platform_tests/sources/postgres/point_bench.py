"""A repository in a directory with one PostgreSQL source, driven as the program drives it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from backup_platform.actions.backup.run import BackupJob
from backup_platform.actions.drill import DrillResult, drill
from backup_platform.actions.verify.run import ReadShare, verify
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.restoring import DatabaseRestoreSummary, DatabaseTarget
from backup_platform.domain.windows.schedule import CADENCES, WindowSchedule
from backup_platform.repository.creating import init_repository
from backup_platform.repository.repository import Repository
from backup_platform.sources.postgres.options import PostgresOptions
from backup_platform.sources.postgres.source import PostgresSource
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.support import START, ManualClock, QuietProgress


@dataclass
class PointBench:
    """Every method opens the repository anew, as a process would."""

    root: Path
    options: PostgresOptions
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.store = DirectoryStore(str(self.root))
        self.source = PostgresSource("shop", self.options, self.clock)
        self.schedule = WindowSchedule(CADENCES["hour"], since=START)
        if not (self.root / "repository.json").exists():
            init_repository(self.store, self.clock)

    def open(self) -> Repository:
        return Repository(self.store, self.clock)

    def backup(self) -> RecoveryPoint:
        self.clock.advance(seconds=10)
        job = BackupJob(self.source, self.schedule, self.open(), self.clock)
        return job.run(None, force=True, progress=QuietProgress()).point

    def points(self) -> list[RecoveryPoint]:
        return list(self.open().points.all(self.source.name))

    def restore(self, point: RecoveryPoint, url: str, *, jobs: int = 2) -> DatabaseRestoreSummary:
        """Into the existing, empty database at `url`."""
        reader = self.open().reader(point)
        plan = self.source.plan_restore(point, reader, DatabaseTarget(url, jobs=jobs))
        assert plan.conflicts == ()
        return self.source.run_restore(plan, reader, QuietProgress())

    def drill(self, point: RecoveryPoint) -> DrillResult:
        return drill(self.open(), self.source, point, self.clock, QuietProgress())

    def assert_intact(self) -> None:
        """Every recovery point verifies, its contents included."""
        result = verify(self.open(), self.points(), ReadShare(), self.clock, QuietProgress())
        assert not any(result.findings.values()), result.findings
