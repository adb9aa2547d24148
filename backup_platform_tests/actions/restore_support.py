"""A real repository with a real tree in it, for tests of the restore."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from backup_platform.actions.backup.run import BackupJob
from backup_platform.actions.drill import DrillResult, drill
from backup_platform.actions.restore.run import RestorePlan, RestoreSummary, plan_restore, run_restore
from backup_platform.clock import SILENT
from backup_platform.domain.model import Content, Entry, EntryKind, RecoveryPoint, Stat
from backup_platform.domain.ports import DrillReport
from backup_platform.domain.windows.schedule import CADENCES, WindowSchedule
from backup_platform.repository.creating import init_repository
from backup_platform.repository.repository import Repository
from backup_platform.repository.session import Session
from backup_platform.sources.files.source import FileTreeSource
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.sources.files_support import AheadClock, CountingProgress
from backup_platform_tests.support import Restored

CLOCK = AheadClock()


@dataclass(frozen=True)
class Vault:
    """A repository beside the tree that it protects."""

    place: Path

    def __post_init__(self) -> None:
        if not (self.place / "repository" / "repository.json").exists():
            init_repository(DirectoryStore(os.fspath(self.place / "repository")), CLOCK)

    @property
    def root(self) -> Path:
        return self.place / "tree"

    @property
    def repository(self) -> Repository:
        return Repository(DirectoryStore(os.fspath(self.place / "repository")), CLOCK)

    @property
    def source(self) -> FileTreeSource:
        return FileTreeSource(name="tree", root=os.fspath(self.root), clock=CLOCK)

    def backup(self) -> RecoveryPoint:
        schedule = WindowSchedule(CADENCES["hour"], since=CLOCK.now())
        job = BackupJob(self.source, schedule, self.repository, CLOCK)
        return job.run(None, force=True, progress=CountingProgress()).point

    def forge(self, entries: Sequence[Entry], contents: Sequence[bytes] = ()) -> RecoveryPoint:
        """A point with an inventory that no walk would give; `contents` are stored with it."""
        genuine = self.backup()
        with Session(self.repository, None) as session:
            for data in contents:
                session.recorder.blob(data)
            session.recorder.record(entries)
            inventory = session.finish()
        forged = replace(genuine, sequence=genuine.sequence + 1, predecessor=genuine.id, inventory=inventory)
        return self.repository.points.commit(forged)

    def let_others_write(self) -> None:
        subprocess.run(["chmod", "-R", "a+rwX", self.place / "repository"], check=True)

    def plan(
        self, point: RecoveryPoint, to: Path, paths: Sequence[str] = (), *, overwrite: bool = False
    ) -> RestorePlan:
        reader = self.repository.reader(point)
        return plan_restore(reader, point, to=os.fspath(to), paths=paths, overwrite=overwrite)

    def run(self, plan: RestorePlan, progress: CountingProgress | None = None) -> RestoreSummary:
        return run_restore(plan, self.repository, CLOCK, progress or CountingProgress())

    def restore(
        self, point: RecoveryPoint, to: Path, paths: Sequence[str] = (), *, overwrite: bool = False
    ) -> RestoreSummary:
        return self.run(self.plan(point, to, paths, overwrite=overwrite))

    def drill_in_a_sandbox(self, point: RecoveryPoint) -> DrillResult:
        return drill(self.repository, self.source, point, CLOCK, CountingProgress())

    def drill(self, point: RecoveryPoint, restored: Path) -> DrillReport:
        return self.source.drill(point, self.repository.reader(point), Restored(os.fspath(restored)), SILENT)


def stat_of(path: bytes, kind: EntryKind, *, size: int = 0, mode: int = 0o644) -> Stat:
    return Stat(path, kind, mode, os.geteuid(), os.getegid(), size, 10**18, 0, 1, 1, 1, 0)


def file_of(path: bytes, blob: bytes, size: int) -> Entry:
    return Entry(stat_of(path, EntryKind.FILE, size=size), content=Content(blob))


def directory_of(path: bytes) -> Entry:
    return Entry(stat_of(path, EntryKind.DIRECTORY, mode=0o755))


def names_in(root: Path) -> set[str]:
    return {os.fspath(path.relative_to(root)) for path in root.rglob("*")}
