"""The table of checks: its rows give what they say, and nothing else lists or names a check."""

from __future__ import annotations

import ast
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backup_platform.actions.checks import table
from backup_platform.actions.checks.table import CheckRow, Pruned, judged
from backup_platform.actions.forget.run import ForgetSummary
from backup_platform.app import App
from backup_platform.clock import SILENT
from backup_platform.domain.checks import Check, CheckResult
from backup_platform.domain.model import RecoveryPoint
from backup_platform.domain.schema_change import SCHEMA_UNCHANGED

ROOT = Path(__file__).resolve().parents[3]
PLAN = """
repositories: {main: {path: main, verify: {cycle: 30d}}, offsite: {path: offsite}}
sources: {shop: {sqlite: shop.db, every: day, repositories: [main, offsite]}}
"""
TABLES: tuple[Sequence[CheckRow[Any]], ...] = (
    table.OF_POINTS,
    table.OF_COPIES,
    table.OF_PLACES,
    table.OF_PRUNE,
    table.OF_READING,
    table.OF_PLAN,
)


@pytest.fixture
def app(tmp_path: Path) -> App:
    """A database in a repository and in its copy."""
    (tmp_path / "backup.yaml").write_text(PLAN)
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
        connection.execute("create table orders (id integer primary key)")
    made = App.load(str(tmp_path / "backup.yaml"))
    made.setup.init()
    made.at("offsite").setup.init()
    return made


def copied(app: App) -> RecoveryPoint:
    point = app.backups.run("shop").point
    copying = app.at("offsite").copies.copying(app.repository)
    copying.run(copying.plan([point])).require()
    return point


def fits(results: Iterable[CheckResult], checks: Iterable[Check]) -> bool:
    """Whether these are results of these checks, in their order."""
    found, expected = list(results), list(checks)
    severe = [result.severity == "error" for result in found]
    allowed = [check.severity == "error" for check in expected]
    named = [result.name for result in found] == [check.name for check in expected]
    return named and all(may or not is_so for is_so, may in zip(severe, allowed, strict=True))


def of(rows: Iterable[CheckRow[Any]]) -> list[Check]:
    return [row.check for row in rows]


def test_each_row_gives_the_result_of_its_check(app: App) -> None:
    point = copied(app)
    there = app.at("offsite")
    common = [table.STORED, table.COMPLETE, table.AUTHENTIC, table.PLAUSIBLE]
    assert app.proofs.checks_of("shop") == [*common, SCHEMA_UNCHANGED, table.DRILL]
    assert fits(app.proofs.checks(point), app.proofs.checks_of("shop"))
    assert fits(there.copies.checks(point, SILENT), [table.STORED, table.AUTHENTIC])
    assert fits([app.copies.in_place(point, {"main": [point], "offsite": [point]})], [table.COPIES_IN_PLACE])
    pruned = Pruned(ForgetSummary(()), ["the store is read-only"])
    assert fits(judged(table.OF_PRUNE, pruned), [table.NOTHING_REFUSED])
    assert fits(judged(table.OF_PLAN, app.setup.coverage()), [table.EVERYTHING_IN_A_SOURCE])
    read = app.proofs.verify(read="due")
    assert fits(judged(table.OF_READING, read), [table.STORED, table.READ_RECENTLY])


def test_a_repository_that_is_not_read_in_turns_is_not_judged_for_it(app: App) -> None:
    copied(app)
    read = app.at("offsite").proofs.verify()
    assert fits(judged(table.OF_READING, read), [table.STORED])


def test_what_reads_the_store_is_judged_first_and_without_the_cache() -> None:
    seen: list[str] = []

    @contextmanager
    def direct() -> Iterator[None]:
        seen.append("begin")
        yield
        seen.append("end")

    def judge(check: Check, given: None) -> CheckResult:
        seen.append(check.name)
        return check.result(True, "")

    checks = [Check(name, "error", "") for name in ("cached", "stored")]
    rows = [CheckRow(check, partial(judge, check), direct=check.name == "stored") for check in checks]
    assert fits(judged(rows, None, direct), checks)
    assert seen == ["begin", "stored", "end", "cached"]


@pytest.mark.parametrize("rows", [table.OF_POINTS, table.OF_COPIES])
def test_the_cache_says_nothing_of_what_is_stored(rows: Sequence[CheckRow[Any]]) -> None:
    assert [row.check for row in rows if row.direct] == [table.STORED, table.AUTHENTIC]


def test_a_name_stands_for_one_check() -> None:
    listed = [check for name, check in vars(table).items() if isinstance(check, Check)]
    assert len({check.name for check in listed}) == len(listed) == 9
    assert {check.name for rows in TABLES for check in of(rows)} == {check.name for check in listed}
    for rows in TABLES:
        assert len({check.name for check in of(rows)}) == len(rows)


# What kinds share stands with them: `KindCheck` is the row of a kind.
MAKE_RESULTS = {"domain/checks.py", "domain/schema_change.py"}


def test_results_are_made_by_their_checks() -> None:
    """So the name of a check and its severity stand in the table only."""
    package = ROOT / "backup_platform"
    texts = {str(path.relative_to(package)): path.read_text() for path in package.rglob("*.py")}
    making = {
        name
        for name, text in texts.items()
        if "CheckResult(" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "CheckResult"
    }
    assert making == MAKE_RESULTS


def test_the_documentation_names_each_check() -> None:
    text = (ROOT / "docs/dagster.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert [name for name in rows if name in {check.name for check in of(table.OF_POINTS)}] == [
        check.name for check in of(table.OF_POINTS)
    ]
    assert [name for rows in TABLES for name in (c.name for c in of(rows)) if f"`{name}`" not in text] == []
