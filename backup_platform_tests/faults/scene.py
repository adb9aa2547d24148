"""A repository in memory with recovery points, a source that has changed since, and what each point must restore."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

from backup_platform.actions.backup.run import BackupJob
from backup_platform.actions.forget.lost import find_losses
from backup_platform.actions.verify.run import ReadShare, VerifyResult, verify
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.ports import Store
from backup_platform.domain.windows.schedule import CADENCES, WindowSchedule
from backup_platform.repository.encryption.key_files import Keys
from backup_platform.repository.records.forgotten import record_forgotten
from backup_platform.repository.repository import Repository
from backup_platform_tests.faults.memory import MemoryStore
from backup_platform_tests.support import (
    START,
    ManualClock,
    QuietProgress,
    ScriptedSource,
    all_keys,
    content_of,
    make_repository,
    noise,
    text,
)

Files = dict[bytes, bytes]


@dataclass
class Scene:
    """`expected` says what each committed point shows, by its id; `forgettable` are those of them that may be gone.
    `second` is another store, for copies."""

    clock: ManualClock
    source: ScriptedSource
    store: MemoryStore
    second: MemoryStore
    held: Keys
    expected: dict[str, Files] = field(default_factory=dict)
    forgettable: set[str] = field(default_factory=set)
    schedule: WindowSchedule = field(default_factory=lambda: WindowSchedule(CADENCES["hour"], since=START))

    @classmethod
    def make(cls, *, encrypted: bool) -> Scene:
        """Empty, with one source of a dozen small files and a large one."""
        clock = ManualClock()
        store, second = MemoryStore(clock), MemoryStore(clock, location="memory:second")
        scene = cls(clock, ScriptedSource(clock), store, second, all_keys() if encrypted else Keys())
        make_repository(store, clock, encrypted=encrypted)
        for n in range(12):
            scene.source.write(b"d%d/f%d" % (n % 3, n), text(3_000, n))
        scene.source.write(b"large", noise(400_000, 1))
        return scene

    def change(self, seed: int) -> None:
        """The source is another one from now on."""
        self.source.write(b"large", noise(400_000, seed))
        self.source.write(b"d1/new%d" % seed, b"new %d" % seed)
        self.source.remove(b"d0/f0") if b"d0/f0" in self.source.files else None

    def copied(self) -> Scene:
        clock, source = deepcopy((self.clock, self.source))
        source.clock = clock
        stores = (self.store.copied(clock), self.second.copied(clock))
        points = dict(self.expected), set(self.forgettable)
        return Scene(clock, source, *stores, self.held, *points, schedule=self.schedule)

    def open(self, store: Store | None = None) -> Repository:
        return Repository(store or self.store, self.clock, keys=self.held)

    def backup(self, store: Store | None = None) -> RecoveryPoint:
        """Anew, as a process would; the clock moves first, so that what was written counts as settled."""
        self.clock.advance(minutes=2)
        job = BackupJob(self.source, self.schedule, self.open(store), self.clock)
        point = job.run(None, force=True, progress=QuietProgress()).point
        self.expected[point.id] = dict(self.source.files)
        return point

    def verify(self, store: Store | None = None) -> VerifyResult:
        repository = self.open(store)
        points, errors = repository.points.readable()
        texts = [error.message for error in errors]
        texts += find_losses(repository, points, errors, complete=store is not self.second).texts()
        return verify(repository, points, ReadShare(), self.clock, QuietProgress(), unreadable=texts)

    def forget(self, point: RecoveryPoint) -> None:
        """As `forget` does: the record, then the manifest."""
        repository = self.open()
        record_forgotten(repository.objects, point, "for a test", self.clock.now())
        repository.points.delete(point)
        self.expected.pop(point.id, None)

    def assert_restorable(self, store: Store | None = None) -> None:
        """Every committed point is there, unless it may be gone, and reads as it was captured."""
        repository = self.open(store)
        points, _ = repository.points.readable()
        for point in points:
            # One that committed before its run broke shows what was captured then.
            expected = self.expected.setdefault(point.id, dict(self.source.files))
            assert content_of(repository, point) == expected, (point.sequence, point.id)
        lost = self.expected.keys() - {point.id for point in points} - self.forgettable
        assert not lost, f"lost: {lost}"
