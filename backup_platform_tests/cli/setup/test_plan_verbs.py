"""`plan check` and `plan schema`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from backup_platform.plan.document import read_document
from backup_platform.plan.schema import json_schema
from backup_platform_tests import test_plan
from backup_platform_tests.cli.conftest import Verbs
from backup_platform_tests.test_plan import HEAD

WRONG = HEAD + "  a: {fils: /srv, every: dya}\n  b: {files: /srv, every: day, retries: -1}\n"


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verbs:
    return Verbs(capsys, tmp_path / "backup.yaml")


def test_a_good_plan(run: Verbs, tmp_path: Path) -> None:
    """Nothing but the file is looked at: there is neither a repository nor a source."""
    plan = tmp_path / "backup.yaml"
    plan.write_text(HEAD + "  a: {files: /not/there, every: day}\n  b: {sqlite: /not/there, every: day}\n")
    assert run("plan", "check", code=0).out == f"{plan} is a valid plan: 2 sources, 1 repository.\n"
    document = run("plan", "check", "--json", code=0).document
    assert document["valid"] is True
    assert document["sources"] == [{"name": "a", "kind": "files"}, {"name": "b", "kind": "sqlite"}]


def test_a_plan_with_mistakes(run: Verbs, tmp_path: Path) -> None:
    (tmp_path / "backup.yaml").write_text(WRONG)
    ran = run("plan", "check", code=2)
    assert ran.out == ""
    assert ran.err.startswith("error [plan-invalid]: ")
    document = run("plan", "check", "--json", code=2).document
    assert document["valid"] is False
    assert [line.partition("backup.yaml:")[2].partition(" ")[0] for line in document["problems"]] == [
        "3:",
        "3:",
        "3:",
        "4:",
    ]


def test_no_plan_at_all(run: Verbs) -> None:
    document = run("plan", "check", "--json", code=2).document
    assert "there is no plan" in document["problems"][0]
    assert "sources:" in document["hint"]


def test_the_schema_needs_no_plan(run: Verbs) -> None:
    schema = json.loads(run("plan", "schema", code=0).out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema == run("plan", "schema", "--json", code=0).document == json_schema()


def complaints(text: str) -> list[str]:
    """What an editor says of a plan: it reads dates as text."""
    data = json.loads(json.dumps(read_document(text).data, default=str))
    validator = jsonschema.Draft202012Validator(json_schema())
    return [error.message for error in validator.iter_errors(data)]


@pytest.mark.parametrize("text", [test_plan.FULL, test_plan.LEDGER, test_plan.SEVERAL])
def test_a_good_plan_is_one_for_editors(text: str) -> None:
    """Which take `yes` and `no` for text."""
    plain = text.replace("exclude_caches: yes", "exclude_caches: true").replace(
        "unlogged: no", "unlogged: false"
    )
    assert complaints(plain) == []


@pytest.mark.parametrize(
    "source",
    [
        "fils: /srv, every: day",
        "files: /srv",
        "files: /srv, sqlite: /a, every: day",
        "files: /srv, every: day, cron: 1 * * * *",
        "files: /srv, every: dya",
        "files: /srv, every: day, jobs: 2",
        "sqlite: /srv, every: day, lock_timeout: 3 hours",
        "files: /srv, every: day, keep: {dayly: 3}",
        "files: /srv, every: day, retries: -1",
        "files: [/srv], every: day",
    ],
)
def test_mistakes_are_mistakes_for_editors_too(source: str) -> None:
    assert complaints(HEAD + f"  a: {{{source}}}\n")
    assert complaints(HEAD + "  a: {files: /srv, every: day}\n") == []


@pytest.mark.parametrize(
    "more", ["late_limit: 0", "late_limit: 1h30min", "expect: {bytes: 5}", "expect: {bytes: 1GB}"]
)
def test_two_ways_to_write_a_value(more: str) -> None:
    assert complaints(HEAD + f"  a: {{files: /srv, every: day, {more}}}\n") == []


def test_defaults_are_written_as_in_a_plan() -> None:
    found: dict[str, Any] = json_schema()["$defs"]["SqliteSource"]["properties"]
    assert found["lock_timeout"]["default"] == "30s"
    assert found["late_limit"]["default"] == "0"
