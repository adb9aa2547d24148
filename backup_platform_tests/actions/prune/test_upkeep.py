"""What prune does besides packs: indexes, locked objects, altered tombstones; and what a writer sees of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from threading import Lock

import pytest
from zstandard import ZstdCompressor

from backup_platform.actions.prune.plan import PruneSettings, running_since
from backup_platform.actions.prune.run import PruneSummary, Pruning
from backup_platform.domain.ports import Store
from backup_platform.errors import DamageError, RepositoryError, StoreLockedError, StoreRefusedError
from backup_platform.repository.objects.names import PackKey, digest
from backup_platform.repository.packs.packs import PackBuilder
from backup_platform.repository.records.forgotten import record_forgotten
from backup_platform.repository.records.tombstones import PackWatch, read_tombstones
from backup_platform.stores.wrapping import WrappedStore
from backup_platform_tests.faults.scene import Scene
from backup_platform_tests.support import START, QuietProgress, flipped, noise

AT_ONCE = PruneSettings(timedelta(0), 1.0)


@pytest.fixture
def scene() -> Scene:
    made = Scene.make(encrypted=False)
    made.backup()
    return made


def prune(scene: Scene, store: Store | None = None, settings: PruneSettings = AT_ONCE) -> PruneSummary:
    pruning = Pruning(scene.open(store), settings, scene.clock)
    return pruning.run(pruning.plan(), QuietProgress())


def forget(scene: Scene, number: int) -> None:
    scene.forget(sorted(scene.open().points.all(), key=lambda p: p.sequence)[number])


def waste(scene: Scene) -> None:
    """Packs that only a forgotten point needed."""
    scene.change(5)
    scene.backup()
    forget(scene, 0)


def test_many_indexes_become_one_and_the_old_ones_go_after_the_grace(scene: Scene) -> None:
    for n in range(17):
        scene.source.write(b"changing", b"%d" % n)
        scene.backup()
    daily = replace(AT_ONCE, grace=timedelta(days=1))
    assert prune(scene, settings=daily).indexes_written == 1
    assert len(scene.store.keys("indexes/")) == 19
    again = prune(scene, settings=daily)
    assert (again.indexes_written, again.indexes_deleted) == (0, 0)
    scene.clock.advance(days=2)
    assert prune(scene, settings=daily).indexes_deleted == 18
    assert len(scene.store.keys("indexes/")) == 1
    assert not scene.open().indexes().unindexed
    scene.assert_restorable()
    assert scene.verify().passed


class Locked(WrappedStore):
    """Deletes no pack, as a store with a retention policy, or one that lacks the right."""

    def __init__(self, store: Store, error: type[StoreRefusedError] = StoreLockedError) -> None:
        super().__init__(store)
        self._error = error

    def delete(self, key: str) -> None:
        if key.startswith(("packs/", "meta/")):
            raise self._error(f"{key} is retained.")
        super().delete(key)


def test_locked_packs_are_left_counted_and_deleted_later(scene: Scene) -> None:
    waste(scene)
    condemned = prune(scene).packs_condemned
    for _ in range(2):
        summary = prune(scene, Locked(scene.store))
        assert (summary.packs_deleted, summary.locked, summary.refused) == (0, condemned, 0)
        assert summary.locked_bytes > 0
        assert summary.freed_bytes < summary.locked_bytes
    scene.backup()
    scene.assert_restorable()
    assert prune(scene).packs_deleted == condemned
    scene.assert_restorable()


def test_packs_that_may_not_be_deleted_are_told_from_locked_ones(scene: Scene) -> None:
    waste(scene)
    condemned = prune(scene).packs_condemned
    summary = prune(scene, Locked(scene.store, StoreRefusedError))
    assert (summary.packs_deleted, summary.locked, summary.refused) == (0, 0, condemned)
    assert "is retained." in summary.refusal
    assert summary.refused_bytes > 0
    assert prune(scene).packs_deleted == condemned
    scene.assert_restorable()


def proofs(scene: Scene) -> set[str]:
    return set(scene.open().proofs.by_point())


def test_proofs_of_forgotten_points_go_after_the_grace_and_no_others(scene: Scene) -> None:
    """Else they are listed for ever by whoever asks what is proven."""
    for seed in (5, 6):
        scene.change(seed)
        scene.backup()
    scene.verify()
    scene.verify()
    points = scene.open().points.all()
    scene.forget(points[0])
    assert prune(scene).proofs_deleted == 0, "not before an hour has passed"
    scene.clock.advance(hours=2)
    record_forgotten(scene.open().objects, points[1], "killed before the deletion", scene.clock.now())
    scene.clock.advance(hours=2)
    assert prune(scene).proofs_deleted == 2
    assert proofs(scene) == {point.id for point in points[1:]}
    assert prune(scene).proofs_deleted == 0
    assert len(scene.store.keys("ledger/forgotten/")) == 2
    assert scene.verify().passed


def test_proofs_stay_while_the_record_is_altered(scene: Scene) -> None:
    """They tell that the point is lost."""
    scene.change(5)
    scene.backup()
    scene.verify()
    point = scene.open().points.all()[0]
    scene.forget(point)
    (key,) = scene.store.keys("ledger/forgotten/")
    scene.store.alter(key, b"made up")
    scene.clock.advance(days=2)
    assert prune(scene).proofs_deleted == 0
    assert point.id in proofs(scene)


class Slow(WrappedStore):
    """Stands still at its first deletion of a pack. Meanwhile others delete all the packs, forget that they did, and
    the same packs are stored again."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene.store)
        self._scene = scene
        self._first = Lock()

    def delete(self, key: str) -> None:
        if key.startswith(("packs/", "meta/")) and self._first.acquire(blocking=False):
            packs = {
                key: bytes(self.inner.get(key))
                for key in read_tombstones(self._scene.open().objects).condemned
            }
            for _ in range(2):
                prune(self._scene)
                self._scene.clock.advance(hours=2)
            prune(self._scene)
            assert not self._scene.store.keys("tombstones/")
            for pack, data in packs.items():
                self._scene.store.replace(pack, data)
        super().delete(key)


def test_a_prune_that_stood_still_looks_again_before_it_deletes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backup_platform.actions.prune.run.DELETERS", 1)
    for number in range(4):
        scene.source.write(b"only", noise(30_000, number))
        scene.backup()
    for _ in range(4):
        forget(scene, 0)
    prune(scene)
    condemned = read_tombstones(scene.open().objects).condemned
    summary = prune(scene, Slow(scene))
    assert summary.packs_deleted == 1
    assert len(scene.store.keys() & condemned) == len(condemned) - 1 > 2


def final(scene: Scene) -> str:
    (key,) = (key for key in scene.store.keys("tombstones/") if key.endswith(".final"))
    return key


def test_while_a_final_tombstone_is_altered_nobody_commits_or_prunes_for_a_day(scene: Scene) -> None:
    waste(scene)
    prune(scene)
    prune(scene)
    scene.store.alter(final(scene), flipped(scene.store.get(final(scene))))
    with pytest.raises(DamageError, match="final tombstone"):
        scene.backup()
    with pytest.raises(RepositoryError, match="final tombstone"):
        prune(scene)
    scene.clock.advance(hours=25)
    with pytest.raises(RepositoryError, match="final tombstone"):
        prune(scene)
    prune(scene)
    scene.backup()
    scene.assert_restorable()


def test_an_altered_tombstone_that_is_not_final_disturbs_nobody(scene: Scene) -> None:
    waste(scene)
    prune(scene)
    (key,) = scene.store.keys("tombstones/")
    scene.store.alter(key, flipped(scene.store.get(key)))
    scene.backup()
    deleted = [prune(scene).packs_deleted for _ in range(3)]
    assert deleted[0] == 0 < sum(deleted)
    prune(scene)
    scene.assert_restorable()


def looked(scene: Scene) -> PackWatch:
    watch = PackWatch(scene.open().objects)
    watch.before_commit(map(PackKey, scene.store.keys("packs/")))
    return watch


def test_a_writer_that_stood_still_while_tombstones_came_and_went_looks_for_the_packs(scene: Scene) -> None:
    watch = looked(scene)
    scene.store.delete(min(scene.store.keys("packs/")))
    watch.after_commit()  # within minutes a final tombstone would still be there
    scene.clock.advance(minutes=11)
    with pytest.raises(RepositoryError) as caught:
        watch.after_commit()
    assert caught.value.retryable


def test_a_clock_that_went_backwards_makes_a_writer_look_for_the_packs(scene: Scene) -> None:
    watch = looked(scene)
    scene.store.delete(min(scene.store.keys("packs/")))
    scene.clock.advance(days=-1)
    with pytest.raises(RepositoryError):
        watch.after_commit()


@pytest.mark.parametrize("skew_h", [-24, 24])
def test_the_clients_clock_may_be_wrong(scene: Scene, skew_h: int) -> None:
    waste(scene)
    daily = replace(AT_ONCE, grace=timedelta(days=1))
    scene.store.skew = timedelta(hours=skew_h)
    scene.clock.advance(days=3)
    prune(scene, settings=daily)
    scene.clock.advance(hours=23)
    assert prune(scene, settings=daily).packs_deleted == 0
    scene.clock.advance(hours=2)
    assert prune(scene, settings=daily).packs_deleted > 0
    scene.assert_restorable()


def test_the_blobs_of_a_doomed_pack_get_another_one_also_when_there_is_one_frame(scene: Scene) -> None:
    """The same content in the same order would be the same pack, which is being deleted."""
    scene.source.write(b"only", noise(50_000, 9))
    gone = scene.store.keys("packs/")
    scene.backup()
    gone = scene.store.keys("packs/") - gone
    scene.source.remove(b"only")
    scene.backup()
    forget(scene, 1)
    prune(scene)
    prune(scene)
    assert not gone & scene.store.keys("packs/")
    scene.source.write(b"only", noise(50_000, 9))
    scene.backup()
    assert not gone & scene.store.keys("packs/")
    for _ in range(3):
        scene.clock.advance(hours=2)
        prune(scene)
    scene.assert_restorable()


def test_packs_of_a_long_backup_are_spared_while_it_keeps_storing(scene: Scene) -> None:
    """A first backup of five days beside a daily prune is committed, and what died goes."""
    daily = replace(AT_ONCE, grace=timedelta(days=1))
    repository = scene.open()
    for number in range(5 * 24 * 3):
        scene.clock.advance(minutes=20)
        data, pack = b"%d" % number, PackBuilder()
        pack.add(ZstdCompressor().compress(data), len(data), [(digest(data), len(data))])
        repository.store_pack(pack, meta=False)
        if number % 72 == 71:
            prune(scene, settings=daily)
            assert not scene.store.keys("tombstones/")
    scene.clock.advance(hours=1)
    assert prune(scene, settings=daily).packs_condemned > 200


def test_a_series_of_packs_ends_with_the_first_gap_and_after_a_fortnight() -> None:
    def since(*hours: float) -> timedelta:
        stored = [START - timedelta(hours=h) for h in hours]
        return START - running_since(stored, START, timedelta(minutes=30))

    assert since() == since(1, 1.2) == timedelta(0)
    assert since(0.2, 0.5, 0.9, 2) == timedelta(hours=0.9)
    assert since(*(n / 3 for n in range(3000))) == timedelta(days=14)
