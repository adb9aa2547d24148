"""Prune beside writers, beside another prune, and interrupted: at every call of the store, with a grace of zero.

That no point is lost must not depend on the grace: here it protects nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import cache, partial
from threading import Event, Thread

import pytest

from backup_platform.actions.backup.run import BackupJob, BackupResult
from backup_platform.actions.prune.plan import PruneSettings
from backup_platform.actions.prune.run import Pruning
from backup_platform.actions.structure import needs_of
from backup_platform.domain.ports import Buffer, Store, StoredObject
from backup_platform.errors import BackupError, RepositoryError
from backup_platform.repository.objects.names import ManifestKey, PackKey
from backup_platform.repository.records.tombstones import write_tombstones
from backup_platform_tests.faults.scene import Scene
from backup_platform_tests.faults.store import Do, Killed, ScriptedStore
from backup_platform_tests.support import QuietProgress

REWRITING = PruneSettings(timedelta(0), 0.0)
KEEPING = PruneSettings(timedelta(0), 1.0)
Act = Callable[[Scene], None]


class Between:
    """`ports.Store` over another one: before its n-th call something else happens."""

    def __init__(self, inner: Store, number: int = 0, act: Callable[[], None] = lambda: None) -> None:
        self._inner, self._number, self._act = inner, number, act
        self.calls = 0

    @property
    def location(self) -> str:
        return self._inner.location

    def _before(self) -> Store:
        self.calls += 1
        if self.calls == self._number:
            self._act()
        return self._inner

    def create(self, key: str, data: Buffer) -> None:
        self._before().create(key, data)

    def replace(self, key: str, data: Buffer) -> None:
        self._before().replace(key, data)

    def get(self, key: str) -> Buffer:
        return self._before().get(key)

    def get_range(self, key: str, start: int, length: int) -> Buffer:
        return self._before().get_range(key, start, length)

    def get_tail(self, key: str, length: int) -> Buffer:
        return self._before().get_tail(key, length)

    def head(self, key: str) -> StoredObject:
        return self._before().head(key)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        return self._before().list(prefix)

    def delete(self, key: str) -> None:
        self._before().delete(key)


def prune(scene: Scene, store: Store | None = None, settings: PruneSettings = REWRITING) -> None:
    pruning = Pruning(scene.open(store), settings, scene.clock)
    pruning.run(pruning.plan(), QuietProgress())


def prunes(count: int, hours: int = 2) -> Act:
    """With two hours before each, final tombstones may go; within no time they stay."""

    def act(scene: Scene) -> None:
        for _ in range(count):
            scene.clock.advance(hours=hours)
            prune(scene)

    return act


def backup(scene: Scene) -> None:
    scene.backup()


def forget(scene: Scene, number: int) -> None:
    """The n-th of the points that are there."""
    scene.forget(sorted(scene.open().points.all(), key=lambda p: p.sequence)[number])


@cache
def prepared(encrypted: bool) -> Scene:
    """Three points, of which the second was forgotten; the source has its content again. Some packs are needed in
    part, some by nobody."""
    scene = Scene.make(encrypted=encrypted)
    scene.backup()
    scene.change(5)
    files = dict(scene.source.files)
    scene.backup()
    scene.change(6)
    scene.backup()
    forget(scene, 1)
    for path in [*scene.source.files]:
        scene.source.remove(path)
    scene.clock.advance(minutes=5)
    for path, data in files.items():
        scene.source.write(path, data)
    return scene


def writer(scene: Scene, store: Store | None = None, *, force: bool) -> None:
    """A backup whose point must restore when it says that it succeeded."""
    job = BackupJob(scene.source, scene.schedule, scene.open(store), scene.clock)
    point = job.run(None, force=force, progress=QuietProgress()).point
    scene.expected[point.id] = dict(scene.source.files)


def caught(run: Callable[[], None]) -> RepositoryError | None:
    """What a run failed with: never something that does not pass by itself."""
    try:
        run()
    except RepositoryError as error:
        failure = error
    else:
        return None
    assert failure.retryable or "Nothing was pruned" in failure.message, failure
    return failure


def count(run: Callable[[Scene, Store], None], encrypted: bool, start: Act) -> int:
    scene = prepared(encrypted).copied()
    start(scene)
    store = Between(scene.store)
    run(scene, store)
    return store.calls


def write_beside(number: int, start: Act, act: Act, encrypted: bool) -> bool:
    """Whether the writer succeeded, with something happening before its n-th call."""
    scene = prepared(encrypted).copied()
    scene.clock.advance(hours=2)  # another window than that of the other points
    start(scene)
    before = {point.id for point in scene.open().points.all()}
    store = Between(scene.store, number, lambda: act(scene))
    if caught(lambda: writer(scene, store, force=True)) is None:
        prunes(3)(scene)
        scene.assert_restorable()
        return True
    repeated(scene, before)
    return False


def repeated(scene: Scene, before: set[str]) -> None:
    """A writer failed, and maybe left a point that lacks packs: its repetition makes another one for the window."""
    failed = {point.id for point in scene.open().points.readable()[0]} - before
    writer(scene, force=False)  # as a scheduler repeats it
    for point in scene.open().points.all():
        if point.id in failed - scene.expected.keys():
            key = ManifestKey.of(point.source, point.sequence, scene.open().cipher.hash)
            scene.store.delete(key)
    prunes(3)(scene)
    scene.assert_restorable()


def nothing(scene: Scene) -> None:
    """As prepared."""


def doomed(scene: Scene) -> None:
    """A prune has written its final tombstones, and died."""
    prune(scene)

    def script(call: object) -> Do | None:
        return (
            Do.DIE if getattr(call, "verb", "") == "delete" and "packs/" in getattr(call, "key", "") else None
        )

    with pytest.raises(Killed):
        prune(scene, ScriptedStore(scene.store, script))


STARTS: dict[str, Act] = {"nothing": nothing, "condemned": prunes(1), "doomed": doomed}


def some(total: int, picked: int) -> list[int]:
    """Numbers of calls, spread evenly, and most of the last ones, around the commit."""
    step = max(1, total // picked)
    return sorted({*range(step, total + 1, step), *range(max(1, total - 6), total + 1, 2)})


@pytest.mark.parametrize("start", STARTS)
def test_prunes_between_any_two_calls_of_a_writer(start: str) -> None:
    run = lambda scene, store: writer(scene, store, force=True)  # noqa: E731
    total = count(run, False, STARTS[start])
    numbers = some(total, 6)
    won = [
        write_beside(number, STARTS[start], prunes(times), False) for number in numbers for times in (1, 2)
    ]
    assert any(won)


@pytest.mark.soak
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("hours", [0, 2])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_prunes_between_all_calls_of_a_writer(start: str, times: int, hours: int, encrypted: bool) -> None:
    run = lambda scene, store: writer(scene, store, force=True)  # noqa: E731
    for number in range(1, count(run, encrypted, STARTS[start]) + 2):
        write_beside(number, STARTS[start], prunes(times, hours), encrypted)


def prune_beside(number: int, start: Act, act: Act, encrypted: bool) -> None:
    """Something happens before the n-th call of a prune; nothing is lost, and the next prunes end the work."""
    scene = prepared(encrypted).copied()
    start(scene)
    caught(lambda: prune(scene, Between(scene.store, number, lambda: act(scene))))
    scene.assert_restorable()
    prunes(4)(scene)
    scene.assert_restorable()
    assert scene.verify().passed
    assert Pruning(scene.open(), REWRITING, scene.clock).plan().empty


def twins() -> tuple[Scene, PackKey, PackKey]:
    """A point whose only pack of contents has a twin with the same blobs."""
    scene = Scene.make(encrypted=False)
    scene.backup()
    (first,) = map(PackKey, scene.store.keys("packs/"))
    repository = scene.open()
    repository.marks.mark(first, "for a test")
    scene.source.write(b"more", b"that makes it another pack")
    scene.backup()
    (second,) = map(PackKey, scene.store.keys("packs/") - {first})
    repository.marks.unmark(first)
    forget(scene, 1)
    return scene, first, second


def test_of_two_doomed_packs_with_the_same_blobs_neither_is_deleted() -> None:
    """As after two prunes that saw different things, when each has written its final tombstone."""
    scene, first, second = twins()
    for pack in (first, second):
        write_tombstones(scene.open().objects, [pack], final=True)
    for _ in range(3):
        prune(scene, settings=KEEPING)
    assert {first, second} <= scene.store.keys()
    scene.backup()
    scene.assert_restorable()


def test_two_prunes_that_would_keep_different_packs_lose_no_blob() -> None:
    """The one believes that the first pack is damaged, and the other that the second is."""
    left = set()
    for number in range(1, 40, 2):
        scene, first, second = twins()
        repository = scene.open()
        repository.marks.mark(first, "for a test")
        prune(scene, settings=KEEPING)

        def other(scene: Scene = scene, first: PackKey = first, second: PackKey = second) -> None:
            scene.open().marks.unmark(first)
            scene.open().marks.mark(second, "for a test")
            write_tombstones(scene.open().objects, [second], final=False)
            caught(lambda: prune(scene, settings=KEEPING))

        caught(partial(prune, scene, Between(scene.store, number, other), KEEPING))
        there = scene.store.keys()
        left.add((first in there, second in there))
        scene.assert_restorable()
    assert (False, False) not in left
    assert {(False, True), (True, False)} <= left


ACTS: dict[str, Act] = {
    "a prune": prunes(1),
    "two prunes": prunes(2),
    "a backup": backup,
    "a point is forgotten": lambda scene: forget(scene, 0),
}


@pytest.mark.parametrize("act", ACTS)
def test_a_prune_beside_others(act: str) -> None:
    for start in (nothing, prunes(1)):
        total = count(prune, False, start)
        for number in range(total // 2, total + 1, 4):
            prune_beside(number, start, ACTS[act], False)


@pytest.mark.soak
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("act", ACTS)
def test_a_prune_beside_others_at_every_call(start: str, act: str, encrypted: bool) -> None:
    for number in range(1, count(prune, encrypted, STARTS[start]) + 1):
        prune_beside(number, STARTS[start], ACTS[act], encrypted)


def broken_prune(number: int, do: Do, start: Act, encrypted: bool) -> None:
    """A fault at the n-th call of a prune: nothing is lost, and the next prunes end the work."""
    scene = prepared(encrypted).copied()
    start(scene)
    store = ScriptedStore(scene.store, lambda call: do if call.number == number else None)
    with suppress(BackupError, Killed):
        prune(scene, store)
    scene.assert_restorable()
    scene.clock.advance(days=2)
    prunes(5)(scene)
    scene.assert_restorable()
    assert Pruning(scene.open(), REWRITING, scene.clock).plan().empty


FATES = [Do.FAIL, Do.FAIL_AFTER, Do.DIE, Do.DIE_AFTER, Do.LOSE, Do.FLIP, Do.DENY, Do.LATE]


def test_a_prune_that_breaks() -> None:
    for start in (nothing, prunes(1)):
        for number in range(2, count(prune, False, start) + 1, 3):
            broken_prune(number, FATES[number % len(FATES)], start, False)


@pytest.mark.soak
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("do", FATES, ids=lambda do: do.name)
@pytest.mark.parametrize("start", STARTS)
def test_a_prune_that_breaks_at_every_call(do: Do, start: str, encrypted: bool) -> None:
    for number in range(1, count(prune, encrypted, STARTS[start]) + 1):
        broken_prune(number, do, STARTS[start], encrypted)


def slow_writer(number: int, encrypted: bool) -> bool:
    """A writer that has read the indexes before its packs were condemned commits before the n-th call of the prune that
    deletes them; whether it succeeded."""
    scene = prepared(encrypted).copied()
    scene.clock.advance(hours=2)  # another window than that of the other points
    ready, go, failures = Event(), Event(), list[RepositoryError | None]()

    def wait() -> None:
        ready.set()
        assert go.wait(60)

    scene.source.during = wait
    thread = Thread(target=lambda: failures.append(caught(lambda: writer(scene, force=True))))
    thread.start()
    assert ready.wait(60)
    prune(scene)

    def finish() -> None:
        go.set()
        thread.join()

    before = {point.id for point in scene.open().points.all()}
    try:
        caught(lambda: prune(scene, Between(scene.store, number, finish)))
    finally:
        finish()
    scene.source.during = lambda: None
    if failures[0] is None:
        # Whoever has no identity finds blobs by indexes only.
        assert not scene.open().indexes(fresh=True).unindexed
        prunes(3)(scene)
        scene.assert_restorable()
        return True
    repeated(scene, before)
    return False


def test_a_slow_writer_at_every_call_of_the_prune_that_deletes_its_packs() -> None:
    total = count(prune, False, prunes(1))
    outcomes = [slow_writer(number, False) for number in range(1, total + 1, 3)]
    assert {True, False} == set(outcomes)
    assert outcomes == sorted(outcomes, reverse=True)  # first all in time, then all too late


def test_a_point_whose_pack_is_doomed_is_not_taken_for_good() -> None:
    """As its writer leaves it that finds the final tombstone after its commit: all is there, but not for long."""
    scene = prepared(False).copied()
    scene.clock.advance(hours=2)
    point = scene.backup()
    pack = min(needs_of(scene.open(), point).packs)
    write_tombstones(scene.open().objects, [pack], final=True)

    def again() -> BackupResult:
        job = BackupJob(scene.source, scene.schedule, scene.open(), scene.clock)
        return job.run(None, force=False, progress=QuietProgress())

    assert again().created
    assert not again().created, "the second one needs nothing that is being deleted"
    scene.store.delete(pack)
    assert not again().created


def test_a_writer_that_came_too_late_fails_and_its_repetition_does_not() -> None:
    writer_total = count(lambda s, store: writer(s, store, force=True), False, nothing)
    outcomes = set()
    for number in range(writer_total - 6, writer_total + 1):
        outcomes.add(write_beside(number, nothing, prunes(2, hours=0), False))
    assert outcomes == {False, True}
