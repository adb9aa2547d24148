"""Each way in which a database cannot be captured has its own error, or a way round it."""

from __future__ import annotations

import gzip
import os
import pickle
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from backup_platform.clock import SILENT
from backup_platform.errors import SourceBusyError, SourceError, SourceFormatError, SourceMissingError
from backup_platform.sources.sqlite.source import SqliteSource
from backup_platform_tests.sources.files_support import YEAR_2400
from backup_platform_tests.sources.sqlite_support import (
    CountingProgress,
    MemoryRepository,
    TestClock,
    capture,
    database,
    point_of,
    process,
    restore,
    shop,
    source_of,
)
from backup_platform_tests.support import Restored

NOBODY = 65534
T = TypeVar("T")


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceMissingError, match="no file"):
        capture(tmp_path / "none.db", MemoryRepository())
    with pytest.raises(SourceMissingError):
        capture(shop(tmp_path / "file.db") + "/below", MemoryRepository())
    assert os.listdir(tmp_path) == ["file.db"]


def test_a_directory_is_not_a_database(tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError, match="not a regular file"):
        capture(tmp_path, MemoryRepository())


OTHER_FILES = {
    "text": b"hello, world\n" * 600,
    "short": b"x",
    "zeros": bytes(8192),
    "archive": gzip.compress(os.urandom(8200))[:8192],
    "header_only": b"SQLite format 3\0" + bytes(84),
    "odd_size": os.urandom(5001),
}


@pytest.mark.parametrize("name", OTHER_FILES)
def test_another_file_is_not_a_database(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(OTHER_FILES[name])
    with pytest.raises(SourceFormatError, match="is not a SQLite database") as caught:
        capture(tmp_path / name, MemoryRepository())
    assert not caught.value.retryable
    assert caught.value.hint


@pytest.mark.parametrize("size", [512, 4096, 40960])
def test_random_pages_are_called_encrypted(size: int, tmp_path: Path) -> None:
    (tmp_path / "cipher.db").write_bytes(os.urandom(size))
    with pytest.raises(SourceFormatError, match="probably an encrypted"):
        capture(tmp_path / "cipher.db", MemoryRepository())


def test_a_truncated_database_is_damaged(tmp_path: Path) -> None:
    path = shop(tmp_path / "shop.db")
    os.truncate(path, os.path.getsize(path) // 2)
    with pytest.raises(SourceFormatError, match="is damaged"):
        capture(path, MemoryRepository())


def test_a_corrupt_page_that_the_facts_meet_is_damage(tmp_path: Path) -> None:
    path = database(tmp_path / "x.db", "CREATE TABLE t (b)", "INSERT INTO t VALUES (1)")
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 100)
    with pytest.raises(SourceFormatError, match="is damaged"):
        capture(path, MemoryRepository())


def test_a_lock_that_lasts_is_busy_and_can_be_retried(tmp_path: Path) -> None:
    path = shop(tmp_path / "shop.db")
    lock = """if True:
        import sqlite3, sys
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        print("ready", flush=True)
        sys.stdin.read()
    """
    with process(lock, path):
        with pytest.raises(SourceBusyError, match=r"longer than 0\.3 s") as caught:
            source_of(path, lock_timeout=0.3).capture(MemoryRepository(), CountingProgress())
        assert caught.value.retryable
    assert capture(path, MemoryRepository()).facts["row_counts"] == {"items": 2000}


def test_a_lock_that_ends_in_time_is_waited_for(tmp_path: Path) -> None:
    path = shop(tmp_path / "shop.db")
    lock = """if True:
        import sqlite3, sys, time
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("DELETE FROM items WHERE id > 10")
        print("ready", flush=True)
        time.sleep(0.5)
        connection.execute("COMMIT")
    """
    with process(lock, path):
        assert capture(path, MemoryRepository()).facts["row_counts"] == {"items": 10}


def test_a_full_scratch_directory_is_said_before_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, usage = shop(tmp_path / "shop.db"), shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(SourceError, match=r"no room for a copy.* 1,000 are free") as caught:
        capture(path, MemoryRepository())
    assert "TMPDIR" in caught.value.hint


def test_a_scratch_directory_that_fills_up_is_not_called_a_damaged_source(tmp_path: Path) -> None:
    path = shop(tmp_path / "shop.db")
    code = """if True:
        import resource, signal, sys
        from backup_platform.errors import SourceError
        from backup_platform_tests.sources.sqlite_support import MemoryRepository, capture
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            capture(sys.argv[1], MemoryRepository())
        except SourceError as error:
            print(type(error).__name__, error)
    """
    said = subprocess.check_output([sys.executable, "-c", code, path], text=True)
    assert said.startswith("SourceError The scratch directory")


def test_no_scratch_directory_is_an_error_of_its_own(tmp_path: Path) -> None:
    source = source_of(shop(tmp_path / "shop.db"), scratch_dir=str(tmp_path / "none"))
    with pytest.raises(SourceError, match=r"scratch directory .* cannot be used"):
        source.capture(MemoryRepository(), CountingProgress())


def test_a_failing_repository_leaves_no_scratch_and_keeps_its_error(tmp_path: Path) -> None:
    class Failing(MemoryRepository):
        def blob(self, data: object) -> bytes:
            raise sqlite3.OperationalError("the repository's own")

    path = shop(tmp_path / "shop.db")
    (tmp_path / "scratch").mkdir()
    with pytest.raises(sqlite3.OperationalError, match="the repository's own"):
        source_of(path, scratch_dir=str(tmp_path / "scratch")).capture(Failing(), CountingProgress())
    assert os.listdir(tmp_path / "scratch") == []


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        os.mkdir(os.path.join(name, "scratch"))
        os.chmod(os.path.join(name, "scratch"), 0o777)
        os.mkdir(os.path.join(name, "data"))
        yield Path(name)
        os.chmod(os.path.join(name, "data"), 0o755)


def unprivileged(call: Callable[[], T]) -> T:
    """What the call returns or raises in a process that root's rights do not help."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        try:
            outcome: object = call()
        except BaseException as error:
            outcome = error
        os.write(sender, pickle.dumps(outcome))
        os._exit(0)
    os.close(sender)
    with open(receiver, "rb") as pipe:
        result = pickle.loads(pipe.read())
    os.waitpid(child, 0)
    if isinstance(result, BaseException):
        raise result
    return result  # type: ignore[no-any-return]


def rows_seen(shared: Path, name: str, *, ahead: timedelta = timedelta(hours=1)) -> tuple[int, list[str]]:
    """Rows of `items` as captured with nobody's rights and drilled, and the progress notes."""
    source = SqliteSource("shop", str(shared / "data" / name), 0.5, TestClock(ahead), str(shared / "scratch"))
    repository, progress = MemoryRepository(), CountingProgress()
    taken = source.capture(repository, progress)
    restored = shared / "scratch" / "restored"
    restore(repository, restored)
    report = source.drill(point_of(taken), repository, Restored(str(restored)), SILENT)
    shutil.rmtree(restored)
    assert report.differences == ()
    assert os.listdir(shared / "scratch") == []
    assert repository.rows[0].stat.inode == 0
    counts = taken.facts["row_counts"]
    assert isinstance(counts, dict)
    rows = counts["items"]
    assert isinstance(rows, int)
    return rows, progress.notes


def test_wal_mode_in_a_read_only_directory_is_copied_when_nobody_writes(shared: Path) -> None:
    shop(shared / "data" / "shop.db", mode="wal", rows=300)
    os.chmod(shared / "data", 0o555)
    rows, notes = unprivileged(lambda: rows_seen(shared, "shop.db"))
    assert rows == 300
    assert "cannot be read in place" in notes[0]


def test_wal_mode_in_a_read_only_directory_is_busy_when_it_was_just_written(shared: Path) -> None:
    shop(shared / "data" / "shop.db", mode="wal")
    os.chmod(shared / "data", 0o555)
    with pytest.raises(SourceBusyError, match="only be copied while nobody writes"):
        unprivileged(lambda: rows_seen(shared, "shop.db", ahead=timedelta()))


def crash(path: Path, *statements: str) -> None:
    """Run the statements in a process that is killed after the last."""
    child = os.fork()
    if child == 0:
        connection = sqlite3.connect(path, isolation_level=None)
        for statement in statements:
            connection.execute(statement)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_log_left_by_a_crash_is_part_of_the_copy(shared: Path) -> None:
    path = Path(shop(shared / "data" / "shop.db", mode="wal", rows=300))
    crash(path, "DELETE FROM items WHERE id > 7")
    os.unlink(f"{path}-shm")
    os.chmod(shared / "data", 0o555)
    rows, _ = unprivileged(lambda: rows_seen(shared, "shop.db"))
    assert rows == 7


def test_a_hot_journal_is_rolled_back_in_the_copy_only(shared: Path) -> None:
    path = Path(shop(shared / "data" / "shop.db"))
    crash(
        path,
        "PRAGMA cache_size = 2",
        "BEGIN",
        "UPDATE items SET name = 'lost'",
        "DELETE FROM items WHERE id > 5",
    )
    files = {name: (path.parent / name).read_bytes() for name in os.listdir(path.parent)}
    assert set(files) == {"shop.db", "shop.db-journal"}
    assert b"lost" in files["shop.db"]
    rows, _ = rows_seen(shared, "shop.db")
    assert rows == 2000
    assert {name: (path.parent / name).read_bytes() for name in os.listdir(path.parent)} == files


def test_an_unreadable_database_says_so(shared: Path) -> None:
    os.chmod(shop(shared / "data" / "shop.db"), 0o000)
    with pytest.raises(SourceError, match="cannot be opened") as caught:
        unprivileged(lambda: rows_seen(shared, "shop.db"))
    assert "may read the file" in caught.value.hint


@pytest.mark.parametrize("kind", ["journal", "wal"])
def test_an_attempt_changes_nothing_that_the_next_one_needs(shared: Path, kind: str) -> None:
    """SQLite, when it runs as root, sets the owner of a journal that it opens, which renews its time of change."""
    path = Path(shop(shared / "data" / "shop.db", mode="wal" if kind == "wal" else "delete", rows=300))
    crash(path, "PRAGMA cache_size = 2", "BEGIN", "DELETE FROM items WHERE id > 7")
    if kind == "wal":
        crash(path, "DELETE FROM items WHERE id > 7")
        os.unlink(f"{path}-shm")
        os.mkdir(f"{path}-shm")  # a log that not even root can read in place
    for _ in range(2):
        time.sleep(0.3)
        rows, _ = rows_seen(shared, "shop.db", ahead=settled_by(path, 0.1))
        assert rows == (7 if kind == "wal" else 300)


def settled_by(path: Path, margin: float) -> timedelta:
    """A clock by which what lies there now is settled, and what is changed in a moment is not."""
    newest = max(os.stat(path.parent / name).st_ctime for name in os.listdir(path.parent))
    return timedelta(seconds=newest + 2.0 + margin - time.time())


def test_a_journal_of_another_owner_is_left_as_it_is(shared: Path) -> None:
    path = Path(shop(shared / "data" / "shop.db"))
    crash(path, "PRAGMA cache_size = 2", "BEGIN", "UPDATE items SET name = 'lost'")
    journal = Path(f"{path}-journal")
    owner = NOBODY if os.geteuid() == 0 else os.geteuid()
    os.chown(path, owner, -1)
    before = owner_and_times(journal)
    assert rows_seen(shared, "shop.db")[0] == 2000
    assert owner_and_times(journal) == before


def owner_and_times(path: Path) -> tuple[int, ...]:
    """All but the time of the last access: it is read."""
    found = path.stat()
    return (
        found.st_ino,
        found.st_mode,
        found.st_uid,
        found.st_gid,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def test_a_database_that_is_dated_ahead_is_settled_all_the_same(shared: Path) -> None:
    path = Path(shop(shared / "data" / "shop.db"))
    crash(path, "PRAGMA cache_size = 2", "BEGIN", "UPDATE items SET name = 'lost'")
    os.utime(path, ns=(YEAR_2400, YEAR_2400))
    assert rows_seen(shared, "shop.db")[0] == 2000


def test_what_its_application_recovers_meanwhile_is_read_in_place(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shop(shared / "data" / "shop.db"))
    crash(path, "PRAGMA cache_size = 2", "BEGIN", "UPDATE items SET name = 'lost'")
    copyfile = shutil.copyfile

    def recover_first(source: str, copy: str) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("SELECT count(*) FROM items").fetchone()
        copyfile(source, copy)

    monkeypatch.setattr(shutil, "copyfile", recover_first)
    source = SqliteSource("shop", str(path), 0.5, TestClock(timedelta(hours=1)), str(shared / "scratch"))
    taken = source.capture(MemoryRepository(), CountingProgress())
    assert taken.facts["row_counts"] == {"items": 2000}


def test_a_write_after_the_copying_makes_it_busy(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(shop(shared / "data" / "shop.db"))
    crash(path, "PRAGMA cache_size = 2", "BEGIN", "UPDATE items SET name = 'lost'")
    copyfile = shutil.copyfile

    def then_touch(source: str, copy: str) -> None:
        copyfile(source, copy)
        os.utime(path)

    monkeypatch.setattr(shutil, "copyfile", then_touch)
    with pytest.raises(SourceBusyError, match="only be copied while nobody writes"):
        rows_seen(shared, "shop.db")
    assert os.listdir(shared / "scratch") == []
