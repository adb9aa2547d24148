"""Prune takes nobody's word for what a pack holds: whoever may write can store packs and indexes that are wrong."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from backup_platform.actions.prune.plan import PruneSettings
from backup_platform.actions.prune.run import PruneSummary, Pruning
from backup_platform.repository.encryption.key_files import Keys
from backup_platform.repository.objects.names import PackKey
from backup_platform.repository.packs.index import IndexedPack
from backup_platform.repository.packs.known import Known, table_of
from backup_platform.repository.repository import Repository
from backup_platform_tests.faults.hostile import Writer
from backup_platform_tests.faults.scene import Scene
from backup_platform_tests.faults.test_hostile import prune
from backup_platform_tests.support import QuietProgress, noise, writer_keys

DAY = PruneSettings(timedelta(days=1), 0.0)
SURELY = 5_000  # names of encrypted packs are random: of forty, none came before three good ones in a tenth of runs
CASES = pytest.mark.parametrize(
    ("encrypted", "identity"),
    [(False, False), (True, False), (True, True)],
    ids=["plain", "closed", "with identity"],
)


class Place:
    """Three points; `writer` is a host that was taken over, `prune` one that has an identity or none."""

    def __init__(self, encrypted: bool, identity: bool) -> None:
        self.scene = Scene.make(encrypted=encrypted)
        for seed in (1, 2, 3):
            self.scene.source.write(b"own", noise(30_000, seed))
            self.scene.backup()
            self.scene.clock.advance(hours=1)
        self.keys = writer_keys() if encrypted else Keys()
        self.writer = Writer(Repository(self.scene.store, self.scene.clock, keys=self.keys), random.Random(1))
        self.pruner = self.scene.held if identity else self.keys
        self.opens = not encrypted or identity

    def prune(self, times: int) -> list[PruneSummary]:
        done = []
        for _ in range(times):
            self.scene.clock.advance(days=3)
            done.append(prune(self.scene, self.pruner, DAY))
        return done

    def contents(self) -> dict[PackKey, IndexedPack]:
        return {key: pack for key, pack in self.writer.known().items() if not key.meta}

    def restores(self) -> None:
        self.scene.assert_restorable()


@CASES
def test_a_pack_of_garbage_condemns_nothing(encrypted: bool, identity: bool) -> None:
    place = Place(encrypted, identity)
    good = place.scene.store.keys("packs/")
    blobs = [(row["blob"].tobytes(), int(row["length"])) for p in place.contents().values() for row in p.rows]
    place.writer.store_garbage(sorted(blobs), meta=False, tries=SURELY)
    (garbage,) = place.scene.store.keys("packs/") - good
    assert garbage < min(good)
    done = place.prune(4)
    assert good <= place.scene.store.keys("packs/")
    assert (garbage in place.scene.store.objects) is not place.opens
    assert [each.damaged for each in done] == [1 if place.opens else 0, 0, 0, 0]
    assert [each.doubted for each in done] == [0 if place.opens else 1] * 4
    place.restores()


@CASES
def test_garbage_that_a_point_needs_as_well_condemns_nothing(encrypted: bool, identity: bool) -> None:
    """The larger share of what it holds is needed: of two equal packs it is the one to keep."""
    place = Place(encrypted, identity)
    good = place.scene.store.keys("packs/")
    for key, pack in place.contents().items():
        place.writer.repository.marks.mark(key, "made up")
        blobs = [(row["blob"].tobytes(), int(row["length"])) for row in pack.rows]
        place.writer.store_garbage(sorted(blobs), meta=False)
    done = place.prune(4)
    assert good <= place.scene.store.keys("packs/")
    assert sum(each.damaged for each in done) == (3 if place.opens else 0)
    place.restores()


@CASES
@pytest.mark.parametrize("wrong", ["blobs of others", "offsets", "nothing"])
def test_a_wrong_index_condemns_nothing_and_goes(wrong: str, encrypted: bool, identity: bool) -> None:
    """A good pack that anybody may have read and proven is said to hold what it does not hold."""
    place = Place(encrypted, identity)
    good, before = place.scene.store.keys("packs/"), place.scene.store.keys("indexes/")
    first, *others = sorted(place.contents().values(), key=lambda pack: -len(pack.rows))
    rows = {
        "blobs of others": np.concatenate([pack.rows for pack in (first, *others)]),
        "offsets": first.rows[::-1].copy(),
        "nothing": first.rows[:1].copy(),
    }[wrong]
    place.writer.index([replace(first, rows=rows)])
    (lie,) = place.scene.store.keys("indexes/") - before
    done = place.prune(4)
    assert done[0].disputed == 1
    assert done[-1].disputed == (0 if place.opens else 1)
    assert good <= place.scene.store.keys("packs/")
    assert (lie in place.scene.store.objects) is not place.opens
    place.restores()


def test_what_this_host_wrote_itself_it_need_not_open() -> None:
    """Its own notes tell what those packs hold: no other holder of the key adds to them."""
    place = Place(encrypted=True, identity=False)
    good, own, known = place.scene.store.keys("packs/"), place.contents(), Known()
    blobs = [(row["blob"].tobytes(), int(row["length"])) for p in own.values() for row in p.rows]
    place.writer.store_garbage(sorted(blobs), meta=False)
    hashed = place.scene.open().cipher.hash
    known.learn({key.id: table_of(pack.rows, hashed) for key, pack in own.items()})
    for _ in range(2):
        place.scene.clock.advance(days=3)
        pruner = Repository(place.scene.store, place.scene.clock, keys=place.keys, known=known)
        pruning = Pruning(pruner, DAY, place.scene.clock)
        assert pruning.run(pruning.plan(), QuietProgress()).doubted == 0
    assert place.scene.store.keys("packs/") == good
    place.restores()


def test_where_only_a_wrong_index_names_a_pack_a_right_one_is_written() -> None:
    """Two packs hold the same, by an index; the first does not hold all of it."""
    place = Place(encrypted=True, identity=True)
    (lacking, all_of_it) = sorted(place.contents().items())[:2]
    for key in place.scene.store.keys("indexes/"):
        place.scene.store.delete(key)  # by the owner of the store
    rest = [pack for key, pack in place.writer.known().items() if key != lacking[0]]
    assert not rest
    lie = replace(lacking[1], rows=np.concatenate([lacking[1].rows, all_of_it[1].rows]))
    place.writer.index([lie])
    place.restores()
    place.prune(3)
    place.restores()
    assert place.scene.verify().passed or place.scene.open().indexes(fresh=True).unindexed
