"""Points that no run made, and what an instance shows of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

from backup_platform.domain.model import RecoveryPoint
from backup_platform.orchestration.view.refill import refill_instance
from backup_platform.orchestration.view.sync import Reported
from backup_platform_tests.orchestration.conftest import DAY, World


def by_hand(world: World, source: str, days: int) -> list[RecoveryPoint]:
    """A point a day as the command line makes it; today's is the last."""
    world.clock.time -= (days - 1) * DAY
    points = []
    for _ in range(days):
        points.append(world.app.backups.run(source).point)
        world.clock.time += DAY
    world.clock.time -= DAY
    return points


@pytest.fixture
def daily(world: World) -> World:
    """Three points of `uploads`, of the command line."""
    by_hand(world, "uploads", 3)
    return world


def refill(world: World, instance: dg.DagsterInstance | None = None) -> Reported:
    done, left_out = refill_instance(world.translator, instance or world.instance)
    assert left_out == []
    return done


def key_of(world: World) -> dg.AssetKey:
    return world.translator.asset_key("uploads")


def grid(world: World, key: dg.AssetKey, instance: dg.DagsterInstance | None = None) -> dict[str, str]:
    """The states of the windows as the catalogue and the grid show them, without those that are missing."""
    partitions = world.translator.partitions("uploads")
    windows = partitions.get_partition_keys()
    found = (instance or world.instance).get_status_by_partition(key, windows, partitions) or {}
    return {window: state.name for window, state in found.items() if state is not None}


def last(world: World, name: str, window: str | None, key: dg.AssetKey | None = None) -> Any:
    """The last record of a check for a window."""
    records = history(world, name, window, key)
    return records[0] if records else None


def history(
    world: World, name: str, window: str | None, key: dg.AssetKey | None = None
) -> list[AssetCheckExecutionRecord]:
    check = dg.AssetCheckKey(key or key_of(world), name)
    storage = world.instance.event_log_storage
    records = storage.get_asset_check_execution_history(check, limit=99)
    return [record for record in records if record.partition == window]


def verdicts(world: World, instance: dg.DagsterInstance, window: str) -> Mapping[str, bool | None]:
    """The last verdict of each check that has one."""
    found = {}
    for check in world.app.proofs.checks_of("uploads"):
        key = dg.AssetCheckKey(key_of(world), check.name)
        for record in instance.event_log_storage.get_asset_check_execution_history(key, limit=99):
            if record.partition == window and check.name not in found and record.status.value != "PLANNED":
                found[check.name] = record.status.value == "SUCCEEDED"
    return found


def observations(world: World, key: dg.AssetKey | None = None) -> list[dg.AssetObservation]:
    records = world.instance.fetch_observations(key or key_of(world), limit=99).records
    return [record.asset_observation for record in records if record.asset_observation]
