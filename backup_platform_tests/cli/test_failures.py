"""Exit codes, messages and JSON objects of everything that can go wrong."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from backup_platform import errors
from backup_platform.advice import command
from backup_platform.cli import context
from backup_platform.errors import BackupError, DamageError, RepositoryMissingError, StoreError, UsageError
from backup_platform_tests.cli.conftest import Cli
from backup_platform_tests.cli.fake import FakeApp, make_entry, make_point

CODES = [
    (errors.PlanError, 2),
    (errors.UsageError, 2),
    (errors.NotFoundError, 11),
    (errors.RepositoryMissingError, 10),
    (errors.KeyMissingError, 12),
    (errors.DamageError, 1),
    (errors.StoreError, 1),
    (errors.SourceMissingError, 1),
    (errors.SourceBusyError, 1),
    (errors.WindowError, 1),
    (errors.IncompleteError, 3),
    (errors.ProofError, 1),
    (errors.TargetError, 1),
]


@pytest.mark.parametrize(("kind", "code"), CODES)
def test_every_error_has_its_exit_code_and_is_told_with_its_hint(
    cli: Cli, kind: type[BackupError], code: int
) -> None:
    cli.app.answers["points.all"] = kind("It broke.", hint="Mend it.")
    ran = cli("points")
    assert ran.code == code
    assert ran.err == f"error [{kind.code}]: It broke.\nhint: Mend it.\n"
    assert ran.out == ""


@pytest.mark.parametrize(("kind", "code"), CODES)
def test_with_json_the_error_is_also_the_document(cli: Cli, kind: type[BackupError], code: int) -> None:
    hint = ("Run ", command("verify"), ".")
    about: dict[str, Any] = (
        {"subject": "packs/ab", "repository": "main", "said": "no"} if kind is StoreError else {}
    )
    cli.app.answers["points.all"] = kind("It broke.", hint=hint, **about)
    ran = cli("points", "--json", "--plan", "p.yaml")
    words = ["backup-platform", "--plan", "p.yaml", "verify"]
    error = {
        "code": kind.code,
        "message": "It broke.",
        "hint": f"Run `{' '.join(words)}`.",
        "advice": [{"text": "Run "}, {"text": " ".join(words), "command": words}, {"text": "."}],
        "subject": about.get("subject"),
        "repository": about.get("repository"),
        "said": about.get("said"),
        "exit_code": code,
        "retryable": kind is errors.SourceBusyError,
    }
    assert ran.code == code
    assert ran.document == {"error": error}
    assert "It broke." in ran.err


def test_several_errors_of_a_plan_keep_their_lines_but_cannot_act_on_the_terminal(cli: Cli) -> None:
    cli.app.answers["points.all"] = errors.PlanError("backup.yaml:3: no\nbackup.yaml:4: \x1b[2Jno")
    assert cli("points").err == "error [plan-invalid]: backup.yaml:3: no\n  backup.yaml:4: \\x1b[2Jno\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["pints"], "No such command 'pints'. Did you mean 'points'"),
        (["points", "--nope"], "No such option: --nope"),
        (["show"], "Missing argument 'POINT'"),
        (["points", "a", "b"], "unexpected extra argument"),
        (["backup", "--window", "2026-11-22"], "--window needs a SOURCE"),
    ],
)
def test_wrong_usage_is_exit_code_2_with_a_way_on(cli: Cli, arguments: list[str], told: str) -> None:
    ran = cli(*arguments)
    assert ran.code == 2
    assert ran.err.startswith("error [usage]: ")
    assert told in ran.err
    assert "hint: " in ran.err
    assert cli("--json", *arguments).document["error"]["exit_code"] == 2
    assert cli.app.calls == []


def test_without_a_verb_the_help_is_shown_and_the_exit_code_is_2(cli: Cli) -> None:
    ran = cli()
    assert ran.code == 2
    assert "Exit codes:" in ran.out


def test_an_unexpected_error_is_short_unless_asked(cli: Cli) -> None:
    cli.app.answers["points.all"] = ValueError("boom")
    ran = cli("points")
    assert ran.code == 1
    assert ran.err.startswith("error [unexpected]: ValueError: boom\nhint: ")
    assert "Traceback" not in ran.err
    assert "Traceback" in cli("points", "--debug").err
    assert "Traceback" in cli("--debug", "points").err
    assert cli("points", "--json").document["error"]["code"] == "unexpected"


def test_an_error_of_ours_never_shows_a_traceback(cli: Cli) -> None:
    cli.app.answers["points.all"] = errors.DamageError("It broke.")
    assert "Traceback" not in cli("points", "--debug").err


def test_an_interrupt_is_told_and_is_130(cli: Cli) -> None:
    cli.app.answers["points.all"] = KeyboardInterrupt()
    ran = cli("points")
    assert (ran.code, ran.err) == (130, "error [interrupted]: interrupted\n")
    assert cli("points", "--json").document["error"]["code"] == "interrupted"


def test_an_interrupted_backup_says_what_happens_to_what_was_stored(cli: Cli) -> None:
    cli.app.captured["shop"] = KeyboardInterrupt()
    ran = cli("backup", "shop")
    assert ran.code == 130
    assert "hint: What was stored so far is kept" in ran.err


def record_plans(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    asked: list[str | None] = []

    def load(plan: str | None) -> FakeApp:
        asked.append(plan)
        return cli.app

    monkeypatch.setattr(context, "app_factory", load)
    return asked


@pytest.mark.parametrize(
    "arguments", [["--plan", "p.yaml", "points"], ["points", "--plan", "p.yaml"], ["points", "--plan=p.yaml"]]
)
def test_the_plan_may_be_given_before_or_after_the_verb(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    asked = record_plans(cli, monkeypatch)
    assert cli(*arguments).code == 0
    assert asked == ["p.yaml"]


def test_without_the_option_the_application_chooses_the_plan(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = record_plans(cli, monkeypatch)
    cli("points")
    assert asked == [None]


def test_json_before_the_verb_counts_too_but_not_after_two_dashes(cli: Cli) -> None:
    cli.app.known = [make_point()]
    assert cli("--json", "points").document["points"][0]["source"] == "shop"
    assert cli("points", "--", "--json").out == "There are no recovery points of --json yet.\n"


HEAD = """
import sys
from backup_platform.cli import context
from backup_platform.cli.entry import main
from backup_platform_tests.cli.fake import FakeApp, make_entry, make_point
entries = [make_entry(b"name%d" % i) for i in range(100_000)]
app = FakeApp(known=[make_point()], answers={"points.entries": entries})
context.app_factory = lambda plan: app
sys.exit(main())
"""


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_goes_away_ends_the_verb_quietly(options: list[str]) -> None:
    command = [sys.executable, "-c", HEAD, "ls", "shop@latest", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_text_that_the_locale_cannot_hold_is_escaped(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    cli.app.known = [make_point()]
    cli.app.answers["points.entries"] = [make_entry("Größe".encode())]
    assert cli("ls", "shop@latest").code == 0
    assert b"Gr\\xf6\\xdfe" in raw.getvalue()


def test_a_document_that_breaks_off_still_parses_and_says_so(cli: Cli) -> None:
    cli.app.known = [make_point()]
    cli.app.answers["points.entries"] = [make_entry(b"a"), errors.DamageError("pack 7 is altered")]
    ran = cli("ls", "shop@latest", "--json")
    assert ran.code == 1
    assert [entry["path"] for entry in ran.document["entries"]] == ["a"]
    assert ran.document["error"]["code"] == "repository-damaged"
    assert json.loads(ran.out)
    assert os.linesep.join(ran.err.splitlines()) == "error [repository-damaged]: pack 7 is altered"


@pytest.mark.parametrize("error", [StoreError("down"), RepositoryMissingError("gone"), DamageError("rot")])
def test_who_cannot_read_the_repository_is_told_of_its_copies(cli: Cli, error: BackupError) -> None:
    cli.app.repositories, cli.app.answers["points.all"] = ("main", "offsite", "vault"), error
    assert "hint: Copies are in offsite, vault: add `--repository offsite`." in cli("points").err
    error.advice = ()
    assert "Copies" not in cli("points", "--repository", "offsite").err
    for other in (UsageError("no"), StoreError("is away", repository="vault")):
        cli.app.answers["points.all"] = other
        assert "Copies" not in cli("points").err
