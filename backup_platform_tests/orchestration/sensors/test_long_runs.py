"""A run that hangs is an incident by itself, long before it is ended."""

from __future__ import annotations

from datetime import datetime, timedelta

import dagster as dg
import pytest

from backup_platform_tests.orchestration.conftest import World

ALERTS, MISSED = "backup_alerts", "backup_missed_windows"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
TITLE = "uploads: backup has been at work for longer than usual"


def run(world: World, begun: datetime, lasted: timedelta | None = None, window: str = "") -> str:
    """A run of the uploads; one that did not last is at work."""
    key = world.translator.asset_key("uploads")
    job = world.job_of("uploads").get_subset(asset_selection={key})
    tags = {**world.translator.run_tags("uploads"), "dagster/partition": window or world.window}
    made = world.instance.create_run_for_job(job, tags=tags, asset_selection=frozenset({key}))
    events = [(dg.DagsterEventType.RUN_START, begun)]
    events += [(dg.DagsterEventType.RUN_SUCCESS, begun + lasted)] if lasted else []
    for event, at in events:
        world.instance.run_storage.handle_run_event(
            made.run_id, dg.DagsterEvent(event.value, made.job_name), at
        )
    return made.run_id


def told(world: World) -> list[str]:
    world.cursor = world.sensor(ALERTS, world.cursor).cursor
    return [title for title, _ in world.channel.sent]


@pytest.mark.parametrize(("earlier", "usual"), [(3, 30 * MINUTE), (0, 3 * HOUR)])
def test_a_run_that_is_older_than_usual_is_told_and_its_end_too(
    world: World, earlier: int, usual: timedelta
) -> None:
    for n in range(earlier):
        run(world, world.clock.time - (n + 1) * HOUR, (8 + n) * MINUTE)
    hanging = run(world, world.clock.time)
    world.clock.time += usual - MINUTE
    assert told(world) == []
    world.clock.time += 2 * MINUTE
    assert told(world) == [TITLE]
    body = world.channel.sent[0][1]
    assert f"Window {world.window}, run {hanging}." in body
    assert ("The last 3 runs took up to 10 min." in body) == bool(earlier)
    assert "`max_runtime` (6 h)" in body
    assert told(world) == [TITLE]
    event = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, "job")
    world.instance.run_storage.handle_run_event(hanging, event, world.clock.time)
    assert told(world)[1:] == ["Resolved: uploads: the long run has ended"]


def test_a_short_run_is_not_looked_at(world: World) -> None:
    run(world, world.clock.time - HOUR, MINUTE)
    run(world, world.clock.time)
    world.clock.time += 14 * MINUTE
    assert told(world) == []


def test_the_message_of_missed_windows_names_the_run_that_is_at_work(unloaded: World) -> None:
    unloaded.plan["sources"] = {"uploads": {**unloaded.plan["sources"]["uploads"], "every": "hour"}}
    world = unloaded.load()
    window = f"{world.clock.time:%Y-%m-%dT%H:00}"
    hanging = run(world, world.clock.time, window=window)
    cursor = world.sensor(MISSED, '{"next": ""}').cursor
    world.clock.time += 2 * HOUR + 10 * MINUTE
    world.sensor(MISSED, cursor)
    [(title, body)] = world.channel.sent
    assert title == "uploads: 2 windows missed"
    assert f"Run {hanging} of window {window} has been at work since" in body
