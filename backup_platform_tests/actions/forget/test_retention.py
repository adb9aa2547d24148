"""What is forgotten in a repository, by the store's clock and by nothing that was forged; and what never is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from backup_platform.actions.backup.run import BackupJob
from backup_platform.actions.forget import run as retention_module
from backup_platform.actions.forget.run import ForgetPlan, Retention
from backup_platform.actions.points.holds import Holds
from backup_platform.domain.keep.holds import Hold
from backup_platform.domain.keep.retention import KeepRules, SourceRules
from backup_platform.domain.model import Proof, ProofMethod, RecoveryPoint, Window
from backup_platform.domain.ports import Store
from backup_platform.errors import (
    NotFoundError,
    RepositoryError,
    StoreError,
    StoreLockedError,
    StoreRefusedError,
    UsageError,
)
from backup_platform.repository.objects.names import FORGOTTEN, HOLDS, MANIFESTS, PROOFS
from backup_platform.repository.objects.objects import Objects
from backup_platform.repository.records.forgotten import forgotten_places, read_forgotten, record_forgotten
from backup_platform.repository.records.holds import read_holds
from backup_platform_tests.support import (
    Bench,
    Call,
    ClockedStore,
    Do,
    Killed,
    QuietProgress,
    ScriptedStore,
    writer_keys,
)

LAST_TWO = KeepRules(last=2)


@dataclass
class World:
    """A repository whose store has the test's clock, with a point every day."""

    bench: Bench
    points: list[RecoveryPoint]

    def day(self) -> RecoveryPoint:
        self.bench.clock.advance(days=1)
        self.bench.source.write(b"a", str(len(self.points)).encode())
        self.points.append(self.bench.backup())
        return self.points[-1]

    def retention(self, keep: KeepRules | None = LAST_TWO, store: Store | None = None) -> Retention:
        return Retention(self.bench.open(store), {"docs": SourceRules(keep)}, self.bench.clock)

    def forget(self, keep: KeepRules | None = LAST_TWO, store: Store | None = None) -> list[int]:
        """The sequences that are gone."""
        retention = self.retention(keep, store)
        return [each.sequence for each in retention.run_forget(retention.plan_forget()).forgotten]

    def here(self) -> list[int]:
        return [point.sequence for point in self.bench.open().points.all()]

    def proof(
        self, point: RecoveryPoint, method: ProofMethod = ProofMethod.DRILL, *, passed: bool = True
    ) -> None:
        self.bench.clock.advance(minutes=1)
        self.bench.open().proofs.record(Proof(point.id, method, passed, self.bench.clock.now(), 1.0))

    def holds(self, store: Store | None = None) -> Holds:
        return Holds(self.bench.open(store), self.bench.clock)

    def scripted(self, script: Callable[[Call], Do | None]) -> ScriptedStore:
        return ScriptedStore(self.bench.store, script)


def make_world(folder: Path, days: int = 6, *, encrypted: bool = False) -> World:
    bench = Bench(folder, encrypted=encrypted)
    bench.store = ClockedStore(str(folder), bench.clock)
    world = World(bench, [])
    for _ in range(days):
        world.day()
    return world


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], World]:
    """Worlds to copy, made once."""
    return cache(lambda encrypted: make_world(tmp_path_factory.mktemp("made"), encrypted=encrypted))


def copied(world: World, folder: Path) -> World:
    shutil.copytree(world.bench.root, folder, dirs_exist_ok=True)
    clock = replace(world.bench.clock)
    bench = Bench(folder, clock, encrypted=world.bench.encrypted)
    bench.store = ClockedStore(str(folder), clock)
    source = world.bench.source
    bench.source.files, bench.source.modified = dict(source.files), dict(source.modified)
    return World(bench, list(world.points))


@pytest.fixture
def world(tmp_path: Path, made: Callable[[bool], World]) -> World:
    return copied(made(False), tmp_path)


@pytest.fixture(params=["unencrypted", "encrypted"])
def either(tmp_path: Path, made: Callable[[bool], World], request: pytest.FixtureRequest) -> World:
    return copied(made(request.param == "encrypted"), tmp_path)


def test_what_no_rule_keeps_is_forgotten_and_recorded(either: World) -> None:
    """A host with the repository key can, without an identity."""
    world = either
    if world.bench.encrypted:
        world.bench.held = writer_keys()
    plan = world.retention().plan_forget()
    assert [each.point.sequence for each in plan.forget] == [1, 2, 3, 4]
    assert plan.kept == 2
    assert world.here() == [1, 2, 3, 4, 5, 6], "a plan changes nothing"
    assert world.forget() == [1, 2, 3, 4]
    assert world.here() == [5, 6]
    objects = world.bench.open().objects
    records, damaged = read_forgotten(objects, forgotten_places(objects, "docs"))
    assert not damaged
    assert [(r.point, r.source, r.sequence, r.window, r.captured_at) for r in records] == [
        (p.id, "docs", p.sequence, p.window, p.captured_at) for p in world.points[:4]
    ]
    assert {record.reason for record in records} == {"no rule keeps it"}
    assert world.forget() == []


def test_what_is_left_restores_and_the_next_backup_follows(world: World) -> None:
    world.forget()
    for point in world.points[4:]:
        assert world.bench.content(point) == {b"a": str(point.sequence - 1).encode()}
    assert world.day().sequence == 7
    assert world.points[-1].predecessor == world.points[-2].id


def test_a_source_without_rules_keeps_everything(world: World) -> None:
    assert world.forget(None) == []
    retention = Retention(world.bench.open(), {}, world.bench.clock)
    assert retention.plan_forget().kept == 6
    assert retention.decisions("docs")[0].decision.reasons == ("the plan keeps everything",)


def test_the_newest_proven_point_stays(world: World) -> None:
    world.proof(world.points[1])
    world.proof(world.points[0])
    assert world.forget() == [1, 3, 4]


def test_a_failed_proof_takes_back_what_a_drill_proved(world: World) -> None:
    for number in (1, 3):
        world.proof(world.points[number])
    world.proof(world.points[3], ProofMethod.VERIFY, passed=False)
    assert world.forget() == [1, 3, 4]


def test_a_listing_alone_proves_nothing(either: World) -> None:
    """The body of a proof is damaged. The point that it speaks for is not counted."""
    world = either
    world.proof(world.points[1])
    [name] = (key.rsplit("/", 1)[1] for key in world.bench.keys(PROOFS))
    genuine = world.bench.open().objects.names.name(f"{PROOFS}{world.points[3].id}/{name.rpartition('-')[0]}")
    world.bench.store.create(genuine, b"{}\nx\n")
    assert world.forget() == [1, 3]
    assert "damaged" in world.retention().decisions("docs")[1].decision.reasons[0]


def test_a_forged_proof_counts_as_none(world: World) -> None:
    world.proof(world.points[1])
    [name] = (key.rsplit("/", 1)[1] for key in world.bench.keys(PROOFS))
    world.bench.store.create(f"{PROOFS}{world.points[3].id}/{name}", b"{}\nx\n")
    assert world.forget() == [1, 3, 4]


def test_a_false_failure_does_not_take_a_proof_away(world: World) -> None:
    world.proof(world.points[1])
    [name] = (key.rsplit("/", 1)[1] for key in world.bench.keys(PROOFS))
    forged = name.replace("drill-passed", "drill-failed").replace("20261128", "20261129")
    assert forged != name
    world.bench.store.create(f"{PROOFS}{world.points[1].id}/{forged}", b"")
    assert 2 not in world.forget()


def commit(world: World, start: datetime) -> RecoveryPoint:
    """A point as somebody makes it up who has the key and may write."""
    points = world.bench.open().points.all()
    window = Window(start.isoformat(), start, start + timedelta(hours=1))
    forged = replace(points[-1], window=window, sequence=points[-1].sequence + 1, captured_at=start)
    return world.bench.open().points.commit(forged)


def test_points_from_the_future_evict_nobody(world: World) -> None:
    now = world.bench.clock.now()
    for days in (1, 400, 4000):
        commit(world, now + timedelta(days=days))
    assert world.forget() == [1, 2, 3, 4]
    assert world.here() == [5, 6, 7, 8, 9]


def test_points_of_windows_long_past_evict_nobody(world: World) -> None:
    rules = KeepRules(daily=4)
    for point in world.points[2:4]:
        commit(world, point.window.start + timedelta(hours=5))
    world.bench.clock.advance(days=3)
    for point in world.points[2:]:
        commit(world, point.window.start + timedelta(hours=6))
    world.forget(rules)
    assert {3, 4, 5, 6} <= set(world.here())


def test_made_up_points_with_proofs_do_not_stand_in_for_the_newest_proven_one(world: World) -> None:
    world.proof(world.points[1])
    world.proof(commit(world, world.points[2].window.start + timedelta(hours=5)))
    assert world.forget() == [1, 3, 4]


def test_the_clock_of_the_client_decides_nothing(world: World) -> None:
    """It is ten years ahead: the hold has not run out, and no point is any older."""
    until = (world.bench.clock.now() + timedelta(days=30)).isoformat()
    world.holds().place("docs@" + world.points[0].window.key, "audit", until=until)
    clock = replace(world.bench.clock, instant=world.bench.clock.now() + timedelta(days=3650))
    retention = Retention(world.bench.open(), {"docs": SourceRules(LAST_TWO)}, clock)
    retention.run_forget(retention.plan_forget())
    assert world.here() == [1, 5, 6]
    world.bench.clock.advance(days=31)
    assert world.forget() == [1]


def test_a_damaged_manifest_stops_forgetting_of_its_source_and_of_no_other(world: World) -> None:
    other = replace(world.bench.source, name="mail")
    for _ in range(4):
        world.bench.clock.advance(days=1)
        BackupJob(other, world.bench.schedule, world.bench.open(), world.bench.clock).run(
            None, force=True, progress=QuietProgress()
        )
    key = world.bench.open().points.key(world.points[2])
    world.bench.damage(key)
    rules = {name: SourceRules(LAST_TWO) for name in ("docs", "mail")}
    retention = Retention(world.bench.open(), rules, world.bench.clock)
    plan = retention.plan_forget()
    assert key in plan.blocked["docs"]
    assert list(plan.blocked) == ["docs"]
    summary = retention.run_forget(plan)
    assert {each.source for each in summary.forgotten} == {"mail"}
    assert summary.points_by_source == {"mail": 2}
    assert summary.blocked == plan.blocked
    assert all("damaged" in each.decision.reasons[0] for each in retention.decisions("docs"))


# Faults


def test_a_hold_placed_after_the_plan_wins(world: World) -> None:
    retention = world.retention()
    plan = retention.plan_forget()
    world.holds().place(world.points[1].id, "a lawsuit")
    summary = retention.run_forget(plan)
    assert [each.sequence for each in summary.forgotten] == [1, 3, 4]
    assert [(point.sequence, why) for point, why in summary.kept] == [(2, "held: a lawsuit")]


def test_a_hold_placed_at_the_last_moment_wins(world: World) -> None:
    """Between the record of the point and its deletion: whoever held it is told that it was close."""
    target = world.points[1]
    told: list[RepositoryError] = []

    def script(call: Call) -> Do | None:
        if call.verb == "list" and call.key == f"{HOLDS}{target.id}/":
            with pytest.raises(RepositoryError, match="may not have seen it") as error:
                world.holds().place(target.id, "a lawsuit")
            told.append(error.value)
        return None

    assert world.forget(store=world.scripted(script)) == [1, 3, 4]
    assert told[0].retryable
    assert world.here() == [2, 5, 6]


def test_a_hold_beside_a_forgetting_that_goes_on_after_days_is_told(world: World) -> None:
    """The record is of the first attempt: its time alone would say that nobody forgets the point now."""
    target = world.points[1]
    record_forgotten(world.bench.open().objects, target, "interrupted", world.bench.clock.now())
    world.bench.clock.advance(days=1)

    def script(call: Call) -> Do | None:
        if call.verb == "delete" and call.key == world.bench.open().points.key(target):
            with pytest.raises(RepositoryError, match="may not have seen it"):
                world.holds().place(target.id, "a lawsuit")
        return None

    assert world.forget(store=world.scripted(script)) == [1, 2, 3, 4]
    places = forgotten_places(world.bench.open().objects, "docs")
    assert len(places) == 4


def test_a_forgetting_that_stood_still_forgets_no_point_that_was_held_meanwhile(world: World) -> None:
    target, read = world.points[1], read_holds

    def slow(objects: Objects, point: str | None = None) -> dict[str, list[Hold]]:
        found = read(objects, point)
        if point == target.id:
            world.bench.clock.advance(hours=1)
            world.holds().place(target.id, "a lawsuit")
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention_module, "read_holds", slow)
        assert world.forget() == [1, 3, 4]
    assert world.here() == [2, 5, 6]


def test_a_point_that_was_forgotten_cannot_be_held(world: World) -> None:
    def script(call: Call) -> Do | None:
        if call.verb == "create" and call.key.startswith(HOLDS):
            world.forget()
        return None

    with pytest.raises(NotFoundError, match="was forgotten meanwhile"):
        world.holds(world.scripted(script)).place(world.points[0].id, "too late")


def test_a_proof_recorded_after_the_plan_counts(world: World) -> None:
    retention = world.retention()
    plan = retention.plan_forget()
    world.proof(world.points[3])
    assert [each.sequence for each in retention.run_forget(plan).forgotten] == [1, 2, 3]


def test_two_at_once_forget_the_same(world: World) -> None:
    first, second = world.retention(), world.retention()
    plans: list[ForgetPlan] = [first.plan_forget(), second.plan_forget()]
    assert len(first.run_forget(plans[0]).forgotten) == 4
    assert second.run_forget(plans[1]).forgotten == ()
    assert world.here() == [5, 6]


@pytest.mark.parametrize("fate", [Do.FAIL_AFTER, Do.DIE_AFTER])
def test_whatever_breaks_nothing_goes_unrecorded_and_the_next_run_ends_it(tmp_path: Path, fate: Do) -> None:
    world = make_world(tmp_path, days=2)
    for number in range(
        1, 9
    ):  # asking for the time and its cleaning up twice, then two records and deletions
        before = {world.day().sequence - 2, world.day().sequence - 2}
        writes = count(1)

        def script(call: Call, number: int = number, writes: Iterator[int] = writes) -> Do | None:
            return fate if call.verb in ("create", "delete") and next(writes) == number else None

        with suppress(StoreError, Killed):
            world.forget(store=world.scripted(script))
        assert next(writes) > number
        recorded = {place.sequence for place in forgotten_places(world.bench.open().objects)}
        assert before - set(world.here()) <= recorded
        assert max(recorded, default=0) <= max(before)
        world.forget()
        assert world.here() == [world.points[-2].sequence, world.points[-1].sequence]


def test_what_the_store_does_not_delete_is_left_and_told(world: World) -> None:
    class Locked(ClockedStore):
        def delete(self, key: str) -> None:
            if key.endswith("2"):
                raise StoreLockedError("Object Lock holds it.")
            if key.endswith("3"):
                raise StoreRefusedError("You may not.")
            super().delete(key)

    retention = world.retention(store=Locked(str(world.bench.root), world.bench.clock))
    summary = retention.run_forget(retention.plan_forget())
    assert [(point.sequence, why) for point, why in summary.locked] == [(2, "Object Lock holds it.")]
    assert [(point.sequence, why) for point, why in summary.refused] == [(3, "You may not.")]
    assert world.here() == [2, 3, 5, 6]
    assert world.forget() == [2, 3]


def test_an_altered_record_stops_forgetting_its_point(either: World) -> None:
    world = either
    objects = world.bench.open().objects
    record_forgotten(objects, world.points[0], "killed before the deletion", datetime.now(UTC))
    [key] = world.bench.keys(FORGOTTEN)
    world.bench.damage(key)
    with pytest.raises(RepositoryError, match=key):
        world.forget()
    assert 1 in world.here()


def test_who_may_not_write_still_sees_what_would_be_forgotten(world: World) -> None:
    class ReadOnly(ClockedStore):
        def create(self, key: str, data: Any) -> None:
            raise StoreRefusedError("read only")

    plan = world.retention(store=ReadOnly(str(world.bench.root), world.bench.clock)).plan_forget()
    assert [each.point.sequence for each in plan.forget] == [1, 2, 3, 4]


def test_requests_of_a_plan_are_few(world: World) -> None:
    for point in world.points:
        world.proof(point, ProofMethod.VERIFY)
        world.proof(point)
    counting = world.scripted(lambda call: None)
    world.retention(store=counting).plan_forget()
    reads = [call for call in counting.calls if call.verb == "get"]
    assert len([call for call in reads if call.key.startswith(MANIFESTS)]) == 6
    assert len([call for call in reads if call.key.startswith(PROOFS)]) == 2, (
        "of the newest proven point only"
    )


# Holds


def test_a_hold_keeps_until_it_is_released(either: World) -> None:
    world = either
    world.holds().place(world.points[0].id, "audit 7")
    assert world.retention().decisions("docs")[0].decision.reasons == ("held: audit 7",)
    assert world.forget() == [2, 3, 4]
    [held] = world.holds().listed()
    assert (held.hold.reason, held.point, held.in_force) == ("audit 7", world.points[0], True)
    [released] = world.holds().release(world.points[0].id, "audit done")
    assert released.release_reason == "audit done"
    assert world.holds().in_force() == {}
    assert [each.hold.release_reason for each in world.holds().listed()] == ["audit done"]
    assert world.forget() == [1]
    assert world.holds().listed()[0].point is None


def test_a_legal_hold_is_released_by_who_says_so(world: World) -> None:
    point = world.points[0]
    world.holds().place(point.id, "case 1", legal=True)
    with pytest.raises(UsageError, match="case 1"):
        world.holds().release(point.id, "done")
    world.holds().place(point.id, "curious")
    assert [hold.reason for hold in world.holds().release(point.id, "done")] == ["curious"]
    assert world.forget() == [2, 3, 4]
    assert [hold.reason for hold in world.holds().release(point.id, "settled", legal=True)] == ["case 1"]
    with pytest.raises(NotFoundError):
        world.holds().release(point.id, "again", legal=True)
    assert world.forget() == [1]


def test_a_hold_ends_with_its_day(world: World) -> None:
    world.holds().place(world.points[0].id, "until then", until="2026-12-24")
    assert world.holds().listed()[0].hold.until == datetime(2026, 12, 24, tzinfo=UTC)
    assert world.forget() == [2, 3, 4]
    world.bench.clock.advance(days=60)
    assert not world.holds().listed()[0].in_force
    assert world.forget() == [1]


@pytest.mark.parametrize("until", ["2026-11-01", "tomorrow", "2027-01-01T00:00:00", "2027-13-01"])
def test_an_end_that_is_none_is_refused(world: World, until: str) -> None:
    with pytest.raises(UsageError):
        world.holds().place(world.points[0].id, "x", until=until)
    assert world.bench.keys(HOLDS) == set()


def test_a_hold_needs_a_reason(world: World) -> None:
    with pytest.raises(UsageError):
        world.holds().place(world.points[0].id, "  ")


def test_a_damaged_hold_holds_and_a_damaged_release_releases_nothing(either: World) -> None:
    world = either
    world.holds().place(world.points[0].id, "first")
    world.holds().place(world.points[1].id, "second")
    world.holds().release(world.points[1].id, "over")
    for key in world.bench.keys(HOLDS):
        if world.points[0].id in key or key.endswith(".released"):
            world.bench.damage(key)
    assert world.forget() == [3, 4]
    with pytest.raises(UsageError, match="legal"):
        world.holds().release(world.points[0].id, "who knows what it was")
    assert [hold.id for hold in world.holds().release(world.points[0].id, "looked into", legal=True)]


def test_a_hold_moved_to_another_point_is_noticed(world: World) -> None:
    """It holds what it names no longer, and the other point until somebody looked."""
    held = world.holds().place(world.points[0].id, "first", until="2027-01-01")
    folder = world.bench.root / HOLDS
    (folder / world.points[0].id).rename(folder / world.points[1].id)
    [moved] = world.holds().listed()
    assert moved.hold.id == held.hold.id
    assert "belongs elsewhere" in moved.hold.damaged
    assert moved.in_force
