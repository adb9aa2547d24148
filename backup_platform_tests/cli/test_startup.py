"""What a verb imports before its work begins. Every import here is paid by every call."""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys

import pytest

from backup_platform import __version__
from backup_platform_tests.cli.conftest import Cli

LOADED_BY = """
import json, sys
from backup_platform.cli import entry
code = entry.main(sys.argv[1:])
sys.stderr.write(json.dumps([code, sorted(sys.modules)]))
"""
WITH_A_FAKE = """
from backup_platform.cli import context
from backup_platform_tests.cli.fake import FakeApp, make_point, make_proof
point = make_point()
app = FakeApp(known=[point], recorded={point.id: [make_proof(point)]})
context.app_factory = lambda plan: app
"""
HEAVY = {"dagster", "duckdb", "fsspec", "numpy", "obstore", "pandas", "pyarrow", "pydantic", "rich", "yaml"}


def loaded_by(*arguments: str, before: str = "") -> set[str]:
    command = [sys.executable, "-c", before + LOADED_BY, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stderr)
    assert code == 0, done.stdout
    return {name.partition(".")[0] for name in modules}


def test_the_version_needs_neither_typer_nor_the_plan() -> None:
    assert loaded_by("--version") & (HEAVY | {"typer", "click", "inspect"}) == set()


@pytest.mark.parametrize("arguments", [["points"], ["points", "--json"], ["show", "shop@latest"]])
def test_a_listing_loads_nothing_heavy_of_its_own(arguments: list[str]) -> None:
    loaded = loaded_by(*arguments, before=WITH_A_FAKE)
    assert "typer" in loaded
    assert loaded & HEAVY == set()


def test_help_loads_nothing_heavy() -> None:
    assert loaded_by("--help") & HEAVY == set()


def test_a_process_that_goes_on_collects_garbage_again(cli: Cli) -> None:
    assert cli("--help").code == 0
    assert gc.isenabled()


def of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fastest(*arguments: str) -> float:
    """Seconds of the processor, of the cheapest of five: how long it waits for one says nothing of the program."""
    times = []
    for _ in range(5):
        before = of_children()
        subprocess.run([sys.executable, "-m", "backup_platform.cli.entry", *arguments], check=True)
        times.append(of_children() - before)
    return min(times)


def test_the_version_is_there_at_once() -> None:
    assert fastest("--version") < 0.2


@pytest.mark.parametrize("arguments", [["--version"], ["--version", "points"], ["--json", "--version"]])
def test_the_version_is_printed(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "backup_platform.cli.entry", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"backup-platform {__version__}\n"


def test_completion_knows_the_verbs() -> None:
    env = {
        "_BACKUP_PLATFORM_COMPLETE": "complete_bash",
        "COMP_WORDS": "backup-platform po",
        "COMP_CWORD": "1",
    }
    command = [sys.executable, "-m", "backup_platform.cli.entry"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert done.stdout.split() == ["points"]
