"""Repairs that are stopped, lied to, or meet any harm at all."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from backup_platform.actions.repair.plan import Act
from backup_platform.actions.repair.run import Repair
from backup_platform.app import App
from backup_platform.domain.ports import Buffer, Capabilities
from backup_platform.errors import StoreError
from backup_platform.plan import Plan
from backup_platform.repository.objects.names import DAMAGED, INDEXES, MANIFESTS, META, PACKS
from backup_platform.repository.replicas import init_replica
from backup_platform.stores.caching import CachingStore
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.actions.repair.repair_support import Clinic, clinic_of, manifest_of
from backup_platform_tests.support import (
    Call,
    Do,
    Killed,
    ScriptedStore,
    flipped,
)


@pytest.fixture
def clinic(tmp_path: Path) -> Clinic:
    return clinic_of(tmp_path)


def harmed(place: Path) -> Clinic:
    """One of everything is damaged or missing."""
    clinic = clinic_of(place)
    packs = sorted(clinic.bench.keys(PACKS))
    clinic.harm(packs[0], "remove")
    clinic.harm(packs[1], "flip")
    clinic.harm(min(clinic.bench.keys(META)), "remove")
    clinic.harm(min(clinic.bench.keys(INDEXES)), "flip")
    clinic.verify()
    clinic.harm(manifest_of(clinic, clinic.points[1]), "flip")
    clinic.harm(manifest_of(clinic, clinic.points[0]), "remove")
    return clinic


def at_write(number: int, do: Do) -> Callable[[Call], Do | None]:
    seen = [0]

    def script(call: Call) -> Do | None:
        if call.verb in ("create", "replace", "delete"):
            seen[0] += 1
            if seen[0] == number:
                return do
        return None

    return script


@pytest.mark.parametrize(
    "do",
    [
        Do.DIE_AFTER,
        pytest.param(Do.DIE, marks=pytest.mark.soak),
        pytest.param(Do.FAIL_AFTER, marks=pytest.mark.soak),
    ],
)
def test_whatever_stops_a_repair_the_next_one_goes_on(tmp_path: Path, do: Do) -> None:
    counted = harmed(tmp_path / "counted")
    store = ScriptedStore(counted.bench.store)
    assert counted.run(store=store).sound
    writes = sum(call.verb in ("create", "replace", "delete") for call in store.calls)
    assert writes >= 6
    for number in range(1, writes + 1, 3 if do is Do.DIE_AFTER else 1):
        clinic = harmed(tmp_path / str(number))
        with suppress(Killed, StoreError):
            clinic.run(store=ScriptedStore(clinic.bench.store, at_write(number, do)))
        assert clinic.run().sound
        clinic.check()


def test_only_what_is_damaged_is_written_over_and_only_marks_are_deleted(tmp_path: Path) -> None:
    clinic = harmed(tmp_path)
    sound = {key: (clinic.bench.root / key).read_bytes() for key in clinic.bench.keys("")}
    damaged = {step.key for step in clinic.plan().steps if step.act is Act.REPLACE}
    store = ScriptedStore(clinic.bench.store)
    assert clinic.run(store=store).sound
    assert {call.key for call in store.calls if call.verb == "replace"} == damaged
    assert all(call.key.startswith(DAMAGED) for call in store.calls if call.verb == "delete")
    for key in clinic.bench.keys() & sound.keys() - damaged:
        assert (clinic.bench.root / key).read_bytes() == sound[key]


@pytest.mark.parametrize("do", [Do.LOSE, Do.FLIP])
def test_a_store_that_lies_about_a_write_is_caught(tmp_path: Path, do: Do) -> None:
    clinic = harmed(tmp_path)
    lying = ScriptedStore(
        clinic.bench.store,
        lambda c: do if c.verb == "create" and c.key.startswith((PACKS, MANIFESTS)) else None,
    )
    result = clinic.run(store=lying)
    assert not result.sound
    assert len(result.failed) >= 1


class Unwilling(DirectoryStore):
    def create(self, key: str, data: Buffer) -> None:
        raise StoreError(f"The disk is full at {key}.")


def test_a_full_disk_is_an_error_and_no_verdict(clinic: Clinic) -> None:
    clinic.harm(min(clinic.bench.keys(PACKS)), "remove")
    with pytest.raises(StoreError):
        clinic.run(store=Unwilling(str(clinic.bench.root)))


def test_the_copy_itself_is_repaired_from_the_first(clinic: Clinic) -> None:
    """Either can mend the other."""
    init_replica(clinic.bench.open(), DirectoryStore(str(clinic.copy)))
    for key in clinic.bench.keys(PACKS):
        path = clinic.copy / key
        path.write_bytes(flipped(path.read_bytes()))
        clinic.donor().marks.mark(key, "for a test")
    repair = Repair(clinic.donor(), {"main": clinic.bench.open()}, clinic.bench.clock, complete=False)
    assert repair.run(repair.plan()).sound
    for key in clinic.bench.keys(PACKS):
        assert (clinic.copy / key).read_bytes() == (clinic.bench.root / key).read_bytes()


def test_what_a_cache_still_has_hides_nothing(clinic: Clinic, tmp_path: Path) -> None:
    """As the plan composes it: the copy of a manifest on this machine is sound, that in the store is not."""
    store = CachingStore(clinic.bench.store, str(tmp_path / "cache"))
    repository = clinic.bench.open(store)
    assert len(repository.points.all()) == 2
    path = clinic.bench.root / manifest_of(clinic, clinic.points[0])
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.write_bytes(flipped(path.read_bytes()))
    os.utime(path, ns=times)
    (tmp_path / "backup.yaml").write_text("repository: {path: x}\nsources: {docs: {files: y, every: day}}\n")
    plan = Plan.load(str(tmp_path / "backup.yaml"))
    repository.capabilities = Capabilities(direct=store.direct)
    app = App(plan, str(tmp_path / "backup.yaml"), clinic.bench.clock)
    app.bound.repository = repository
    assert len(repository.points.all(reread=True)) == 2
    assert "is damaged" in app.maintenance.repair().plan().lost[0]


# Anything at all


SEEDS = [5, 13, 62, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(100, 200))]


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_harmed_comes_back_from_a_whole_copy(tmp_path: Path, seed: int) -> None:
    """Objects of every kind, some or all, in any way, and known to a verify or not. Contents that points here need and
    nobody read since are found by a verify: one, and a second repair, may be needed."""
    choose = random.Random(seed)
    clinic = clinic_of(tmp_path, encrypted=seed % 2 == 0)
    share = choose.choice([0.1, 0.3, 0.6, 1])
    for key in sorted(clinic.bench.keys()):
        if not key.startswith(("repository", "ledger")) and choose.random() < share:
            how = choose.choice(["flip", "truncate", "remove"])
            small = (clinic.bench.root / key).stat().st_size <= 100
            clinic.harm(key, "remove" if small else how)
    for _ in range(2):
        clinic.run()
        clinic.verify()
    assert clinic.run().sound
    clinic.check()
