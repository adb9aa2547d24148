from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from backup_platform.actions.evidence import Doubts
from backup_platform.domain.model import ProofMethod
from backup_platform.kinds import registry
from backup_platform_tests.cli.conftest import Cli
from backup_platform_tests.cli.fake import make_point, make_problems, make_proof

PROVEN, VERIFIED, UNPROVEN = (make_point("shop", day) for day in (19, 20, 21))
FAILED = make_point("shop", 22)
PARTIAL = make_point("uploads", 22, **make_problems(3))


@pytest.fixture
def filled(cli: Cli) -> Cli:
    cli.app.known = [PROVEN, VERIFIED, UNPROVEN, FAILED, PARTIAL]
    cli.app.recorded = {
        PROVEN.id: [make_proof(PROVEN)],
        VERIFIED.id: [make_proof(VERIFIED, ProofMethod.VERIFY)],
        FAILED.id: [make_proof(FAILED), make_proof(FAILED, passed=False, hours=5)],
        PARTIAL.id: [make_proof(PARTIAL)],
    }
    return cli


def test_points_are_listed_with_their_states(filled: Cli) -> None:
    ran = filled("points")
    assert ran.code == 0
    rows = [
        "source   window      captured          id                size     new  state",
        "shop     2026-11-19  2026-11-19 02:15  1973686f70aa  104.9 MB  3.1 MB  proven 2026-11-22 14:00",
        "shop     2026-11-20  2026-11-20 02:15  2073686f70aa  104.9 MB  3.1 MB  verified 2026-11-22 14:00",
        "shop     2026-11-21  2026-11-21 02:15  2173686f70aa  104.9 MB  3.1 MB  unproven",
        "shop     2026-11-22  2026-11-22 02:15  2273686f70aa  104.9 MB  3.1 MB  FAILED 2026-11-22 18:00",
        "uploads  2026-11-22  2026-11-22 02:15  2275706c6f61  104.9 MB  3.1 MB  incomplete, 3 problems",
        "5 points of 2 sources: 1 failed, 1 incomplete, 1 proven, 1 verified, 1 unproven. Times are in Europe/Berlin.",
    ]
    assert ran.out.replace("FAILED proof", "FAILED").splitlines() == rows
    assert "  FAILED proof 2026" in ran.out


def test_points_of_one_source(filled: Cli) -> None:
    assert filled("points", "uploads").out.count("\n") == 3


@pytest.mark.parametrize(
    ("arguments", "days"),
    [
        (["--last", "1"], ["shop 22", "uploads 22"]),
        (["--last", "2", "shop"], ["shop 21", "shop 22"]),
        (["--since", "2026-11-21"], ["shop 21", "shop 22", "uploads 22"]),
        (["--state", "proven"], ["shop 19"]),
        (["--state", "failed", "--since", "2026-11-22", "--last", "5"], ["shop 22"]),
        (["--since", "2027-01-01"], []),
    ],
)
def test_of_many_points_some(filled: Cli, arguments: list[str], days: list[str]) -> None:
    listed = filled("points", "--json", *arguments).document["points"]
    assert [f"{p['source']} {p['window']['key'][-2:]}" for p in listed] == days
    out = filled("points", *arguments).out
    assert f"{len(days)} of " in out if days else out == "None of 5 recovery points fits.\n"


def test_times_of_sources_in_different_zones_are_in_one(filled: Cli) -> None:
    filled.app.known.append(make_point("other", 22, timezone="Asia/Tokyo"))
    out = filled("points").out
    assert "other    2026-11-22  2026-11-22 01:15" in out
    assert "shop     2026-11-19  2026-11-19 01:15" in out
    assert out.endswith("Times are in UTC.\n")


@pytest.mark.parametrize(
    "arguments", [["--last", "0"], ["--last", "x"], ["--since", "2026-13"], ["--state", "good"]]
)
def test_a_choice_that_is_none(filled: Cli, arguments: list[str]) -> None:
    assert filled("points", *arguments).code == 2


def test_the_document_of_points_has_the_same_states(filled: Cli) -> None:
    listed = filled("points", "--json").document["points"]
    states = [each["state"] for each in listed]
    assert states == ["proven", "verified", "unproven", "failed", "incomplete"]
    assert listed[0]["window"] == {
        "key": "2026-11-19",
        "start": "2026-11-19T00:00:00Z",
        "end": "2026-11-20T00:00:00Z",
        "timezone": "Europe/Berlin",
    }
    assert listed[0]["proof"]["at"] == "2026-11-22T13:00:00Z"
    assert listed[2]["proof"] is None


def test_forged_records_are_told_and_fail_the_listing(filled: Cli) -> None:
    filled.app.doubts = Doubts(forged=("ledger/proofs/x",), older=("ledger/proofs/y",))
    filled.app.answers["keys.recipients"] = []
    for verb in (["points"], ["show", "shop@2026-11-19"], ["key", "list"]):
        ran = filled(*verb)
        assert ran.code == 1
        assert "FORGED  1 record of the ledger is forged" in ran.out
        assert "note: 1 record of the ledger has a name without a hash" in ran.out
        assert filled(*verb, "--json").document["forged"] == ["ledger/proofs/x"]


def test_no_points_are_said_to_be_none(cli: Cli) -> None:
    assert cli("points").out == "There are no recovery points yet.\n"
    assert cli("points", "--json").document == {
        "unreadable": [],
        "forged": [],
        "notes": [],
        "points": [],
    }


def test_show_tells_everything_and_how_to_restore(filled: Cli) -> None:
    ran = filled("show", "shop@2026-11-22", "--plan", "my plan.yaml")
    assert ran.code == 0
    for part in (
        FAILED.id,
        "FAILED proof 2026-11-22 18:00",
        "2026-11-22 02:15:00 +0100",
        "104.9 MB (104,857,600)",
        "sqlite 3.40.1",
        "pages: 1,234",
        "    orders: 10",
        "    items\\x1b[2J: 20",
        "drill  passed in 0.50 s",
        "drill  FAILED in 0.50 s",
        "  backup-platform --plan 'my plan.yaml' restore 2273686f70aa --to ./restored-shop",
    ):
        assert part in ran.out


def test_show_lists_all_problems_that_are_known(filled: Cli) -> None:
    filled.app.known = [make_point("uploads", **make_problems(250))]
    ran = filled("show", "uploads@latest")
    assert ran.out.count("  vanished: ") == 100
    assert "  and 150 more problems\n" in ran.out


def test_show_bounds_what_it_prints_of_a_fact_and_tells_how_a_database_is_restored(filled: Cli) -> None:
    facts = {"row_counts": {f"t{number}": number for number in range(500)}, "tables": 500}
    filled.app.known = [make_point("ledger", kind="postgres", facts=facts)]
    filled.app.kinds = registry.every()
    lines = filled("show", "ledger@latest").out.splitlines()
    assert "    t18: 18" in lines
    assert "    t19: 19" not in lines
    assert "    and 481 more lines: --json shows them" in lines
    assert "  tables: 500" in lines
    assert lines[-1].endswith(" --into postgresql://HOST/ledger --create")
    document = filled("show", "ledger@latest", "--json").document
    assert len(document["point"]["facts"]["row_counts"]) == 500


def test_the_document_of_show(filled: Cli) -> None:
    document = filled("show", "shop@2026-11-22", "--json").document
    point = document["point"]
    assert (point["state"], point["sequence"], point["facts"]["pages"]) == ("failed", 22, 1234)
    assert [proof["passed"] for proof in point["proofs"]] == [True, False]
    assert document["restore"]["all"].startswith("backup-platform restore 2273686f70aa --to ")


def test_a_point_that_was_never_drilled_says_so(filled: Cli) -> None:
    assert "It was never restored in a drill that passed." in filled("show", VERIFIED.id[:8]).out
    assert "never restored" not in filled("show", PROVEN.id[:8]).out


LISTING = """
import sys
from backup_platform.cli import context
from backup_platform.cli.entry import main
from backup_platform_tests.cli.fake import FakeApp, make_point, make_proof
point = make_point("a_rather_long_name")
app = FakeApp(known=[point], recorded={point.id: [make_proof(point)]})
context.app_factory = lambda plan: app
sys.exit(main())
"""


def lines_on_a_terminal(columns: int, **env: str) -> list[str]:
    ours, theirs = pty.openpty()
    settings = {**os.environ, "COLUMNS": str(columns), "LINES": "24", "TERM": "xterm", **env}
    subprocess.run([sys.executable, "-c", LISTING, "points"], stdout=theirs, check=True, env=settings)
    os.close(theirs)
    text = os.read(ours, 65536).decode()
    os.close(ours)
    return text.splitlines()


@pytest.mark.parametrize("columns", [60, 80, 100, 120])
def test_a_listing_fits_the_terminal_and_keeps_what_matters(columns: int) -> None:
    _, row, _ = lines_on_a_terminal(columns, NO_COLOR="1")
    assert len(row) <= columns
    for part in ("a_rather_long_name", "2026-11-22", "22615f72", "proven"):
        assert part in row


def test_colours_are_for_terminals_and_can_be_refused(filled: Cli) -> None:
    assert "\x1b[32mproven" in lines_on_a_terminal(120)[1]
    assert "\x1b" not in "".join(lines_on_a_terminal(120, NO_COLOR="1"))
    assert "\x1b" not in "".join(lines_on_a_terminal(120, TERM="dumb"))
    assert "\x1b" not in filled("points").out
