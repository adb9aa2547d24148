"""What waits for a backup: it runs after a point that is fresh and proven, and not else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from backup_platform import app as composition
from backup_platform.orchestration.gates import build_backup_gate
from backup_platform_tests.docs.extraction import examples
from backup_platform_tests.orchestration.conftest import World

ROOT = Path(__file__).parents[2]
HOUR = timedelta(hours=1)


@pytest.fixture
def planned(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The plan is the one that programs find by themselves."""
    monkeypatch.setattr(composition, "SystemClock", lambda: world.clock)
    monkeypatch.setenv("BACKUP_PLATFORM_PLAN", str(world.root / "backup.yaml"))
    return world


def migrated(world: World, gate: dg.AssetsDefinition) -> tuple[bool, str]:
    """Whether what waits for the gate ran, and why not."""
    ran: list[str] = []

    @dg.asset(deps=[gate.key])
    def migration() -> None:
        ran.append("migration")

    done = dg.materialize([gate, migration], instance=world.instance, raise_on_error=False)
    failures: list[Any] = [e for e in done.all_events if e.event_type == dg.DagsterEventType.STEP_FAILURE]
    data = failures[0].step_failure_data.user_failure_data if failures else None
    return bool(ran), data.description if data else ""


def test_without_a_point_nothing_runs_and_the_failure_says_what_to_do(planned: World) -> None:
    ran, why = migrated(planned, build_backup_gate("uploads"))
    assert not ran
    plan = planned.root / "backup.yaml"
    assert why == (
        f"There is no proven point of uploads. Run `backup-platform --plan {plan} backup uploads`, "
        f"then `backup-platform --plan {plan} drill uploads@latest`."
    )


def test_a_point_that_is_not_proven_is_not_enough_unless_it_is_said(planned: World) -> None:
    planned.app.backups.run("uploads")
    assert not migrated(planned, build_backup_gate("uploads"))[0]
    assert migrated(planned, build_backup_gate("uploads", proven=False))[0]
    planned.app.proofs.drill("uploads@latest")
    assert migrated(planned, build_backup_gate("uploads"))[0]


def test_a_point_that_is_too_old_is_not_enough(planned: World) -> None:
    planned.app.backups.run("uploads")
    planned.app.proofs.drill("uploads@latest")
    planned.clock.time += 2 * HOUR
    assert migrated(planned, build_backup_gate("uploads", within="2h"))[0]
    ran, why = migrated(planned, build_backup_gate("uploads", within="1h"))
    assert not ran
    assert "2 h ago. The limit is 1 h." in why


def test_a_gate_that_captures_makes_what_is_lacking_and_nothing_else(planned: World) -> None:
    gate = build_backup_gate("uploads", within="1h", capture=True)
    assert migrated(planned, gate)[0]
    [first] = planned.app.points.all("uploads")
    assert migrated(planned, gate)[0]
    assert planned.app.points.all("uploads") == [first], "it was fresh"
    planned.clock.time += 2 * HOUR
    (planned.tree / "b.txt").write_text("more")
    assert migrated(planned, gate)[0]
    [second] = planned.app.points.all("uploads")
    assert second.captured_at == planned.clock.time


def test_a_suspect_point_lets_nothing_run(planned: World) -> None:
    for number in range(3):
        (planned.tree / f"{number}.bin").write_bytes(bytes(200_000))
    planned.app.backups.run("uploads")
    planned.app.proofs.drill("uploads@latest")
    for path in planned.tree.iterdir():
        path.unlink()
    planned.clock.time += 24 * HOUR
    ran, why = migrated(planned, build_backup_gate("uploads", within="1h", capture=True))
    assert not ran
    assert "The newest proven point of uploads was captured at" in why


def test_the_gate_is_downstream_of_the_backups(planned: World) -> None:
    gate = build_backup_gate("uploads", key=["ops", "gate"], backup=["ops", "backups", "uploads"])
    assert gate.key == dg.AssetKey(["ops", "gate"])
    assert gate.asset_deps[gate.key] == {dg.AssetKey(["ops", "backups", "uploads"])}
    defs = dg.Definitions.merge(planned.definitions, dg.Definitions([build_backup_gate("uploads")]))
    dg.Definitions.validate_loadable(defs)


def test_the_example_of_the_page_waits_for_a_fresh_backup(planned: World) -> None:
    text = (ROOT / "docs/dagster.md").read_text()
    [program] = [each for each in examples("docs/dagster.md", text) if "build_backup_gate" in each.text]
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(program.text, "docs/dagster.md", "exec", dont_inherit=True), names)
    assets = [names["before_migration"], names["migration"]]
    done = dg.materialize(assets, instance=planned.instance, raise_on_error=False)
    assert done.success
    assert len(planned.app.points.all("shop")) == 1
