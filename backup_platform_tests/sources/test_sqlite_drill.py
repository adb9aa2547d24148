"""A drill passes over what was captured and names what differs; it never raises over a bad file."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from backup_platform.clock import SILENT
from backup_platform.domain.model import Capture, Content, Json
from backup_platform.domain.ports import Buffer, DrillReport
from backup_platform.domain.time_limit import TimeLimit
from backup_platform.errors import DamageError, TimeLimitError
from backup_platform_tests.sources.sqlite_support import (
    MemoryRepository,
    capture,
    database,
    point_of,
    restore,
    shop,
    source_of,
)
from backup_platform_tests.support import Restored


class Drilled:
    """A captured and restored shop, to be damaged and drilled."""

    def __init__(self, path: str, directory: Path) -> None:
        self.source, self.repository, self.directory = source_of(path), MemoryRepository(), directory
        self.taken: Capture = capture(path, self.repository)
        self.file = restore(self.repository, directory)

    def drill(self, **facts: Json) -> DrillReport:
        point = point_of(self.taken)
        point = replace(point, facts={**point.facts, **facts})
        return self.source.drill(point, self.repository, Restored(str(self.directory)), SILENT)


@pytest.fixture
def drilled(tmp_path: Path) -> Drilled:
    return Drilled(shop(tmp_path / "shop.db"), tmp_path / "restored")


def test_what_was_compared_is_said(drilled: Drilled) -> None:
    report = drilled.drill()
    assert report.differences == ()
    assert report.compared["bytes"] == os.path.getsize(drilled.file)
    assert report.compared["bytes_equal"] is True
    assert (report.compared["tables"], report.compared["rows"]) == (1, 2000)
    assert (report.compared["integrity_check"], report.compared["integrity_unchecked_tables"]) == ("ok", [])
    json.dumps(report.compared)


def test_a_check_that_takes_too_long_is_no_check(drilled: Drilled) -> None:
    """What is interrupted looks like a table that only the application could check."""
    late = Restored(str(drilled.directory), TimeLimit(0))
    with pytest.raises(TimeLimitError):
        drilled.source.drill(point_of(drilled.taken), drilled.repository, late, SILENT)


def flip(path: str, at: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def append(path: str) -> None:
    with open(path, "ab") as file:
        file.write(bytes(4096))


def overwrite(path: str) -> None:
    Path(path).write_bytes(b"not a database at all " * 500)


def make_directory(path: str) -> None:
    os.unlink(path)
    os.mkdir(path)


DAMAGES: dict[str, tuple[Callable[[str], None], str]] = {
    "a flipped bit": (lambda path: flip(path, 10_000), "the first at byte 10,000"),
    "a flipped bit in the header": (lambda path: flip(path, 3), "the first at byte 3"),
    "cut short": (lambda path: os.truncate(path, 12_345), "12,345 bytes"),
    "empty": (lambda path: os.truncate(path, 0), "0 bytes"),
    "too long": (append, "restored file has"),
    "another file": (overwrite, "blocks differ"),
    "missing": (os.unlink, "cannot be read: No such file"),
    "a directory": (make_directory, "cannot be read: Is a directory"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_a_difference(name: str, drilled: Drilled) -> None:
    damage, expected = DAMAGES[name]
    damage(drilled.file)
    report = drilled.drill()
    assert any(expected in difference for difference in report.differences), report.differences
    assert "bytes_equal" not in report.compared
    assert not any("damaged already" in difference for difference in report.differences)


def test_every_byte_of_the_file_counts(tmp_path: Path) -> None:
    drilled = Drilled(
        database(tmp_path / "x.db", "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)"), tmp_path / "r"
    )
    for at in range(0, os.path.getsize(drilled.file), 7):
        flip(drilled.file, at)
        assert drilled.drill().differences, at
        flip(drilled.file, at)
    assert drilled.drill().differences == ()


FACTS: dict[str, Json] = {
    "page_size": 512,
    "page_count": 1,
    "freelist_count": 9,
    "user_version": 9,
    "application_id": 9,
    "schema_version": 99,
    "auto_vacuum": 1,
    "encoding": "UTF-16le",
    "journal_mode": "wal",
    "schema_objects": 9,
    "schema_fingerprint": "00",
    "foreign_key_violations": 1,
    "foreign_key_problem": "x",
    "virtual_tables": ["v"],
    "uncounted_tables": {"t": "x"},
    "row_counts": {"items": 1999},
}


@pytest.mark.parametrize("name", FACTS)
def test_each_fact_of_the_source_is_compared(name: str, drilled: Drilled) -> None:
    report = drilled.drill(**{name: FACTS[name]})
    assert len(report.differences) == 1


def test_a_lost_table_and_a_new_one_are_named(drilled: Drilled) -> None:
    report = drilled.drill(row_counts={"orders": 3})
    assert any("'orders': 3 rows in the source, None restored" in text for text in report.differences)
    assert any("'items': None rows in the source, 2000 restored" in text for text in report.differences)


def test_a_point_without_row_counts_does_not_pass(drilled: Drilled) -> None:
    assert drilled.drill(row_counts=None).differences == ("The recovery point has no row counts.",)


def test_differences_are_few_even_when_all_differs(drilled: Drilled) -> None:
    report = drilled.drill(row_counts={f"t{i}": i for i in range(500)})
    assert len(report.differences) == 21
    assert "481 more" in report.differences[-1]


def test_violations_that_the_source_had_are_no_difference(tmp_path: Path) -> None:
    statements = [
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE c (p INTEGER REFERENCES p (id))",
        "INSERT INTO c VALUES (1), (2), (NULL)",
    ]
    drilled = Drilled(database(tmp_path / "x.db", *statements), tmp_path / "restored")
    assert drilled.taken.facts["foreign_key_violations"] == 2
    assert drilled.drill().differences == ()
    assert len(drilled.drill(foreign_key_violations=0).differences) == 1


def test_foreign_keys_that_cannot_be_checked_are_said(tmp_path: Path) -> None:
    statements = ["CREATE TABLE p (a)", "CREATE TABLE c (p REFERENCES p (a))", "INSERT INTO c VALUES (1)"]
    drilled = Drilled(database(tmp_path / "x.db", *statements), tmp_path / "restored")
    assert drilled.taken.facts["foreign_key_violations"] is None
    assert "foreign key mismatch" in str(drilled.taken.facts["foreign_key_problem"])
    assert drilled.drill().differences == ()


def test_damage_that_was_captured_is_found_and_blamed_on_the_source(tmp_path: Path) -> None:
    path = shop(tmp_path / "shop.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = 'CREATE INDEX items_name ON items (price)' WHERE type = 'index'"
        )
    report = Drilled(path, tmp_path / "restored").drill()
    assert report.compared["bytes_equal"] is True
    assert report.compared["integrity_check"] == "failed"
    assert "damaged already" in report.differences[0]


def test_damage_of_the_repository_is_not_a_difference(
    drilled: Drilled, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(_: Content) -> list[Buffer]:
        raise DamageError("A blob is missing.")

    monkeypatch.setattr(drilled.repository, "read", read)
    with pytest.raises(DamageError):
        drilled.drill()


def test_an_inventory_of_anything_but_one_file_fails(drilled: Drilled) -> None:
    drilled.repository.rows.append(drilled.repository.rows[0])
    assert drilled.drill().differences == ("The inventory does not hold exactly one file.",)


def test_a_drill_leaves_the_restored_file_alone(tmp_path: Path) -> None:
    drilled = Drilled(shop(tmp_path / "shop.db", mode="wal"), tmp_path / "restored")
    before = Path(drilled.file).read_bytes()
    assert drilled.drill().differences == ()
    assert os.listdir(drilled.directory) == ["shop.db"]
    assert Path(drilled.file).read_bytes() == before
