"""Back up one source for one window: capture, store, compare, commit."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from backup_platform import __version__
from backup_platform.actions.forget.lost import newest_own_gone
from backup_platform.actions.structure import needs_of, structure_findings
from backup_platform.advice import Hint
from backup_platform.domain.model import Capture, Entry, RecoveryPoint, Stat, Stats, Status, StreamRef, Window
from backup_platform.domain.ports import Buffer, Chunking, Clock, Progress, Recorder, Source
from backup_platform.domain.trust.latest import captures
from backup_platform.domain.trust.suspicion import Demands, suspicion
from backup_platform.domain.windows.schedule import WindowSchedule
from backup_platform.errors import ConflictError, RepositoryError
from backup_platform.kinds import registry
from backup_platform.repository.objects.names import PackKey, source_tag
from backup_platform.repository.packs.indexes import load_indexes
from backup_platform.repository.packs.known import OwnPoint
from backup_platform.repository.points.chains import effective_points
from backup_platform.repository.points.manifests import MAX_PROBLEMS
from backup_platform.repository.records.tombstones import doomed_packs
from backup_platform.repository.repository import Repository
from backup_platform.repository.session import Session
from backup_platform.temporary import remove_leftovers

COMMIT_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class BackupResult:
    """`created` is False if the window had a complete recovery point already, which was verified and kept. `packs` are
    the keys of the packs that a new point needs. `recipients` says where the repository names other recipients than the
    plan or this host expects: the point is complete, but a person has to look. `stored_again` are bytes that were
    stored again because a final tombstone names the packs that hold them. `gone` has a sentence for each point that
    this host stored of the source and that is lost, if the newest of them is."""

    point: RecoveryPoint
    created: bool
    packs: frozenset[str] = frozenset()
    recipients: tuple[Hint, ...] = ()
    stored_again: int = 0
    gone: tuple[str, ...] = ()

    def telling(self, recipients: Sequence[Hint]) -> BackupResult:
        return replace(self, recipients=tuple(recipients))


@dataclass(frozen=True, slots=True)
class BackupJob:
    """What a backup needs. `run` may be called again for the same window at any time."""

    source: Source
    schedule: WindowSchedule
    repository: Repository
    clock: Clock
    demands: Demands = field(default_factory=Demands)

    def run(self, window_key: str | None, *, force: bool, progress: Progress) -> BackupResult:
        """Raises WindowError for a window that is over, SourceError, RepositoryError."""
        remove_leftovers()
        now = self.clock.now()
        window = self.schedule.window(window_key) if window_key else self.schedule.window_of(now)
        points = self._points(progress)
        gone = newest_own_gone(self.repository, self.source.name, points)
        result = self._run(points, window, now, progress, force=force)
        return replace(result, gone=tuple(gone))

    def _run(
        self, points: list[RecoveryPoint], window: Window, now: datetime, progress: Progress, *, force: bool
    ) -> BackupResult:
        existing = self._existing(points, window)
        if existing and not force and self._ours(existing, points) and self._worth_keeping(existing):
            return BackupResult(existing, created=False)
        lateness = self.schedule.capturable(window, now)
        return self._capture(points, window, lateness, progress)

    def _points(self, progress: Progress) -> list[RecoveryPoint]:
        """A damaged manifest fails the checks of every window. It does not stop the next backup."""
        points, errors = self.repository.points.readable(self.source.name)
        for error in errors:
            progress.note(error.message)
        return points

    def _existing(self, points: list[RecoveryPoint], window: Window) -> RecoveryPoint | None:
        return next((p for p in effective_points(captures(points)) if p.window.key == window.key), None)

    def _ours(self, point: RecoveryPoint, points: Sequence[RecoveryPoint]) -> bool:
        """A host that knows points of its own takes none of others for a backup of its source."""
        own = self.repository.known.points
        return point.id in own or not any(each.id in own for each in points)

    def _worth_keeping(self, point: RecoveryPoint) -> bool:
        return not (point.incomplete or point.is_suspect) and self._intact(point)

    def _intact(self, point: RecoveryPoint) -> bool:
        """Damage is a reason to capture the window anew; a store that does not answer is not.

        A point whose writer came too late for prune may still have all its packs, but not for long.
        """
        if structure_findings(self.repository, [point]):
            return False
        doomed = doomed_packs(self.repository.objects)
        return not doomed or self._stands_without(doomed, point)

    def _stands_without(self, packs: frozenset[PackKey], point: RecoveryPoint) -> bool:
        self.repository.keep_indexes(load_indexes(self.repository.objects, without=packs))
        try:
            return not needs_of(self.repository, point).findings
        finally:
            self.repository.keep_indexes(None)

    def _capture(
        self, points: list[RecoveryPoint], window: Window, lateness: timedelta, progress: Progress
    ) -> BackupResult:
        started = self.clock.monotonic()
        with Session(self.repository, _previous(points, self.repository.known.points)) as session:
            progress.begin("", registry.described(self.source.kind).unit)
            watch = PathWatch(session.recorder, self.demands.paths)
            capture = self.source.capture(watch if self.demands.paths else session.recorder, progress)
            inventory = session.finish()
            stats = replace(session.stats, duration_s=round(self.clock.monotonic() - started, 3))
            point = self._point(window, lateness, capture, inventory, stats)
            point = replace(point, unvouched=session.unvouched)
            point = self._commit(replace(point, suspect=suspicion(points, point, self.demands, watch.found)))
            session.confirm()
            self._note(point)
            return BackupResult(point, created=True, packs=session.needed, stored_again=session.stored_again)

    def _note(self, point: RecoveryPoint) -> None:
        tag = source_tag(point.source, self.repository.cipher.hash)
        self.repository.known.committed(
            OwnPoint(point.id, tag, point.sequence, point.window, point.captured_at)
        )

    def _point(
        self, window: Window, lateness: timedelta, capture: Capture, inventory: StreamRef, stats: Stats
    ) -> RecoveryPoint:
        return RecoveryPoint(
            id="",
            sequence=0,
            predecessor="",
            source=self.source.name,
            kind=self.source.kind,
            window=window,
            timezone=self.schedule.timezone,
            captured_at=capture.captured_at,
            committed_at=self.clock.now(),
            lateness_s=lateness.total_seconds(),
            incomplete=capture.incomplete,
            problem_count=_problem_count(capture),
            problems=capture.problems[:MAX_PROBLEMS],
            facts=capture.facts,
            stats=stats,
            inventory=inventory,
            versions={"backup_platform": __version__, **capture.versions},
        )

    def _commit(self, point: RecoveryPoint) -> RecoveryPoint:
        """Behind the newest point; when another writer is quicker, behind that one's."""
        for _ in range(COMMIT_ATTEMPTS):
            sequence = self.repository.points.next_sequence(self.source.name)
            points, _ = self.repository.points.readable(self.source.name)
            predecessor = max((p for p in points if p.sequence < sequence), key=_sequence, default=None)
            try:
                return self.repository.points.commit(
                    replace(point, sequence=sequence, predecessor=predecessor.id if predecessor else "")
                )
            except ConflictError:
                continue
        raise RepositoryError(
            f"Other writers of {self.source.name} took the next number {COMMIT_ATTEMPTS} times.",
            subject=self.source.name,
            hint="Let one writer at a time back up a source.",
            retryable=True,
        )


def _previous(points: Sequence[RecoveryPoint], own: Collection[str]) -> RecoveryPoint | None:
    """The point whose rows may be reused. It is not an emptied one. If this host knows points that it made itself,
    it is one of these, because a point of somebody else must not replace what the source says."""
    sound = [point for point in points if not point.is_suspect]
    mine = [point for point in sound if point.id in own]
    return next(reversed(mine or sound or points), None)


def _sequence(point: RecoveryPoint) -> int:
    return point.sequence


def _problem_count(capture: Capture) -> int:
    """As the source counted them, because it lists only the first ones."""
    counted = capture.facts.get("problems")
    return counted if isinstance(counted, int) else len(capture.problems)


class PathWatch:
    """A `Recorder` that passes everything on, and records which of some paths are stored."""

    def __init__(self, recorder: Recorder, paths: Iterable[str]) -> None:
        self._recorder = recorder
        self._wanted = {os.fsencode(path.strip("/")): path for path in paths}
        self.found: set[str] = set()

    def reuse(self, stats: Sequence[Stat]) -> Sequence[bool]:
        return self._recorder.reuse(stats)

    def record(self, batch: Sequence[Entry | Stat]) -> None:
        self._recorder.record(batch)
        if len(self.found) < len(self._wanted):
            stored = (
                item for item in batch if isinstance(item, Stat) or item.status in (Status.OK, Status.CHANGED)
            )
            paths = {item.path if isinstance(item, Stat) else item.stat.path for item in stored}
            self.found |= {self._wanted[path] for path in paths & self._wanted.keys()}

    def blob(self, data: Buffer) -> bytes:
        return self._recorder.blob(data)

    def stream(self, blocks: Iterable[Buffer], chunking: Chunking | None = None) -> StreamRef:
        return self._recorder.stream(blocks, chunking)
