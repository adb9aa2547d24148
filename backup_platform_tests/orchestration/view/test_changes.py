"""What happened to points after Dagster knew of them: damage, repair, loss, and what was forgotten."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime

import dagster as dg
import pytest

from backup_platform.domain.model import RecoveryPoint
from backup_platform.orchestration.translator import BackupTranslator
from backup_platform.orchestration.view.refill import refill_instance
from backup_platform_tests.orchestration.conftest import DAY, World
from backup_platform_tests.orchestration.view.conftest import (
    by_hand,
    grid,
    history,
    key_of,
    last,
    observations,
    refill,
)

HOUR = DAY / 24


def remove(world: World, point: RecoveryPoint) -> None:
    """Its manifest, as somebody does who can write to the store."""
    os.unlink(world.app.points.manifest_path(point).removeprefix("file://"))
    world.clock.time += HOUR
    world.load()


@pytest.fixture
def drilled(world: World) -> World:
    """Three points whose contents are proven; the ledger tells of them whatever happens."""
    for point in by_hand(world, "uploads", 3):
        world.app.proofs.drill(point.id)
    world.clock.time += HOUR
    refill(world)
    return world


def test_damage_that_the_command_line_finds_turns_a_green_window_red_and_back(world: World) -> None:
    assert world.launch("uploads").success
    window = world.window
    alerted = world.sensor("backup_alerts").cursor
    shutil.copytree(world.root / "repository", world.root / "sound")
    world.damage_largest_pack()
    world.clock.time = datetime.now(UTC)  # runs have the time of the machine, and no proof may be later
    world.app.proofs.verify()
    refill(world)
    record = last(world, "stored", window)
    assert not record.evaluation.passed
    assert "is altered" in record.evaluation.description
    alerted = world.sensor("backup_alerts", alerted).cursor
    assert [title for title, _ in world.channel.sent] == ["uploads: check stored failed"]
    assert not refill(world).any
    shutil.rmtree(world.root / "repository" / "packs")
    shutil.copytree(world.root / "sound" / "packs", world.root / "repository" / "packs")
    world.clock.time = datetime.now(UTC)
    world.app.proofs.verify()
    refill(world)
    assert last(world, "stored", window).evaluation.passed
    world.sensor("backup_alerts", alerted)
    assert world.channel.sent[-1][0] == "Resolved: uploads: check stored passes again"
    assert not refill(world).any


def test_a_verdict_that_no_run_gave_changes_as_often_as_it_must(drilled: World) -> None:
    drilled.app.proofs.verify()
    refill(drilled)
    for passed in (False, True, False):
        drilled.clock.time += HOUR
        if passed:
            shutil.rmtree(drilled.root / "repository" / "packs")
            shutil.move(drilled.root / "sound", drilled.root / "repository" / "packs")
        else:
            shutil.copytree(drilled.root / "repository" / "packs", drilled.root / "sound")
            drilled.damage_largest_pack()
        drilled.app.proofs.verify()
        refill(drilled)
        assert last(drilled, "stored", drilled.window).evaluation.passed is passed
        assert not refill(drilled).any


def test_an_older_proof_does_not_stand_against_a_later_run(unloaded: World) -> None:
    """The run finds everything in place, and reads too little for a newer proof."""
    unloaded.plan["sources"]["uploads"] |= {"verify": "1%", "drill": "never"}
    world = unloaded.load()
    by_hand(world, "uploads", 1)
    shutil.copytree(world.root / "repository", world.root / "sound")
    world.damage_largest_pack()
    world.app.proofs.verify()
    shutil.rmtree(world.root / "repository" / "packs")
    shutil.move(world.root / "sound" / "packs", world.root / "repository" / "packs")
    refill(world)
    assert not last(world, "stored", world.window).evaluation.passed
    assert world.checks_alone("stored").success, "later, by the clock of the machine"
    assert not refill(world).any
    assert last(world, "stored", world.window).evaluation.passed


def test_a_point_that_was_accepted_at_the_command_line_is_green(world: World) -> None:
    for number in range(3):
        (world.tree / f"{number}.bin").write_bytes(bytes(200_000))
    by_hand(world, "uploads", 2)
    world.clock.time += DAY
    for name in os.listdir(world.tree):
        os.unlink(world.tree / name)
    point = world.app.backups.run("uploads").point
    assert point.is_suspect
    refill(world)
    assert not last(world, "plausible", point.window.key).evaluation.passed
    world.clock.time += HOUR
    world.app.points.accept(point.id, "the archive moved")
    refill(world)
    assert last(world, "plausible", point.window.key).evaluation.passed
    assert not refill(world).any


def test_a_window_that_was_captured_anew_shows_the_new_point(drilled: World) -> None:
    (drilled.tree / "b.txt").write_text("more")
    drilled.clock.time += HOUR
    point = drilled.app.backups.run("uploads", force=True).point
    refill(drilled)
    window = point.window.key
    assert last(drilled, "complete", window).evaluation.metadata["recovery_point"].value == point.id
    records = dg.AssetRecordsFilter(asset_key=key_of(drilled), asset_partitions=[window])
    newest = drilled.instance.fetch_materializations(records, limit=1).records[0].asset_materialization
    assert newest is not None
    assert newest.metadata["recovery_point"].value == point.id
    assert not refill(drilled).any


def test_a_point_that_vanished_is_reported_and_red(drilled: World) -> None:
    point = drilled.app.points.all("uploads")[1]
    remove(drilled, point)
    assert refill(drilled).gone == 1
    [told] = [each for each in observations(drilled) if each.partition == point.window.key]
    assert told.metadata["lost_point"].value == point.id
    assert (told.description or "").startswith(f"Lost: the recovery point {point.id[:12]} cannot be read")
    stored = last(drilled, "stored", point.window.key).evaluation
    assert (stored.passed, stored.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert not last(drilled, "authentic", drilled.window).evaluation.passed, "its place in the chain is empty"
    assert not refill(drilled).any


def test_a_point_that_nobody_proved_and_that_vanished_is_known_from_dagster(world: World) -> None:
    [first, _] = by_hand(world, "uploads", 2)
    refill(world)
    remove(world, first)
    assert refill(world).gone == 1
    [told] = observations(world)
    assert (told.partition, told.metadata["lost_point"].value) == (first.window.key, first.id)
    assert not refill(world).any


def test_a_point_that_vanished_before_the_instance_is_reported_too(drilled: World, tmp_path: object) -> None:
    """By the ledger: its proof names it."""
    point = drilled.app.points.all("uploads")[1]
    remove(drilled, point)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as fresh:
        refill(drilled, fresh)
        windows = {each.window.key for each in drilled.app.points.all("uploads")}
        assert grid(drilled, key_of(drilled), fresh).keys() == windows
        [record] = fresh.fetch_observations(key_of(drilled), limit=9).records
        assert record.asset_observation is not None
        assert record.asset_observation.partition == point.window.key


def test_what_was_forgotten_is_told_with_its_reason_and_time(drilled: World) -> None:
    plan = drilled.plan["sources"]["uploads"]
    plan["keep"] = {"last": 1}
    drilled.clock.time += 30 * HOUR
    drilled.load()
    retention = drilled.app.maintenance.retention
    forgotten = retention.run_forget(retention.plan_forget()).forgotten
    assert len(forgotten) == 2
    at = drilled.clock.time
    drilled.clock.time += HOUR
    assert refill(drilled).gone == 2
    records = drilled.instance.fetch_observations(key_of(drilled), limit=9).records
    assert {record.timestamp for record in records} == {at.timestamp()}
    assert all("Forgotten: " in (each.description or "") for each in observations(drilled))
    assert len(history(drilled, "stored", observations(drilled)[0].partition or "")) == 0, "that is no damage"
    assert not refill(drilled).any


def test_a_lost_point_of_a_source_with_many_windows_is_red_as_well(world: World) -> None:
    few = BackupTranslator(world.app, max_checked_windows=1)
    [first, _] = by_hand(world, "uploads", 2)
    world.app.proofs.verify()
    world.clock.time += HOUR
    refill_instance(few, world.instance)
    assert last(world, "stored", None).evaluation.passed
    remove(world, first)
    refill_instance(few, world.instance)
    assert not last(world, "stored", None).evaluation.passed
