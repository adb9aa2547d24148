from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from backup_platform import errors
from backup_platform.actions.doctor.run import DoctorFinding
from backup_platform.cli.failure import READER_GONE
from backup_platform_tests.cli.conftest import Cli
from backup_platform_tests.cli.fake import NOON, drilled, make_point, make_problems

POINT = make_point()


def test_init_tells_where_it_is_and_what_comes_next(cli: Cli) -> None:
    cli.app.answers["init"] = SimpleNamespace(
        id="abcd" * 16,
        location="/var/backups/main",
        created_at=NOON,
        encryption="none",
        fingerprint="0abcd-12345",
    )
    ran = cli("init", "--plan", "p.yaml")
    assert ran.code == 0
    assert ran.out == (
        "Made repository abcdabcdabcd at /var/backups/main (encryption: none).\n"
        "Its fingerprint: 0abcd-12345\n"
        "Write it into the plan as repository.fingerprint, and on the recovery sheet (docs/rescue.md). A restore can "
        "then detect another repository in its place.\n"
        "Next: backup-platform --plan p.yaml backup\n"
    )
    assert cli("init", "--json").document["repository"]["created_at"] == "2026-11-22T12:00:00Z"


def test_a_drill_that_passes(cli: Cli) -> None:
    cli.app.answers["proofs.drill"] = drilled(POINT)
    ran = cli("drill", "shop@latest")
    assert ran.code == 0
    assert ran.out == (
        "PASSED: shop, window 2026-11-22 (Europe/Berlin), point 2273686f70aa, in 0.50 s\n"
        "  compared:\n    pages: 1,234\n"
    )
    document = cli("drill", "shop@latest", "--json").document
    assert (document["passed"], document["differences"]) == (True, [])
    assert document["proof"]["method"] == "drill"


def test_a_drill_that_fails_is_exit_code_1_and_tells_the_differences(cli: Cli) -> None:
    cli.app.answers["proofs.drill"] = drilled(POINT, *(f"row {number} differs" for number in range(60)))
    ran = cli("drill", "shop@latest")
    assert ran.code == 1
    assert "FAILED: shop" in ran.out
    assert ran.out.count("x row ") == 50
    assert "  and 10 more; --json lists all\n" in ran.out
    assert len(cli("drill", "shop@latest", "--json").document["differences"]) == 60


def test_a_verdict_that_the_store_does_not_take_is_the_exit_code_all_the_same(cli: Cli) -> None:
    cli.app.answers["proofs.drill"] = result = drilled(POINT)
    result.unrecorded.error = errors.StoreRefusedError("it is read-only")
    ran = cli("drill", "shop@latest")
    assert ran.code == 0
    assert ran.out.endswith("The proof could not be recorded: it is read-only\n")
    assert cli("drill", "shop@latest", "--json").document["unrecorded"] == "it is read-only"


def test_a_drill_of_an_incomplete_point_says_what_it_does_not_prove(cli: Cli) -> None:
    cli.app.answers["proofs.drill"] = drilled(make_point(**make_problems(1)))
    assert "not what is missing from it" in cli("drill", "shop@latest").out


ZONES = "Times are in UTC, and the windows of a source in its own zone.\n"


def test_doctor(cli: Cli) -> None:
    cli.app.answers["doctor"] = [
        DoctorFinding("plan", True, "2 sources", "-"),
        DoctorFinding("repository", True, "there"),
    ]
    ran = cli("doctor")
    assert (ran.code, ran.out) == (0, "ok    plan: 2 sources\nok    repository: there\n" + ZONES)
    cli.app.answers["doctor"].append(DoctorFinding("shop", False, "no such file", "Is it mounted?"))
    ran = cli("doctor")
    assert ran.code == 1
    assert ran.out.endswith("FAIL  shop: no such file\n      Is it mounted?\n" + ZONES)
    document = cli("doctor", "--json").document
    assert (document["passed"], len(document["findings"])) == (False, 3)


VERBS = ["init", "backup", "points", "show", "ls", "verify", "drill", "restore", "diff", "doctor", "copy"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_the_shared_options_and_the_exit_codes(
    cli: Cli, verb: str
) -> None:
    ran = cli(verb, "--help")
    assert ran.code == 0
    example = ran.out.partition("Example")[2]
    assert f"backup-platform {verb}" in example or f"backup.yaml {verb}" in example
    for part in ("--plan FILE", "--json", "Exit codes:", "  130  interrupted"):
        assert part in ran.out


def test_the_help_lists_every_verb(cli: Cli) -> None:
    ran = cli("--help")
    assert ran.code == 0
    for verb in VERBS:
        assert f"\n  {verb} " in ran.out
    assert "..." not in ran.out.replace("]...", ""), "a sentence that stops in its middle"


def test_the_documented_exit_codes_are_those_of_the_errors(cli: Cli) -> None:
    text = cli("--help").out.partition("Exit codes:")[2]
    told = {int(code) for code in re.findall(r"^ +(\d+)  ", text, re.MULTILINE)}
    raised = {kind.exit_code for kind in vars(errors).values() if hasattr(kind, "exit_code")}
    assert told == raised | {0, 130, READER_GONE}


@pytest.mark.parametrize("words", [["--repository", "offsite", "show"], ["show", "--repository", "offsite"]])
def test_a_repository_is_named_before_or_after_the_verb(cli: Cli, words: list[str]) -> None:
    cli.app.known = [make_point()]
    ran = cli(*words, "shop@latest")
    assert ran.code == 0
    assert cli.app.calls[0] == ("at", {"repository": "offsite"})
    assert "backup-platform --repository offsite restore" in ran.out
