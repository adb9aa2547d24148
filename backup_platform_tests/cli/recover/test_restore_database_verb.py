from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from backup_platform.advice import command
from backup_platform.domain.restoring import (
    DatabaseRestorePlan,
    DatabaseRestoreSummary,
    DatabaseTarget,
    RestoreFailure,
)
from backup_platform.errors import TargetError
from backup_platform_tests.cli.conftest import Cli
from backup_platform_tests.cli.fake import make_point

URL = "postgresql://dba:s3cret@db2/sales"
PLAN = DatabaseRestorePlan(
    point=make_point(),
    target=DatabaseTarget(URL),
    server="PostgreSQL 18 at db2:5432",
    database="sales",
    tables=("public.orders", "public.lines"),
    rows=1234,
    bytes=5_000_000,
    steps=("create the schema", "load 2 tables"),
    warnings=("The server lacks the roles 'alice'.",),
)
DONE = DatabaseRestoreSummary(tables=2, rows=1234, bytes=5_000_000, duration_s=2.0, warnings=("no role",))


def answering(cli: Cli, plan: DatabaseRestorePlan = PLAN, done: Any = DONE) -> Cli:
    cli.app.answers |= {"restores.plan_database": plan, "restores.run_database": done}
    return cli


def test_a_restore_into_a_database_tells_what_it_did(cli: Cli) -> None:
    options = ["--create", "--schema", "a", "--schema", "b", "--occupied", "--jobs", "4"]
    ran = answering(cli)("restore", "shop@latest", "--into", URL, *options)
    assert ran.code == 0
    target = DatabaseTarget(URL, schemas=("a", "b"), create=True, occupied=True, jobs=4)
    assert cli.app.calls[0] == ("restores.plan_database", {"spec": "shop@latest", "target": target})
    assert ran.out.splitlines() == [
        "restored shop, window 2026-11-22 (Europe/Berlin), point 2273686f70aa, into sales (PostgreSQL 18 at db2:5432)",
        "  2 tables, 1,234 rows, 5.0 MB stored, 2.0 s",
        "  warning: no role",
    ]


def test_a_dry_run_tells_the_steps_and_writes_nothing(cli: Cli) -> None:
    ran = answering(cli)("restore", "shop@latest", "--into", URL, "--dry-run")
    assert ran.code == 0
    assert [name for name, _ in cli.app.calls] == ["restores.plan_database"]
    assert ran.out.splitlines()[1:] == [
        "  2 tables, 1,234 rows, 5.0 MB stored",
        "  1. create the schema",
        "  2. load 2 tables",
        "  warning: The server lacks the roles 'alice'.",
    ]


def test_a_dry_run_with_conflicts_has_the_exit_code_of_the_restore(cli: Cli) -> None:
    plan = replace(PLAN, conflicts=("The database 'sales' is not empty.",))
    ran = answering(cli, plan)("restore", "shop@latest", "--into", URL, "--dry-run")
    assert ran.code == TargetError.exit_code
    assert "  in the way: The database 'sales' is not empty." in ran.out


FAILED = replace(
    DONE,
    tables=1,
    failures=(
        RestoreFailure("table public.t", "no such function", entry="215; TABLE public t postgres"),
        *(RestoreFailure(f"index i{n}", "no such table", because="table public.t") for n in range(20)),
    ),
    advice=("Everything else is restored.", ("Take ", command("restore", "ab", "schema.dump"), ".")),
)


def test_what_was_not_restored_is_named_and_has_an_exit_code(cli: Cli) -> None:
    ran = answering(cli, done=FAILED)("--plan", "p.yaml", "restore", "shop@latest", "--into", URL)
    assert ran.code == 3
    lines = ran.out.splitlines()
    assert lines[0].endswith("(PostgreSQL 18 at db2:5432), not all of it")
    assert lines[3:5] == [
        "  not restored: table public.t: no such function",
        "  not restored: index i0 (it needs table public.t): no such table",
    ]
    assert lines[-3:-1] == [
        "  and 1 more: --verbose or --json names all",
        "  next: Everything else is restored.",
    ]
    assert lines[-1] == "  next: Take `backup-platform --plan p.yaml restore ab schema.dump`."


def test_verbose_names_all_with_their_entries(cli: Cli) -> None:
    ran = answering(cli, done=FAILED)("restore", "shop@latest", "--into", URL, "--verbose")
    assert "    entry 215; TABLE public t postgres" in ran.out
    assert "not restored: index i19" in ran.out
    ran = answering(cli, done=FAILED)("restore", "shop@latest", "--into", URL, "--json")
    assert ran.document["result"]["failures"][0] == {
        "what": "table public.t",
        "said": "no such function",
        "because": "",
        "entry": "215; TABLE public t postgres",
    }
    assert len(ran.document["result"]["failures"]) == 21


def test_what_will_be_left_out_is_told_by_the_dry_run_with_the_same_exit_code(cli: Cli) -> None:
    plan = replace(PLAN, left_out=("event trigger e: only a superuser may make it",))
    ran = answering(cli, plan)("restore", "shop@latest", "--into", URL, "--dry-run")
    assert (ran.code, ran.out.splitlines()[-1]) == (
        3,
        "  left out: event trigger e: only a superuser may make it",
    )


def test_owners_grants_and_the_first_error(cli: Cli) -> None:
    answering(cli)("restore", "s@latest", "--into", URL, "--no-owner", "--no-privileges", "--exit-on-error")
    target = DatabaseTarget(URL, owner=False, privileges=False, exit_on_error=True)
    assert cli.app.calls[0][1]["target"] == target


@pytest.mark.parametrize("dry_run", [True, False])
def test_no_output_holds_the_password(cli: Cli, dry_run: bool) -> None:
    options = ["--dry-run"] if dry_run else []
    for form in ([], ["--json"]):
        ran = answering(cli)("restore", "shop@latest", "--into", URL, *options, *form)
        assert "s3cret" not in ran.out + ran.err


def test_the_json_document(cli: Cli) -> None:
    ran = answering(cli)("restore", "shop@latest", "--into", URL, "--json")
    assert ran.document["result"] == {
        "tables": 2,
        "rows": 1234,
        "bytes": 5_000_000,
        "duration_s": 2.0,
        "warnings": ["no role"],
        "left_out": [],
        "failures": [],
        "advice": [],
    }
    assert ran.document["plan"]["database"] == "sales"
    assert ran.document["plan"]["steps"] == ["create the schema", "load 2 tables"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--to DIR, or --into URL"),
        (["--to", "x", "--into", URL], "not both"),
        (["--into", URL, "--overwrite"], "--overwrite goes with --to"),
        (["--into", URL, "--jobs", "0"], "--jobs takes a number"),
        (["--into", URL, "--jobs", "many"], "--jobs takes a number"),
        (["--to", "x", "--create"], "--create goes with --into"),
        (["--to", "x", "--schema", "a"], "--schema goes with --into"),
        (["--to", "x", "--data-only"], "--data-only goes with --into"),
        (["--to", "x", "--jobs", "3"], "--jobs goes with --into"),
        (["--to", "x", "--no-owner"], "--no-owner goes with --into"),
        (["--to", "x", "--verbose"], "--verbose goes with --into"),
        (["a/path", "--into", URL], "Paths go with --to"),
    ],
)
def test_options_that_do_not_go_together(cli: Cli, options: list[str], said: str) -> None:
    ran = answering(cli)("restore", "shop@latest", *options)
    assert ran.code == 2
    assert said in ran.err
    assert cli.app.calls == []


def test_an_interrupted_restore_says_how_to_go_on(cli: Cli) -> None:
    ran = answering(cli, done=KeyboardInterrupt())("restore", "shop@latest", "--into", URL)
    assert ran.code == 130
    assert "Drop what it created" in ran.err
