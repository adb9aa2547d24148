"""Records that an interrupted forget left beside points that stay: they hide no later loss, and two hosts agree."""

from __future__ import annotations

from contextlib import suppress

import pytest

from backup_platform.actions.forget.lost import find_losses
from backup_platform.domain.keep.retention import KeepRules
from backup_platform.domain.model import RecoveryPoint
from backup_platform.errors import StoreRefusedError
from backup_platform.repository.objects.names import FORGOTTEN
from backup_platform_tests.actions.forget import test_retention
from backup_platform_tests.actions.forget.test_retention import World
from backup_platform_tests.support import Call, ClockedStore, Do, Killed

made, world, either = test_retention.made, test_retention.world, test_retention.either

EVERYTHING = KeepRules(last=100)


def interrupt(world: World) -> RecoveryPoint:
    """Forget until the first record is written; the point of this record."""

    def script(call: Call) -> Do | None:
        return Do.DIE_AFTER if call.verb == "create" and call.key.startswith(FORGOTTEN) else None

    with suppress(Killed):
        world.forget(store=world.scripted(script))
    point = world.points[0]
    assert recorded(world) == {point.id}
    assert point.sequence in world.here()
    return point


def recorded(world: World) -> set[str]:
    return {key.split("-")[1] for key in world.bench.keys(FORGOTTEN)}


def test_whoever_takes_away_a_point_that_stayed_after_its_record_is_noticed(either: World) -> None:
    world = either
    point = interrupt(world)
    repository = world.bench.open()
    world.bench.clock.advance(hours=2)
    world.holds().place(point.id, "a lawsuit")
    world.forget()
    assert point.id not in recorded(world)
    world.bench.store.delete(repository.points.key(point))
    points = world.bench.open().points.all()
    assert find_losses(world.bench.open(), points, (), complete=True).held == (point.id,)


def test_a_record_of_a_forget_that_may_be_under_way_stays(world: World) -> None:
    point = interrupt(world)
    world.bench.clock.advance(minutes=50)
    assert world.forget(EVERYTHING) == []
    assert recorded(world) == {point.id}
    world.bench.clock.advance(minutes=20)
    assert world.forget(EVERYTHING) == []
    assert recorded(world) == set()


@pytest.mark.parametrize("verb", ["get", "head", "delete"])
def test_another_host_forgets_the_point_while_its_record_is_deleted(world: World, verb: str) -> None:
    """Before the record is read, before the first look for the manifest, and between the two looks."""
    point = interrupt(world)
    world.bench.clock.advance(hours=2)
    manifest, (record,) = world.bench.open().points.key(point), world.bench.keys(FORGOTTEN)
    plan = world.retention(EVERYTHING).plan_forget()
    moments = {"get": record, "head": manifest, "delete": record}
    others: list[list[int]] = []

    def script(call: Call) -> Do | None:
        if (call.verb, call.key) == (verb, moments[verb]) and not others:
            others.append([])
            others[0] += world.forget()
        return None

    world.retention(EVERYTHING, world.scripted(script)).run_forget(plan)
    assert others == [[1, 2, 3, 4]]
    assert point.id in recorded(world)


def test_another_host_deletes_the_record_while_the_point_is_forgotten(world: World) -> None:
    """It chose the record before, when it was old, and looked for the manifest while it was there."""
    point = interrupt(world)
    manifest, (record,) = world.bench.open().points.key(point), world.bench.keys(FORGOTTEN)

    def script(call: Call) -> Do | None:
        if (call.verb, call.key) == ("delete", manifest):
            world.bench.store.delete(record)
        return None

    assert world.forget(store=world.scripted(script)) == [1, 2, 3, 4]
    assert recorded(world) == {each.id for each in world.points[:4]}
    points = world.bench.open().points.all()
    assert find_losses(world.bench.open(), points, (), complete=True).texts() == []


def test_a_store_that_does_not_delete_records_stops_nothing(world: World) -> None:
    point = interrupt(world)
    world.bench.clock.advance(hours=2)

    class Refusing(ClockedStore):
        def delete(self, key: str) -> None:
            if key.startswith(FORGOTTEN):
                raise StoreRefusedError("You may not.")
            super().delete(key)

    assert world.forget(EVERYTHING, Refusing(str(world.bench.root), world.bench.clock)) == []
    assert recorded(world) == {point.id}
