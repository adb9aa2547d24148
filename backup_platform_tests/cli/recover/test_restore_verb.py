from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from backup_platform import errors
from backup_platform.actions.restore.run import RestorePlan, RestoreSummary
from backup_platform_tests.cli.conftest import Cli
from backup_platform_tests.cli.fake import make_point

PLAN = RestorePlan(
    point=make_point(),
    to="/tmp/shop",
    paths=(),
    overwrite=False,
    files=2,
    directories=1,
    symlinks=0,
    other=0,
    hardlinks=0,
    bytes=5_000_000,
    creates=3,
    replaces=0,
    keeps=0,
    conflicts=(),
    conflict_count=0,
    unavailable=(),
    unavailable_count=0,
    free_bytes=90_000_000_000,
    resumes=False,
    fresh=True,
    wanted=(),
)
DONE = RestoreSummary(files=2, bytes=5_000_000, skipped=0, warnings=(), warning_count=0, duration_s=2.0)


def answering(cli: Cli, plan: RestorePlan = PLAN, done: Any = DONE) -> Cli:
    cli.app.answers |= {"restores.plan": plan, "restores.run": done}
    return cli


def test_a_restore_tells_what_it_wrote(cli: Cli) -> None:
    ran = answering(cli)("restore", "shop@latest", "a", "b c", "--to", "/tmp/shop", "--overwrite")
    assert ran.code == 0
    assert cli.app.calls[0] == (
        "restores.plan",
        {"spec": "shop@latest", "to": "/tmp/shop", "paths": ["a", "b c"], "overwrite": True},
    )
    assert ran.out.splitlines() == [
        "restored shop, window 2026-11-22 (Europe/Berlin), point 2273686f70aa, into /tmp/shop",
        "  2 files, 5.0 MB written and read back, 2.0 s, 2.5 MB/s",
    ]


def test_without_paths_everything_is_asked_for(cli: Cli) -> None:
    answering(cli)("restore", "shop@latest", "--to", "x")
    assert cli.app.calls[0][1]["paths"] == []


def test_without_a_target_it_is_wrong_usage(cli: Cli) -> None:
    ran = answering(cli)("restore", "shop@latest")
    assert ran.code == 2
    assert "--to" in ran.err


def test_a_dry_run_writes_nothing_and_tells_the_plan(cli: Cli) -> None:
    plan = replace(PLAN, symlinks=1, other=2, replaces=4, keeps=1, resumes=True)
    ran = answering(cli, plan)("restore", "shop@latest", "--to", "/tmp/shop", "--dry-run")
    assert ran.code == 0
    assert [name for name, _ in cli.app.calls] == ["restores.plan"]
    assert ran.out.splitlines() == [
        "shop, window 2026-11-22 (Europe/Berlin), point 2273686f70aa, into /tmp/shop; nothing was written",
        "  2 files, 1 directory, 1 symbolic link, 2 others",
        "  5.0 MB to write, 90.0 GB free",
        "  3 new",
        "  4 to replace",
        "  1 there already, to be compared",
        "  continues an interrupted restore",
    ]


def test_a_dry_run_fails_as_the_restore_would(cli: Cli) -> None:
    plan = replace(PLAN, conflicts=tuple(f"f{i}" for i in range(100)), conflict_count=120)
    ran = answering(cli, plan)("restore", "shop@latest", "--to", "/tmp/shop", "--dry-run")
    assert ran.code == 1
    assert ran.out.count("  in the way: f") == 10
    assert ran.out.endswith("  and 110 more\n")


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_what_the_point_does_not_hold_is_exit_code_3(cli: Cli, options: list[str]) -> None:
    plan = replace(PLAN, unavailable=("gone: vanished",), unavailable_count=1)
    done = replace(DONE, warnings=("gone: vanished",), warning_count=1)
    ran = answering(cli, plan, done)("restore", "uploads@latest", "--to", "x", *options)
    assert ran.code == 3
    assert "gone: vanished" in ran.out


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_what_is_refused_is_exit_code_3(cli: Cli, options: list[str]) -> None:
    plan = replace(PLAN, refused=("ro/f: this user may not write",), refused_count=1)
    done = replace(DONE, failures=("ro/f: Permission denied",), failure_count=12)
    ran = answering(cli, plan, done)("restore", "uploads@latest", "--to", "x", *options)
    assert ran.code == 3
    assert ("cannot be restored: ro/f" if options else "not restored: ro/f: Permission denied") in ran.out
    assert options or "12 entries not restored; the rest is" in ran.out


def test_warnings_are_told_and_are_no_failure(cli: Cli) -> None:
    done = replace(DONE, skipped=3, warnings=("f: its owner 0 could not be set\x1b[2J",), warning_count=1)
    ran = answering(cli, done=done)("restore", "shop@latest", "--to", "x")
    assert ran.code == 0
    assert ran.out.endswith(
        "  3 files there already, and equal\n  warning: f: its owner 0 could not be set\\x1b[2J\n"
    )


def test_the_document_of_a_restore(cli: Cli) -> None:
    document = answering(cli)("restore", "shop@latest", "--to", "x", "--json").document
    assert document["dry_run"] is False
    assert (document["plan"]["files"], document["plan"]["point"]["source"]) == (2, "shop")
    assert document["result"] == {
        "files": 2,
        "bytes": 5_000_000,
        "skipped": 0,
        "duration_s": 2.0,
        "warning_count": 0,
        "warnings": [],
        "failure_count": 0,
        "failures": [],
    }
    assert cli("restore", "shop@latest", "--to", "x", "--json", "--dry-run").document["result"] is None


def test_an_interrupted_restore_says_how_to_go_on(cli: Cli) -> None:
    ran = answering(cli, done=KeyboardInterrupt())("restore", "shop@latest", "--to", "x")
    assert ran.code == 130
    assert "hint: Run the same command again: it continues where it stopped." in ran.err


def test_an_occupied_target_is_a_failure(cli: Cli) -> None:
    answering(cli, done=errors.TargetError("x already holds f.", hint="Restore elsewhere."))
    assert cli("restore", "shop@latest", "--to", "x").code == 1
