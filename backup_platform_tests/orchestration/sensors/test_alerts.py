"""The sensor that tells people what went wrong."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from backup_platform.errors import SourceFormatError, SourceMissingError, StoreError
from backup_platform.orchestration.sensors import alerts
from backup_platform_tests.orchestration.conftest import World

NAME = "backup_alerts"


def titles(world: World) -> list[str]:
    return [title for title, _ in world.channel.sent]


def gone() -> SourceMissingError:
    return SourceMissingError("/srv/uploads is not there.", hint="Is it mounted?")


@pytest.fixture
def watched(world: World) -> World:
    """A world whose alert sensor has been evaluated for the first time."""
    world.cursor = world.sensor(NAME).cursor
    return world


def tick(world: World) -> Any:
    result = world.sensor(NAME, world.cursor)
    world.cursor = result.cursor
    return result


def test_alerts_come_from_the_storage_of_a_new_instance_too(world_on_disk: World) -> None:
    """There, each run has a database of its own."""
    world_on_disk.cursor = world_on_disk.sensor(NAME).cursor
    world_on_disk.app.faults = [gone()]
    world_on_disk.launch("uploads")
    world_on_disk.launch("shop")
    tick(world_on_disk)
    assert titles(world_on_disk) == ["uploads: backup failed"]


def test_what_happened_before_the_first_evaluation_is_not_news(world: World) -> None:
    world.app.faults = [gone()]
    world.launch("uploads")
    world.cursor = world.sensor(NAME).cursor
    tick(world)
    assert titles(world) == []


def test_a_failed_run_is_told_with_the_reason_and_what_to_do(watched: World) -> None:
    watched.app.faults = [gone()]
    run = watched.launch("uploads")
    tick(watched)
    [(title, body)] = watched.channel.sent
    assert title == "uploads: backup failed"
    assert "/srv/uploads is not there. Is it mounted?" in body
    assert f"Window {watched.window}, run {run.run_id}." in body


def test_a_lasting_failure_is_told_once_and_its_end_too(watched: World) -> None:
    for _ in range(4):
        watched.app.faults = [gone()]
        watched.launch("uploads")
        tick(watched)
        tick(watched)
    watched.launch("uploads")
    tick(watched)
    tick(watched)
    assert titles(watched) == ["uploads: backup failed", "Resolved: uploads: backup failed"]


def test_two_sources_are_two_incidents(watched: World) -> None:
    watched.app.faults = [gone()]
    watched.launch("uploads")
    tick(watched)
    watched.launch("shop")
    tick(watched)
    assert titles(watched) == ["uploads: backup failed"]


def test_a_failed_check_is_told_although_the_point_was_captured(watched: World) -> None:
    watched.launch("uploads")
    tick(watched)
    watched.damage_largest_pack()
    watched.launch("uploads")
    tick(watched)
    [(title, body)] = watched.channel.sent
    assert title == "uploads: check stored failed", "one incident: the run is red for this check alone"
    assert watched.window in body


def test_a_warning_is_told_as_a_warning(watched: World) -> None:
    assert watched.launch("shop").success
    with closing(sqlite3.connect(watched.database)) as connection:
        connection.execute("create table notes (id integer)")
    watched.clock.time += timedelta(days=1)
    assert watched.launch("shop").success
    tick(watched)
    assert titles(watched) == ["shop: check schema_unchanged warns"]


def test_an_emptied_source_is_told_with_the_reason(watched: World) -> None:
    assert watched.launch("uploads").success
    for path in watched.tree.iterdir():
        path.unlink()
    watched.clock.time += timedelta(days=1)
    assert not watched.launch("uploads").success
    tick(watched)
    [(title, body)] = watched.channel.sent
    assert title == "uploads: check plausible failed"
    assert "it holds nothing" in body
    point = watched.app.points.all("uploads")[-1]
    program = f"`backup-platform --plan {watched.app.plan_path} "
    assert f"{program}accept {point.id[:12]} --reason TEXT`" in body, "what to do is told"
    assert "bytes. Look at the source." in body
    assert f"{program}backup uploads`. Window {watched.window}, run" in body


def test_checks_run_alone_are_watched_too_and_say_nothing_of_the_backup(watched: World) -> None:
    watched.launch("uploads")
    watched.app.faults = [gone()]
    watched.launch("uploads")
    tick(watched)
    watched.checks_alone("stored")
    tick(watched)
    assert titles(watched) == ["uploads: backup failed"]
    watched.damage_largest_pack()
    watched.checks_alone("stored")
    tick(watched)
    assert titles(watched)[1:] == ["uploads: check stored failed"]


def started(world: World, **tags: str) -> dg.DagsterRun:
    tags = {**world.translator.run_tags("uploads"), "dagster/partition": world.window, **tags}
    key = world.translator.asset_key("uploads")
    job = world.job_of("uploads").get_subset(asset_selection={key})
    return world.instance.create_run_for_job(job, tags=tags, asset_selection=frozenset({key}))


def test_a_cancelled_run_is_told(watched: World) -> None:
    watched.instance.report_run_canceled(started(watched))
    tick(watched)
    [(title, body)] = watched.channel.sent
    assert title == "uploads: backup failed"
    assert "The run was cancelled." in body


def test_a_run_whose_process_died_is_told(watched: World) -> None:
    """Run monitoring reports such a run as failed; no step says anything."""
    watched.instance.report_run_failed(started(watched), "Exceeded maximum runtime of 21600 seconds.")
    tick(watched)
    assert "Exceeded maximum runtime of 21600 seconds." in watched.channel.sent[0][1]


def test_runs_of_others_are_no_concern(watched: World) -> None:
    @dg.asset
    def mine() -> None:
        raise ValueError("not a backup")

    dg.materialize([mine], instance=watched.instance, raise_on_error=False)
    tick(watched)
    assert titles(watched) == []


def test_a_channel_that_is_down_delays_the_alert(watched: World) -> None:
    watched.app.faults = [gone()]
    watched.launch("uploads")
    watched.channel.down = True
    assert "not sent" in tick(watched).skip_message
    watched.channel.down = False
    watched.clock.time += timedelta(minutes=5)
    tick(watched)
    assert titles(watched) == ["uploads: backup failed"]


def test_runs_are_judged_in_the_order_in_which_they_ended(watched: World) -> None:
    watched.app.faults = [gone()]
    watched.launch("uploads")
    watched.launch("uploads")
    tick(watched)
    watched.app.faults = [gone()]
    watched.launch("uploads")
    tick(watched)
    assert titles(watched)[-1] == "Again: uploads: backup failed"
    assert len(watched.channel.sent) == 2


def test_more_runs_than_fit_into_a_tick_are_told_at_the_next(
    watched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "PAGE", 2)
    for name in ("uploads", "uploads", "shop"):
        watched.app.faults = [gone()]
        watched.launch(name)
    tick(watched)
    assert titles(watched) == ["uploads: backup failed"]
    tick(watched)
    assert titles(watched) == ["uploads: backup failed", "shop: backup failed"]
    watched.clock.pace = alerts.BUDGET_S
    for name in ("uploads", "shop"):
        watched.launch(name)
    tick(watched)
    assert titles(watched)[2:] == ["Resolved: uploads: backup failed"]
    tick(watched)
    assert titles(watched)[3:] == ["Resolved: shop: backup failed"]


def test_the_end_of_a_failed_check_says_of_which_window_it_is(watched: World) -> None:
    watched.launch("uploads")
    watched.damage_largest_pack()
    watched.checks_alone("stored")
    tick(watched)
    watched.clock.time += timedelta(days=1)
    (watched.tree / "a.txt").write_text("another text")
    watched.launch("uploads")
    tick(watched)
    told = {title: body for title, body in watched.channel.sent if "stored" in title}
    assert list(told) == ["uploads: check stored failed", "Resolved: uploads: check stored passes again"]
    assert f"Window {watched.window}" in list(told.values())[1]
    assert "stands until that is run again" in list(told.values())[1]


@pytest.mark.parametrize("worked_last", [True, False])
def test_nothing_is_judged_from_a_page_that_may_be_incomplete(
    watched: World, monkeypatch: pytest.MonkeyPatch, worked_last: bool
) -> None:
    """Of more runs than fit into a page, successes and failures reach to different times."""
    monkeypatch.setattr(alerts, "PAGE", 2)
    first, last = (5, 1) if worked_last else (1, 5)
    for works, count in ((not worked_last, first), (worked_last, last)):
        for _ in range(count):
            watched.app.faults = [] if works else [gone()]
            watched.launch("uploads")
    for _ in range(6):
        tick(watched)
    told = titles(watched)
    ended = ["uploads: backup failed", "Resolved: uploads: backup failed"]
    assert told == (ended if worked_last else ended[:1])


def test_runs_are_judged_in_the_order_of_their_records(
    watched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clocks of two hosts differ: what a run says of its time orders nothing."""
    watched.launch("uploads")
    watched.app.faults = [gone()]
    watched.launch("uploads")
    fetch = watched.instance.fetch_run_status_changes

    def skewed(records_filter: Any, **how: Any) -> Any:
        found = fetch(records_filter, **how)
        records = [
            each._replace(event_log_entry=each.event_log_entry._replace(timestamp=-each.storage_id))
            for each in found.records
        ]
        return type(found)(records, found.cursor, found.has_more)

    monkeypatch.setattr(watched.instance, "fetch_run_status_changes", skewed)
    tick(watched)
    assert titles(watched) == ["uploads: backup failed"]


def test_what_never_ran_is_not_over(unloaded: World) -> None:
    """A run of a backup and its copy, whose backup fails: the copy, which failed before, was not made."""
    unloaded.plan["repositories"] = {
        "main": {"path": str(unloaded.root / "repository")},
        "offsite": {"path": str(unloaded.root / "offsite")},
    }
    del unloaded.plan["repository"]
    unloaded.plan["sources"]["uploads"]["repositories"] = ["main", "offsite"]
    world = unloaded.load()
    world.cursor = world.sensor(NAME).cursor
    world.launch("uploads")
    keys = [world.translator.asset_key("uploads"), world.translator.copy_key("offsite", "uploads")]

    def run(*selected: dg.AssetKey) -> None:
        world.repository.get_job("__ASSET_JOB").execute_in_process(
            instance=world.instance,
            partition_key=world.window,
            asset_selection=[*selected],
            raise_on_error=False,
        )

    run(keys[1])
    tick(world)
    assert titles(world) == ["uploads in offsite: copy failed"], "its repository was never made"
    world.app.faults = [gone()]
    run(*keys)
    tick(world)
    assert titles(world)[1:] == ["uploads: backup failed"]
    world.app.at("offsite").setup.init()
    run(*keys)
    tick(world)
    assert "Resolved: uploads in offsite: copy failed" in "\n".join(map("\n".join, world.channel.sent))


def test_a_process_that_died_is_told_in_plain_words(watched: World) -> None:
    watched.instance.report_run_failed(started(watched))
    tick(watched)
    assert "The process of the run died" in watched.channel.sent[0][1]
    assert "outside the execution context" not in watched.channel.sent[0][1]


def test_a_second_change_of_the_schema_is_told_and_both_name_the_objects(watched: World) -> None:
    watched.clock.time -= timedelta(days=1)
    assert watched.launch("shop").success
    for name in ("notes", "stock"):
        with closing(sqlite3.connect(watched.database)) as connection:
            connection.execute(f"create table {name} (id integer)")
        watched.clock.time += timedelta(days=1)
        assert watched.launch("shop").success
        tick(watched)
    title = "shop: check schema_unchanged warns"
    assert titles(watched) == [title, f"Also: {title}"]
    first, second = (body for _, body in watched.channel.sent)
    assert "added table notes" in first
    assert "added table stock" in second


def test_a_failure_of_another_kind_is_told_although_the_incident_is_known(watched: World) -> None:
    for error in (gone(), gone(), SourceFormatError("The database is locked."), gone()):
        watched.app.faults = [error]
        watched.launch("uploads")
        tick(watched)
    assert titles(watched) == ["uploads: backup failed", "Also: uploads: backup failed"]
    assert "The database is locked." in watched.channel.sent[1][1]


def test_a_source_that_fails_every_other_time_is_one_incident(watched: World) -> None:
    for _ in range(4):
        watched.app.faults = [gone()]
        watched.launch("uploads")
        tick(watched)
        watched.launch("uploads")
        tick(watched)
    title = "uploads: backup failed"
    assert titles(watched) == [title, f"Resolved: {title}", f"Again: {title}"]


def test_many_sources_on_one_dead_store_are_one_message_with_a_list(unloaded: World) -> None:
    for n in range(5):
        unloaded.plan["sources"][f"s{n}"] = dict(unloaded.plan["sources"]["uploads"])
    world = unloaded.load()
    world.cursor = world.sensor(NAME).cursor
    for n in range(5):
        world.app.faults = [StoreError("The store at 10.0.0.7 does not answer.")]
        world.launch(f"s{n}")
    tick(world)
    [(title, body)] = world.channel.sent
    assert title == "s0 and 4 more: backup failed"
    assert body.startswith("s0, s1, s2, s3, s4.\n")
    assert body.count("does not answer") == 1
    assert f"Plan {world.app.plan_path} on host " in body


def test_the_plan_says_when_to_remind_what_may_wait_and_where_the_run_is(unloaded: World) -> None:
    now = unloaded.clock.time
    unloaded.plan["alerting"] = {
        "remind": ["30min"],
        "quiet": {"begin": f"{now - timedelta(hours=1):%H:%M}", "end": f"{now + timedelta(hours=1):%H:%M}"},
        "dagster": "https://dagster.example.org/",
    }
    world = unloaded.load()
    world.cursor = world.sensor(NAME).cursor
    world.app.faults = [gone()]
    run = world.launch("uploads")
    tick(world)
    [(title, body)] = world.channel.sent
    assert title == "uploads: backup failed"
    assert f"https://dagster.example.org/runs/{run.run_id}" in body
    world.app.faults = [gone()]
    world.launch("uploads")
    world.clock.time += timedelta(minutes=31)
    tick(world)
    assert titles(world)[1:] == ["Still failing: uploads: backup failed"]
