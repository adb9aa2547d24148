"""What a capture stores and says of a database that rests."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backup_platform.clock import SILENT
from backup_platform.domain.model import EntryKind, Json
from backup_platform.sources.sqlite.chunking import SMALL
from backup_platform_tests.sources.sqlite_support import (
    CountingProgress,
    MemoryRepository,
    capture,
    database,
    point_of,
    restore,
    shop,
    source_of,
)
from backup_platform_tests.support import Restored

OWN_COUNTERS = {*range(24, 28), *range(92, 100)}  # change counter, version-valid-for, SQLite's version

DATABASES = {
    "without_rowid": [
        "CREATE TABLE t (k TEXT PRIMARY KEY, v) WITHOUT ROWID",
        "INSERT INTO t VALUES ('a', 1), ('b', 2)",
    ],
    "full_text": [
        "CREATE VIRTUAL TABLE docs USING fts5(body)",
        "INSERT INTO docs VALUES ('the quick brown fox'), ('jumps over')",
    ],
    "generated": [
        "CREATE TABLE t (a INT, b INT AS (a * 2), c TEXT AS (a || '!') STORED)",
        "INSERT INTO t (a) VALUES (1), (2)",
    ],
    "triggers_and_views": [
        "CREATE TABLE t (a)",
        "CREATE TABLE log (n)",
        "CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.a); END",
        "CREATE VIEW v AS SELECT a FROM t",
        "INSERT INTO t VALUES (1), (2), (3)",
    ],
    "blobs": ["CREATE TABLE t (b BLOB)", "INSERT INTO t SELECT randomblob(300000)"],
    "big_pages": ["PRAGMA page_size = 65536", "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)"],
    "small_pages": [
        "PRAGMA page_size = 512",
        "CREATE TABLE t (a)",
        "INSERT INTO t VALUES (randomblob(5000))",
    ],
    "auto_vacuum": [
        "PRAGMA auto_vacuum = FULL",
        "CREATE TABLE t (a)",
        "INSERT INTO t VALUES (randomblob(9000))",
    ],
    "utf16": ["PRAGMA encoding = 'UTF-16le'", "CREATE TABLE t (a)", "INSERT INTO t VALUES ('ä')"],
    "free_pages": ["CREATE TABLE t (a)", "INSERT INTO t VALUES (randomblob(90000))", "DELETE FROM t"],
    "numbers": [
        "PRAGMA user_version = 7",
        "PRAGMA application_id = 42",
        "CREATE TABLE t (a)",
        "DROP TABLE t",
    ],
    "sequence": [
        "CREATE TABLE t (i INTEGER PRIMARY KEY AUTOINCREMENT)",
        "INSERT INTO t VALUES (NULL), (NULL)",
    ],
    "odd_names": ["""CREATE TABLE "a""b'c[d] é" (x)""", """INSERT INTO "a""b'c[d] é" VALUES (1)"""],
    "no_tables": ["PRAGMA user_version = 1"],
}


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("name", DATABASES)
def test_a_database_is_stored_byte_for_byte_and_passes_its_drill(
    name: str, mode: str, tmp_path: Path
) -> None:
    path, repository = database(tmp_path / "x.db", *DATABASES[name], mode=mode), MemoryRepository()
    original = Path(path).read_bytes()
    taken = capture(path, repository)
    stored = repository.content()
    differing = {i for i, (a, b) in enumerate(zip(original, stored, strict=True)) if a != b}
    assert differing <= OWN_COUNTERS
    assert taken.facts["journal_mode"] == mode
    restore(repository, tmp_path / "restored")
    report = source_of(path).drill(point_of(taken), repository, Restored(str(tmp_path / "restored")), SILENT)
    assert report.differences == ()
    assert report.compared["integrity_check"] == "ok"
    assert os.listdir(tmp_path / "restored") == ["x.db"]


def test_facts_are_those_of_the_database(tmp_path: Path) -> None:
    statements = [
        "PRAGMA page_size = 8192",
        "PRAGMA user_version = 12",
        "PRAGMA application_id = 99",
        "CREATE TABLE a (x)",
        "CREATE TABLE b (k TEXT PRIMARY KEY) WITHOUT ROWID",
        "CREATE VIRTUAL TABLE d USING fts5(body)",
        "INSERT INTO a VALUES (1), (2), (3)",
        "INSERT INTO b VALUES ('k')",
    ]
    facts = capture(database(tmp_path / "x.db", *statements), MemoryRepository()).facts
    size = os.path.getsize(tmp_path / "x.db")
    assert facts["page_size"] == 8192
    assert facts["page_count"] == size // 8192
    assert (facts["user_version"], facts["application_id"], facts["encoding"]) == (12, 99, "UTF-8")
    counts = facts["row_counts"]
    assert isinstance(counts, dict)
    assert (counts["a"], counts["b"]) == (3, 1)
    assert {"d_data", "d_idx", "d_content", "d_docsize", "d_config"} < set(counts)
    assert facts["virtual_tables"] == ["d"]
    assert facts["internal_tables"] == sorted(counts.keys() - {"a", "b"})
    schema = facts["schema"]
    assert isinstance(schema, list)
    assert {"type": "table", "name": "a", "table": "a", "sql": "CREATE TABLE a (x)"} in schema
    assert facts["schema_objects"] == len(schema)


def test_the_row_of_the_inventory_is_the_file(tmp_path: Path) -> None:
    path, repository = shop(tmp_path / "shop.db"), MemoryRepository()
    os.chmod(path, 0o640)
    os.utime(path, ns=(10**18 + 1, 10**18 + 3))
    progress = CountingProgress()
    before = datetime.now(UTC)
    taken = source_of(path).capture(repository.begin(), progress)
    (row,) = repository.rows
    found = os.stat(path)
    assert (row.stat.path, row.stat.kind, row.stat.mode) == (b"shop.db", EntryKind.FILE, 0o640)
    assert (row.stat.uid, row.stat.gid, row.stat.mtime_ns) == (found.st_uid, found.st_gid, 10**18 + 3)
    assert row.stat.size == found.st_size == len(repository.content())
    assert before <= taken.captured_at <= datetime.now(UTC)
    assert taken.versions == {"sqlite": sqlite3.sqlite_version}
    assert progress.expected == progress.done == {"items": 1, "size": found.st_size}


def test_chunks_hold_whole_pages_so_that_one_changed_row_stores_little(tmp_path: Path) -> None:
    path, repository = shop(tmp_path / "shop.db", rows=20_000), MemoryRepository()
    capture(path, repository)
    size = repository.new_bytes
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE items SET price = 0 WHERE id = 9000")
    capture(path, repository)
    assert size > 40 * SMALL
    assert 0 < repository.new_bytes <= 2 * SMALL


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_an_unchanged_database_gives_the_same_bytes_even_when_it_is_copied_anew(
    mode: str, tmp_path: Path
) -> None:
    path, repository = shop(tmp_path / "shop.db", mode=mode), MemoryRepository()
    first = capture(path, repository)
    os.utime(path)
    second = capture(path, repository)
    assert repository.allowed == set()
    assert repository.new_bytes == 0
    assert first.facts == second.facts


def test_checkpointing_a_log_changes_no_stored_byte(tmp_path: Path) -> None:
    path, repository = shop(tmp_path / "shop.db", mode="wal"), MemoryRepository()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE items SET price = 1 WHERE id = 1")
        assert os.path.getsize(path + "-wal") > 0
        capture(path, repository)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        capture(path, repository)
    assert repository.allowed == set()
    assert repository.new_bytes == 0


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_database_with_an_equal_stat_is_not_copied_again(mode: str, tmp_path: Path) -> None:
    path, repository = shop(tmp_path / "shop.db", mode=mode), MemoryRepository()
    first = capture(path, repository)
    (row,) = repository.rows
    os.mkdir(tmp_path / "absent")
    source = source_of(path, scratch_dir=str(tmp_path / "absent" / "gone"))  # a copy would fail here
    progress = CountingProgress()
    second = source.capture(repository.begin(), progress)
    assert repository.rows == [row]
    assert second.facts == first.facts
    assert progress.expected == progress.done


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_every_commit_prevents_reuse(mode: str, tmp_path: Path) -> None:
    path, repository = shop(tmp_path / "shop.db", mode=mode), MemoryRepository()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for price in range(5):
            capture(path, repository)
            connection.execute("UPDATE items SET price = ? WHERE id = 1", (price,))
            capture(path, repository)
            assert price_in(repository, tmp_path) == price


def test_content_that_was_partly_in_a_log_is_never_reused(tmp_path: Path) -> None:
    path, repository = shop(tmp_path / "shop.db", mode="wal"), MemoryRepository()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("UPDATE items SET price = -1 WHERE id = 1")
        main = Path(path).read_bytes()
        capture(path, repository)
        unchanged = os.stat(path)
    Path(path).write_bytes(main)
    os.utime(path, ns=(unchanged.st_atime_ns, unchanged.st_mtime_ns))
    capture(path, repository)  # the log is gone, and the main file is as it was: the update is lost
    assert repository.allowed == set()
    assert price_in(repository, tmp_path) == pytest.approx(1 / 7)
    assert repository.rows[0].stat.inode != 0


def price_in(repository: MemoryRepository, tmp_path: Path) -> float:
    with closing(sqlite3.connect(restore(repository, tmp_path / "restored"))) as connection:
        price: float = connection.execute("SELECT price FROM items WHERE id = 1").fetchone()[0]
    return price


def test_a_file_of_zero_bytes_is_an_empty_database(tmp_path: Path) -> None:
    (tmp_path / "new.db").touch()
    repository = MemoryRepository()
    taken = capture(tmp_path / "new.db", repository)
    assert (taken.facts["page_count"], taken.facts["row_counts"]) == (0, {})
    assert repository.content() == b""
    restore(repository, tmp_path / "restored")
    report = source_of(tmp_path / "new.db").drill(
        point_of(taken), repository, Restored(str(tmp_path / "restored")), SILENT
    )
    assert report.differences == ()


@pytest.mark.parametrize("name", [b"a?mode=rwc&x=1#50%25.db", b"caf\xe9 \xff.db", b"%41.db", b"l\n.db"])
def test_any_file_name_is_opened(name: bytes, tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)
    os.rename(shop(tmp_path / "plain.db"), path)
    repository = MemoryRepository()
    taken = capture(os.fsdecode(path), repository)
    assert repository.rows[0].stat.path == name
    assert os.listdir(os.fsencode(tmp_path)) == [name]
    restore(repository, tmp_path / "restored")
    report = source_of(os.fsdecode(path)).drill(
        point_of(taken), repository, Restored(str(tmp_path / "restored")), SILENT
    )
    assert report.differences == ()


def test_a_symlink_stands_for_the_database_and_its_log(tmp_path: Path) -> None:
    os.mkdir(tmp_path / "real")
    path = shop(tmp_path / "real" / "data.db", mode="wal")
    os.symlink(path, tmp_path / "link.db")
    repository = MemoryRepository()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE items SET price = 5 WHERE id = 1")
        capture(tmp_path / "link.db", repository)
    assert repository.rows[0].stat.path == b"link.db"
    assert repository.rows[0].stat.inode == 0
    assert price_in(repository, tmp_path) == 5


def test_the_scratch_copy_is_private_and_has_no_name(tmp_path: Path) -> None:
    path, seen = shop(tmp_path / "shop.db"), dict[str, object]()
    (tmp_path / "scratch").mkdir()

    class Watching(MemoryRepository):
        def blob(self, data: memoryview | bytes | bytearray) -> bytes:
            seen["names"] = os.listdir(tmp_path / "scratch")
            seen["modes"] = _open_modes(str(tmp_path / "scratch"))
            return super().blob(data)

    source_of(path, scratch_dir=str(tmp_path / "scratch")).capture(Watching().begin(), CountingProgress())
    assert seen == {"names": [], "modes": {0o600}}


def _open_modes(directory: str) -> set[int]:
    """Modes of the files of this process that were opened below the directory."""
    modes = set()
    for descriptor in os.listdir("/proc/self/fd"):
        link = f"/proc/self/fd/{descriptor}"
        if os.path.lexists(link) and os.readlink(link).startswith(directory):
            modes.add(stat.S_IMODE(os.stat(link).st_mode))
    return modes


def test_the_schema_in_the_facts_is_bounded_and_its_fingerprint_is_not(tmp_path: Path) -> None:
    wide = ", ".join(f"column_{i:04} TEXT" for i in range(1500))
    tables = [f"CREATE TABLE t{i:03} ({wide})" for i in range(40)]
    facts = capture(database(tmp_path / "a.db", *tables), MemoryRepository()).facts
    other = [*tables[:-1], tables[-1].replace("column_1499", "column_x")]
    changed = capture(database(tmp_path / "b.db", *other), MemoryRepository()).facts
    kept = facts["schema"]
    assert isinstance(kept, list)
    assert 0 < len(kept) < 40
    assert facts["schema_objects"] == 40
    assert facts["schema"] == changed["schema"]
    assert facts["schema_fingerprint"] != changed["schema_fingerprint"]


def test_vacuum_keeps_the_fingerprint_and_a_new_index_changes_it(tmp_path: Path) -> None:
    path = database(
        tmp_path / "x.db", "CREATE TABLE a (x)", "CREATE TABLE b (x)", "DROP TABLE a", "CREATE TABLE c (x)"
    )

    def after(statement: str) -> Json:
        return capture(database(path, statement), MemoryRepository()).facts["schema_fingerprint"]

    assert after("SELECT 1") == after("VACUUM")
    assert after("SELECT 1") != after("CREATE INDEX i ON b (x)")


def test_collations_of_the_application_do_not_hide_rows(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
        connection.create_collation("own", lambda a, b: (a < b) - (a > b))
        connection.create_function("own_fn", 1, lambda x: x, deterministic=True)
        connection.execute("CREATE TABLE t (a TEXT COLLATE own PRIMARY KEY) WITHOUT ROWID")
        connection.execute("CREATE TABLE u (a TEXT)")
        connection.execute("CREATE INDEX i ON u (own_fn(a))")
        connection.execute("CREATE TABLE plain (a TEXT)")
        connection.execute("INSERT INTO t VALUES ('x'), ('y')")
    repository = MemoryRepository()
    taken = capture(tmp_path / "x.db", repository)
    assert taken.facts["row_counts"] == {"t": 2, "u": 0, "plain": 0}
    assert taken.facts["uncounted_tables"] == {}
    restore(repository, tmp_path / "restored")
    report = source_of(tmp_path / "x.db").drill(
        point_of(taken), repository, Restored(str(tmp_path / "restored")), SILENT
    )
    assert report.differences == ()
    assert report.compared["integrity_unchecked_tables"] == ["t", "u"]


def test_a_schema_that_is_not_utf8_is_told_apart_and_passes_its_drill(tmp_path: Path) -> None:
    def fingerprint(byte: str) -> Json:
        odd = f"'CREATE TABLE t (a DEFAULT ''' || CAST(X'{byte}' AS TEXT) || ''')'"
        statements = [
            "CREATE TABLE t (a)",
            "PRAGMA writable_schema = ON",
            f"UPDATE sqlite_master SET sql = {odd}",
        ]
        repository, path = MemoryRepository(), database(tmp_path / f"{byte}.db", *statements)
        taken = capture(path, repository)
        restore(repository, tmp_path / byte)
        report = source_of(path).drill(point_of(taken), repository, Restored(str(tmp_path / byte)), SILENT)
        assert report.differences == ()
        return taken.facts["schema_fingerprint"]

    assert fingerprint("FF") != fingerprint("FE")
