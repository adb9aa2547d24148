"""Which assets of a code location are neither backed up nor made from what is."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import dagster as dg

from backup_platform.domain.coverage import CoverageGap, Neighbour
from backup_platform.orchestration.assets.graph import RECOMPUTABLE, surroundings, with_role
from backup_platform_tests.orchestration.assets.test_coverage import CHECK, look
from backup_platform_tests.orchestration.conftest import World
from backup_platform_tests.orchestration.test_definitions import DAGSTER, ROOT, environment


def spec(key: str, *deps: str, **more: Any) -> dg.AssetSpec:
    return dg.AssetSpec(key.split("/"), deps=[dg.AssetKey(each.split("/")) for each in deps], **more)


OURS = [
    with_role(spec("sources/files/uploads"), "source"),
    with_role(spec("backups/uploads", "sources/files/uploads"), "backup"),
    with_role(spec("copies/offsite/uploads", "backups/uploads"), "copy"),
    with_role(spec("repositories/main/prune"), "upkeep"),
    with_role(spec("plan/coverage"), "coverage"),
]


def found(*specs: dg.AssetSpec) -> dict[str, Neighbour]:
    return {each.name: each for each in surroundings([*OURS, *specs]).neighbours}


def lacking(*specs: dg.AssetSpec) -> list[str]:
    return [name for name, each in found(*specs).items() if not each.sources and not each.reason]


def test_of_this_package_only_sources_are_there_and_they_are_protected() -> None:
    assert {name: each.sources for name, each in found().items()} == {
        "sources/files/uploads": ("backups/uploads",)
    }


def test_what_is_made_from_a_protected_source_can_be_made_again() -> None:
    assert lacking(spec("parsed", "sources/files/uploads"), spec("report", "parsed")) == []


def test_one_that_is_made_from_nothing_is_found_with_what_is_made_from_it() -> None:
    specs = [spec("raw"), spec("clean", "raw"), spec("report", "clean", "sources/files/uploads")]
    assert lacking(*specs) == ["raw"]
    assert found(*specs)["raw"].note == "2 assets are made from it"


def test_one_that_a_backup_depends_on_is_protected() -> None:
    """A translator says so, where an asset is written to the database that is backed up."""
    assert lacking(spec("raw"), with_role(spec("backups/shop", "sources/x/shop", "raw"), "backup")) == []


def test_one_that_is_defined_elsewhere_is_found_too() -> None:
    specs = [spec("clean", "far/raw")]
    assert lacking(*specs) == ["far/raw"]
    assert "not defined in this code location" in found(*specs)["far/raw"].note


def test_an_asset_says_itself_that_it_can_be_made_again() -> None:
    told = found(spec("weather", metadata={RECOMPUTABLE: "the service has all days"}))["weather"]
    assert told.reason == "the service has all days"
    text = dg.MetadataValue.text("as text")
    assert found(spec("weather", metadata={RECOMPUTABLE: text}))["weather"].reason == "as text"
    assert lacking(spec("weather", metadata={RECOMPUTABLE: " "})) == ["weather"], "without a reason"


def test_a_circle_ends() -> None:
    assert lacking(spec("a", "raw", "b"), spec("b", "a")) == ["raw"]


def test_a_run_without_its_code_location_is_not_green(unloaded: World) -> None:
    """As in a process that was given a job only."""
    unloaded.plan["coverage"] = {"pipeline": {"assets": True}}
    unloaded.plan["state"] = str(unloaded.root.parent / "state")
    run = look(unloaded.load())
    evaluation = unloaded.evaluations(run)[CHECK]
    assert not evaluation.passed
    assert "started without its code location" in (evaluation.description or "")
    coverage = unloaded.app.setup.coverage()
    assert (coverage.places, coverage.elsewhere) == ((), ("pipeline",))


def test_the_service_takes_what_dagster_knows(unloaded: World) -> None:
    unloaded.plan["coverage"] = {"pipeline": {"assets": True, "except": {"made_*": "anew each day"}}}
    unloaded.plan["state"] = str(unloaded.root.parent / "state")
    app = unloaded.load().app
    specs = [*OURS, spec("raw"), spec("made_1"), spec("w", metadata={RECOMPUTABLE: "the service has it"})]
    coverage = app.setup.coverage(lambda: surroundings(specs))
    [finding] = coverage.findings
    assert finding.gap is CoverageGap.UNPROTECTED
    assert finding.text == (
        "asset 'raw' of the Dagster code location is neither backed up nor made from assets that are"
    )
    [place] = coverage.places
    assert {each.name: each.reason for each in place.left_out} == {
        "made_1": "anew each day",
        "w": "the service has it",
    }


DEFINITIONS = """
import dagster as dg
import backup_platform.definitions

@dg.asset(key_prefix="raw")
def orders(): ...

@dg.asset(deps=[dg.AssetKey(["sources", "files", "uploads"])])
def parsed(): ...

defs = dg.Definitions.merge(backup_platform.definitions.defs, dg.Definitions(assets=[orders, parsed]))
"""
PLAN = """
repository: {path: repository}
since: 2026-01-01
state: state
sources: {uploads: {files: uploads, every: day}}
coverage: {pipeline: {assets: true}}
"""


def test_a_real_run_sees_the_assets_of_the_project(tmp_path: Path) -> None:
    """Which the plan's own definitions do not know: they are merged with it later."""
    (tmp_path / "backup.yaml").write_text(PLAN)
    (tmp_path / "project.py").write_text(DEFINITIONS)
    done = subprocess.run(
        [DAGSTER, "job", "execute", "-f", "project.py", "-j", "backup_coverage"],
        cwd=tmp_path,
        env=environment(tmp_path, BACKUP_PLATFORM_PLAN=str(tmp_path / "backup.yaml"), PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    text = done.stdout + done.stderr
    assert done.returncode != 0, text
    assert "asset 'raw/orders' of the Dagster code location is neither" in text
    assert "asset 'parsed'" not in text
    assert "asset 'sources/files/uploads'" not in text
