"""Captures while other processes write: each is one state of the database, and its facts are that state's."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from backup_platform.clock import SILENT
from backup_platform.domain.model import Stat
from backup_platform.domain.ports import Buffer
from backup_platform_tests.sources.sqlite_support import (
    CountingProgress,
    MemoryRepository,
    database,
    point_of,
    process,
    restore,
    shop,
    source_of,
)
from backup_platform_tests.support import Restored

ACCOUNTS = 2000
ROUNDS = 20

TRANSFERS = """
import random, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
print("ready", flush=True)
while True:
    connection.execute("BEGIN IMMEDIATE")
    for _ in range(20):
        a, b, amount = random.randrange(1, 2001), random.randrange(1, 2001), random.randrange(100)
        connection.execute("UPDATE accounts SET balance = balance - ? WHERE id = ?", (amount, a))
        connection.execute("UPDATE accounts SET balance = balance + ? WHERE id = ?", (amount, b))
    connection.execute("INSERT INTO transfers VALUES (?)", (b"x" * random.randrange(3000),))
    connection.execute("UPDATE total SET transfers = transfers + 1")
    connection.execute("COMMIT")
"""


def bank(path: Path, mode: str) -> str:
    return database(
        path,
        "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INT, padding TEXT)",
        f"""WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {ACCOUNTS})
            INSERT INTO accounts SELECT i, 1000, hex(zeroblob(400)) FROM n""",
        "CREATE TABLE transfers (padding BLOB)",
        "CREATE TABLE total (transfers INT)",
        "INSERT INTO total VALUES (0)",
        mode=mode,
    )


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_every_capture_beside_a_busy_writer_is_one_state(mode: str, tmp_path: Path) -> None:
    path, repository, seen = bank(tmp_path / "bank.db", mode), MemoryRepository(), []
    with process(TRANSFERS, path):
        for _ in range(ROUNDS):
            taken = source_of(path, lock_timeout=60).capture(repository.begin(), CountingProgress())
            copy = restore(repository, tmp_path / "restored")
            report = source_of(path).drill(
                point_of(taken), repository, Restored(str(tmp_path / "restored")), SILENT
            )
            assert report.differences == ()
            seen.append(transfers_of(copy))
            time.sleep(0.02)
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


def transfers_of(path: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        balances, rows = connection.execute("SELECT sum(balance), count(*) FROM accounts").fetchone()
        assert (balances, rows) == (ACCOUNTS * 1000, ACCOUNTS)
        (transfers,) = connection.execute("SELECT count(*) FROM transfers").fetchone()
        assert connection.execute("SELECT transfers FROM total").fetchone() == (transfers,)
    return int(transfers)


class Interposing(MemoryRepository):
    """Writes to the database between the facts and the copy, and again while the copy is being stored."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.outcomes: list[str] = []

    def reuse(self, stats: Sequence[Stat]) -> Sequence[bool]:
        self.outcomes.append(insert(self.path))
        return super().reuse(stats)

    def blob(self, data: Buffer) -> bytes:
        if len(self.outcomes) == 1:
            self.outcomes.append(insert(self.path))
        return super().blob(data)


def insert(path: str) -> str:
    """Another connection in another process: SQLite shares nothing with this one."""
    code = """if True:
        import sqlite3, sys
        try:
            connection = sqlite3.connect(sys.argv[1], timeout=0.2, isolation_level=None)
            connection.execute("INSERT INTO items SELECT NULL, hex(randomblob(2000)), 0 FROM items LIMIT 50")
            print("committed")
        except sqlite3.OperationalError as error:
            print(error)
    """
    return subprocess.check_output([sys.executable, "-c", code, path], text=True).strip()


def test_a_commit_between_the_facts_and_the_copy_is_in_neither(tmp_path: Path) -> None:
    path = shop(tmp_path / "shop.db", mode="wal", rows=500)
    repository = Interposing(path)
    taken = source_of(path).capture(repository, CountingProgress())
    assert repository.outcomes == ["committed", "committed"]
    assert taken.facts["row_counts"] == {"items": 500}
    restore(repository, tmp_path / "restored")
    assert (
        source_of(path)
        .drill(point_of(taken), repository, Restored(str(tmp_path / "restored")), SILENT)
        .differences
        == ()
    )
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM items").fetchone() == (600,)


def test_with_a_rollback_journal_a_commit_waits_for_the_copy_and_not_for_the_repository(
    tmp_path: Path,
) -> None:
    path = shop(tmp_path / "shop.db", rows=500)
    repository = Interposing(path)
    taken = source_of(path).capture(repository, CountingProgress())
    assert repository.outcomes == ["database is locked", "committed"]
    restore(repository, tmp_path / "restored")
    assert (
        source_of(path)
        .drill(point_of(taken), repository, Restored(str(tmp_path / "restored")), SILENT)
        .differences
        == ()
    )


def test_a_transaction_that_is_not_committed_is_not_captured(tmp_path: Path) -> None:
    for mode in ("delete", "wal"):
        path = shop(tmp_path / f"{mode}.db", mode=mode, rows=500)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM items")
            taken = source_of(path).capture(MemoryRepository(), CountingProgress())
            connection.execute("ROLLBACK")
        assert taken.facts["row_counts"] == {"items": 500}


def test_the_source_is_never_written_to(tmp_path: Path) -> None:
    path = shop(tmp_path / "shop.db")
    before, content = Path(path).stat(), Path(path).read_bytes()
    source_of(path).capture(MemoryRepository(), CountingProgress())
    after = Path(path).stat()
    assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)
    assert Path(path).read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["shop.db"]
