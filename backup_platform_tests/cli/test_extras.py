"""Extras that are not installed: a mistake of the set-up, with the command that mends it, in every verb."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import dagster as dg
import pytest

from backup_platform.actions.query.run import open_engine
from backup_platform.alerting import channels
from backup_platform.errors import NotInstalledError
from backup_platform.extras import not_installed
from backup_platform.orchestration.failures import dagster_errors
from backup_platform_tests.cli.conftest import Verbs

PLAN = """\
repository: {path: repository}
state: state
alerts: ["json://alerts.example.org/x"]
sources:
  docs: {files: tree, every: day, drill: never}
  shop: {postgres: "postgresql://u@127.0.0.1:1/x", every: day}
  last: {files: tree, every: day}
"""
USERS = ("backup_platform.sources.postgres", "backup_platform.actions.query")
Without = Callable[..., None]


@pytest.fixture
def without() -> Iterator[Without]:
    """Modules that cannot be imported any more, also by ours that have them already.

    Afterwards ours are the same objects again, in their packages too: other tests of this process patch them.
    """
    saved: dict[str, ModuleType | None] = {}

    def hide(*modules: str) -> None:
        for name in [*sys.modules]:
            if name.startswith(tuple(f"{module}." for module in modules)) or name.startswith(USERS):
                saved[name] = sys.modules.pop(name)
        for module in modules:
            saved[module] = sys.modules.get(module)
            sys.modules[module] = None  # type: ignore[assignment]

    yield hide
    for name in [name for name in sys.modules if name.startswith(USERS)]:
        del sys.modules[name]
    sys.modules.update({name: module for name, module in saved.items() if module is not None})
    for name, module in saved.items():
        parent, _, child = name.rpartition(".")
        if module is None:
            sys.modules.pop(name, None)
        elif parent in sys.modules:
            setattr(sys.modules[parent], child, module)


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verbs:
    (tmp_path / "backup.yaml").write_text(PLAN)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "one").write_text("content")
    made = Verbs(capsys, tmp_path / "backup.yaml")
    made("init", code=0)
    return made


def test_without_the_compiled_chunker_everything_works_and_doctor_says_so(
    run: Verbs, without: Without
) -> None:
    assert "chunker" not in run("doctor", code=1).out
    without("pyfastcdc")
    run("backup", "docs", code=0)
    told = run("doctor", code=1).out
    assert "ok    chunker: the compiled chunker of pyfastcdc is not installed" in told


def test_a_database_without_its_driver(run: Verbs, without: Without) -> None:
    without("psycopg", "adbc_driver_manager", "adbc_driver_postgresql")
    ran = run("backup", "shop", code=2)
    assert ran.err.startswith("error [not-installed]: This needs ")
    assert "hint: Run `pip install 'backup-platform[postgres]'`." in ran.err
    assert "error [not-installed]: shop: " in run("backup", code=1).err
    assert [p["source"] for p in run("points", "--json", code=0).document["points"]] == ["docs", "last"]

    told = run("doctor", code=1).out
    assert "FAIL  source shop: This needs psycopg, which is not installed here." in told
    assert "pip install 'backup-platform[postgres]'" in told
    assert "ok    source last" in told


def test_alerts_without_dagster_are_the_job_of_another_host(
    run: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "find_spec", lambda module: None)
    assert "ok    alerts: json://alerts.example.org (not checked: " in run("doctor").out


def test_alerts_with_dagster_need_their_sender(run: Verbs, without: Without) -> None:
    without("apprise")
    told = run("doctor").out
    assert "FAIL  alerts: This needs apprise" in told
    assert "pip install 'backup-platform[dagster]'" in told


def test_queries_without_their_engine(without: Without) -> None:
    without("duckdb")
    with pytest.raises(NotInstalledError, match=r"backup-platform\[query\]"):
        open_engine()


def test_in_dagster_it_is_a_failure_with_the_same_advice() -> None:
    with (
        pytest.raises(dg.Failure, match=r"backup-platform\[postgres\]"),
        dagster_errors(attempt=0, retries=3),
    ):
        raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")


def test_what_is_no_extra_is_a_defect() -> None:
    assert not_installed(ModuleNotFoundError("no", name="backup_platform.gone")) is None
    assert not_installed(ValueError("no")) is None
    assert not_installed(ImportError("no name")) is None


def test_a_driver_that_refuses_to_be_imported_is_one_that_is_not_installed() -> None:
    """psycopg without its binary part looks for the system's libpq."""
    with pytest.raises(ImportError) as caught:
        exec("raise ImportError('no pq wrapper available.')", {"__name__": "psycopg.pq"})
    found = not_installed(caught.value)
    assert found is not None
    assert "This needs psycopg" in found.message


def test_doctor_outlives_what_nobody_foresaw(run: Verbs, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(urls: object) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr(channels, "known_channels", broken)
    told = run("doctor", code=1).out
    assert "FAIL  alerts: ValueError: a defect" in told
    assert "ok    repository" in told


def test_a_drill_that_the_plan_does_not_want_is_not_missing(run: Verbs) -> None:
    run("backup", "docs", code=0)
    assert "ok    proof of docs: never drilled, as the plan says" in run("doctor").out
