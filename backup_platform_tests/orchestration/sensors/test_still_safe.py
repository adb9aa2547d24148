"""Whoever is woken by a message about a source reads what can still be restored, and the next command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from threading import Event
from typing import Any

import dagster as dg
import pytest

from backup_platform.domain.incidents.digest import LONGEST_BODY, MOST_SAFE
from backup_platform.domain.incidents.message import Message, Occasion
from backup_platform.domain.ports import StoredObject
from backup_platform.errors import SourceMissingError
from backup_platform.orchestration.sensors import still_safe
from backup_platform.orchestration.sensors.still_safe import UNKNOWN, StillSafe
from backup_platform.repository.objects.names import MANIFESTS, PROOFS
from backup_platform.stores.object_store import DirectoryStore
from backup_platform_tests.orchestration.conftest import DAY, World
from backup_platform_tests.orchestration.sensors.test_missed_windows import only

ALERTS, MISSED = "backup_alerts", "backup_missed_windows"


def fail(world: World, *sources: str) -> None:
    for source in sources:
        world.app.faults = [SourceMissingError("/srv is not there.")]
        world.launch(source)


def tick(world: World, name: str = ALERTS) -> Any:
    world.cursor = world.sensor(name, world.cursor).cursor


def body(world: World) -> str:
    return world.channel.sent[-1][1]


def command(world: World, *words: str) -> str:
    return f"Next: `backup-platform --plan {world.app.plan_path} {' '.join(words)}`."


@pytest.fixture
def watched(unloaded: World) -> World:
    """A source whose runs are watched."""
    world = only(unloaded, "uploads")
    world.cursor = world.sensor(ALERTS).cursor
    return world


def test_a_failed_capture_says_which_point_is_proven_and_how_old_its_data_is(watched: World) -> None:
    watched.launch("uploads")
    proven = watched.window
    watched.clock.time += DAY
    fail(watched, "uploads")
    tick(watched)
    assert f"\nThe newest proven point is uploads@{proven} (data 1 d old).\n" in body(watched)
    assert command(watched, "backup", "uploads") in body(watched)


def test_a_failed_capture_says_that_there_is_no_point(watched: World) -> None:
    fail(watched, "uploads")
    tick(watched)
    assert "\nNo recovery point to restore from.\n" in body(watched)


def test_a_point_that_no_drill_has_restored_is_not_called_proven(unloaded: World) -> None:
    unloaded.plan["sources"]["uploads"]["drill"] = "never"
    world = only(unloaded, "uploads")
    world.cursor = world.sensor(ALERTS).cursor
    world.launch("uploads")
    stored = world.window
    world.clock.time += DAY
    fail(world, "uploads")
    tick(world)
    text = f"No point is proven. The newest one to restore from is uploads@{stored} (data 1 d old)."
    assert text in body(world)


def test_a_newer_point_that_is_not_proven_is_named_beside_the_proven_one(watched: World) -> None:
    watched.launch("uploads")
    proven = watched.window
    watched.clock.time += DAY
    watched.app.backups.run("uploads")
    fail(watched, "uploads")
    tick(watched)
    assert f"uploads@{proven} (data 1 d old). Newer, but not proven: uploads@{watched.window} " in body(
        watched
    )


def test_a_missed_window_says_what_is_safe(unloaded: World) -> None:
    world = only(unloaded, "uploads")
    world.launch("uploads")
    proven = world.window
    world.clock.time += 3 * DAY
    tick(world, MISSED)
    assert world.channel.sent[-1][0] == "uploads: 4 windows missed"
    assert f"The newest proven point is uploads@{proven} (data 3 d old)." in body(world)
    assert command(world, "backup", "uploads") in body(world)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("copies/offsite/uploads|run", ["copy", "uploads", "--to", "offsite"]),
        ("uploads|check stored", ["status"]),
        ("repositories/main/prune|run", []),
        ("*|channel json://a", []),
    ],
)
def test_the_next_command_fits_the_trouble(watched: World, key: str, words: list[str]) -> None:
    context = dg.build_sensor_context(instance=watched.instance)
    message = Message(key, Occasion.OPENED, watched.clock.time, "name", "failed", "", "", "")
    end = replace(message, occasion=Occasion.RESOLVED)
    told, over = StillSafe(watched.translator).explained(context, [message, end])
    assert told.next_step == (command(watched, *words) if words else "")
    assert over == end, "of what is over nobody has to do anything"


@pytest.mark.parametrize("name", [ALERTS, MISSED])
def test_of_a_repository_that_is_away_nothing_is_called_safe(watched: World, name: str) -> None:
    watched.launch("uploads")
    tick(watched)
    watched.cursor = watched.cursor if name == ALERTS else watched.sensor(MISSED).cursor
    (watched.root / "repository").rename(watched.root / "elsewhere")
    watched.clock.time += DAY
    fail(watched, "uploads")
    tick(watched, name)
    assert body(watched).count(UNKNOWN) == 1
    assert "proven" not in body(watched)
    assert command(watched, "doctor") in body(watched)


def test_a_repository_that_hangs_delays_a_message_only_for_a_while(
    watched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Event()
    monkeypatch.setattr(still_safe, "ANSWER_WITHIN_S", 0.05)
    monkeypatch.setattr(type(watched.app.state), "points_of", lambda *_: answer.wait() and {})
    fail(watched, "uploads")
    tick(watched)
    answer.set()
    assert UNKNOWN in body(watched)


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each prefix was listed."""
    counted: Counter[str] = Counter()
    listed = DirectoryStore.list

    def listing(store: DirectoryStore, prefix: str) -> Iterator[StoredObject]:
        counted[prefix] += 1
        return listed(store, prefix)

    monkeypatch.setattr(DirectoryStore, "list", listing)
    return counted


def test_many_sources_cost_one_listing_and_no_news_costs_none(
    unloaded: World, listings: Counter[str]
) -> None:
    names = [f"s{n}" for n in range(MOST_SAFE + 2)]
    for name in names:
        unloaded.plan["sources"][name] = dict(unloaded.plan["sources"]["uploads"])
    world = unloaded.load()
    world.app.backups.run("s0")
    world.cursor = world.sensor(ALERTS).cursor
    fail(world, *names)
    listings.clear()
    tick(world)
    assert listings == {MANIFESTS: 1, PROOFS: 1}
    lines = body(world).splitlines()
    assert lines[3].startswith("s0: No point is proven. The newest one to restore from is s0@")
    assert lines[4] == "s1: No recovery point to restore from."
    assert lines[3 + MOST_SAFE] == "and 2 more"
    assert len(body(world)) < LONGEST_BODY
    listings.clear()
    tick(world)
    assert not listings
