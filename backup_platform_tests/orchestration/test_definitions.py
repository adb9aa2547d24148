"""What Dagster loads, as its command line does it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DAGSTER = Path(sys.executable).with_name("dagster")


def environment(directory: Path, **more: str) -> dict[str, str]:
    """With a home of its own: nothing that is remembered on this machine matters."""
    home = {"HOME": str(directory / "home"), "XDG_STATE_HOME": str(directory / "state")}
    return {**os.environ, **home, "DAGSTER_DISABLE_TELEMETRY": "yes", **more}


def validate(directory: Path, plan: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DAGSTER, "definitions", "validate", "-w", ROOT / "workspace.yaml"],
        cwd=directory,
        env=environment(directory, BACKUP_PLATFORM_PLAN=str(plan), PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


GOOD = """
repository: {path: repository}
sources:
  uploads: {files: uploads, every: day}
  shop: {sqlite: shop.db, every: hour, timezone: Europe/Berlin}
"""


def test_a_plan_is_enough_to_validate_neither_sources_nor_repository_need_be_there(tmp_path: Path) -> None:
    done = validate(tmp_path, write(tmp_path / "backup.yaml", GOOD))
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Validation successful for code location backup_platform" in done.stdout + done.stderr


def test_a_wrong_plan_is_told_with_its_lines_before_anything_else(tmp_path: Path) -> None:
    plan = write(tmp_path / "backup.yaml", GOOD.replace("every: day", "evry: day"))
    done = validate(tmp_path, plan)
    assert done.returncode == 1
    text = done.stdout + done.stderr
    message, _, trace = text.partition("Stack Trace:")
    assert "backup.yaml:4: sources.uploads: unknown key" in message
    assert 'did you mean "every"?' in message
    assert trace.count("  File ") == 1, "where the plan was read helps nobody to correct it"


def test_no_plan_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    """An empty code location would look as if all were well."""
    done = validate(tmp_path, tmp_path / "backup.yaml")
    assert done.returncode == 1
    message = (done.stdout + done.stderr).partition("Stack Trace:")[0]
    assert "backup.yaml: there is no plan" in message
    assert "sources:" in message, "an example to begin with"


LOAD = """
import json, sys, time
import dagster
import backup_platform.plan
started = time.process_time()
from backup_platform.definitions import defs
repository = defs.get_repository_def()
repository.get_all_jobs()
heavy = {"pandas", "pyarrow", "obstore", "apprise", "boto3"} & set(sys.modules)
found = {"cpu_s": time.process_time() - started, "heavy": sorted(heavy), "assets": len(repository.assets_defs_by_key)}
print(json.dumps(found))
"""


def load(directory: Path, plan: str) -> dict[str, object]:
    path = write(directory / "backup.yaml", plan)
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=directory,
        env=environment(directory, BACKUP_PLATFORM_PLAN=str(path), PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_loading_imports_nothing_heavy(tmp_path: Path) -> None:
    """Dagster loads the definitions for every run, and pandas alone takes a second of the processor."""
    assert load(tmp_path, f"since: 2026-01-01\n{GOOD}")["heavy"] == []


def test_loading_five_hundred_sources_takes_seconds(tmp_path: Path) -> None:
    """Measured: 4 s of the processor, nearly all of it Dagster's own; the bound leaves room for slow machines."""
    sources = "".join(f"  s{n}: {{files: tree, every: day, timezone: Europe/Berlin}}\n" for n in range(500))
    found = load(tmp_path, f"repository: {{path: repository}}\nsince: 2026-01-01\nsources:\n{sources}")
    assert found["assets"] == 1_000
    assert isinstance(found["cpu_s"], float)
    assert found["cpu_s"] < 15
