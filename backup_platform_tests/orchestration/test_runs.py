from __future__ import annotations

import dagster as dg

from backup_platform.orchestration.runs import Runs
from backup_platform.orchestration.subjects import backups
from backup_platform_tests.orchestration.conftest import World

UPLOADS, SHOP, OTHER = (dg.AssetKey(["backups", name]) for name in ("uploads", "shop", "other"))
CHECK = dg.AssetCheckKey(UPLOADS, "stored")


def runs(world: World) -> Runs:
    return Runs(backups(world.translator, ["uploads", "shop"], "nightly"))


def materialized(world: World, run: dg.DagsterRun) -> list[str]:
    return [subject.id for subject in runs(world).materialized(run)]


def test_a_run_backs_up_what_it_selects(world: World) -> None:
    selected = dg.DagsterRun("anything", asset_selection=frozenset({SHOP, OTHER}))
    assert materialized(world, selected) == ["shop"]
    assert runs(world).concerns(selected)


def test_a_run_of_a_job_without_a_selection_backs_up_all_of_it(world: World) -> None:
    assert materialized(world, dg.DagsterRun("nightly")) == ["uploads", "shop"]


def test_a_run_of_checks_alone_backs_up_nothing_and_concerns_us(world: World) -> None:
    """With no selection of assets or an empty one: the UI and in-process runs differ."""
    for job in ("nightly", "__ASSET_JOB"):
        for selection in (None, frozenset[dg.AssetKey]()):
            checks = dg.DagsterRun(job, asset_selection=selection, asset_check_selection=frozenset({CHECK}))
            assert materialized(world, checks) == []
            assert runs(world).concerns(checks)


def test_runs_of_others_do_not_concern_us(world: World) -> None:
    assert not runs(world).concerns(dg.DagsterRun("theirs"))
    assert not runs(world).concerns(dg.DagsterRun("theirs", asset_selection=frozenset({OTHER})))
