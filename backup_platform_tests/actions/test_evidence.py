"""Who may only write to the store makes up no evidence: what others made counts for nothing, and is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from backup_platform.actions.checks.points import authentic, drill_check
from backup_platform.actions.drill import DrillResult
from backup_platform.actions.evidence import Evidence
from backup_platform.actions.keys.run import cipher_of
from backup_platform.actions.points.holds import Holds
from backup_platform.actions.repair.run import Repair
from backup_platform.domain.model import Proof, ProofMethod, RecoveryPoint
from backup_platform.domain.trust.standing import State, standing
from backup_platform.repository.encryption.key_tests import list_recipients, record_test
from backup_platform.repository.objects.names import (
    ACCEPTED,
    DAMAGED,
    FORGOTTEN,
    HOLDS,
    KEY_TESTS,
    PROOFS,
    PackKey,
)
from backup_platform.repository.objects.record_names import TIME
from backup_platform.repository.records.acceptances import accept_point, read_acceptances
from backup_platform.repository.records.forgotten import forgotten_places, record_lost
from backup_platform.repository.records.holds import read_holds
from backup_platform.repository.repository import Repository
from backup_platform_tests.docs.cells import shows
from backup_platform_tests.support import Bench


@pytest.fixture(params=[False, True], ids=["unencrypted", "encrypted"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    return small(Bench(tmp_path / "repository", encrypted=request.param))


@pytest.fixture
def sealed(tmp_path: Path) -> Bench:
    return small(Bench(tmp_path / "repository", encrypted=True))


def small(bench: Bench) -> Bench:
    for number in range(2):
        bench.source.write(b"a", b"%d" % number)
        bench.backup()
    return bench


def points_of(bench: Bench) -> list[RecoveryPoint]:
    return bench.open().points.all()


def prove(bench: Bench, point: RecoveryPoint, *, passed: bool = True) -> str:
    """The key of a drill's record."""
    before = bench.keys(PROOFS)
    proof = Proof(point.id, ProofMethod.DRILL, passed, bench.clock.now(), 1.0)
    bench.open().proofs.record(proof, point)
    (key,) = bench.keys(PROOFS) - before
    return key


def state(repository: Repository, point: RecoveryPoint) -> State:
    return standing(point, repository.proofs.by_point().get(point.id, ())).state


@contextmanager
def older(bench: Bench, prefix: str) -> Iterator[None]:
    """What is recorded inside has the name that an older version gave it."""
    before = bench.keys(prefix)
    yield
    for key in bench.keys(prefix) - before:
        (bench.root / key).rename(bench.root / key.rpartition("-")[0])


@shows("store owner", "forges")
def test_a_moved_proof_proves_nothing(bench: Bench) -> None:
    first, second = points_of(bench)
    key = prove(bench, first)
    moved = key.replace(first.id, second.id)
    bench.store.create(moved, bench.store.get(key))
    bench.store.create(key.replace("passed", "failed"), bench.store.get(key))
    assert state(bench.open(), first) is State.PROVEN, "a failure that somebody made up takes nothing away"
    assert state(bench.open(), second) is State.UNPROVEN
    found = Evidence(bench.open()).of_all()
    assert set(found.forged) == {moved, key.replace("passed", "failed")}
    assert moved in found.findings()[0]
    assert Evidence(bench.open()).proofs()[1].forged == found.forged
    for point in (first, second):
        check = authentic(bench.open(), point)
        assert (check.passed, check.metadata["forged_records"]) == (False, 1)


def test_an_empty_file_named_as_older_versions_did_proves_nothing(sealed: Bench) -> None:
    _, point = points_of(sealed)
    key = f"{PROOFS}{point.id}/{sealed.clock.now().strftime(TIME)}-drill-passed-deadbeef"
    failed = key.replace("passed", "failed")
    sealed.store.create(key, b"")
    assert state(sealed.open(), point) is State.UNPROVEN
    sealed.store.create(failed, b"")
    proofs, doubts = Evidence(sealed.open()).proofs()
    assert (proofs, set(doubts.forged)) == ({}, {key, failed})
    assert set(Evidence(sealed.open()).of_points([point.id]).forged) == {key, failed}
    assert sealed.open().proofs.details(point.id) == []
    drills = []

    def drill() -> DrillResult:
        drills.append(point)
        raise KeyError

    with pytest.raises(KeyError):
        drill_check(sealed.open(), point, "daily", "UTC", drill)
    assert drills, "it is due"


def test_a_proof_with_a_time_of_the_future_is_none(bench: Bench) -> None:
    _, point = points_of(bench)
    bench.clock.advance(days=400)
    key = prove(bench, point)
    assert state(bench.open(), point) is State.UNPROVEN
    assert bench.open().proofs.details(point.id) == []
    found = Evidence(bench.open()).of_all()
    assert (found.ahead, found.forged) == ((key,), ())
    assert key in found.notes()[0]
    assert not found.findings()


def test_what_older_versions_recorded_errs_in_the_safe_direction(sealed: Bench) -> None:
    first, second = points_of(sealed)
    with older(sealed, PROOFS):
        prove(sealed, first)
    with older(sealed, PROOFS):
        prove(sealed, second, passed=False)
    with older(sealed, DAMAGED):
        sealed.open().marks.mark(PackKey(f"packs/ab/{'ab' * 32}"), "a test")
    with older(sealed, ACCEPTED):
        accept_point(sealed.open().objects, first.id, "as it should be", sealed.clock.now())
    with older(sealed, FORGOTTEN):
        record_lost(sealed.open().objects, "docs", 9, sealed.clock.now())
    repository = sealed.open()
    assert state(repository, first) is State.UNPROVEN
    assert state(repository, second) is State.FAILED
    assert repository.marks.damaged() == {PackKey(f"packs/ab/{'ab' * 32}")}
    assert read_acceptances(repository.objects, [first.id])
    assert [place.sequence for place in forgotten_places(repository.objects)] == [9]
    found = Evidence(repository).of_all()
    assert (len(found.older), found.forged) == (5, ())
    assert "5 records" in found.notes()[0]


def test_in_an_unencrypted_repository_the_names_of_older_versions_count(tmp_path: Path) -> None:
    bench = small(Bench(tmp_path / "repository"))
    _, point = points_of(bench)
    with older(bench, PROOFS):
        prove(bench, point)
    assert state(bench.open(), point) is State.PROVEN
    assert not Evidence(bench.open()).of_all().notes()


def test_repair_adopts_what_is_authentic_and_nothing_else(sealed: Bench) -> None:
    first, second = points_of(sealed)
    recipient = cipher_of(sealed.open()).identities[0].recipient
    for prefix in (PROOFS, KEY_TESTS):
        with older(sealed, prefix):
            if prefix == PROOFS:
                prove(sealed, first)
            else:
                record_test(cipher_of(sealed.open()).objects, recipient, "", sealed.clock.now())
    (genuine,) = sealed.keys(PROOFS)
    forged = {
        genuine.replace(first.id, second.id),
        genuine.replace("021", "022"),
        f"{FORGOTTEN}{'ab' * 16}/0000000001-{first.id}",
        f"{DAMAGED}meta/{'ab' * 32}",
        f"{ACCEPTED}{first.id}/{'ab' * 8}",
    }
    for key in forged:
        sealed.store.create(key, sealed.store.get(genuine))
    repair = Repair(sealed.open(), {}, sealed.clock)
    plan = repair.plan()
    assert [(step.act, step.key) for step in plan.steps] == [("adopt", KEY_TESTS), ("adopt", PROOFS)]
    assert ["4 records" in plan.notes[-2], "1 damage mark" in plan.notes[-1]] == [True, True]
    assert len(repair.run(plan).done) == 2
    assert state(sealed.open(), first) is State.PROVEN
    assert state(sealed.open(), second) is State.UNPROVEN
    assert list_recipients(cipher_of(sealed.open()).objects)[0].tested_at
    found = Evidence(sealed.open()).of_all()
    assert ({*found.forged, *found.counting}, found.older) == (forged, ())
    assert found.counting == (f"{DAMAGED}meta/{'ab' * 32}",)
    assert repair.plan().steps == ()


def test_a_test_of_a_key_that_was_made_up_is_none(sealed: Bench) -> None:
    cipher = cipher_of(sealed.open())
    recipient = cipher.identities[0].recipient
    record_test(cipher.objects, recipient, "", sealed.clock.now())
    (key,) = sealed.keys(KEY_TESTS)
    assert list_recipients(cipher.objects)[0].tested_at == sealed.clock.now()
    later = key.replace("20261122", "20261123")
    sealed.store.create(later, sealed.store.get(key))
    assert list_recipients(cipher.objects)[0].tested_at == sealed.clock.now()
    sealed.store.delete(key)
    assert list_recipients(cipher.objects)[0].tested_at is None
    assert Evidence(sealed.open()).of_keys().forged == (later,)


def test_a_record_that_a_point_was_forgotten_is_made_up_by_nobody(bench: Bench) -> None:
    """It would hide that the point was taken away, and keep copies and repairs from bringing it back."""
    repository = bench.open()
    record_lost(repository.objects, "docs", 7, bench.clock.now())
    (key,) = bench.keys(FORGOTTEN)
    bench.store.create(key.replace("0000000007", "0000000001"), bench.store.get(key))
    assert [place.sequence for place in forgotten_places(bench.open().objects)] == [7]
    assert len(Evidence(bench.open()).of_all().forged) == 1


def test_forged_marks_of_damage_and_files_of_others_are_no_marks(bench: Bench) -> None:
    bench.open().marks.mark(PackKey(f"packs/ab/{'ab' * 32}"), "a test")
    (key,) = bench.keys(DAMAGED)
    bench.store.create(key.replace("abab", "cdcd"), b"")
    for name in (".DS_Store", "packs/ab", f"other/{'ab' * 32}"):
        bench.store.create(DAMAGED + name, b"")
    assert bench.open().marks.damaged() == {PackKey(f"packs/ab/{'ab' * 32}")}
    bench.open().marks.unmark(PackKey(f"packs/ab/{'ab' * 32}"))
    assert bench.open().marks.damaged() == set()
    assert len(Evidence(bench.open()).of_all().forged) == 1


@shows("store owner", "forges")
@shows("store owner", "adds")
def test_a_hold_that_somebody_made_up_holds_and_is_told(bench: Bench) -> None:
    point, _ = points_of(bench)
    bench.store.create(f"{HOLDS}{point.id}/{'01' * 8}", b"made up")
    assert read_holds(bench.open().objects)[point.id][0].in_force(bench.clock.now())
    (text,) = Evidence(bench.open()).of_all().findings()
    assert "stays held" in text


def test_a_forged_hold_that_was_released_is_told_no_more(bench: Bench) -> None:
    point, _ = points_of(bench)
    bench.store.create(f"{HOLDS}{point.id}/{'01' * 8}", b"made up")
    Holds(bench.open(), bench.clock).release(point.id, "nobody placed it", legal=True)
    (held,) = Holds(bench.open(), bench.clock).listed()
    assert (held.in_force, bool(held.hold.damaged)) == (False, True)
    assert Evidence(bench.open()).of_all().findings() == []


@shows("store owner", "forges")
@shows("store owner", "adds")
def test_a_damage_mark_that_somebody_made_up_costs_space_and_is_told(sealed: Bench) -> None:
    points_of(sealed)
    packs = sealed.keys("packs/")
    marks = [f"{DAMAGED}packs/{pack[-64:]}" for pack in packs]
    for mark in marks:
        sealed.store.create(mark, b"")
    found = Evidence(sealed.open()).of_all()
    assert found.forged == ()
    (text,) = found.findings()
    assert "counts, because it only makes writers careful" in text
    assert "ignored" not in text
    sealed.backup()
    assert sealed.keys("packs/") > packs, "it counts"
    for mark in marks:
        sealed.store.delete(mark)
    assert Evidence(sealed.open()).of_all().findings() == []


def test_an_acceptance_is_made_up_by_nobody(bench: Bench) -> None:
    first, second = points_of(bench)
    accept_point(bench.open().objects, first.id, "as it should be", bench.clock.now())
    (key,) = bench.keys(ACCEPTED)
    bench.store.create(key.replace(first.id, second.id), bench.store.get(key))
    bench.store.create(key[:-1] + ("0" if key[-1] != "0" else "1"), bench.store.get(key))
    assert set(read_acceptances(bench.open().objects, [first.id, second.id])) == {first.id}
    assert len(Evidence(bench.open()).of_all().forged) == 2


def test_many_names_in_a_sentence_are_the_first(bench: Bench) -> None:
    found = Evidence(bench.open()).listed(PROOFS)
    told = replace(found, forged=tuple(f"key {n}" for n in range(2_000))).findings()
    assert "2,000 records" in told[0]
    assert "1,995 more" in told[0]
    assert len(told[0]) < 500
