"""The sensor that reports what happened outside of the instance."""

from __future__ import annotations

from typing import Any

import pytest

from backup_platform.orchestration.sensors import elsewhere
from backup_platform.orchestration.view.comparison import Comparison
from backup_platform_tests.orchestration.conftest import DAY, World
from backup_platform_tests.orchestration.sensors.test_presence import another
from backup_platform_tests.orchestration.view.conftest import by_hand, grid, key_of, observations

NAME = "backup_sync"
SHOWN = "Dagster shows what the repositories hold"


def tick(world: World) -> Any:
    result = world.sensor(NAME, world.cursor)
    world.cursor = result.cursor
    return result.skip_message


def test_a_backup_of_the_command_line_is_in_the_grid_at_the_next_tick(world: World) -> None:
    assert tick(world) == SHOWN
    by_hand(world, "uploads", 1)
    assert tick(world).startswith("1 point reported, ")
    assert grid(world, key_of(world)) == {world.window: "MATERIALIZED"}
    assert tick(world) == SHOWN


def test_what_changed_alone_is_compared(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand(world, "uploads", 1)
    tick(world)
    compared: list[str] = []
    points = Comparison.points

    def counting(self: Comparison) -> Any:
        compared.append(self.holdings.subject.id)
        return points(self)

    monkeypatch.setattr(Comparison, "points", counting)
    tick(world)
    assert compared == []
    world.app.proofs.drill("uploads@latest")
    tick(world)
    assert compared == ["uploads"]
    world.clock.time += DAY
    tick(world)
    assert compared == ["uploads", "uploads", "shop"], "everything again after an hour"


def test_an_evaluation_that_is_too_long_goes_on_at_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand(world, "uploads", 3)
    monkeypatch.setattr(elsewhere, "BUDGET_S", 5.0)
    world.clock.pace = 1.0
    assert tick(world).endswith("the next evaluation goes on")
    for _ in range(20):
        if tick(world) == SHOWN:
            break
    assert len(grid(world, key_of(world))) == 3


def test_a_window_that_a_run_works_on_is_left_to_it(world: World) -> None:
    by_hand(world, "uploads", 1)
    key = key_of(world)
    tags = world.translator.run_tags("uploads") | {"dagster/partition": world.window}
    job = world.job_of("uploads").get_subset(asset_selection={key})
    run = world.instance.create_run_for_job(job, tags=tags, asset_selection=frozenset({key}))
    assert tick(world) == SHOWN
    assert "MATERIALIZED" not in grid(world, key_of(world)).values()
    world.instance.report_run_canceled(run)
    assert tick(world).startswith("1 point reported, "), "it did not do it"


def test_a_repository_that_is_away_has_lost_nothing(world: World) -> None:
    by_hand(world, "uploads", 1)
    tick(world)
    place = world.root / "repository"
    place.rename(world.root / "elsewhere")
    assert "There is no" in tick(world)
    (world.root / "elsewhere").rename(place)
    assert tick(world) == SHOWN
    assert observations(world) == []


def test_of_another_repository_nothing_is_reported(world: World) -> None:
    by_hand(world, "uploads", 1)
    tick(world)
    place = world.root / "repository"
    place.rename(world.root / "elsewhere")
    another(place)
    assert tick(world).startswith("Another repository is at ")
    assert observations(world) == []
