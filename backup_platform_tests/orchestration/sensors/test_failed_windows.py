"""What a window that failed looks like while it is open, and when it is over."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from backup_platform.errors import SourceMissingError
from backup_platform_tests.orchestration.assets.test_backups import resolved
from backup_platform_tests.orchestration.conftest import DAY, World
from backup_platform_tests.orchestration.sensors.test_missed_windows import NAME, only

CHECKS = ("stored", "complete", "authentic", "plausible", "drill")


@pytest.fixture
def failed(world_on_disk: World) -> World:
    """The capture of the open window failed."""
    world = only(world_on_disk, "uploads")
    world.cursor = world.sensor("backup_alerts").cursor
    world.app.faults = [SourceMissingError("/srv/uploads is not there.", hint="Is it mounted?")]
    assert not world.launch("uploads").success
    return world


def states(world: World, *windows: str) -> list[AssetPartitionStatus | None]:
    """As the catalogue and the grid show them."""
    partitions = world.translator.partitions("uploads")
    found = world.instance.get_status_by_partition(world.translator.asset_key("uploads"), windows, partitions)
    return [(found or {}).get(window) for window in windows]


def test_a_failed_capture_says_of_no_check_that_it_found_damage(failed: World) -> None:
    key = failed.translator.asset_key("uploads")
    history = failed.instance.event_log_storage
    told = {}
    for name in CHECKS:
        [record] = history.get_asset_check_execution_history(dg.AssetCheckKey(key, name), limit=9)
        assert record.event is not None
        assert record.partition == failed.window
        told[name] = record.event.get_dagster_event().asset_check_evaluation_data
    assert told["stored"].severity == dg.AssetCheckSeverity.ERROR
    assert told["stored"].description == "The capture failed: /srv/uploads is not there. Is it mounted?"
    for name in CHECKS[1:]:
        assert told[name].severity == dg.AssetCheckSeverity.WARN
        assert (told[name].description or "").startswith("Not judged")
        assert not told[name].passed, "what was not judged is not green"


def test_a_failed_capture_is_one_alert(failed: World) -> None:
    failed.sensor("backup_alerts", failed.cursor)
    assert [title for title, _ in failed.channel.sent] == ["uploads: backup failed"]


def test_a_window_that_failed_and_is_over_is_missing_and_its_checks_have_no_verdict(failed: World) -> None:
    lost = failed.window
    assert states(failed, lost) == [AssetPartitionStatus.FAILED]
    missed = failed.sensor(NAME).cursor
    assert states(failed, lost) == [AssetPartitionStatus.FAILED], "an open window that failed is broken now"
    failed.clock.time += DAY
    assert failed.launch("uploads").success
    missed = failed.sensor(NAME, missed).cursor
    assert states(failed, lost, failed.window) == [None, AssetPartitionStatus.MATERIALIZED]
    assert {resolved(failed, "uploads", name, lost) for name in CHECKS} == {"SKIPPED"}
    assert resolved(failed, "uploads", "stored", failed.window) == "SUCCEEDED"
    runs = len(failed.instance.get_runs())
    failed.sensor(NAME, missed)
    assert len(failed.instance.get_runs()) == runs, "once is enough"
    failed.sensor("backup_alerts", failed.cursor)
    assert not [title for title, _ in failed.channel.sent if "cancelled" in title]


def test_a_missed_window_that_can_be_captured_again_is(world_on_disk: World) -> None:
    """Somebody raised `late_limit`: nobody cancelled what stands for the window."""
    world = only(world_on_disk, "uploads")
    world.app.backups.run("uploads")
    world.clock.time += DAY
    lost = world.window
    world.app.faults = [SourceMissingError("/srv/uploads is not there.", hint="Is it mounted?")]
    assert not world.launch("uploads").success
    world.clock.time += DAY
    cursor = world.sensor(NAME).cursor
    assert states(world, lost) == [None]
    world.plan["sources"]["uploads"]["late_limit"] = "2d"
    tick = world.load(init=False).sensor(NAME, cursor)
    assert lost in [request.partition_key for request in tick.run_requests]
