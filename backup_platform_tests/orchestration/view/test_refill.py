"""An instance that knows nothing, or not all, shows what the repository holds after it was told."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage

from backup_platform.cli.entry import main
from backup_platform.errors import SourceMissingError
from backup_platform.orchestration.translator import BackupTranslator
from backup_platform.orchestration.view import records
from backup_platform.orchestration.view.answers import ask
from backup_platform.orchestration.view.batches import batched
from backup_platform.orchestration.view.comparison import Comparison
from backup_platform.orchestration.view.gathering import holdings, shown_assets
from backup_platform.orchestration.view.records import DagsterRecords
from backup_platform.orchestration.view.refill import refill_instance
from backup_platform.orchestration.view.sync import Sync
from backup_platform_tests.orchestration.assets.test_copies import KEY as COPY
from backup_platform_tests.orchestration.assets.test_copies import pair
from backup_platform_tests.orchestration.conftest import DAY, World
from backup_platform_tests.orchestration.view.conftest import (
    by_hand,
    grid,
    history,
    key_of,
    last,
    observations,
    refill,
    verdicts,
)


def test_the_grid_is_the_same_after_the_instance_was_lost(world: World, tmp_path: Path) -> None:
    """Windows of the command line and one of a run, whose points were verified and drilled by hand."""
    by_hand(world, "uploads", 3)
    world.app.proofs.verify()
    world.app.proofs.drill("uploads@latest")
    world.clock.time += DAY / 24
    refill(world)
    assert world.launch("shop").success
    before = grid(world, key_of(world))
    assert list(before.values()) == ["MATERIALIZED"] * 3
    seen = {window: verdicts(world, world.instance, window) for window in before}
    assert seen[world.window] == {
        "stored": True,
        "complete": True,
        "authentic": True,
        "plausible": True,
        "drill": True,
    }
    with dg.DagsterInstance.local_temp(str(tmp_path)) as fresh:
        assert grid(world, key_of(world), fresh) == {}
        refill(world, fresh)
        assert grid(world, key_of(world), fresh) == before
        assert {window: verdicts(world, fresh, window) for window in before} == seen
        shop = world.translator.asset_key("shop")
        assert fresh.get_materialized_partitions(shop) == {world.window}


def test_events_have_the_times_and_the_metadata_of_the_points(daily: World) -> None:
    refill(daily)
    point = daily.app.points.all("uploads")[0]
    window = dg.AssetRecordsFilter(asset_key=key_of(daily), asset_partitions=[point.window.key])
    [record] = daily.instance.fetch_materializations(window, limit=9).records
    assert record.timestamp == point.committed_at.timestamp()
    told = record.asset_materialization
    assert told is not None
    assert told.metadata["recovery_point"].value == point.id
    assert told.metadata["source_bytes"].value == point.stats.source_bytes
    assert told.metadata["reported"].value == "by the repository, without a run of this Dagster instance"
    evaluation = last(daily, "complete", point.window.key)
    assert evaluation.event.timestamp == point.committed_at.timestamp()
    assert evaluation.evaluation.metadata["recovery_point"].value == point.id


def test_a_proof_of_the_command_line_is_the_verdict_with_its_time(daily: World) -> None:
    refill(daily)
    assert last(daily, "drill", daily.window) is None, "nobody drilled it: it has no verdict"
    assert last(daily, "stored", daily.window) is None, "nobody read it again"
    daily.clock.time += DAY / 24
    proof = daily.app.proofs.drill("uploads@latest").proof
    daily.clock.time += DAY / 24
    assert refill(daily).checks == 1
    record = last(daily, "drill", daily.window)
    assert (record.status.value, record.event.timestamp) == ("SUCCEEDED", proof.at.timestamp())


def test_nothing_is_reported_twice(daily: World) -> None:
    daily.app.proofs.verify()
    assert daily.launch("shop").success
    first = refill(daily)
    assert (first.points, first.complete) == (3, True)
    again = refill(daily)
    assert not again.any
    assert again.sources == []


def test_what_runs_reported_is_not_reported_again(world: World) -> None:
    assert world.launch("uploads").success
    assert not refill(world).any


def test_the_newest_windows_come_first_and_an_interrupted_call_is_continued(daily: World) -> None:
    answers = {next(iter(daily.app.plan.repositories)): ask(daily.app)}
    told = DagsterRecords(daily.instance)
    found = [
        Comparison(each, told, ())
        for each in holdings(daily.translator, shown_assets(daily.translator), answers)
    ]
    answered = iter([False, False, False, True])
    done = Sync(daily.translator, told, lambda: next(answered)).run(found)
    assert (done.points, done.checks, done.complete) == (2, 0, False)
    windows = [point.window.key for point in daily.app.points.all("uploads")]
    assert daily.instance.get_materialized_partitions(key_of(daily)) == set(windows[1:])
    assert newest(daily) == windows[-1], "the page of the asset shows the newest"
    assert refill(daily).points == 1
    assert daily.instance.get_materialized_partitions(key_of(daily)) == set(windows)
    assert newest(daily) == windows[-1]
    assert not refill(daily).any


def newest(world: World) -> str | None:
    """The window that the asset's page shows."""
    event = world.instance.get_latest_materialization_event(key_of(world))
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization.partition


def test_a_window_that_failed_and_was_captured_by_hand_is_green(world: World) -> None:
    world.app.faults = [SourceMissingError("/srv/uploads is not there.", hint="Is it mounted?")]
    assert not world.launch("uploads").success
    assert grid(world, key_of(world)) == {world.window: "FAILED"}
    world.clock.time = datetime.now(UTC)  # Dagster has the time of the run from the machine
    window = world.app.windows.schedule("uploads").current(world.clock.time)
    assert window is not None
    world.clock.time = max(world.clock.time, window.start)
    point = world.app.backups.run("uploads").point
    refill(world)
    assert grid(world, key_of(world))[point.window.key] == "MATERIALIZED"


def test_sources_with_many_windows_tell_of_their_newest_point(daily: World) -> None:
    few = BackupTranslator(daily.app, max_checked_windows=1)
    daily.app.proofs.verify()
    refill_instance(few, daily.instance)
    record = last(daily, "stored", None)
    assert record.evaluation.metadata["window"].value == daily.window
    assert len(history(daily, "stored", None)) == 1
    assert not refill_instance(few, daily.instance)[0].any
    daily.clock.time += DAY
    newer = daily.app.backups.run("uploads").point
    refill_instance(few, daily.instance)
    assert last(daily, "complete", None).evaluation.metadata["recovery_point"].value == newer.id
    assert not refill_instance(few, daily.instance)[0].any


def test_a_wiped_asset_is_shown_again(daily: World) -> None:
    refill(daily)
    daily.instance.wipe_assets([key_of(daily)])
    assert grid(daily, key_of(daily)) == {}
    refill(daily)
    assert len(grid(daily, key_of(daily))) == 3
    assert not refill(daily).any


def test_copies_are_shown_with_their_checks(unloaded: World) -> None:
    world = pair(unloaded)
    by_hand(world, "uploads", 2)
    there = world.app.at("offsite")
    copying = there.copies.copying(world.app.repository)
    copying.run(copying.plan(world.app.points.all("uploads")))
    there.proofs.verify()
    refill(world)
    assert list(grid(world, COPY).values()) == ["MATERIALIZED"] * 2
    for name in ("stored", "authentic"):
        assert last(world, name, world.window, COPY).evaluation.passed
    assert last(world, "copies_in_place", world.window).evaluation.passed
    assert not refill(world).any


def test_a_copy_that_is_away_is_left_out_and_said(unloaded: World) -> None:
    world = pair(unloaded)
    by_hand(world, "uploads", 1)
    (world.root / "offsite").rename(world.root / "gone")
    done, [text] = refill_instance(world.translator, world.instance)
    assert done.points == 1
    assert text.startswith("offsite: ")


@pytest.mark.parametrize("home", ["", "dagster"])
def test_the_command_line_fills_an_instance(
    daily: World, home: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if home:
        (daily.root / home).mkdir()
        monkeypatch.setenv("DAGSTER_HOME", str(daily.root / home))
    else:
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
    command = ["dagster-sync", "--plan", str(daily.root / "backup.yaml")]
    if not home:
        assert main(command) == 2
        assert "DAGSTER_HOME is not set" in capsys.readouterr().err
        return
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("Reported 3 points, ")
    with dg.DagsterInstance.get() as instance:
        assert list(grid(daily, key_of(daily), instance).values()) == ["MATERIALIZED"] * 3
    assert main([*command, "--json"]) == 0
    assert '"points": 0' in capsys.readouterr().out


def test_without_dagster_the_command_line_says_what_to_install(
    daily: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("backup_platform.orchestration.view")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dagster", None)
    assert main(["dagster-sync", "--plan", str(daily.root / "backup.yaml")]) == 2
    assert 'pip install "backup-platform[dagster]"' in capsys.readouterr().err.replace("'", '"')


def test_no_observation_is_made_of_what_is_there(daily: World) -> None:
    refill(daily)
    assert observations(daily) == []


def test_many_events_at_once_are_those_that_dagster_writes_one_by_one(
    daily: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster's own connections are used for the second instance."""
    daily.app.proofs.verify()
    written = []
    for name in ("batched", "plain"):
        (tmp_path / name).mkdir()
        if name == "plain":
            monkeypatch.setattr(records, "batched", lambda _: nullcontext())
        with dg.DagsterInstance.local_temp(str(tmp_path / name)) as instance:
            refill(daily, instance)
            storage = instance.event_log_storage
            assert isinstance(storage, SqliteEventLogStorage)
            assert set(vars(storage)) & {"_connect", "has_table"} == set(), "as it was"
            with storage.index_connection() as connection:
                rows = connection.exec_driver_sql(
                    "select dagster_event_type, timestamp, partition, asset_key from event_logs order by id"
                )
                checks = connection.exec_driver_sql(
                    "select check_name, partition, run_id, execution_status from asset_check_executions"
                )
                written.append([[tuple(row) for row in found] for found in (rows, checks)])
    assert written[0] == written[1]
    assert len(written[0][0]) == 4 + len(written[0][1]), "the newest point once more, as the last"


def test_what_fails_in_the_middle_is_not_written_at_all(tmp_path: Path) -> None:
    def half(instance: dg.DagsterInstance) -> None:
        with batched(instance):
            instance.report_runless_asset_event(dg.AssetMaterialization("a", partition="1"))
            raise ZeroDivisionError

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        with pytest.raises(ZeroDivisionError):
            half(instance)
        assert instance.get_materialized_partitions(dg.AssetKey("a")) == set()
        instance.report_runless_asset_event(dg.AssetMaterialization("a", partition="2"))
        assert instance.get_materialized_partitions(dg.AssetKey("a")) == {"2"}


def test_the_list_of_checks_has_the_newest_window(daily: World) -> None:
    """It shows what was told last, also if the call is interrupted, and if older windows are told later."""
    daily.app.proofs.verify()
    checks = [dg.AssetCheckKey(key_of(daily), name) for name in ("stored", "complete", "authentic")]

    def listed() -> set[str | None]:
        found = daily.instance.event_log_storage.get_latest_asset_check_execution_by_key(checks)
        return {record.partition for record in found.values()}

    refill(daily)
    assert listed() == {daily.window}
    older = daily.app.points.all("uploads")[0]
    with daily.instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        sql = "delete from asset_check_executions where partition = ?"
        connection.exec_driver_sql(sql, (older.window.key,))
    assert refill(daily).checks > 0
    assert listed() == {daily.window}
    assert not refill(daily).any
