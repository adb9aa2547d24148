"""The component, in a project of its own: loaded in process, and through the `dg` command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.testing import DefsFolderSandbox, create_defs_folder_sandbox

import backup_platform
from backup_platform.errors import PlanError

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
TYPE = "backup_platform.BackupPlan"

# Dagster 1.13 parses defs.yaml with what pydantic calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")

PLAN = """
repository: {path: repository}
since: 2026-01-01
sources:
  uploads: {files: /srv/uploads, every: day}
"""


@pytest.fixture
def sandbox() -> Iterator[DefsFolderSandbox]:
    with create_defs_folder_sandbox() as sandbox:
        yield sandbox


def load(sandbox: DefsFolderSandbox, where: Path | None = None, **attributes: Any) -> dg.Definitions:
    """The definitions of a defs.yaml; its plan is next to it, unless told otherwise."""
    directory = sandbox.defs_folder_path / "nightly"
    directory.mkdir(exist_ok=True)
    (directory / "defs.yaml").write_text(json.dumps({"type": TYPE, "attributes": attributes}))
    ((where or directory) / "backup.yaml").write_text(PLAN)
    with sandbox.build_all_defs() as definitions:
        return definitions


def keys(definitions: dg.Definitions) -> set[str]:
    graph = definitions.resolve_asset_graph()
    return {key.to_user_string() for key in graph.get_all_asset_keys()}


def test_a_defs_yaml_adds_the_backups_of_a_plan(sandbox: DefsFolderSandbox) -> None:
    definitions = load(sandbox)
    assert keys(definitions) == {"backups/uploads", "sources/files/uploads"}
    repository = definitions.get_repository_def()
    assert {sensor.name for sensor in repository.sensor_defs} == SENSORS
    assert [schedule.name for schedule in repository.schedule_defs] == ["backup_day_0000_utc_schedule"]


def test_a_plan_may_be_at_the_projects_root(sandbox: DefsFolderSandbox) -> None:
    assert "backups/uploads" in keys(load(sandbox, where=sandbox.project_root))


def test_keys_and_group_can_be_chosen(sandbox: DefsFolderSandbox) -> None:
    definitions = load(sandbox, key_prefix=["ops", "backups"], group="ops")
    assert keys(definitions) == {"ops/backups/uploads", "ops/backups/sources/files/uploads"}
    node = definitions.resolve_asset_graph().get(dg.AssetKey(["ops", "backups", "uploads"]))
    assert node.group_name == "ops"
    assert definitions.get_repository_def().has_sensor_def("ops_backups_alerts")


def test_schedules_and_sensors_can_be_left_stopped(sandbox: DefsFolderSandbox) -> None:
    repository = load(sandbox, running=False).get_repository_def()
    assert {s.default_status for s in repository.sensor_defs} == {dg.DefaultSensorStatus.STOPPED}
    assert {s.default_status for s in repository.schedule_defs} == {dg.DefaultScheduleStatus.STOPPED}


def test_the_project_keeps_its_own_executor(sandbox: DefsFolderSandbox) -> None:
    assert load(sandbox).executor is None


def why_not(sandbox: DefsFolderSandbox, **attributes: Any) -> list[BaseException]:
    """The error of a load that fails, and its causes: Dagster wraps them and shows all."""
    with pytest.raises(Exception, match="BackupPlan") as caught:
        load(sandbox, **attributes)
    chain: list[BaseException] = [caught.value]
    while chain[-1].__cause__:
        chain.append(chain[-1].__cause__)
    return chain


def test_a_plan_that_is_not_there_is_told_with_where_it_could_be(sandbox: DefsFolderSandbox) -> None:
    [told] = [error for error in why_not(sandbox, plan="other.yaml") if isinstance(error, PlanError)]
    assert "'other.yaml'" in told.message
    assert str(sandbox.project_root / "other.yaml") in told.hint
    assert str(sandbox.defs_folder_path / "nightly" / "other.yaml") in told.hint


def test_an_unknown_attribute_is_refused(sandbox: DefsFolderSandbox) -> None:
    assert "plann" in "".join(str(error) for error in why_not(sandbox, plann="backup.yaml"))


def test_the_registry_lists_the_component_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    modules = project["project"]["entry-points"]["dagster_dg_cli.registry_modules"]
    assert modules == {"backup_platform": "backup_platform"}
    components = [name for name in dir(backup_platform) if isinstance(getattr(backup_platform, name), type)]
    assert components == ["BackupPlan"]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = backup_platform.Nonsense


WITHOUT_DAGSTER = """
import sys
sys.modules["dagster"] = None
import backup_platform
assert "BackupPlan" not in dir(backup_platform)
try:
    backup_platform.BackupPlan
except ImportError as error:
    sys.exit(0 if "backup-platform[dagster]" in str(error) else f"not helpful: {error}")
sys.exit("no error")
"""


def test_without_dagster_the_error_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DAGSTER], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


SENSORS = {"backup_missed_windows", "backup_alerts", "backup_sync"}
OWN_SENSORS = {"alerts", "copies", "missed_windows"}
OWN_JOBS = {"prune", "verify"}
OWN = f"""\
import dagster as dg


def job(name):
    @dg.job(name=name)
    def made():
        dg.OpDefinition(lambda _, __: [], f"{{name}}_op", ins={{}}, outs={{}})()

    return made


jobs = [job(name) for name in {sorted(OWN_JOBS)}]
sensors = [dg.SensorDefinition(name=name, job=jobs[0], evaluation_fn=lambda _: None) for name in {sorted(OWN_SENSORS)}]
assets = [dg.AssetSpec(name, group_name="files") for name in ("prune", "verify", "backups")]


@dg.definitions
def defs():
    return dg.Definitions(assets=assets, jobs=jobs, sensors=sensors)
"""


class Project:
    """A Dagster project that knows nothing of us, and its command line."""

    def __init__(self, root: Path) -> None:
        self.root = root
        package = root / "src" / "acme"
        (package / "defs").mkdir(parents=True)
        (root / "pyproject.toml").write_text(
            '[project]\nname = "acme"\nversion = "1"\n\n'
            '[tool.dg]\ndirectory_type = "project"\n\n[tool.dg.project]\nroot_module = "acme"\n'
        )
        (package / "__init__.py").touch()
        (package / "defs" / "__init__.py").touch()
        (package / "definitions.py").write_text(
            "from pathlib import Path\n\nfrom dagster import definitions, load_from_defs_folder\n\n\n"
            "@definitions\ndef defs():\n"
            "    return load_from_defs_folder(path_within_project=Path(__file__).parent)\n"
        )
        (package / "defs" / "own.py").write_text(OWN)
        self.environment = {
            **os.environ,
            "HOME": str(root / "home"),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{root / 'src'}{os.pathsep}{ROOT}",
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "COLUMNS": "200",
        }

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """It must succeed."""
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """With the component scaffolded into it."""
    project = Project(tmp_path_factory.mktemp("acme"))
    project.run("dg", "scaffold", "defs", TYPE, "nightly")
    return project


@pytest.mark.soak
@pytest.mark.xdist_group("dg")
def test_dg_accepts_what_the_scaffolder_wrote(project: Project) -> None:
    written = project.root / "src" / "acme" / "defs" / "nightly"
    assert {path.name for path in written.iterdir()} == {"defs.yaml", "backup.yaml", "example"}
    assert "validated successfully" in project.run("dg", "check", "yaml").stdout
    assert "loaded successfully" in project.run("dg", "check", "defs").stdout


@pytest.mark.xdist_group("dg")
def test_dg_lists_what_the_scaffolder_wrote(project: Project) -> None:
    listed = json.loads(project.run("dg", "list", "defs", "--json").stdout)
    assert "backups/example" in {asset["asset_key"] for asset in listed["assets"]}
    ours = SENSORS
    assert {sensor["name"] for sensor in listed["sensors"]} == ours | OWN_SENSORS, (
        "a project's names stay its own"
    )
    assert {job["name"] for job in listed["jobs"]} >= OWN_JOBS


@pytest.mark.xdist_group("dg")
def test_dg_launches_what_the_scaffolder_wrote(project: Project) -> None:
    """After the one command that the plan's first lines tell."""
    plan = "src/acme/defs/nightly/backup.yaml"
    command = f"backup-platform --plan {plan} init"
    assert command in (project.root / plan).read_text()
    project.run(*command.split())
    window = f"{datetime.now(UTC):%Y-%m-%d}"
    launched = project.run("dg", "launch", "--assets", "backups/example", "--partition", window)
    events = launched.stdout + launched.stderr
    assert events.count("ASSET_CHECK_EVALUATION") == 4, "there is no earlier point to compare with"
    assert "RUN_SUCCESS" in events
    points = project.run("backup-platform", "--plan", plan, "points").stdout
    assert "example" in points
    assert "proven" in points
